/*
 * entities.c: grouping of token labels.
 *
 * The steps and their names follow the reference's TokenClassificationPipeline: pre-entities (a
 * token with its scores), aggregation of sub-words to words, grouping of neighbours, reconstruction
 * of the words by the WordPiece decoder.
 */
#include "nn/entities.h"

#include <math.h>
#include <string.h>

#include "core/bulk.h"
#include "core/names.h"
#include "nn/select.h"
#include "tokenizer/unicode.h"

#define ASK_TOKENS 4096 /* tokens between two questions, a power of two */

/* A token, or a word made of several: what grouping works on. */
typedef struct PreEntity
{
	const float *scores; /* (labels), tokens only */
	const char *word;
	int label; /* index into id2label */
	int index;
	float score;
	uint32_t start;
	uint32_t end;
	bool is_subword;
} PreEntity;

typedef struct Grouping
{
	const BertConfig *config;
	const Tokenizer *tokenizer;
	Arena *arena;
	Status *status;
	Entity *entities;
	size_t n_entities;
	bool keep_outside;
} Grouping;

bool
aggregation_parse(const char *name, Aggregation *aggregation, Status *status)
{
	static const char *const names[] = {"none", "simple", "first", "average", "max"};
	int i = name_parse(name, "aggregation", names, 5, status);

	if (i < 0)
		return false;
	*aggregation = (Aggregation) i;
	return true;
}

typedef struct ScoreContext
{
	const EncodeResult *encoded;
	const WindowMap *map;
	ScoredTokens *tokens;
	size_t stride;
	size_t begin; /* the first token that the window to come may hold */
} ScoreContext;

/* Copies the scores of the tokens that are read from this window. */
static bool
take_scores(void *context, size_t window, const float *logits, size_t n_columns, Status *status)
{
	ScoreContext *score = context;
	ScoredTokens *tokens = score->tokens;
	const Encoding *encoding = &score->encoded->windows[window];
	size_t end = score->begin;

	(void) status;
	for (size_t i = 0; i < encoding->n; i++)
		end += encoding->sequences[i] >= 0;
	for (size_t t = score->begin; t < end; t++)
	{
		size_t position = score->map->tokens[t].position;

		if (score->map->tokens[t].window != window)
			continue;
		tokens->ids[t] = encoding->ids[position];
		tokens->starts[t] = encoding->starts[position];
		tokens->ends[t] = encoding->ends[position];
		memcpy(tokens->scores + t * n_columns, logits + position * n_columns,
			   n_columns * sizeof(float));
	}
	score->begin = end - (window + 1 < score->encoded->n_windows ? score->stride : 0);
	return true;
}

bool
score_tokens(const BertModel *model, const EncodeResult *encoded, size_t stride, Arena *arena,
			 ScoredTokens *tokens, const MayContinue *question, Status *status)
{
	WindowMap map;
	ScoreContext context = {encoded, &map, tokens, stride, 0};
	size_t n;

	if (bert_model_head(model) != HEAD_TOKEN_CLASSIFICATION)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the model has no token classification head");
	if (!windows_map(encoded, stride, arena, &map, status))
		return false;
	n = map.n_tokens;
	tokens->n_tokens = n;
	tokens->n_labels = (size_t) bert_model_config(model)->num_labels;
	tokens->ids = arena_alloc_array(arena, n, sizeof(int32_t));
	tokens->starts = arena_alloc_array(arena, n, sizeof(uint32_t));
	tokens->ends = arena_alloc_array(arena, n, sizeof(uint32_t));
	tokens->scores = arena_alloc_array(arena, n, tokens->n_labels * sizeof(float));
	tokens->labels = arena_alloc_array(arena, n, sizeof(int32_t));
	if (tokens->ids == NULL || tokens->starts == NULL || tokens->ends == NULL ||
		tokens->scores == NULL || tokens->labels == NULL)
		return arena_fail(arena, status, "token scores", n * tokens->n_labels * sizeof(float));
	if (!windows_forward(model, encoded, take_scores, &context, arena, question, status))
		return false;
	for (size_t t = 0; t < n; t++)
	{
		float *scores = tokens->scores + t * tokens->n_labels; /* (labels) */

		if (bulk_turn(t, ASK_TOKENS) && !may_continue(question, status))
			return false;
		tokens->labels[t] = (int32_t) select_best(scores, tokens->n_labels);
		softmax_rows(1, tokens->n_labels, scores);
	}
	return true;
}

/* Moves *byte, the place of character *character, on to the place of `to`. */
static void
advance(const char *text, size_t length, size_t *byte, uint32_t *character, uint32_t to)
{
	while (*character < to && *byte < length)
	{
		(*byte)++;
		while (*byte < length && ((unsigned char) text[*byte] & 0xC0) == 0x80)
			(*byte)++;
		(*character)++;
	}
}

/*
 * Where tokens do not say that they go on with a word, the reference looks for a blank: at the
 * token's first character or before it.
 */
static bool
touches_blank(const char *text, size_t length, size_t *byte, uint32_t *character, uint32_t start)
{
	if (start == 0)
		return true;
	if (start - 1 < *character)
	{
		*byte = 0;
		*character = 0;
	}
	advance(text, length, byte, character, start - 1);
	if (*byte < length && text[*byte] == ' ')
		return true;
	advance(text, length, byte, character, start);
	return *byte < length && text[*byte] == ' ';
}

/* Replaces every occurrence of pattern by a replacement that is no longer, in place. */
static void
replace_all(char *text, const char *pattern, const char *replacement)
{
	size_t pattern_length = strlen(pattern);
	size_t replacement_length = strlen(replacement);
	char *found;

	while ((found = strstr(text, pattern)) != NULL)
	{
		memmove(found + replacement_length, found + pattern_length,
				strlen(found + pattern_length) + 1);
		for (size_t i = 0; i < replacement_length; i++)
			found[i] = replacement[i];
		text = found + replacement_length;
	}
}

/* The WordPiece decoder's clean-up of one token with the blank before it. */
static void
clean_up(char *token)
{
	static const char *const rules[][2] = {
		{" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
		{" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
		{" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
	};

	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
		replace_all(token, rules[i][0], rules[i][1]);
}

/* The same as the decoder of another tokenizer joins them. */
static const char *
decode_words(Grouping *grouping, const PreEntity *words, size_t first, size_t end)
{
	const char **tokens = arena_alloc_array(grouping->arena, end - first + 1, sizeof *tokens);
	DecodedText joined;

	if (tokens == NULL)
	{
		arena_fail(grouping->arena, grouping->status, "a word", (end - first) * sizeof *tokens);
		return NULL;
	}
	for (size_t i = first; i < end; i++)
		tokens[i - first] = words[i].word;
	return tokenizer_join(grouping->tokenizer, grouping->arena, tokens, end - first,
						  arena_question(grouping->arena), &joined, grouping->status)
			   ? joined.text
			   : NULL;
}

/* The words of entities first .. end-1 as the WordPiece decoder joins them. */
static const char *
join_words(Grouping *grouping, const PreEntity *words, size_t first, size_t end)
{
	size_t size = 1;
	char *joined;
	char *out;

	if (!tokenizer_marks_subwords(grouping->tokenizer))
		return decode_words(grouping, words, first, end);
	for (size_t i = first; i < end; i++)
		size += strlen(words[i].word) + 2;
	joined = arena_alloc(grouping->arena, size);
	if (joined == NULL)
	{
		arena_fail(grouping->arena, grouping->status, "a word", size);
		return NULL;
	}
	out = joined;
	for (size_t i = first; i < end; i++)
	{
		const char *word = words[i].word;

		if (i > first && strncmp(word, "##", 2) == 0)
			strcpy(out, word + 2);
		else
		{
			*out = ' ';
			strcpy(out + (i > first), word);
		}
		clean_up(out);
		out += strlen(out);
	}
	return joined;
}

static bool
make_pre_entities(Grouping *grouping, const ScoredTokens *tokens, const Tokenizer *tokenizer,
				  const char *text, size_t length, PreEntity *out)
{
	size_t byte = 0;
	uint32_t character = 0;

	for (size_t t = 0; t < tokens->n_tokens; t++)
	{
		PreEntity *entity = &out[t];
		size_t token_length = 0;
		const char *token = tokenizer_token(tokenizer, tokens->ids[t], &token_length);

		if (bulk_turn(t, ASK_TOKENS) && !arena_may_continue(grouping->arena, grouping->status))
			return false;
		if (token == NULL)
			return status_fail(grouping->status, STATUS_INTERNAL,
							   "token id %d is not in the vocabulary", tokens->ids[t]);
		entity->scores = tokens->scores + t * tokens->n_labels;
		entity->label = tokens->labels[t];
		entity->score = entity->scores[entity->label];
		entity->index = (int) t + 1;
		entity->start = tokens->starts[t];
		entity->end = tokens->ends[t];
		/* a token that differs in length from its text carries the continuation prefix */
		entity->is_subword =
			utf8_count((const unsigned char *) token, token_length) != entity->end - entity->start;
		if (!tokenizer_marks_subwords(tokenizer))
			entity->is_subword = !touches_blank(text, length, &byte, &character, entity->start);
		if (tokens->ids[t] == tokenizer_unk_id(tokenizer))
		{
			size_t end_byte;
			uint32_t end_character;

			if (entity->start < character)
			{
				byte = 0;
				character = 0;
			}
			advance(text, length, &byte, &character, entity->start);
			end_byte = byte;
			end_character = character;
			advance(text, length, &end_byte, &end_character, entity->end);
			token = text + byte;
			token_length = end_byte - byte;
			entity->is_subword = false;
		}
		entity->word = arena_strndup(grouping->arena, token, token_length);
		if (entity->word == NULL)
			return arena_fail(grouping->arena, grouping->status, "a word", token_length);
	}
	return true;
}

/* Tokens first .. end-1 of one word become one entity. */
static bool
aggregate_word(Grouping *grouping, const PreEntity *tokens, size_t first, size_t end,
			   size_t n_labels, Aggregation aggregation, PreEntity *out)
{
	size_t chosen = first;

	out->word = join_words(grouping, tokens, first, end);
	if (out->word == NULL)
		return false;
	out->start = tokens[first].start;
	out->end = tokens[end - 1].end;
	out->index = 0;
	out->scores = NULL;
	out->is_subword = false;
	if (aggregation == AGGREGATE_AVERAGE)
	{
		float *mean = arena_alloc_array_zero(grouping->arena, n_labels, sizeof(float));

		if (mean == NULL)
			return arena_fail(grouping->arena, grouping->status, "scores",
							  n_labels * sizeof(float));
		for (size_t t = first; t < end; t++)
			for (size_t i = 0; i < n_labels; i++)
				mean[i] += tokens[t].scores[i];
		out->label = (int) select_best(mean, n_labels);
		out->score = mean[out->label] / (float) (end - first);
		return true;
	}
	if (aggregation == AGGREGATE_MAX)
		for (size_t t = first + 1; t < end; t++)
			if (tokens[t].score > tokens[chosen].score)
				chosen = t;
	out->label = tokens[chosen].label;
	out->score = tokens[chosen].score;
	return true;
}

/* Returns how many words the n tokens make, written over them; 0 on failure. */
static size_t
aggregate_words(Grouping *grouping, PreEntity *tokens, size_t n, size_t n_labels,
				Aggregation aggregation)
{
	size_t n_words = 0;
	size_t end;

	for (size_t first = 0; first < n; first = end)
	{
		PreEntity word;

		end = first + 1;
		while (end < n && tokens[end].is_subword)
			end++;
		if (!arena_may_continue(grouping->arena, grouping->status) ||
			!aggregate_word(grouping, tokens, first, end, n_labels, aggregation, &word))
			return 0;
		tokens[n_words++] = word;
	}
	return n_words;
}

/* "B-PER" is a begin of "PER", "I-PER" and "PER" continue it. */
static const char *
tag_of(const char *label, bool *begins)
{
	*begins = strncmp(label, "B-", 2) == 0;
	return *begins || strncmp(label, "I-", 2) == 0 ? label + 2 : label;
}

static void
add_entity(Grouping *grouping, const char *label, const char *word, float score, int index,
		   uint32_t start, uint32_t end)
{
	Entity *entity = &grouping->entities[grouping->n_entities];

	if (!grouping->keep_outside && strcmp(label, "O") == 0)
		return;
	entity->index = index;
	entity->label = label;
	entity->word = word;
	entity->score = score;
	entity->start = start;
	entity->end = end;
	grouping->n_entities++;
}

/*
 * Neighbours with the same tag, the second not a begin, become one entity with their mean score.
 */
static bool
group_neighbours(Grouping *grouping, const PreEntity *words, size_t n)
{
	char **id2label = grouping->config->id2label;
	size_t end;

	for (size_t first = 0; first < n; first = end)
	{
		const char *label = id2label[words[first].label];
		const char *dash = strchr(label, '-');
		const char *word;
		bool begins;
		double score = words[first].score;
		const char *tag = tag_of(label, &begins);

		for (end = first + 1; end < n; end++)
		{
			const char *next = tag_of(id2label[words[end].label], &begins);

			if (begins || strcmp(tag, next) != 0)
				break;
			score += words[end].score;
		}
		if (!arena_may_continue(grouping->arena, grouping->status))
			return false;
		word = join_words(grouping, words, first, end);
		if (word == NULL)
			return false;
		add_entity(grouping, dash == NULL ? label : dash + 1, word,
				   (float) (score / (double) (end - first)), 0, words[first].start,
				   words[end - 1].end);
	}
	return true;
}

bool
group_entities(const ScoredTokens *tokens, const EntityRequest *request, Arena *arena,
			   Entity **entities, size_t *n_entities, Status *status)
{
	const BertConfig *config = request->config;
	Aggregation aggregation = request->aggregation;
	Grouping grouping = {config, request->tokenizer, arena, status, NULL, 0, request->keep_outside};
	size_t n = tokens->n_tokens;
	PreEntity *words = arena_alloc_array(arena, n, sizeof(PreEntity));

	grouping.entities = arena_alloc_array(arena, n, sizeof(Entity));
	if (words == NULL || grouping.entities == NULL)
		return arena_fail(arena, status, "entities", n * (sizeof(PreEntity) + sizeof(Entity)));
	if (!make_pre_entities(&grouping, tokens, request->tokenizer, request->text, request->length,
						   words))
		return false;
	if (aggregation == AGGREGATE_NONE)
		for (size_t i = 0; i < n; i++)
			add_entity(&grouping, config->id2label[words[i].label], words[i].word, words[i].score,
					   words[i].index, words[i].start, words[i].end);
	else
	{
		if (aggregation != AGGREGATE_SIMPLE)
		{
			size_t n_words = aggregate_words(&grouping, words, n, tokens->n_labels, aggregation);

			if (n > 0 && n_words == 0)
				return false;
			n = n_words;
		}
		if (!group_neighbours(&grouping, words, n))
			return false;
	}
	*entities = grouping.entities;
	*n_entities = grouping.n_entities;
	return true;
}
