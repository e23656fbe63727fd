/* scores.c: collecting predictions and making metrics of them. */
#include "train/scores.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/answers.h"
#include "nn/loss.h"
#include "nn/select.h"
#include "train/label_scores.h"

#define TEXT_BYTES 400
#define LABELS_BYTES 200

/* Parallel arrays of labels and predictions that grow by doubling in the arena. */
typedef struct Pairs
{
	size_t n;
	size_t capacity;
	int32_t *labels;
	int32_t *predictions;
	double *label_values;
	double *predicted_values;
} Pairs;

/* The answer of the row whose windows are passing by. */
typedef struct PendingAnswer
{
	bool any;
	uint64_t row;
	ArenaMark mark; /* all of the row's memory goes with it */
	AnswerSearch search;
	SampleText context;
	SampleText label; /* empty: there is no answer */
} PendingAnswer;

/* Sums over answers. */
typedef struct AnswerSums
{
	double exact;
	double f1;
} AnswerSums;

struct Scores
{
	Arena *arena;
	TrainTask task;
	const BertConfig *config;
	const Tokenizer *tokenizer;
	size_t classes;
	Pairs pairs;
	SpanMetrics spans;
	LabelScores *several; /* of a model that gives several labels; else NULL */
	uint64_t *confusion;
	PendingAnswer answer;
	/*
	 * "No answer" competes in all rows or in none, as in the reference's evaluation of SQuAD 2.0
	 * and 1.1: in all when a row has none. Which it is shows at the end, so both are counted.
	 */
	AnswerSums spans_only;
	AnswerSums with_null;
	bool some_without; /* a row has no answer */
	size_t answers;
	EmbeddingScores *embeddings; /* NULL for the other tasks */
	double loss;                 /* weighted by labels */
	double labels;
	double correct;
	size_t followed; /* pre-training: right next-sentence predictions */
	size_t follow_pairs;
	size_t n_metrics;
	Score metrics[SCORES_MAX_METRICS];
	size_t n_worst;
	ScoreExample worst[SCORES_WORST];
};

Scores *
scores_create(Arena *arena, TrainTask task, const BertConfig *config, const Tokenizer *tokenizer,
			  Status *status)
{
	Scores *scores = arena_alloc_zero(arena, sizeof *scores);

	if (scores == NULL)
	{
		arena_fail(arena, status, "scores", sizeof *scores);
		return NULL;
	}
	scores->arena = arena;
	scores->task = task;
	scores->config = config;
	scores->tokenizer = tokenizer;
	if (task == TRAIN_SEQUENCE_CLASSIFICATION && config->problem_type == PROBLEM_MULTI_LABEL)
		return scores_set_threshold(scores, SCORES_THRESHOLD, status) ? scores : NULL;
	if (task == TRAIN_SEQUENCE_CLASSIFICATION || task == TRAIN_TOKEN_CLASSIFICATION)
		scores->classes = (size_t) config->num_labels;
	else if (task == TRAIN_NEXT_SENTENCE)
		scores->classes = 2;
	if (task == TRAIN_EMBEDDING &&
		!scores_compare_by(scores, &(EmbeddingCompare){SIMILARITY_COSINE, 0, false}, status))
		return NULL;
	return scores;
}

bool
scores_compare_by(Scores *scores, const EmbeddingCompare *compare, Status *status)
{
	scores->embeddings = embedding_scores_create(scores->arena, compare, status);
	return scores->embeddings != NULL;
}

bool
scores_set_threshold(Scores *scores, double threshold, Status *status)
{
	if (scores->task != TRAIN_SEQUENCE_CLASSIFICATION ||
		scores->config->problem_type != PROBLEM_MULTI_LABEL)
		return true;
	scores->several =
		label_scores_create(scores->arena, (size_t) scores->config->num_labels, threshold, status);
	return scores->several != NULL;
}

static bool
pairs_grow(Scores *scores, Status *status)
{
	Pairs *pairs = &scores->pairs;
	Pairs larger = *pairs;

	if (pairs->n < pairs->capacity)
		return true;
	larger.capacity = pairs->capacity == 0 ? 1024 : pairs->capacity * 2;
	larger.labels = arena_alloc_array(scores->arena, larger.capacity, sizeof *larger.labels);
	larger.predictions =
		arena_alloc_array(scores->arena, larger.capacity, sizeof *larger.predictions);
	if (larger.labels == NULL || larger.predictions == NULL)
		return arena_fail(scores->arena, status, "predictions", larger.capacity * 8);
	if (scores->task == TRAIN_REGRESSION)
	{
		larger.label_values = arena_alloc_array(scores->arena, larger.capacity, sizeof(double));
		larger.predicted_values = arena_alloc_array(scores->arena, larger.capacity, sizeof(double));
		if (larger.label_values == NULL || larger.predicted_values == NULL)
			return arena_fail(scores->arena, status, "predictions", larger.capacity * 16);
	}
	if (pairs->n > 0)
	{
		memcpy(larger.labels, pairs->labels, pairs->n * sizeof *pairs->labels);
		memcpy(larger.predictions, pairs->predictions, pairs->n * sizeof *pairs->predictions);
		if (scores->task == TRAIN_REGRESSION)
		{
			memcpy(larger.label_values, pairs->label_values, pairs->n * sizeof(double));
			memcpy(larger.predicted_values, pairs->predicted_values, pairs->n * sizeof(double));
		}
	}
	*pairs = larger;
	return true;
}

static bool
add_pair(Scores *scores, int32_t label, int32_t prediction, Status *status)
{
	if (!pairs_grow(scores, status))
		return false;
	scores->pairs.labels[scores->pairs.n] = label;
	scores->pairs.predictions[scores->pairs.n++] = prediction;
	return true;
}

/* Token texts joined as words, at most TEXT_BYTES; never NULL. */
static const char *
decode(const Scores *scores, const int32_t *ids, size_t n)
{
	DecodedText decoded;
	size_t length = TEXT_BYTES;

	if (scores->tokenizer == NULL || n == 0 ||
		!tokenizer_decode(scores->tokenizer, scores->arena, &(DecodeInput){ids, n, true}, NULL,
						  &decoded, NULL))
		return "";
	if (decoded.length > TEXT_BYTES)
	{
		while (length > 0 && ((unsigned char) decoded.text[length] & 0xC0) == 0x80)
			length--;
		decoded.text[length] = '\0';
	}
	return decoded.text;
}

/* The row's text as it was written, "text | pair"; where it was not kept, what its tokens say. */
static const char *
text_of(const Scores *scores, const Sample *sample)
{
	char *text;

	if (sample->n_context + sample->n_answer == 0)
		return decode(scores, sample->input_ids, sample->n_tokens < 128 ? sample->n_tokens : 128);
	text = arena_alloc(scores->arena, (size_t) sample->n_context + sample->n_answer + 4);
	if (text == NULL)
		return "";
	memcpy(text, sample->context, sample->n_context);
	text[sample->n_context] = '\0';
	if (sample->n_answer > 0)
	{
		memcpy(text + sample->n_context, " | ", 3);
		memcpy(text + sample->n_context + 3, sample->answer, sample->n_answer);
		text[sample->n_context + 3 + sample->n_answer] = '\0';
	}
	return text;
}

static const char *
label_name(const Scores *scores, int32_t label)
{
	char *name;
	char number[16];

	if (scores->task == TRAIN_SEQUENCE_CLASSIFICATION && label >= 0 &&
		label < scores->config->num_labels)
		return scores->config->id2label[label];
	if (scores->task == TRAIN_NEXT_SENTENCE)
		return label == 0 ? "true" : "false";
	snprintf(number, sizeof number, "%d", (int) label + 1);
	name = arena_strdup(scores->arena, number);
	return name == NULL ? "" : name;
}

/* The place of the example, if it is among the worst; else NULL. */
static ScoreExample *
place_worst(Scores *scores, const Sample *sample, double loss)
{
	size_t at = scores->n_worst;

	if (at == SCORES_WORST && loss <= scores->worst[at - 1].loss)
		return NULL;
	if (at < SCORES_WORST)
		scores->n_worst++;
	else
		at--;
	for (; at > 0 && scores->worst[at - 1].loss < loss; at--)
		scores->worst[at] = scores->worst[at - 1];
	scores->worst[at] = (ScoreExample){.row = sample->row, .loss = loss, .probability = NAN};
	scores->worst[at].text = text_of(scores, sample);
	return &scores->worst[at];
}

static void
keep_worst(Scores *scores, const Sample *sample, double loss, int32_t label, int32_t prediction,
		   double probability)
{
	ScoreExample *example = place_worst(scores, sample, loss);

	if (example == NULL)
		return;
	example->label = label_name(scores, label);
	example->prediction = label_name(scores, prediction);
	example->probability = probability;
}

static bool
add_class(Scores *scores, const Sample *sample, const float *logits, size_t n, Status *status)
{
	int32_t label = sample->labels[0];
	int32_t prediction = (int32_t) select_best(logits, n);
	double total = log_sum_exp(logits, n);

	if (label < 0 || (size_t) label >= n)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "row %llu: label %d is not one of %zu",
						   (unsigned long long) sample->row + 1, (int) label, n);
	keep_worst(scores, sample, total - logits[label], label, prediction,
			   exp(logits[prediction] - total));
	return add_pair(scores, label, prediction, status);
}

/* The names of the labels that are set or, with logits, predicted: "a, b", shortened. */
static const char *
label_names(Scores *scores, const float *labels, const float *logits)
{
	char *names = arena_alloc_zero(scores->arena, LABELS_BYTES);
	size_t length = 0;

	for (int i = 0; names != NULL && i < scores->config->num_labels; i++)
	{
		const char *name = scores->config->id2label[i];
		size_t needs = strlen(name) + (length > 0 ? 2 : 0);

		if (logits != NULL ? !label_scores_predicts(scores->several, logits[i]) : labels[i] == 0)
			continue;
		if (length + needs + sizeof ", ..." > LABELS_BYTES)
		{
			strcpy(names + length, ", ...");
			break;
		}
		length += (size_t) snprintf(names + length, LABELS_BYTES - length, "%s%s",
									length > 0 ? ", " : "", name);
	}
	return names == NULL ? "" : names;
}

static bool
add_labels(Scores *scores, const Sample *sample, const float *logits, size_t n, Status *status)
{
	double loss = 0;
	ScoreExample *example;

	if (sample->n_values != n || n != (size_t) scores->config->num_labels)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "row %llu has values of %u labels, the model of %zu",
						   (unsigned long long) sample->row + 1, sample->n_values, n);
	label_scores_add(scores->several, sample->values, logits);
	for (size_t i = 0; i < n; i++)
		loss += fmax(logits[i], 0) - logits[i] * (double) sample->values[i] +
				log1p(exp(-fabs(logits[i])));
	example = place_worst(scores, sample, loss / (double) n);
	if (example != NULL)
	{
		example->label = label_names(scores, sample->values, NULL);
		example->prediction = label_names(scores, NULL, logits);
	}
	return true;
}

static bool
add_value(Scores *scores, const Sample *sample, float prediction, Status *status)
{
	Pairs *pairs = &scores->pairs;

	if (!add_pair(scores, 0, 0, status))
		return false;
	pairs->label_values[pairs->n - 1] = sample->values[0];
	pairs->predicted_values[pairs->n - 1] = prediction;
	return true;
}

/* Labelled tokens count one by one and, together, as a sentence of spans. */
static bool
add_tokens(Scores *scores, const Sample *sample, const float *logits, size_t n_columns,
		   Status *status)
{
	const char **labels = arena_alloc_array(scores->arena, sample->n_tokens, sizeof *labels);
	const char **predictions =
		arena_alloc_array(scores->arena, sample->n_tokens, sizeof *predictions);
	size_t n = 0;

	if (labels == NULL || predictions == NULL)
		return arena_fail(scores->arena, status, "tags", sample->n_tokens * 2 * sizeof *labels);
	for (size_t t = 0; t < sample->n_tokens; t++)
	{
		int32_t label = sample->labels[t];
		int32_t prediction;

		if (label == LABEL_IGNORED)
			continue;
		prediction = (int32_t) select_best(logits + t * n_columns, n_columns);
		labels[n] = scores->config->id2label[label];
		predictions[n++] = scores->config->id2label[prediction];
		if (!add_pair(scores, label, prediction, status))
			return false;
	}
	metrics_spans_add(&scores->spans, n, labels, predictions);
	return true;
}

static bool
compare_answer(Scores *scores, const PendingAnswer *pending, bool null_answer, AnswerSums *sums,
			   Status *status)
{
	const Answer *best = pending->search.n_found > 0 ? &pending->search.found[0] : NULL;
	const SampleText *context = &pending->context;
	AnswerText prediction = {"", 0};
	double exact;
	double f1;

	if (best != NULL && !(null_answer && pending->search.null_score > best->log_score))
	{
		size_t start = sample_text_byte(context, best->start);

		prediction.bytes = context->bytes + start;
		prediction.length = sample_text_byte(context, best->end) - start;
	}
	if (!metrics_answer(scores->arena, (AnswerText){pending->label.bytes, pending->label.length},
						prediction, &exact, &f1, status))
		return false;
	sums->exact += exact;
	sums->f1 += f1;
	return true;
}

static bool
finish_answer(Scores *scores, Status *status)
{
	PendingAnswer *pending = &scores->answer;

	if (!pending->any)
		return true;
	if (!compare_answer(scores, pending, false, &scores->spans_only, status) ||
		!compare_answer(scores, pending, true, &scores->with_null, status))
		return false;
	scores->answers++;
	scores->some_without |= pending->label.length == 0;
	pending->any = false;
	arena_rewind(scores->arena, pending->mark);
	return true;
}

/* The texts come with a row's first window; the search begins. */
static bool
begin_answer(Scores *scores, const Sample *sample, Status *status)
{
	static const AnswerOptions options = {.top_k = 1, .max_answer_tokens = ANSWER_MAX_TOKENS};
	PendingAnswer *pending = &scores->answer;
	char *texts;

	if (sample->starts == NULL)
		return status_fail(status, STATUS_INTERNAL, "the sample was not made to be scored");
	*pending = (PendingAnswer){.any = true, .row = sample->row, .mark = arena_mark(scores->arena)};
	texts = arena_alloc(scores->arena, (size_t) sample->n_context + sample->n_answer + 1);
	if (texts == NULL)
		return arena_fail(scores->arena, status, "an answer",
						  (size_t) sample->n_context + sample->n_answer + 1);
	memcpy(texts, sample->context, sample->n_context);
	memcpy(texts + sample->n_context, sample->answer, sample->n_answer);
	pending->context = (SampleText){texts, sample->n_context};
	pending->label = (SampleText){texts + sample->n_context, sample->n_answer};
	return answer_search_begin(&pending->search, &options, scores->arena, status);
}

static bool
add_window(Scores *scores, const Sample *sample, const float *logits, Status *status)
{
	PendingAnswer *pending = &scores->answer;
	AnswerWindow window = {sample->n_tokens, sample->starts, sample->ends, sample->words};

	if (pending->any && pending->row != sample->row && !finish_answer(scores, status))
		return false;
	if (!pending->any && !begin_answer(scores, sample, status))
		return false;
	return answer_search_window(&pending->search, &window, logits, NULL, status);
}

static void
put(Scores *scores, const char *name, double value)
{
	scores->metrics[scores->n_metrics++] = (Score){name, value};
}

static bool
finish_answers(Scores *scores, Status *status)
{
	const AnswerSums *sums;

	if (!finish_answer(scores, status))
		return false;
	sums = scores->some_without ? &scores->with_null : &scores->spans_only;
	put(scores, "f1", sums->f1 / (double) scores->answers);
	put(scores, "exact_match", sums->exact / (double) scores->answers);
	return true;
}

/* A sample of a task whose evaluation has logits, from its own ones on. */
static bool
add_logits(Scores *scores, const Sample *sample, const float *logits, size_t columns,
		   Status *status)
{
	if (scores->several != NULL)
		return add_labels(scores, sample, logits, columns, status);
	switch (scores->task)
	{
		case TRAIN_SEQUENCE_CLASSIFICATION:
		case TRAIN_NEXT_SENTENCE:
			return add_class(scores, sample, logits, columns, status);
		case TRAIN_MULTIPLE_CHOICE:
			return add_class(scores, sample, logits, sample->n_sequences, status);
		case TRAIN_REGRESSION:
			return add_value(scores, sample, logits[0], status);
		case TRAIN_TOKEN_CLASSIFICATION:
			return add_tokens(scores, sample, logits, columns, status);
		case TRAIN_QUESTION_ANSWERING:
			return add_window(scores, sample, logits, status);
		case TRAIN_PRETRAINING:
		case TRAIN_MASKED_LM:
		case TRAIN_CAUSAL_LM:
		case TRAIN_EMBEDDING:
		case TRAIN_TASK_COUNT:
			break;
	}
	return true;
}

/* pair (2): the logits of "the second text follows" and "it does not". */
static void
add_next_sentence(Scores *scores, const Sample *sample, const float *pair)
{
	scores->followed += select_best(pair, 2) == (size_t) sample->labels[0];
	scores->follow_pairs++;
}

bool
scores_add(Scores *scores, const TrainSample *samples, size_t n, const Evaluation *evaluation,
		   Status *status)
{
	size_t columns = evaluation->n_columns;
	const float *logits = evaluation->logits;
	const float *next_sentence = evaluation->next_sentence_logits;

	if (isfinite(evaluation->loss))
		scores->loss += evaluation->loss * (double) evaluation->labels;
	scores->labels += (double) evaluation->labels;
	scores->correct += (double) evaluation->correct;
	if (logits == NULL && !head_has_vocabulary(train_task_head(scores->task)))
		return status_fail(status, STATUS_INTERNAL, "an evaluation of %s has no logits",
						   train_task_name(scores->task));
	if (scores->embeddings != NULL)
		return embedding_scores_add(scores->embeddings, samples, n, evaluation, status);
	for (size_t i = 0; i < n; i++)
	{
		const Sample *sample = samples[i].sample;

		if (logits != NULL &&
			!add_logits(scores, sample, logits + evaluation->row_offsets[i] * columns, columns,
						status))
			return false;
		if (scores->task == TRAIN_PRETRAINING && next_sentence != NULL)
			add_next_sentence(scores, sample, next_sentence + 2 * i);
	}
	return true;
}

static void
finish_labels(Scores *scores)
{
	LabelMetrics metrics;

	label_scores_metrics(scores->several, &metrics);
	put(scores, "f1_micro", metrics.f1_micro);
	put(scores, "f1_macro", metrics.f1_macro);
	put(scores, "precision", metrics.precision);
	put(scores, "recall", metrics.recall);
	put(scores, "accuracy", metrics.accuracy);
	put(scores, "best_threshold", metrics.best_threshold);
}

static bool
finish_classes(Scores *scores, Status *status)
{
	Pairs *pairs = &scores->pairs;
	size_t classes = scores->classes;
	ClassMetrics metrics;

	/* choices have as many classes as the longest list of them */
	for (size_t i = 0; i < pairs->n; i++)
	{
		if ((size_t) pairs->labels[i] >= classes)
			classes = (size_t) pairs->labels[i] + 1;
		if ((size_t) pairs->predictions[i] >= classes)
			classes = (size_t) pairs->predictions[i] + 1;
	}
	scores->classes = classes;
	scores->confusion =
		arena_alloc_array_zero(scores->arena, classes * classes, sizeof *scores->confusion);
	if (scores->confusion == NULL)
		return arena_fail(scores->arena, status, "the confusion matrix",
						  classes * classes * sizeof *scores->confusion);
	if (!metrics_classes(&(ClassPredictions){pairs->n, classes, pairs->labels, pairs->predictions},
						 scores->arena, scores->confusion, &metrics, status))
		return false;
	put(scores, "accuracy", metrics.accuracy);
	put(scores, "f1_macro", metrics.f1_macro);
	put(scores, "f1_weighted", metrics.f1_weighted);
	if (scores->task != TRAIN_TOKEN_CLASSIFICATION)
		put(scores, "matthews", metrics.matthews);
	return true;
}

bool
scores_finish(Scores *scores, const MayContinue *question, Status *status)
{
	double loss = scores_loss(scores);
	ValueMetrics values;

	switch (scores->task)
	{
		case TRAIN_SEQUENCE_CLASSIFICATION:
		case TRAIN_NEXT_SENTENCE:
		case TRAIN_MULTIPLE_CHOICE:
			if (scores->several != NULL)
				finish_labels(scores);
			else if (!finish_classes(scores, status))
				return false;
			break;
		case TRAIN_TOKEN_CLASSIFICATION:
			metrics_spans_finish(&scores->spans);
			put(scores, "f1", scores->spans.f1);
			put(scores, "precision", scores->spans.precision);
			put(scores, "recall", scores->spans.recall);
			if (!finish_classes(scores, status))
				return false;
			break;
		case TRAIN_REGRESSION:
			if (!metrics_values(scores->arena, scores->pairs.n, scores->pairs.label_values,
								scores->pairs.predicted_values, &values, status))
				return false;
			put(scores, "pearson", values.pearson);
			put(scores, "spearman", values.spearman);
			put(scores, "mse", values.mse);
			put(scores, "mae", values.mae);
			break;
		case TRAIN_QUESTION_ANSWERING:
			if (!finish_answers(scores, status))
				return false;
			break;
		case TRAIN_MASKED_LM:
		case TRAIN_CAUSAL_LM:
		case TRAIN_PRETRAINING:
			put(scores, "perplexity", metrics_perplexity(loss));
			put(scores, "accuracy", scores->labels > 0 ? scores->correct / scores->labels : NAN);
			if (scores->follow_pairs > 0)
				put(scores, "next_sentence_accuracy",
					(double) scores->followed / (double) scores->follow_pairs);
			break;
		case TRAIN_EMBEDDING:
			if (!embedding_scores_finish(scores->embeddings, question, scores->metrics,
										 &scores->n_metrics, status))
				return false;
			break;
		case TRAIN_TASK_COUNT:
			break;
	}
	if (scores->labels > 0)
		put(scores, "loss", loss);
	return true;
}

size_t
scores_list(const Scores *scores, const Score **list)
{
	*list = scores->metrics;
	return scores->n_metrics;
}

double
scores_main(const Scores *scores)
{
	double value = scores->metrics[0].value;

	if (strcmp(scores->metrics[0].name, "perplexity") == 0)
		value = -value;
	return isnan(value) ? -INFINITY : value;
}

double
scores_loss(const Scores *scores)
{
	return scores->labels > 0 ? scores->loss / scores->labels : NAN;
}

const uint64_t *
scores_confusion(const Scores *scores, size_t *classes)
{
	*classes = scores->classes;
	return scores->confusion;
}

size_t
scores_labels(const Scores *scores)
{
	return scores->several == NULL ? 0 : (size_t) scores->config->num_labels;
}

LabelScore
scores_label(const Scores *scores, size_t label)
{
	return label_scores_of(scores->several, label);
}

size_t
scores_worst(const Scores *scores, const ScoreExample **examples)
{
	*examples = scores->worst;
	return scores->n_worst;
}
