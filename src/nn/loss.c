/* loss.c: cross-entropy, mean squared error, binary cross-entropy, and which of them a head's
 * labels call for. */
#include "nn/loss.h"

#include <math.h>
#include <string.h>

bool
loss_cross_entropy(const float *logits, size_t rows, size_t classes, const int64_t *labels,
				   float *d_logits, double *loss, Status *status)
{
	double total = 0.0;
	size_t counted = 0;

	for (size_t r = 0; r < rows; r++)
	{
		if (labels[r] != LABEL_IGNORED && (labels[r] < 0 || (uint64_t) labels[r] >= classes))
			return status_fail(status, STATUS_INVALID_ARGUMENT,
							   "label %lld is outside the %zu classes", (long long) labels[r],
							   classes);
		counted += labels[r] != LABEL_IGNORED;
	}
	for (size_t r = 0; r < rows; r++)
	{
		const float *row = logits + r * classes; /* (classes) */
		double largest = -INFINITY;
		double sum = 0.0;

		if (labels[r] == LABEL_IGNORED)
		{
			if (d_logits != NULL)
				memset(d_logits + r * classes, 0, classes * sizeof(float));
			continue;
		}
		for (size_t c = 0; c < classes; c++)
			largest = fmax(largest, row[c]);
		for (size_t c = 0; c < classes; c++)
			sum += exp(row[c] - largest);
		total += log(sum) + largest - row[labels[r]];
		if (d_logits != NULL)
			for (size_t c = 0; c < classes; c++)
				d_logits[r * classes + c] =
					(float) ((exp(row[c] - largest) / sum - ((uint64_t) labels[r] == c)) /
							 (double) counted);
	}
	*loss = total / (double) counted; /* 0 / 0 is NaN, as in the reference */
	return true;
}

bool
loss_mse(const float *logits, size_t rows, size_t columns, const float *labels, float *d_logits,
		 double *loss, Status *status)
{
	size_t n = rows * columns;
	double total = 0.0;

	for (size_t i = 0; i < n; i++)
	{
		double difference = (double) logits[i] - labels[i];

		total += difference * difference;
		if (d_logits != NULL)
			d_logits[i] = (float) (2.0 * difference / (double) n);
	}
	*loss = total / (double) n;
	return true;
}

bool
loss_bce_with_logits(const float *logits, size_t rows, size_t columns, const float *labels,
					 float *d_logits, double *loss, Status *status)
{
	size_t n = rows * columns;
	double total = 0.0;

	for (size_t i = 0; i < n; i++)
	{
		double x = logits[i];

		/* -(y log s(x) + (1 - y) log(1 - s(x))) without overflow */
		total += fmax(x, 0.0) - x * labels[i] + log1p(exp(-fabs(x)));
		if (d_logits != NULL)
			d_logits[i] = (float) ((1.0 / (1.0 + exp(-x)) - labels[i]) / (double) n);
	}
	*loss = total / (double) n;
	return true;
}
