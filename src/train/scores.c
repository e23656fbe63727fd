/* scores.c: collecting predictions and making metrics of them. */
#include "train/scores.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/loss.h"
#include "nn/select.h"

#define TEXT_BYTES 400

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
	double best; /* start + end logit of the best span */
	const char *prediction;
	const char *label;
} PendingAnswer;

struct Scores
{
	Arena *arena;
	TrainTask task;
	const BertConfig *config;
	const Tokenizer *tokenizer;
	size_t classes;
	Pairs pairs;
	SpanMetrics spans;
	uint64_t *confusion;
	PendingAnswer answer;
	double exact;
	double answer_f1;
	size_t answers;
	double loss; /* weighted by labels */
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
	if (task == TRAIN_SEQUENCE_CLASSIFICATION || task == TRAIN_TOKEN_CLASSIFICATION)
		scores->classes = (size_t) config->num_labels;
	else if (task == TRAIN_NEXT_SENTENCE)
		scores->classes = 2;
	return scores;
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
	char *text;
	size_t length;

	if (scores->tokenizer == NULL || n == 0 ||
		!tokenizer_decode(scores->tokenizer, scores->arena, ids, n, true, &text, &length, NULL))
		return "";
	if (length > TEXT_BYTES)
	{
		length = TEXT_BYTES;
		while (length > 0 && ((unsigned char) text[length] & 0xC0) == 0x80)
			length--;
		text[length] = '\0';
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

/* Keeps the example if it is among the worst. */
static void
keep_worst(Scores *scores, const Sample *sample, double loss, int32_t label, int32_t prediction,
		   double probability)
{
	size_t at = scores->n_worst;

	if (at == SCORES_WORST && loss <= scores->worst[at - 1].loss)
		return;
	if (at < SCORES_WORST)
		scores->n_worst++;
	else
		at--;
	for (; at > 0 && scores->worst[at - 1].loss < loss; at--)
		scores->worst[at] = scores->worst[at - 1];
	scores->worst[at] =
		(ScoreExample){.row = sample->row, .loss = loss, .probability = probability};
	scores->worst[at].text =
		decode(scores, sample->input_ids, sample->n_tokens < 128 ? sample->n_tokens : 128);
	scores->worst[at].label = label_name(scores, label);
	scores->worst[at].prediction = label_name(scores, prediction);
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

bool
scores_add_answer(Scores *scores, const char *label, size_t label_length, const char *prediction,
				  size_t prediction_length, Status *status)
{
	ArenaMark mark = arena_mark(scores->arena);
	double exact;
	double f1;

	if (!metrics_answer(scores->arena, label, label_length, prediction, prediction_length, &exact,
						&f1, status))
		return false;
	arena_rewind(scores->arena, mark);
	scores->exact += exact;
	scores->answer_f1 += f1;
	scores->answers++;
	return true;
}

static bool
finish_answer(Scores *scores, Status *status)
{
	PendingAnswer *answer = &scores->answer;

	if (!answer->any)
		return true;
	answer->any = false;
	return scores_add_answer(scores, answer->label, strlen(answer->label), answer->prediction,
							 strlen(answer->prediction), status);
}

/* The first token after the question's [SEP]. */
static size_t
context_start(const Sample *sample)
{
	size_t at = 0;

	while (at < sample->n_tokens && sample->token_type_ids[at] == 0)
		at++;
	return at;
}

/* One window: its best span, compared with the best of the row's windows before. */
static bool
add_window(Scores *scores, const Sample *sample, const float *logits, Status *status)
{
	PendingAnswer *answer = &scores->answer;
	size_t from = context_start(sample);
	size_t to = sample->n_tokens - 1; /* without the last [SEP] */
	size_t best_start = from;
	size_t best_end = from;
	double best = -INFINITY;

	if ((!answer->any || answer->row != sample->row) && !finish_answer(scores, status))
		return false;
	if (!answer->any)
		*answer = (PendingAnswer){
			.any = true, .row = sample->row, .best = -INFINITY, .prediction = "", .label = ""};
	for (size_t start = from; start < to; start++)
		for (size_t end = start; end < to && end < start + SCORES_MAX_ANSWER_TOKENS; end++)
		{
			double sum = (double) logits[2 * start] + logits[2 * end + 1];

			if (sum > best)
			{
				best = sum;
				best_start = start;
				best_end = end;
			}
		}
	if (best > answer->best)
	{
		answer->best = best;
		answer->prediction =
			decode(scores, sample->input_ids + best_start, best_end - best_start + 1);
	}
	if (sample->labels[0] > 0 && sample->labels[1] >= sample->labels[0])
		answer->label = decode(scores, sample->input_ids + sample->labels[0],
							   (size_t) (sample->labels[1] - sample->labels[0] + 1));
	return true;
}

bool
scores_add(Scores *scores, const TrainSample *samples, size_t n, const Evaluation *evaluation,
		   Status *status)
{
	size_t columns = evaluation->n_columns;

	if (isfinite(evaluation->loss))
		scores->loss += evaluation->loss * (double) evaluation->labels;
	scores->labels += (double) evaluation->labels;
	scores->correct += (double) evaluation->correct;
	for (size_t i = 0; i < n; i++)
	{
		const Sample *sample = samples[i].sample;
		const float *logits = evaluation->logits == NULL
								  ? NULL
								  : evaluation->logits + evaluation->row_offsets[i] * columns;
		bool ok = true;

		switch (scores->task)
		{
			case TRAIN_SEQUENCE_CLASSIFICATION:
			case TRAIN_NEXT_SENTENCE:
				ok = add_class(scores, sample, logits, columns, status);
				break;
			case TRAIN_MULTIPLE_CHOICE:
				ok = add_class(scores, sample, logits, sample->n_sequences, status);
				break;
			case TRAIN_REGRESSION:
				ok = add_value(scores, sample, logits[0], status);
				break;
			case TRAIN_TOKEN_CLASSIFICATION:
				ok = add_tokens(scores, sample, logits, columns, status);
				break;
			case TRAIN_QUESTION_ANSWERING:
				ok = add_window(scores, sample, logits, status);
				break;
			case TRAIN_PRETRAINING:
				if (evaluation->next_sentence_logits != NULL)
				{
					const float *pair = evaluation->next_sentence_logits + 2 * i;

					scores->followed += select_best(pair, 2) == (size_t) sample->labels[0];
					scores->follow_pairs++;
				}
				break;
			case TRAIN_MASKED_LM:
			case TRAIN_CAUSAL_LM:
			case TRAIN_TASK_COUNT:
				break;
		}
		if (!ok)
			return false;
	}
	return true;
}

static void
put(Scores *scores, const char *name, double value)
{
	scores->metrics[scores->n_metrics++] = (Score){name, value};
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
	if (!metrics_classes(scores->arena, pairs->n, classes, pairs->labels, pairs->predictions,
						 scores->confusion, &metrics, status))
		return false;
	put(scores, "accuracy", metrics.accuracy);
	put(scores, "f1_macro", metrics.f1_macro);
	put(scores, "f1_weighted", metrics.f1_weighted);
	if (scores->task != TRAIN_TOKEN_CLASSIFICATION)
		put(scores, "matthews", metrics.matthews);
	return true;
}

bool
scores_finish(Scores *scores, Status *status)
{
	double loss = scores_loss(scores);
	ValueMetrics values;

	switch (scores->task)
	{
		case TRAIN_SEQUENCE_CLASSIFICATION:
		case TRAIN_NEXT_SENTENCE:
		case TRAIN_MULTIPLE_CHOICE:
			if (!finish_classes(scores, status))
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
			if (!finish_answer(scores, status))
				return false;
			put(scores, "f1",
				scores->answers == 0 ? NAN : scores->answer_f1 / (double) scores->answers);
			put(scores, "exact_match",
				scores->answers == 0 ? NAN : scores->exact / (double) scores->answers);
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
scores_worst(const Scores *scores, const ScoreExample **examples)
{
	*examples = scores->worst;
	return scores->n_worst;
}
