/* Metrics against scikit-learn, SciPy, seqeval and the SQuAD script (test/golden/metrics.txt). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "number_lists.h"
#include "train/label_scores.h"
#include "train/metrics.h"

#define MAX_ITEMS 1024

static size_t
read_words(char *text, const char **out)
{
	char *rest;
	size_t n = 0;

	for (char *item = strtok_r(text, " ", &rest); item != NULL; item = strtok_r(NULL, " ", &rest))
		out[n++] = item;
	return n;
}

static void
check(const char *kind, int line, double found, const char *expected)
{
	if (!(fabs(found - atof(expected)) < 1e-12))
		fail_msg("line %d, %s: %.17g instead of %s", line, kind, found, expected);
}

static void
check_classes(Arena *arena, int line, char **fields)
{
	static double labels[MAX_ITEMS];
	static double predictions[MAX_ITEMS];
	static int32_t a[MAX_ITEMS];
	static int32_t b[MAX_ITEMS];
	uint64_t confusion[64];
	uint64_t sum = 0;
	size_t n = read_numbers(fields[1], labels);
	ClassPredictions pairs = {n, 8, a, b};
	ClassMetrics metrics;
	Status status;

	assert_int_equal(n, read_numbers(fields[2], predictions));
	for (size_t i = 0; i < n; i++)
	{
		a[i] = (int32_t) labels[i];
		b[i] = (int32_t) predictions[i];
	}
	assert_true(metrics_classes(&pairs, arena, confusion, &metrics, &status));
	for (size_t i = 0; i < 64; i++)
		sum += confusion[i];
	assert_int_equal(sum, n);
	check("accuracy", line, metrics.accuracy, fields[3]);
	check("f1_macro", line, metrics.f1_macro, fields[4]);
	check("f1_weighted", line, metrics.f1_weighted, fields[5]);
	check("matthews", line, metrics.matthews, fields[6]);
	a[0] = 8;
	assert_false(metrics_classes(&pairs, arena, NULL, &metrics, &status));
}

static void
check_values(Arena *arena, int line, char **fields)
{
	static double labels[MAX_ITEMS];
	static double predictions[MAX_ITEMS];
	size_t n = read_numbers(fields[1], labels);
	ValueMetrics metrics;
	Status status;

	assert_int_equal(n, read_numbers(fields[2], predictions));
	assert_true(metrics_values(arena, n, labels, predictions, &metrics, &status));
	check("pearson", line, metrics.pearson, fields[3]);
	check("spearman", line, metrics.spearman, fields[4]);
	check("mse", line, metrics.mse, fields[5]);
	check("mae", line, metrics.mae, fields[6]);
}

static void
check_spans(Arena *arena, int line, char **fields)
{
	const char *labels[MAX_ITEMS];
	const char *predictions[MAX_ITEMS];
	SpanMetrics metrics = {0};
	char *rest_labels = fields[1];
	char *rest_predictions = fields[2];
	char *sentence;

	while ((sentence = strsep(&rest_labels, "|")) != NULL)
	{
		size_t n = read_words(sentence, labels);

		assert_int_equal(n, read_words(strsep(&rest_predictions, "|"), predictions));
		metrics_spans_add(&metrics, n, labels, predictions);
	}
	metrics_spans_finish(&metrics);
	check("precision", line, metrics.precision, fields[3]);
	check("recall", line, metrics.recall, fields[4]);
	check("f1", line, metrics.f1, fields[5]);
}

static void
check_answer(Arena *arena, int line, char **fields)
{
	double exact;
	double f1;
	Status status;

	assert_true(metrics_answer(arena, (AnswerText){fields[1], strlen(fields[1])},
							   (AnswerText){fields[2], strlen(fields[2])}, &exact, &f1, &status));
	check("exact", line, exact, fields[3]);
	check("answer f1", line, f1, fields[4]);
}

/* Micro-averaged F1 of labels (n) when those of a probability of at least threshold count. */
static double
f1_at(size_t n, const float *labels, const float *logits, double threshold)
{
	double right = 0;
	double all = 0;

	for (size_t i = 0; i < n; i++)
	{
		bool predicted = 1 / (1 + exp(-(double) logits[i])) >= threshold;

		right += labels[i] != 0 && predicted;
		all += (labels[i] != 0) + predicted;
	}
	return all == 0 ? 0 : 2 * right / all;
}

static void
check_labels(Arena *arena, int line, char **fields)
{
	static double numbers[MAX_ITEMS];
	static double given[MAX_ITEMS];
	static float labels[MAX_ITEMS];
	static float logits[MAX_ITEMS];
	size_t n = read_numbers(fields[1], numbers) - 1;
	size_t k = (size_t) numbers[0];
	LabelScores *scores;
	LabelMetrics metrics;
	Status status;
	double best;
	double sum = 0;

	assert_int_equal(n, read_numbers(fields[2], given));
	for (size_t i = 0; i < n; i++)
	{
		labels[i] = (float) numbers[i + 1];
		logits[i] = (float) given[i];
	}
	scores = label_scores_create(arena, k, 0.5, &status);
	assert_non_null(scores);
	for (size_t i = 0; i < n; i += k)
		label_scores_add(scores, labels + i, logits + i);
	label_scores_metrics(scores, &metrics);
	check("f1_micro", line, metrics.f1_micro, fields[3]);
	check("f1_macro", line, metrics.f1_macro, fields[4]);
	check("precision", line, metrics.precision, fields[5]);
	check("recall", line, metrics.recall, fields[6]);
	check("accuracy", line, metrics.accuracy, fields[7]);
	for (size_t i = 0; i < k; i++)
		sum += label_scores_of(scores, i).f1;
	assert_true(fabs(sum / (double) k - metrics.f1_macro) < 1e-12);
	best = f1_at(n, labels, logits, metrics.best_threshold);
	for (int i = 1; i < 100; i++)
		assert_true(f1_at(n, labels, logits, i / 100.0) <= best + 1e-12);
}

static void
test_reference(void **state)
{
	static const struct
	{
		const char *kind;
		void (*check)(Arena *arena, int line, char **fields);
	} kinds[] = {{"classes", check_classes},
				 {"values", check_values},
				 {"spans", check_spans},
				 {"answer", check_answer},
				 {"labels", check_labels}};
	FILE *file = fopen("test/golden/metrics.txt", "r");
	Arena *arena = arena_create(&allocator_malloc, 0);
	char *line = NULL;
	size_t capacity = 0;
	int seen[5] = {0};
	int lines = 0;

	assert_non_null(file);
	while (getline(&line, &capacity, file) > 0)
	{
		char *rest = line;
		char *fields[8] = {0};

		line[strcspn(line, "\n")] = '\0';
		lines++;
		for (int i = 0; i < 8 && rest != NULL; i++)
			fields[i] = strsep(&rest, "\t");
		for (int k = 0; k < 5; k++)
			if (strcmp(fields[0], kinds[k].kind) == 0)
			{
				kinds[k].check(arena, lines, fields);
				seen[k]++;
			}
	}
	print_message("%d classes, %d values, %d spans, %d answers, %d labels\n", seen[0], seen[1],
				  seen[2], seen[3], seen[4]);
	for (int k = 0; k < 5; k++)
		assert_true(seen[k] >= 3);
	free(line);
	fclose(file);
	arena_destroy(arena);
}

static void
test_edges(void **state)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	const double constant[3] = {1, 1, 1};
	const double rising[3] = {1, 2, 3};
	ValueMetrics values;
	SpanMetrics spans = {0};
	Status status;

	assert_true(metrics_values(arena, 3, constant, rising, &values, &status));
	assert_true(isnan(values.pearson) && isnan(values.spearman));
	metrics_spans_finish(&spans);
	assert_true(spans.f1 == 0 && spans.precision == 0);
	assert_true(fabs(metrics_perplexity(log(50)) - 50) < 1e-9);
	arena_destroy(arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference),
		cmocka_unit_test(test_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
