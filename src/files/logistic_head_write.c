/* logistic_head_write.c: a classifier as the pickle (protocol 3) that scikit-learn makes of it. */
#include "files/logistic_head.h"

#include <stdio.h>
#include <string.h>

#include "core/checked.h"

#define SETTINGS_ROOM 4096 /* bytes of all that is no number, and for each label as much */

/* A pickle that is being written; the memory is enough. */
typedef struct Pickler
{
	unsigned char *at;
} Pickler;

static void
put_bytes(Pickler *pickler, const void *bytes, size_t n)
{
	memcpy(pickler->at, bytes, n);
	pickler->at += n;
}

/* Opcodes without arguments, one a character. */
static void
put_codes(Pickler *pickler, const char *codes)
{
	put_bytes(pickler, codes, strlen(codes));
}

static void
put_count(Pickler *pickler, char opcode, size_t n)
{
	const unsigned char bytes[5] = {(unsigned char) opcode, (unsigned char) n,
									(unsigned char) (n >> 8), (unsigned char) (n >> 16),
									(unsigned char) (n >> 24)};

	put_bytes(pickler, bytes, sizeof bytes);
}

static void
put_text(Pickler *pickler, const char *text)
{
	put_count(pickler, 'X', strlen(text));
	put_codes(pickler, text);
}

/* GLOBAL: "c", module, line feed, name, line feed */
static void
put_global(Pickler *pickler, const char *module, const char *name)
{
	put_codes(pickler, "c");
	put_codes(pickler, module);
	put_codes(pickler, "\n");
	put_codes(pickler, name);
	put_codes(pickler, "\n");
}

/* dtype('f4', False, True) with its state: little-endian */
static void
put_dtype(Pickler *pickler, const char *name)
{
	put_global(pickler, "numpy", "dtype");
	put_text(pickler, name);
	put_codes(pickler, "\x89\x88\x87R("); /* False, True, TUPLE3, REDUCE, MARK */
	put_count(pickler, 'J', 3);
	put_text(pickler, "<");
	put_codes(pickler, "NNN");
	put_count(pickler, 'J', (size_t) -1);
	put_count(pickler, 'J', (size_t) -1);
	put_count(pickler, 'J', 0);
	put_codes(pickler, "tb"); /* TUPLE, BUILD */
}

/* An array before its bytes: rows 0 makes a vector of columns. */
static void
begin_array(Pickler *pickler, size_t rows, size_t columns, const char *dtype)
{
	put_global(pickler, "numpy.core.multiarray", "_reconstruct");
	put_global(pickler, "numpy", "ndarray");
	put_count(pickler, 'J', 0);
	put_codes(pickler, "\x85"); /* TUPLE1 */
	put_count(pickler, 'B', 1);
	put_codes(pickler, "b\x87R("); /* the bytes b'b', TUPLE3, REDUCE, MARK */
	put_count(pickler, 'J', 1);
	if (rows > 0)
		put_count(pickler, 'J', rows);
	put_count(pickler, 'J', columns);
	put_codes(pickler, rows > 0 ? "\x86" : "\x85"); /* TUPLE2, TUPLE1 */
	put_dtype(pickler, dtype);
	put_codes(pickler, "\x89"); /* False: row by row */
	put_count(pickler, 'B', (rows > 0 ? rows : 1) * columns * (dtype[1] == '8' ? 8 : 4));
}

static void
end_array(Pickler *pickler)
{
	put_codes(pickler, "tb"); /* TUPLE, BUILD */
}

static void
put_floats(Pickler *pickler, const float *floats, size_t rows, size_t columns)
{
	begin_array(pickler, rows, columns, "f4");
	put_bytes(pickler, floats, (rows > 0 ? rows : 1) * columns * sizeof *floats);
	end_array(pickler);
}

/* Classes 0, 1, ... n - 1 */
static void
put_classes(Pickler *pickler, size_t n)
{
	begin_array(pickler, 0, n, "i8");
	for (size_t i = 0; i < n; i++)
	{
		const uint64_t number = i;

		for (int b = 0; b < 8; b++)
			*pickler->at++ = (unsigned char) (number >> (8 * b));
	}
	end_array(pickler);
}

/* An instance without arguments, its dictionary, and a mark for members. */
static void
begin_estimator(Pickler *pickler, const char *module, const char *name)
{
	put_global(pickler, module, name);
	put_codes(pickler, ")\x81}("); /* EMPTY_TUPLE, NEWOBJ, EMPTY_DICT, MARK */
}

static void
end_estimator(Pickler *pickler)
{
	put_codes(pickler, "ub"); /* SETITEMS, BUILD */
}

/* A number of a setting: BINFLOAT 1.0 */
static void
put_one(Pickler *pickler)
{
	put_bytes(pickler, "G\x3f\xf0\0\0\0\0\0\0", 9);
}

/* The settings with which all of its versions print and predict. */
static void
put_settings(Pickler *pickler)
{
	put_text(pickler, "C");
	put_one(pickler);
	put_text(pickler, "l1_ratio");
	put_bytes(pickler, "G\0\0\0\0\0\0\0\0", 9);
	put_text(pickler, "penalty");
	put_text(pickler, "l2");
	put_text(pickler, "tol");
	put_bytes(pickler, "G\x3f\x1a\x36\xe2\xeb\x1c\x43\x2d", 9); /* 1e-4 */
	put_text(pickler, "dual");
	put_codes(pickler, "\x89");
	put_text(pickler, "fit_intercept");
	put_codes(pickler, "\x88");
	put_text(pickler, "intercept_scaling");
	put_count(pickler, 'J', 1);
	put_text(pickler, "class_weight");
	put_codes(pickler, "N");
	put_text(pickler, "random_state");
	put_codes(pickler, "N");
	put_text(pickler, "solver");
	put_text(pickler, "lbfgs");
	put_text(pickler, "max_iter");
	put_count(pickler, 'J', 100);
	put_text(pickler, "multi_class");
	put_text(pickler, "auto");
	put_text(pickler, "verbose");
	put_count(pickler, 'J', 0);
	put_text(pickler, "warm_start");
	put_codes(pickler, "\x89");
	put_text(pickler, "n_jobs");
	put_codes(pickler, "N");
}

/* One regression that tells n classes apart by these rows of weights. */
static void
put_regression(Pickler *pickler, const LogisticHead *head, size_t n_classes, const float *weight,
			   const float *bias)
{
	size_t rows = n_classes == 2 ? 1 : n_classes;

	begin_estimator(pickler, "sklearn.linear_model._logistic", "LogisticRegression");
	put_settings(pickler);
	put_text(pickler, "n_features_in_");
	put_count(pickler, 'J', (size_t) head->n_features);
	put_text(pickler, "classes_");
	put_classes(pickler, n_classes);
	put_text(pickler, "coef_");
	put_floats(pickler, weight, rows, (size_t) head->n_features);
	put_text(pickler, "intercept_");
	put_floats(pickler, bias, 0, rows);
	end_estimator(pickler);
}

/* The encoder of labels that a OneVsRestClassifier asks whether they exclude each other. */
static void
put_binarizer(Pickler *pickler, size_t n)
{
	put_text(pickler, "label_binarizer_");
	begin_estimator(pickler, "sklearn.preprocessing._label", "LabelBinarizer");
	put_text(pickler, "neg_label");
	put_count(pickler, 'J', 0);
	put_text(pickler, "pos_label");
	put_count(pickler, 'J', 1);
	put_text(pickler, "sparse_output");
	put_codes(pickler, "\x88");
	put_text(pickler, "y_type_");
	put_text(pickler, "multilabel-indicator");
	put_text(pickler, "sparse_input_");
	put_codes(pickler, "\x89");
	put_text(pickler, "classes_");
	put_classes(pickler, n);
	end_estimator(pickler);
}

static void
put_several(Pickler *pickler, const LogisticHead *head)
{
	size_t columns = (size_t) head->n_features;

	begin_estimator(pickler, "sklearn.multiclass", "OneVsRestClassifier");
	put_text(pickler, "estimator"); /* what they are made of, which has learned nothing */
	begin_estimator(pickler, "sklearn.linear_model._logistic", "LogisticRegression");
	put_settings(pickler);
	end_estimator(pickler);
	put_text(pickler, "n_jobs");
	put_codes(pickler, "N");
	put_text(pickler, "verbose");
	put_count(pickler, 'J', 0);
	put_text(pickler, "n_features_in_");
	put_count(pickler, 'J', columns);
	put_binarizer(pickler, (size_t) head->n_labels);
	put_text(pickler, "estimators_");
	put_codes(pickler, "]("); /* EMPTY_LIST, MARK */
	for (int i = 0; i < head->n_labels; i++)
		put_regression(pickler, head, 2, head->weight + (size_t) i * columns, &head->bias[i]);
	put_codes(pickler, "e"); /* APPENDS */
	end_estimator(pickler);
}

/* Two classes: one row, which is what the second has more than the first. */
static bool
put_two(Arena *arena, Pickler *pickler, const LogisticHead *head, Status *status)
{
	size_t n = (size_t) head->n_features;
	float *row = arena_alloc_array(arena, n, sizeof *row);
	float bias = head->bias[1] - head->bias[0];

	if (row == NULL)
		return arena_fail(arena, status, "a classifier", n * sizeof *row);
	for (size_t i = 0; i < n; i++)
		row[i] = head->weight[n + i] - head->weight[i];
	put_regression(pickler, head, 2, row, &bias);
	return true;
}

bool
logistic_head_write(Arena *arena, const LogisticHead *head, const unsigned char **bytes,
					size_t *length, Status *status)
{
	size_t labels = (size_t) head->n_labels;
	Pickler pickler;
	unsigned char *start;
	size_t size;

	if (!size_mul((size_t) head->n_features * sizeof(float) + SETTINGS_ROOM, labels + 1, &size) ||
		(start = arena_alloc(arena, size)) == NULL)
		return arena_fail(arena, status, "a classifier", labels);
	pickler.at = start;
	put_codes(&pickler, "\x80\x03");
	if (head->several)
		put_several(&pickler, head);
	else if (labels == 2)
	{
		if (!put_two(arena, &pickler, head, status))
			return false;
	}
	else
		put_regression(&pickler, head, labels, head->weight, head->bias);
	put_codes(&pickler, ".");
	*bytes = start;
	*length = (size_t) (pickler.at - start);
	return true;
}
