/* tokenizer_classes.c: the table of classes, and what the composed ones are made of. */
#include "files/tokenizer_classes.h"

#include <string.h>

#include "files/json.h"

#define METASPACE "\xe2\x96\x81"
#define BERT_TOKENS                                              \
	{                                                            \
		NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]" \
	}
#define ROBERTA_TOKENS                                           \
	{                                                            \
		"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>" \
	}

static const ClassTraits traits[] = {
	[CLASS_BERT] = {"BertTokenizer", BERT_TOKENS, false, "vocab.txt"},
	[CLASS_NO_TYPES] = {"DistilBertTokenizer", BERT_TOKENS, false, "vocab.txt"},
	[CLASS_ANY] = {"PreTrainedTokenizer", {NULL}, false, NULL},
	[CLASS_MPNET] = {"MPNetTokenizer",
					 {"<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"},
					 true,
					 "vocab.txt"},
	[CLASS_XLM_ROBERTA] = {"XLMRobertaTokenizer", ROBERTA_TOKENS, false, "sentencepiece.bpe.model"},
	[CLASS_CAMEMBERT] = {"CamembertTokenizer", ROBERTA_TOKENS, true, "sentencepiece.bpe.model"},
	[CLASS_ALBERT] = {"AlbertTokenizer",
					  {"[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"},
					  false,
					  "spiece.model"},
	[CLASS_ROBERTA] = {"RobertaTokenizer", ROBERTA_TOKENS, false, "vocab.json"},
};

/* Without "Fast" at the end. */
static const struct
{
	const char *name;
	TokenizerClass class;
} classes[] = {
	{"BertTokenizer", CLASS_BERT},
	{"ElectraTokenizer", CLASS_BERT},
	{"MobileBertTokenizer", CLASS_BERT},
	{"LxmertTokenizer", CLASS_BERT},
	{"LayoutLMTokenizer", CLASS_BERT},
	{"SqueezeBertTokenizer", CLASS_BERT},
	{"ConvBertTokenizer", CLASS_BERT},
	{"DPRContextEncoderTokenizer", CLASS_BERT},
	{"DPRQuestionEncoderTokenizer", CLASS_BERT},
	{"DistilBertTokenizer", CLASS_NO_TYPES},
	{"MPNetTokenizer", CLASS_MPNET},
	{"XLMRobertaTokenizer", CLASS_XLM_ROBERTA},
	{"CamembertTokenizer", CLASS_CAMEMBERT},
	{"AlbertTokenizer", CLASS_ALBERT},
	{"RobertaTokenizer", CLASS_ROBERTA},
	{"PreTrainedTokenizer", CLASS_ANY},
	{"TokenizersBackend", CLASS_ANY},
	{"PythonBackend", CLASS_ANY},
	{"RetriBertTokenizer", CLASS_ANY}, /* the reference no longer has these two */
	{"RealmTokenizer", CLASS_ANY},
};

static const struct
{
	const char *model_type;
	TokenizerClass class;
} models[] = {
	{"mpnet", CLASS_MPNET},   {"xlm-roberta", CLASS_XLM_ROBERTA}, {"camembert", CLASS_CAMEMBERT},
	{"albert", CLASS_ALBERT}, {"roberta", CLASS_ROBERTA},
};

bool
tokenizer_class_find(const char *name, TokenizerClass *out)
{
	size_t length = strlen(name);

	if (length > 4 && strcmp(name + length - 4, "Fast") == 0)
		length -= 4;
	for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
		if (strlen(classes[i].name) == length && strncmp(classes[i].name, name, length) == 0)
		{
			*out = classes[i].class;
			return true;
		}
	return false;
}

TokenizerClass
tokenizer_class_of_model(const char *model_type)
{
	for (size_t i = 0; model_type != NULL && i < sizeof models / sizeof models[0]; i++)
		if (strcmp(models[i].model_type, model_type) == 0)
			return models[i].class;
	return CLASS_BERT;
}

const ClassTraits *
tokenizer_class_traits(TokenizerClass class)
{
	return &traits[class];
}

bool
tokenizer_class_is_composed(TokenizerClass class)
{
	return class >= CLASS_XLM_ROBERTA;
}

/* --- Stages --- */

typedef struct Maker
{
	const ClassInput *input;
	json_t *root;
	bool complete;
	Status *status;
} Maker;

static void
put(Maker *maker, const char *name, json_t *value)
{
	json_put(maker->root, name, value, &maker->complete);
}

/* WhitespaceSplit and Metaspace, and the decoder of the same scheme. */
static bool
put_metaspace(Maker *maker)
{
	bool prefix = true;
	const char *scheme;

	if (!json_get_bool(maker->input->config, "add_prefix_space", &prefix, maker->status))
		return false;
	scheme = prefix ? "always" : "never";
	put(maker, "pre_tokenizer",
		json_pack("{s:s, s:[{s:s}, {s:s, s:s, s:s, s:b}]}", "type", "Sequence", "pretokenizers",
				  "type", "WhitespaceSplit", "type", "Metaspace", "replacement", METASPACE,
				  "prepend_scheme", scheme, "split", 1));
	put(maker, "decoder",
		json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", METASPACE,
				  "prepend_scheme", scheme, "split", 1));
	return true;
}

static json_t *
special(ClassToken token, int type)
{
	return json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", token.text, "type_id", type);
}

static json_t *
sequence(const char *name, int type)
{
	return json_pack("{s:{s:s, s:i}}", "Sequence", "id", name, "type_id", type);
}

/* first A last, first A last [last] B:type last:type */
static void
put_template(Maker *maker, ClassToken first, ClassToken last, bool twice, int type)
{
	json_t *single = json_array();
	json_t *pair = json_array();
	json_t *tokens = json_object();

	json_array_append_new(single, special(first, 0));
	json_array_append_new(single, sequence("A", 0));
	json_array_append_new(single, special(last, 0));
	json_array_extend(pair, single);
	if (twice)
		json_array_append_new(pair, special(last, 0));
	json_array_append_new(pair, sequence("B", type));
	json_array_append_new(pair, special(last, type));
	json_put(tokens, first.text,
			 json_pack("{s:s, s:[i], s:[s]}", "id", first.text, "ids", (int) first.id, "tokens",
					   first.text),
			 &maker->complete);
	json_put(tokens, last.text,
			 json_pack("{s:s, s:[i], s:[s]}", "id", last.text, "ids", (int) last.id, "tokens",
					   last.text),
			 &maker->complete);
	put(maker, "post_processor",
		json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single, "pair",
				  pair, "special_tokens", tokens));
}

static void
put_roberta_processing(Maker *maker, bool trim, bool prefix)
{
	const ClassInput *input = maker->input;

	put(maker, "post_processor",
		json_pack("{s:s, s:[s, i], s:[s, i], s:b, s:b}", "type", "RobertaProcessing", "sep",
				  input->sep.text, (int) input->sep.id, "cls", input->cls.text, (int) input->cls.id,
				  "trim_offsets", (int) trim, "add_prefix_space", (int) prefix));
}

static json_t *
precompiled(void)
{
	return json_pack("{s:s, s:s}", "type", "Precompiled", "precompiled_charsmap", "");
}

static void
put_unigram(Maker *maker)
{
	put(maker, "model",
		json_pack("{s:s, s:i, s:b}", "type", "Unigram", "unk_id", (int) maker->input->unk_id,
				  "byte_fallback", 0));
}

static bool
make_xlm_roberta(Maker *maker)
{
	put_unigram(maker);
	if (maker->input->has_charsmap)
		put(maker, "normalizer", precompiled());
	put_template(maker, maker->input->bos, maker->input->eos, true, 0);
	return put_metaspace(maker);
}

static bool
make_albert(Maker *maker)
{
	const ClassInput *input = maker->input;
	json_t *list = json_array();
	bool keep_accents = false;
	bool lowercase = true;

	put_unigram(maker);
	if (!json_get_bool(input->config, "keep_accents", &keep_accents, maker->status) ||
		!json_get_bool(input->config, "do_lower_case", &lowercase, maker->status))
	{
		json_decref(list);
		return false;
	}
	for (int i = 0; i < 2; i++)
		json_array_append_new(list, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern",
											  "String", i == 0 ? "``" : "''", "content", "\""));
	if (!keep_accents)
	{
		json_array_append_new(list, json_pack("{s:s}", "type", "NFKD"));
		json_array_append_new(list, json_pack("{s:s}", "type", "StripAccents"));
	}
	if (lowercase)
		json_array_append_new(list, json_pack("{s:s}", "type", "Lowercase"));
	if (input->has_charsmap)
		json_array_append_new(list, precompiled());
	put(maker, "normalizer", json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", list));
	if (input->post_processor != NULL && !json_is_null(input->post_processor))
		put(maker, "post_processor", json_deep_copy(input->post_processor));
	else
		put_template(maker, input->cls, input->sep, false, 1);
	return put_metaspace(maker);
}

static bool
make_roberta(Maker *maker)
{
	bool prefix = false;
	bool trim = true;

	if (!json_get_bool(maker->input->config, "add_prefix_space", &prefix, maker->status) ||
		!json_get_bool(maker->input->config, "trim_offsets", &trim, maker->status))
		return false;
	put(maker, "model", json_pack("{s:s}", "type", "BPE"));
	put(maker, "pre_tokenizer",
		json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", (int) prefix,
				  "trim_offsets", 1, "use_regex", 1));
	put(maker, "decoder",
		json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 1,
				  "trim_offsets", 1, "use_regex", 1));
	put_roberta_processing(maker, trim, prefix);
	return true;
}

static bool
make_mpnet(Maker *maker)
{
	put(maker, "model", json_pack("{s:s}", "type", "WordPiece"));
	put(maker, "decoder",
		json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", "##", "cleanup", 1));
	put_roberta_processing(maker, true, false);
	return true;
}

json_t *
tokenizer_class_stages(const ClassInput *input, Status *status)
{
	Maker maker = {input, json_object(), true, status};
	bool ok = false;

	switch (input->class)
	{
		case CLASS_XLM_ROBERTA:
		case CLASS_CAMEMBERT:
			ok = make_xlm_roberta(&maker);
			break;
		case CLASS_ALBERT:
			ok = make_albert(&maker);
			break;
		case CLASS_ROBERTA:
			ok = make_roberta(&maker);
			break;
		case CLASS_MPNET:
			ok = make_mpnet(&maker);
			break;
		default:
			status_fail(status, STATUS_INTERNAL, "the tokenizer's class has no stages");
	}
	if (ok && maker.complete)
		return maker.root;
	if (ok)
		status_fail(status, STATUS_OUT_OF_MEMORY, "out of memory for the tokenizer's stages");
	json_decref(maker.root);
	return NULL;
}

json_t *
tokenizer_class_arguments(TokenizerClass class, const json_t *config)
{
	static const char *const names[] = {"add_prefix_space", "trim_offsets", "keep_accents",
										"do_lower_case"};
	json_t *out = json_object();

	json_object_set_new(out, "tokenizer_class", json_string(traits[class].name));
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
	{
		json_t *value = json_object_get(config, names[i]);
		bool mine = class == CLASS_ALBERT || i == 0 || (class == CLASS_ROBERTA && i == 1);

		if (json_is_boolean(value) && mine)
			json_object_set(out, names[i], value);
	}
	return out;
}
