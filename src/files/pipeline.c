/* pipeline.c: from tokenizer.json's stages to steps. */
#include "files/pipeline.h"

#include <string.h>

#include "files/config.h"
#include "files/json.h"
#include "files/pieces.h"

typedef struct Reader
{
	Arena *arena;
	Pipeline *out;
	Status *status;
	const char *part; /* "normalizer" ..., for messages */
	size_t n_precompiled;
	size_t n_templates;
} Reader;

/* What is known of a type of stage. */
typedef struct Stage
{
	const char *type;
	const char *members; /* beside "type", a blank between them */
	StepKind kind;
	bool (*read)(Reader *reader, const json_t *object, PipelineStep *step); /* or NULL */
} Stage;

static const char *
type_of(const json_t *object)
{
	const char *type = json_string_value(json_object_get(object, "type"));

	return type == NULL ? "" : type;
}

/* --- Values --- */

static bool
read_text(Reader *reader, const json_t *value, const char *what, const char **out)
{
	size_t length = json_string_length(value);

	if (!json_is_string(value))
		return status_fail(reader->status, STATUS_INVALID_DATA, "the %s's %s is not a text",
						   reader->part, what);
	if (length > PIPELINE_MAX_TEXT)
		return status_fail(reader->status, STATUS_LIMIT,
						   "the %s's %s has %zu bytes, the limit is %d", reader->part, what, length,
						   PIPELINE_MAX_TEXT);
	*out = arena_strndup(reader->arena, json_string_value(value), length);
	return *out != NULL || arena_fail(reader->arena, reader->status, what, length);
}

static size_t
character_bytes(const char *text)
{
	unsigned char lead = (unsigned char) text[0];

	return lead == 0 ? 0 : lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

static bool
read_character(Reader *reader, const json_t *value, const char *what, const char **out)
{
	return read_text(reader, value, what, out) &&
		   ((**out != '\0' && character_bytes(*out) == strlen(*out)) ||
			status_fail(reader->status, STATUS_INVALID_DATA, "the %s's %s is not one character",
						reader->part, what));
}

static bool
read_flag(Reader *reader, const json_t *object, const char *member, uint32_t flag,
		  PipelineStep *step)
{
	bool value = (step->flags & flag) != 0;

	if (!json_get_bool(object, member, &value, reader->status))
		return false;
	step->flags = value ? step->flags | flag : step->flags & ~flag;
	return true;
}

/* --- Normalizers --- */

static bool
read_precompiled(Reader *reader, const json_t *object, PipelineStep *step)
{
	(void) step;
	if (reader->n_precompiled++ > 0)
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "its normalizer has two \"Precompiled\", which is not supported");
	return json_object_get(object, "precompiled_charsmap") == NULL ||
		   json_is_string(json_object_get(object, "precompiled_charsmap")) ||
		   json_is_null(json_object_get(object, "precompiled_charsmap")) ||
		   status_fail(reader->status, STATUS_INVALID_DATA,
					   "its precompiled_charsmap is not a text");
}

static bool
read_strip(Reader *reader, const json_t *object, PipelineStep *step)
{
	step->flags = STEP_LEFT | STEP_RIGHT;
	return read_flag(reader, object, "strip_left", STEP_LEFT, step) &&
		   read_flag(reader, object, "strip_right", STEP_RIGHT, step);
}

/* A run: "c{n,}", "c+", with one character c that means itself, or "\s". */
static bool
read_run(const char *regex, PipelineStep *step, char *character)
{
	size_t bytes = character_bytes(regex);
	const char *rest = regex + bytes;

	if (strncmp(regex, "\\s", 2) == 0)
	{
		step->flags = STEP_ANY_SPACE;
		rest = regex + 2;
	}
	else if (bytes == 0 || (bytes == 1 && strchr("\\^$.|?*+()[]{}", regex[0]) != NULL))
		return false;
	else
		memcpy(character, regex, bytes);
	if (strcmp(rest, "+") == 0)
		step->count = 1;
	else if (rest[0] == '{' && rest[1] >= '1' && rest[1] <= '8' && strcmp(rest + 2, ",}") == 0)
		step->count = (uint32_t) (rest[1] - '0');
	else
		return false;
	return true;
}

static bool
read_replace(Reader *reader, const json_t *object, PipelineStep *step)
{
	const json_t *pattern = json_object_get(object, "pattern");
	const json_t *regex = json_object_get(pattern, "Regex");
	char *character;
	const char *text;

	if (!read_text(reader, json_object_get(object, "content"), "content", &step->content))
		return false;
	if (regex == NULL)
		return read_text(reader, json_object_get(pattern, "String"), "pattern", &step->text) &&
			   (step->text[0] != '\0' ||
				status_fail(reader->status, STATUS_UNSUPPORTED,
							"the %s replaces an empty pattern, which is not supported",
							reader->part));
	character = arena_alloc_zero(reader->arena, 8);
	if (character == NULL)
		return arena_fail(reader->arena, reader->status, "a pattern", 8);
	if (!read_text(reader, regex, "pattern", &text))
		return false;
	step->kind = STEP_REPLACE_RUN;
	step->text = character;
	if (read_run(text, step, character))
		return true;
	status_fail(reader->status, STATUS_UNSUPPORTED,
				"its %s replaces the pattern \"%.60s\", which is not supported", reader->part,
				text);
	return status_hint(reader->status,
					   "Regular expressions are supported if they mean a run of one "
					   "character, such as \" {2,}\".");
}

static bool
read_prepend(Reader *reader, const json_t *object, PipelineStep *step)
{
	return read_text(reader, json_object_get(object, "prepend"), "prepend", &step->text);
}

static const Stage normalizer_stages[] = {
	{"Precompiled", "precompiled_charsmap", STEP_PRECOMPILED, read_precompiled},
	{"NFC", "", STEP_NFC, NULL},
	{"NFD", "", STEP_NFD, NULL},
	{"NFKC", "", STEP_NFKC, NULL},
	{"NFKD", "", STEP_NFKD, NULL},
	{"Nmt", "", STEP_NMT, NULL},
	{"Lowercase", "", STEP_LOWERCASE, NULL},
	{"Strip", "strip_left strip_right", STEP_STRIP, read_strip},
	{"StripAccents", "", STEP_STRIP_ACCENTS, NULL},
	{"Replace", "pattern content", STEP_REPLACE, read_replace},
	{"Prepend", "prepend", STEP_PREPEND, read_prepend},
	{NULL, NULL, 0, NULL},
};

/* --- Pre-tokenizers --- */

static bool
read_digits(Reader *reader, const json_t *object, PipelineStep *step)
{
	return read_flag(reader, object, "individual_digits", STEP_INDIVIDUAL, step);
}

static bool
read_choice(Reader *reader, const json_t *value, const char *what, const char *const *names,
			uint32_t *out)
{
	const char *name = json_string_value(value);

	if (value == NULL || json_is_null(value))
		return true;
	for (uint32_t i = 0; name != NULL && names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
		{
			*out = i;
			return true;
		}
	return status_fail(reader->status, STATUS_UNSUPPORTED, "the %s's %s \"%.60s\" is not known",
					   reader->part, what, name == NULL ? "?" : name);
}

static bool
read_punctuation(Reader *reader, const json_t *object, PipelineStep *step)
{
	static const char *const behaviors[] = {"Isolated",       "Removed",    "MergedWithPrevious",
											"MergedWithNext", "Contiguous", NULL};

	return read_choice(reader, json_object_get(object, "behavior"), "behavior", behaviors,
					   &step->count);
}

static bool
read_metaspace(Reader *reader, const json_t *object, PipelineStep *step)
{
	static const char *const schemes[] = {"always", "first", "never", NULL};
	const json_t *prefix = json_object_get(object, "add_prefix_space");

	step->flags = STEP_SPLIT;
	if (!read_character(reader, json_object_get(object, "replacement"), "replacement",
						&step->text) ||
		!read_choice(reader, json_object_get(object, "prepend_scheme"), "prepend_scheme", schemes,
					 &step->count) ||
		!read_flag(reader, object, "split", STEP_SPLIT, step))
		return false;
	if (!json_is_false(prefix))
		return true;
	if (json_object_get(object, "prepend_scheme") != NULL && step->count != PREPEND_NEVER)
		return status_fail(reader->status, STATUS_INVALID_DATA,
						   "the %s's add_prefix_space contradicts its prepend_scheme",
						   reader->part);
	/* older files have no prepend_scheme */
	step->count = PREPEND_NEVER;
	return true;
}

static bool
read_byte_level(Reader *reader, const json_t *object, PipelineStep *step)
{
	step->flags = STEP_PREFIX_SPACE | STEP_REGEX;
	return read_flag(reader, object, "add_prefix_space", STEP_PREFIX_SPACE, step) &&
		   read_flag(reader, object, "use_regex", STEP_REGEX, step);
}

/* The regular expressions that published tokenizers split by, and what they mean. */
static const struct
{
	const char *text;
	SplitPattern pattern;
	uint32_t flags;
} known_patterns[] = {
	{"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
	 PATTERN_WORDS, 0},
	{"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
	 PATTERN_WORDS, 0},
	{"\\s", PATTERN_SPACE, 0},
	{"\\s+", PATTERN_SPACE, STEP_RUN},
	{"\\S+", PATTERN_SPACE, STEP_RUN | STEP_INVERT},
	{"[0-9]", PATTERN_DIGIT, 0},
	{"[0-9]+", PATTERN_DIGIT, STEP_RUN},
	{"\\p{N}", PATTERN_NUMBER, 0},
	{"\\p{N}+", PATTERN_NUMBER, STEP_RUN},
	{" ", PATTERN_CHARACTER, 0},
	{" +", PATTERN_CHARACTER, STEP_RUN},
};

#define N_PATTERNS (sizeof known_patterns / sizeof known_patterns[0])

static bool
refuse_split(Reader *reader, const char *pattern, const char *why)
{
	status_fail(reader->status, STATUS_UNSUPPORTED,
				"its %s splits by the pattern \"%.60s\"%s, which is not supported", reader->part,
				pattern, why);
	return status_hint(
		reader->status,
		"Supported are one character, the words of GPT-2, white space (\"\\s+\") and "
		"digits (\"[0-9]\", \"\\p{N}\"), once or as a run. Use a model with another "
		"tokenizer.");
}

/* The step's kind, pattern and flags for a regular expression; flags has STEP_INVERT. */
static bool
read_regex(Reader *reader, const char *regex, PipelineStep *step)
{
	bool invert = (step->flags & STEP_INVERT) != 0;
	size_t i = 0;

	while (i < N_PATTERNS && strcmp(known_patterns[i].text, regex) != 0)
		i++;
	if (i == N_PATTERNS)
		return refuse_split(reader, regex, "");
	step->count2 = (uint32_t) known_patterns[i].pattern;
	step->flags ^= known_patterns[i].flags;
	if (step->count2 == PATTERN_CHARACTER)
		step->text = " ";
	/* all of a text is matched: each word for itself, or nothing is left of it */
	return step->count2 != PATTERN_WORDS || step->count == SPLIT_ISOLATED ||
		   (step->count == SPLIT_REMOVED && invert) ||
		   refuse_split(reader, regex, " with another behavior than Isolated");
}

static bool
read_split(Reader *reader, const json_t *object, PipelineStep *step)
{
	const json_t *pattern = json_object_get(object, "pattern");
	const json_t *regex = json_object_get(pattern, "Regex");

	if (!read_punctuation(reader, object, step) ||
		!read_flag(reader, object, "invert", STEP_INVERT, step))
		return false;
	if (regex != NULL)
		return json_is_string(regex) ? read_regex(reader, json_string_value(regex), step)
									 : status_fail(reader->status, STATUS_INVALID_DATA,
												   "the %s's pattern is not a text", reader->part);
	if (!read_text(reader, json_object_get(pattern, "String"), "pattern", &step->text))
		return false;
	return (step->text[0] != '\0' && character_bytes(step->text) == strlen(step->text)) ||
		   refuse_split(reader, step->text, " of several characters");
}

static bool
read_delimiter(Reader *reader, const json_t *object, PipelineStep *step)
{
	step->count = SPLIT_REMOVED;
	return read_character(reader, json_object_get(object, "delimiter"), "delimiter", &step->text);
}

static const Stage pre_tokenizer_stages[] = {
	{"WhitespaceSplit", "", STEP_WHITESPACE_SPLIT, NULL},
	{"Whitespace", "", STEP_WHITESPACE, NULL},
	{"Digits", "individual_digits", STEP_DIGITS, read_digits},
	{"Punctuation", "behavior", STEP_PUNCTUATION, read_punctuation},
	{"Metaspace", "replacement prepend_scheme add_prefix_space split str_rep", STEP_METASPACE,
	 read_metaspace},
	{"ByteLevel", "add_prefix_space trim_offsets use_regex", STEP_BYTE_LEVEL, read_byte_level},
	{"Split", "pattern behavior invert", STEP_PATTERN, read_split},
	{"CharDelimiterSplit", "delimiter", STEP_PATTERN, read_delimiter},
	{NULL, NULL, 0, NULL},
};

/* --- Decoders --- */

static bool
read_wordpiece_decoder(Reader *reader, const json_t *object, PipelineStep *step)
{
	step->flags = STEP_CLEANUP;
	return read_text(reader, json_object_get(object, "prefix"), "prefix", &step->text) &&
		   read_flag(reader, object, "cleanup", STEP_CLEANUP, step);
}

static bool
read_strip_decoder(Reader *reader, const json_t *object, PipelineStep *step)
{
	int start = 0;
	int stop = 0;

	if (!read_character(reader, json_object_get(object, "content"), "content", &step->text) ||
		!json_get_int(object, "start", 0, 1000, &start, reader->status) ||
		!json_get_int(object, "stop", 0, 1000, &stop, reader->status))
		return false;
	step->count = (uint32_t) start;
	step->count2 = (uint32_t) stop;
	return true;
}

static bool
read_replace_decoder(Reader *reader, const json_t *object, PipelineStep *step)
{
	if (!read_replace(reader, object, step))
		return false;
	return step->kind == STEP_DECODE_REPLACE ||
		   status_fail(reader->status, STATUS_UNSUPPORTED,
					   "its decoder replaces a regular expression, which is not supported");
}

static const Stage decoder_stages[] = {
	{"Metaspace", "replacement prepend_scheme add_prefix_space split str_rep",
	 STEP_DECODE_METASPACE, read_metaspace},
	{"ByteLevel", "add_prefix_space trim_offsets use_regex", STEP_DECODE_BYTE_LEVEL, NULL},
	{"WordPiece", "prefix cleanup", STEP_DECODE_WORDPIECE, read_wordpiece_decoder},
	{"ByteFallback", "", STEP_DECODE_BYTE_FALLBACK, NULL},
	{"Fuse", "", STEP_DECODE_FUSE, NULL},
	{"Strip", "content start stop", STEP_DECODE_STRIP, read_strip_decoder},
	{"Replace", "pattern content", STEP_DECODE_REPLACE, read_replace_decoder},
	{NULL, NULL, 0, NULL},
};

/* --- Lists of stages --- */

static bool
is_listed(const char *members, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = members; *at != '\0'; at += strcspn(at, " "), at += *at == ' ')
		if (strcspn(at, " ") == length && strncmp(at, name, length) == 0)
			return true;
	return false;
}

static bool
check_members(Reader *reader, const json_t *object, const char *members)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) object, key, value)
	{
		if (strcmp(key, "type") != 0 && !json_is_null(value) && !is_listed(members, key))
			return status_fail(reader->status, STATUS_UNSUPPORTED,
							   "its %s \"%.60s\" has \"%.60s\", which is not known", reader->part,
							   type_of(object), key);
	}
	return true;
}

static bool
read_stage(Reader *reader, const json_t *object, const Stage *stages, StepList *list)
{
	PipelineStep *step = &list->steps[list->n];

	for (; stages->type != NULL; stages++)
		if (strcmp(stages->type, type_of(object)) == 0)
			break;
	if (stages->type == NULL)
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "its %s is \"%.60s\", which is not supported", reader->part,
						   type_of(object));
	if (list->n == PIPELINE_STEPS)
		return status_fail(reader->status, STATUS_LIMIT, "its %s has more than %d stages",
						   reader->part, PIPELINE_STEPS);
	if (!check_members(reader, object, stages->members))
		return false;
	*step = (PipelineStep){.kind = stages->kind, .text = "", .content = ""};
	list->n++;
	return stages->read == NULL || stages->read(reader, object, step);
}

/* A stage, or a sequence of them; one in another says the same as one alone. */
static bool
read_stages(Reader *reader, const json_t *object, const char *member, const Stage *stages,
			StepList *list)
{
	const json_t *inner;

	if (object == NULL || json_is_null(object))
		return true;
	if (strcmp(type_of(object), "Sequence") != 0)
		return read_stage(reader, object, stages, list);
	inner = json_object_get(object, member);
	if (!json_is_array(inner))
		return status_fail(reader->status, STATUS_INVALID_DATA, "the %s's \"%s\" is not a list",
						   reader->part, member);
	for (size_t i = 0; i < json_array_size(inner); i++)
		if (strcmp(type_of(json_array_get(inner, i)), "Sequence") == 0 ||
			!read_stage(reader, json_array_get(inner, i), stages, list))
			return reader->status->code != STATUS_NONE
					   ? false
					   : status_fail(reader->status, STATUS_UNSUPPORTED,
									 "its %s has a sequence in a sequence", reader->part);
	return true;
}

/* --- Post-processors --- */

static bool
put_piece(Reader *reader, TokenTemplate *template, int32_t what, int32_t type)
{
	if (template->n == TEMPLATE_PIECES)
		return status_fail(reader->status, STATUS_LIMIT, "its template has more than %d pieces",
						   TEMPLATE_PIECES);
	template->pieces[template->n++] = (TemplatePiece){what, type};
	return true;
}

static bool
read_id(Reader *reader, const json_t *value, int32_t *id)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		json_integer_value(value) >= CONFIG_MAX_VOCAB)
		return status_fail(reader->status, STATUS_INVALID_DATA,
						   "its template has a token without an id");
	*id = (int32_t) json_integer_value(value);
	return true;
}

/* All ids of a special token of a template. */
static bool
put_special(Reader *reader, const json_t *specials, const char *name, int32_t type,
			TokenTemplate *template)
{
	const json_t *ids = json_object_get(json_object_get(specials, name), "ids");

	if (!json_is_array(ids))
		return status_fail(reader->status, STATUS_INVALID_DATA,
						   "its template does not say the id of \"%.60s\"", name);
	for (size_t i = 0; i < json_array_size(ids); i++)
	{
		int32_t id;

		if (!read_id(reader, json_array_get(ids, i), &id) || !put_piece(reader, template, id, type))
			return false;
	}
	return true;
}

static bool
read_pieces(Reader *reader, const json_t *pieces, const json_t *specials, bool pair,
			TokenTemplate *template)
{
	int texts[2] = {0, 0};

	template->n = 0;
	for (size_t i = 0; i < json_array_size(pieces); i++)
	{
		const json_t *piece = json_array_get(pieces, i);
		const json_t *sequence = json_object_get(piece, "Sequence");
		const json_t *inner = sequence != NULL ? sequence : json_object_get(piece, "SpecialToken");
		const char *name = json_string_value(json_object_get(inner, "id"));
		json_int_t type = json_integer_value(json_object_get(inner, "type_id"));
		bool second = name != NULL && strcmp(name, "B") == 0;

		if (name == NULL || type < 0 || type > 1000)
			return status_fail(reader->status, STATUS_INVALID_DATA, "its template is malformed");
		if (sequence == NULL)
		{
			if (!put_special(reader, specials, name, (int32_t) type, template))
				return false;
			continue;
		}
		if (!second && strcmp(name, "A") != 0)
			return status_fail(reader->status, STATUS_INVALID_DATA,
							   "its template has a text \"%.60s\"", name);
		texts[second]++;
		if (!put_piece(reader, template, second ? TEMPLATE_SECOND : TEMPLATE_FIRST, (int32_t) type))
			return false;
	}
	return (texts[0] == 1 && texts[1] == (pair ? 1 : 0)) ||
		   status_fail(reader->status, STATUS_UNSUPPORTED,
					   "its template does not have each text once");
}

static bool
read_template_processing(Reader *reader, const json_t *object)
{
	const json_t *specials = json_object_get(object, "special_tokens");

	reader->n_templates++;
	return check_members(reader, object, "single pair special_tokens") &&
		   read_pieces(reader, json_object_get(object, "single"), specials, false,
					   &reader->out->single) &&
		   read_pieces(reader, json_object_get(object, "pair"), specials, true, &reader->out->pair);
}

/* {"cls": ["<s>", 0], "sep": ["</s>", 2]} */
static bool
read_cls_sep(Reader *reader, const json_t *object, int32_t *cls, int32_t *sep)
{
	return read_id(reader, json_array_get(json_object_get(object, "cls"), 1), cls) &&
		   read_id(reader, json_array_get(json_object_get(object, "sep"), 1), sep);
}

/* cls A sep, and the pair with one or two separators between the texts */
static bool
put_template(Reader *reader, int32_t cls, int32_t sep, int separators, int32_t type)
{
	TokenTemplate *single = &reader->out->single;
	TokenTemplate *pair = &reader->out->pair;
	bool ok = true;

	reader->n_templates++;
	single->n = pair->n = 0;
	ok &= put_piece(reader, single, cls, 0) && put_piece(reader, single, TEMPLATE_FIRST, 0) &&
		  put_piece(reader, single, sep, 0);
	ok &= put_piece(reader, pair, cls, 0) && put_piece(reader, pair, TEMPLATE_FIRST, 0);
	for (int i = 0; i < separators; i++)
		ok &= put_piece(reader, pair, sep, 0);
	return ok && put_piece(reader, pair, TEMPLATE_SECOND, type) &&
		   put_piece(reader, pair, sep, type);
}

static bool
read_trimming(Reader *reader, const json_t *object)
{
	bool trim = true;
	bool prefix = true;

	if (!json_get_bool(object, "trim_offsets", &trim, reader->status) ||
		!json_get_bool(object, "add_prefix_space", &prefix, reader->status))
		return false;
	if (!trim)
		return true;
	if (reader->out->trim_offsets)
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "its post_processor trims offsets twice, which is not supported");
	/* what a template has put before the text would be trimmed with it */
	if (reader->n_templates > 0)
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "its post_processor trims offsets after its template, which is not "
						   "supported");
	reader->out->trim_offsets = true;
	reader->out->trim_prefix_space = prefix;
	return true;
}

static bool
read_processor(Reader *reader, const json_t *object)
{
	const char *type = type_of(object);
	int32_t cls;
	int32_t sep;

	if (strcmp(type, "TemplateProcessing") == 0)
		return read_template_processing(reader, object);
	if (strcmp(type, "BertProcessing") == 0)
		return check_members(reader, object, "cls sep") &&
			   read_cls_sep(reader, object, &cls, &sep) && put_template(reader, cls, sep, 1, 1);
	if (strcmp(type, "RobertaProcessing") == 0)
		return check_members(reader, object, "cls sep trim_offsets add_prefix_space") &&
			   read_trimming(reader, object) && read_cls_sep(reader, object, &cls, &sep) &&
			   put_template(reader, cls, sep, 2, 0);
	if (strcmp(type, "ByteLevel") == 0)
		return check_members(reader, object, "add_prefix_space trim_offsets use_regex") &&
			   read_trimming(reader, object);
	return status_fail(reader->status, STATUS_UNSUPPORTED,
					   "its post_processor is \"%.60s\", which is not supported", type);
}

static bool
read_processors(Reader *reader, const json_t *object)
{
	const json_t *list = json_object_get(object, "processors");

	/* without a template: the texts alone, the second with a type of its own */
	if (!put_piece(reader, &reader->out->single, TEMPLATE_FIRST, 0) ||
		!put_piece(reader, &reader->out->pair, TEMPLATE_FIRST, 0) ||
		!put_piece(reader, &reader->out->pair, TEMPLATE_SECOND, 1))
		return false;
	if (object == NULL || json_is_null(object))
		return true;
	if (strcmp(type_of(object), "Sequence") != 0)
		return read_processor(reader, object);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!read_processor(reader, json_array_get(list, i)))
			return false;
	return reader->n_templates <= 1 ||
		   status_fail(reader->status, STATUS_UNSUPPORTED,
					   "its post_processor has two templates, which is not supported");
}

/* --- All of it --- */

static bool
read_model(Reader *reader, const json_t *model)
{
	const char *type = type_of(model);
	Pipeline *out = reader->out;
	int unk_id = -1;

	if (strcmp(type, "Unigram") == 0)
	{
		out->kind = TOKENIZER_UNIGRAM;
		if (!json_get_int(model, "unk_id", 0, CONFIG_MAX_VOCAB - 1, &unk_id, reader->status) ||
			!json_get_bool(model, "byte_fallback", &out->byte_fallback, reader->status) ||
			!json_get_bool(model, "scores_as_read", &out->scores_as_read, reader->status))
			return false;
		if (unk_id < 0)
			return status_fail(reader->status, STATUS_UNSUPPORTED,
							   "its model has no unk_id, so that some texts have no tokens");
		out->unk_id = unk_id;
		return true;
	}
	if (strcmp(type, "BPE") == 0)
	{
		out->kind = TOKENIZER_BPE;
		return json_get_bool(model, "ignore_merges", &out->ignore_merges, reader->status);
	}
	out->kind = TOKENIZER_BERT;
	return strcmp(type, "WordPiece") == 0 ||
		   status_fail(reader->status, STATUS_UNSUPPORTED,
					   "its model is \"%.60s\", which is not supported", type);
}

/* A BPE model is one of bytes here, and only such a model. */
static bool
check_byte_level(Reader *reader)
{
	const StepList *list = &reader->out->pre_tokenizers;

	for (size_t i = 0; i < list->n; i++)
		if (list->steps[i].kind == STEP_BYTE_LEVEL &&
			(reader->out->kind != TOKENIZER_BPE || i + 1 < list->n))
			return status_fail(reader->status, STATUS_UNSUPPORTED,
							   "its pre_tokenizer \"ByteLevel\" is not the last stage of a BPE "
							   "tokenizer, which is not supported");
	if (reader->out->kind == TOKENIZER_BPE &&
		(list->n == 0 || list->steps[list->n - 1].kind != STEP_BYTE_LEVEL))
		return status_fail(reader->status, STATUS_UNSUPPORTED,
						   "its model is BPE without the pre_tokenizer \"ByteLevel\", which is not "
						   "supported");
	return true;
}

bool
pipeline_read(Arena *arena, const PipelineParts *parts, Pipeline *out, Status *status)
{
	Reader reader = {.arena = arena, .out = out, .status = status};

	memset(out, 0, sizeof *out);
	*status = (Status){0};
	reader.part = "model";
	if (!read_model(&reader, parts->model))
		return false;
	reader.part = "normalizer";
	if (!read_stages(&reader, parts->normalizer, "normalizers", normalizer_stages,
					 &out->normalizers))
		return false;
	reader.part = "pre_tokenizer";
	if (!read_stages(&reader, parts->pre_tokenizer, "pretokenizers", pre_tokenizer_stages,
					 &out->pre_tokenizers) ||
		!check_byte_level(&reader))
		return false;
	reader.part = "decoder";
	if (!read_stages(&reader, parts->decoder, "decoders", decoder_stages, &out->decoders))
		return false;
	reader.part = "post_processor";
	return read_processors(&reader, parts->post_processor);
}

bool
pipeline_parse(Arena *arena, const char *text, Pipeline *out, Status *status)
{
	json_t *root = json_open_object(arena, "the tokenizer's pipeline", text, strlen(text),
									PIECES_MAX_BYTES, status);
	PipelineParts parts;
	bool ok;

	if (root == NULL)
		return false;
	parts =
		(PipelineParts){json_object_get(root, "model"), json_object_get(root, "normalizer"),
						json_object_get(root, "pre_tokenizer"),
						json_object_get(root, "post_processor"), json_object_get(root, "decoder")};
	ok = pipeline_read(arena, &parts, out, status) ||
		 status_prefix(status, "the tokenizer's pipeline");
	return ok;
}
