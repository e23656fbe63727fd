/*
 * logistic_head.h: model_head.pkl of a SetFit folder: scikit-learn's LogisticRegression, as joblib
 * or pickle writes it, and several of them in a OneVsRestClassifier or MultiOutputClassifier, one
 * for each of several labels. Only their arrays are read, by the machine of pickle.h: nothing in
 * the file is executed.
 *
 * Sources: joblib 1.5, numpy_pickle.py (NumpyArrayWrapper: an array's bytes lie in the middle of
 * the pickle); numpy 2, ndarray.__reduce__; scikit-learn 1.9, linear_model/_logistic.py.
 */
#ifndef BERT_FILES_LOGISTIC_HEAD_H
#define BERT_FILES_LOGISTIC_HEAD_H

#include "files/source.h"

typedef struct LogisticHead
{
	int n_labels; /* 2 or more, of several labels 1 or more */
	int n_features;
	bool several;         /* labels that do not exclude each other */
	const char **classes; /* (n_labels) what the file calls them */
	bool numbered;        /* the classes are whole numbers, which may stand for names elsewhere */
	float *weight;        /* (n_labels, n_features); of two classes the first one's are zero */
	float *bias;          /* (n_labels) */
} LogisticHead;

/* STATUS_UNSUPPORTED names what else the file holds. */
bool logistic_head_read(Arena *arena, ByteSource *file, LogisticHead *head, Status *status);

/*
 * The file that scikit-learn reads the same classifier from, its classes numbered; in the arena.
 * weight and bias are those of the model, as above.
 */
bool logistic_head_write(Arena *arena, const LogisticHead *head, const unsigned char **bytes,
						 size_t *length, Status *status);

#endif
