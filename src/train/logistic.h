/*
 * logistic.h: logistic regression of several classes with a penalty on the weights, as
 * scikit-learn's LogisticRegression: the minimum of
 *
 *     ½ |W|² + strength Σ weight_i cross_entropy(W x_i + b, label_i)
 *
 * or with |W - centers M|² instead of |W|², M the means of the classes' rows: what little the rows
 * decide is then left to the nearest mean, which few rows tell better than a boundary. It is the
 * same for the same rows, bit for bit, whatever ran before.
 */
#ifndef BERT_TRAIN_LOGISTIC_H
#define BERT_TRAIN_LOGISTIC_H

#include "core/arena.h"
#include "kernels/train_kernels.h"

typedef struct LogisticCall
{
	size_t n;
	size_t columns;
	size_t classes;
	float *rows;            /* (n, columns); they are changed */
	const uint32_t *labels; /* (n) */
	const float *weights;   /* of the classes, (classes), or NULL: 1 */
	double strength;        /* of the rows against the penalty, for rows of mean length 1 */
	const TrainKernels *kernels;
	/* the penalty is that of rows about their mean, divided by their mean length; weight and bias
	 * are for the rows as they are */
	float *weight; /* (classes, columns) */
	float *bias;   /* (classes) */
	double centers;
} LogisticCall;

/* Scratch memory comes from the arena, which the caller rewinds. False: out of memory, cancelled.
 */
bool logistic_fit(const LogisticCall *call, Arena *arena, const MayContinue *question,
				  Status *status);

#endif
