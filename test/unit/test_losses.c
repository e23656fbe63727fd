/* Losses of classes with weights and smoothing against torch's (test/golden/losses.txt). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nn/loss.h"
#include "number_lists.h"

#define MOST 64

typedef struct Case
{
	size_t columns;
	size_t n; /* logits */
	LossSettings settings;
	bool several;
	bool taught;
	float weights[MOST];
	double numbers[MOST];
	int64_t labels[MOST];
	float values[MOST];
	float logits[MOST];
	double gradient[MOST];
	double loss;
} Case;

static void
read_case(char *line, Case *this)
{
	char *fields[8];
	size_t n;

	memset(this, 0, sizeof *this);
	for (int i = 0; i < 8; i++)
		assert_non_null(fields[i] = strsep(&line, "\t"));
	this->several = strcmp(fields[0], "several") == 0;
	this->columns = (size_t) atoi(fields[1]);
	this->taught = strcmp(fields[0], "taught") == 0;
	if (this->taught)
		this->settings.temperature = atof(fields[2]);
	else
		this->settings.smoothing = atof(fields[2]);
	if (this->taught)
	{
		n = read_numbers(fields[3], this->numbers);
		for (size_t i = 0; i < n; i++)
			this->weights[i] = (float) this->numbers[i];
	}
	else if (strcmp(fields[3], "-") != 0)
	{
		assert_int_equal(read_numbers(fields[3], this->numbers), this->columns);
		for (size_t i = 0; i < this->columns; i++)
			this->weights[i] = (float) this->numbers[i];
		this->settings.weights = this->weights;
	}
	n = read_numbers(fields[4], this->numbers);
	for (size_t i = 0; i < n; i++)
	{
		this->labels[i] = (int64_t) this->numbers[i];
		this->values[i] = (float) this->numbers[i];
	}
	if (this->taught)
		memcpy(this->values, this->weights, sizeof this->values);
	this->n = read_numbers(fields[5], this->numbers);
	assert_int_equal(this->n, this->several ? n : n * this->columns);
	for (size_t i = 0; i < this->n; i++)
		this->logits[i] = (float) this->numbers[i];
	this->loss = atof(fields[6]);
	assert_int_equal(read_numbers(fields[7], this->gradient), this->n);
}

/* The loss in parts of `rows` rows, each a mean over all of them, as the parts of a step are. */
static void
check_case(const Case *this, size_t rows_at_once)
{
	BertConfig config = {.num_labels = (int) this->columns,
						 .problem_type =
							 this->several ? PROBLEM_MULTI_LABEL : PROBLEM_SINGLE_LABEL};
	size_t all = this->n / this->columns;
	float gradient[MOST];
	float scratch[MOST];
	LossCounts counts = {0};
	double value = 0;
	double with_gradient = 0;
	Status status;

	memcpy(gradient, this->logits, sizeof gradient);
	for (int pass = 0; pass < 2; pass++)
		for (size_t at = 0; at < all; at += rows_at_once)
		{
			Batch batch = {.n_sequences = at + rows_at_once < all ? rows_at_once : all - at};
			HeadTargets targets = {
				.labels = this->several ? NULL : this->labels + at,
				.values = this->several || this->taught ? this->values + at * this->columns : NULL,
				.n_examples = batch.n_sequences};
			LossCall call = {HEAD_SEQUENCE_CLASSIFICATION,
							 &config,
							 &batch,
							 &targets,
							 this->columns,
							 &this->settings};

			if (pass == 0)
			{
				assert_true(loss_count(&call, &counts, &status));
				continue;
			}
			value += loss_value(&call, &counts, this->logits + at * this->columns);
			with_gradient +=
				loss_gradient(&call, &counts, gradient + at * this->columns, scratch, NULL);
		}
	assert_true(fabs(value - this->loss) < 1e-6);
	assert_true(fabs(with_gradient - this->loss) < 1e-6);
	for (size_t i = 0; i < this->n; i++)
		assert_true(fabs(gradient[i] - this->gradient[i]) < 1e-6);
}

static void
test_against_torch(void **state)
{
	FILE *file = fopen("test/golden/losses.txt", "r");
	char *line = NULL;
	size_t capacity = 0;
	int seen = 0;

	assert_non_null(file);
	while (getline(&line, &capacity, file) > 0)
	{
		Case this;

		line[strcspn(line, "\n")] = '\0';
		read_case(line, &this);
		/* without settings at all the gradient is the kernels', tested elsewhere */
		assert_true(this.several || this.taught || this.settings.smoothing > 0 ||
					this.settings.weights != NULL);
		check_case(&this, MOST);
		check_case(&this, 1);
		check_case(&this, 2);
		seen++;
	}
	assert_int_equal(seen, 10);
	free(line);
	fclose(file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_torch)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
