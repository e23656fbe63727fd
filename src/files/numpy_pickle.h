/*
 * numpy_pickle.h: arrays and estimators as they lie in pickles of joblib and scikit-learn, for
 * logistic_head.c alone.
 */
#ifndef BERT_FILES_NUMPY_PICKLE_H
#define BERT_FILES_NUMPY_PICKLE_H

#include "files/pickle.h"

typedef enum NumpyObject
{
	NUMPY_ARRAY,    /* NumpyArray */
	NUMPY_DTYPE,    /* NumpyDtype */
	NUMPY_ESTIMATOR /* Estimator */
} NumpyObject;

typedef struct NumpyDtype
{
	char kind; /* as numpy writes it: f, i, u, b, U, O, ... */
	int size;  /* bytes of an element; of U characters of four */
	bool big_endian;
} NumpyDtype;

#define NUMPY_MAX_RANK 2

typedef struct NumpyArray
{
	bool wrapped; /* by joblib: the bytes follow the pickle's BUILD */
	bool filled;
	bool by_columns; /* the first index runs fastest */
	NumpyDtype dtype;
	int rank;
	size_t shape[NUMPY_MAX_RANK];
	size_t n;                      /* elements */
	size_t bytes_each;             /* of an element */
	const unsigned char *bytes;    /* (n * bytes_each); NULL where the elements are objects */
	const PickleSequence *objects; /* (n) */
} NumpyArray;

typedef enum EstimatorKind
{
	ESTIMATOR_LOGISTIC,
	ESTIMATOR_ONE_VS_REST,
	ESTIMATOR_MULTI_OUTPUT,
	ESTIMATOR_BINARIZER
} EstimatorKind;

typedef struct Estimator
{
	EstimatorKind kind;
	const PickleSequence *members; /* key, value, ...; NULL: none */
} Estimator;

extern const char logistic_head_hint[];

bool numpy_pickle_read(Arena *arena, ByteSource *file, PickleValue *root, Status *status);

/* A member's value, or NULL. */
const PickleValue *estimator_member(const Estimator *estimator, const char *name);
/* The value as an array or estimator, or NULL. */
const NumpyArray *numpy_array(const PickleValue *value);
const Estimator *estimator_value(const PickleValue *value);
/* Element i, row by row, of floating-point numbers or whole ones; false for other dtypes. */
bool numpy_number(const NumpyArray *array, size_t i, double *out);
bool numpy_integer(const NumpyArray *array, size_t i, int64_t *out);

#endif
