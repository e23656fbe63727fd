/*
 * loss.h: the reference's losses over logits. Labels of -100 are ignored; a mean over no labels is
 * NaN, as in the reference. A class outside its range is STATUS_INVALID_ARGUMENT. d_logits may be
 * NULL; else it receives the gradient of the loss (same shape as logits).
 */
#ifndef BERT_NN_LOSS_H
#define BERT_NN_LOSS_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#define LABEL_IGNORED (-100)

/* mean cross-entropy of logits (rows, classes) against labels (rows) */
bool loss_cross_entropy(const float *logits, size_t rows, size_t classes, const int64_t *labels,
						float *d_logits, double *loss, Status *status);
/* mean squared error of logits (rows, columns) against labels of the same shape */
bool loss_mse(const float *logits, size_t rows, size_t columns, const float *labels,
			  float *d_logits, double *loss, Status *status);
/* mean binary cross-entropy with logits */
bool loss_bce_with_logits(const float *logits, size_t rows, size_t columns, const float *labels,
						  float *d_logits, double *loss, Status *status);

#endif
