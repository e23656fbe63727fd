/* logistic_head.c: scikit-learn's logistic regressions as weights for each label. */
#include "files/logistic_head.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "files/config.h"
#include "files/numpy_pickle.h"

#define MAX_FEATURES 131072 /* as many as an embedding may have */
#define MAX_CLASS_BYTES 1024

#define refuse(status, ...)                               \
	(status_set(status, STATUS_UNSUPPORTED, __VA_ARGS__), \
	 status_hint(status, "%s", logistic_head_hint))

/* One LogisticRegression. */
typedef struct Regression
{
	const NumpyArray *weight;  /* (rows, features) */
	const NumpyArray *bias;    /* (rows) */
	const NumpyArray *classes; /* (n) */
} Regression;

static bool
has_text(const Estimator *estimator, const char *member, const char *text)
{
	const PickleValue *value = estimator_member(estimator, member);

	return value != NULL && pickle_is_text(value, text);
}

/*
 * The classes' probabilities are a softmax, of two classes a sigmoid; older versions had settings
 * under which they were something else.
 */
static bool
check_probabilities(const Estimator *estimator, size_t n_classes, Status *status)
{
	if (n_classes > 2 &&
		(has_text(estimator, "multi_class", "ovr") || has_text(estimator, "multi_class", "warn") ||
		 has_text(estimator, "solver", "liblinear")))
		return refuse(status, "more than two classes are told apart one against the rest");
	if (n_classes == 2 && has_text(estimator, "multi_class", "multinomial"))
		return refuse(status, "two classes are told apart by \"multi_class\" multinomial");
	return true;
}

static bool
take_regression(const Estimator *estimator, Regression *out, Status *status)
{
	size_t n;

	out->weight = numpy_array(estimator_member(estimator, "coef_"));
	out->bias = numpy_array(estimator_member(estimator, "intercept_"));
	out->classes = numpy_array(estimator_member(estimator, "classes_"));
	if (out->weight == NULL || out->bias == NULL || out->classes == NULL)
		return refuse(status, "the logistic regression has not learned: no coef_, intercept_ or "
							  "classes_");
	n = out->classes->n;
	if (out->weight->rank != 2 || out->bias->rank != 1 || out->classes->rank != 1 || n < 2 ||
		out->weight->shape[0] != (n == 2 ? 1 : n) || out->bias->n != out->weight->shape[0])
		return status_fail(status, STATUS_INVALID_DATA,
						   "coef_, intercept_ and classes_ do not fit each other");
	if (n > CONFIG_MAX_LABELS || out->weight->shape[1] < 1 || out->weight->shape[1] > MAX_FEATURES)
		return status_fail(status, STATUS_LIMIT, "%zu classes of %zu features are too many", n,
						   out->weight->shape[1]);
	return check_probabilities(estimator, n, status);
}

static bool
allocate(Arena *arena, LogisticHead *head, Status *status)
{
	size_t n = (size_t) head->n_labels;

	head->classes = arena_alloc_array_zero(arena, n, sizeof *head->classes);
	head->weight =
		arena_alloc_array_zero(arena, n * (size_t) head->n_features, sizeof *head->weight);
	head->bias = arena_alloc_array_zero(arena, n, sizeof *head->bias);
	return (head->classes != NULL && head->weight != NULL && head->bias != NULL) ||
		   arena_fail(arena, status, "a classifier",
					  n * (size_t) head->n_features * sizeof *head->weight);
}

static bool
take_number(const NumpyArray *array, size_t i, float *out, Status *status)
{
	double value;

	if (!numpy_number(array, i, &value))
		return refuse(status, "numbers are not float32 or float64, little-endian");
	*out = (float) value;
	return isfinite(*out) || status_fail(status, STATUS_INVALID_DATA,
										 "a number is not finite, or too large for float32");
}

/* Row `row` of a regression as label `label`. */
static bool
take_row(const Regression *regression, size_t row, LogisticHead *head, size_t label, Status *status)
{
	size_t n = (size_t) head->n_features;

	for (size_t i = 0; i < n; i++)
		if (!take_number(regression->weight, row * n + i, &head->weight[label * n + i], status))
			return false;
	return take_number(regression->bias, row, &head->bias[label], status);
}

/* --- Classes --- */

/* numpy's characters of four bytes, without the zeros at the end, as UTF-8. */
static bool
take_characters(Arena *arena, const NumpyArray *array, size_t i, const char **out, Status *status)
{
	const unsigned char *at = array->bytes + i * array->bytes_each;
	char text[MAX_CLASS_BYTES];
	size_t length = 0;

	for (size_t c = 0; c < array->bytes_each; c += 4)
	{
		uint32_t point = (uint32_t) at[c] | (uint32_t) at[c + 1] << 8 | (uint32_t) at[c + 2] << 16 |
						 (uint32_t) at[c + 3] << 24;
		size_t bytes = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

		if (point == 0)
			break;
		if (point > 0x10FFFF || (point >= 0xD800 && point < 0xE000) ||
			length + bytes >= sizeof text)
			return status_fail(status, STATUS_INVALID_DATA,
							   "class %zu has no name, or too long a "
							   "one",
							   i);
		for (size_t b = bytes; b-- > 0; point >>= 6)
			text[length + b] = (char) (b > 0 ? 0x80 | (point & 0x3F) : point);
		if (bytes > 1)
			text[length] = (char) ((unsigned char) text[length] | (0xF00 >> bytes & 0xFF));
		length += bytes;
	}
	*out = arena_strndup(arena, text, length);
	return *out != NULL || arena_fail(arena, status, "a class", length);
}

static bool
take_class(Arena *arena, const NumpyArray *array, size_t i, bool *numbered, const char **out,
		   Status *status)
{
	char number[24];
	int64_t value;

	*numbered = numpy_integer(array, i, &value);
	if (*numbered)
	{
		snprintf(number, sizeof number, "%" PRId64, value);
		*out = arena_strdup(arena, number);
		return *out != NULL || arena_fail(arena, status, "a class", sizeof number);
	}
	if (array->bytes != NULL && array->dtype.kind == 'U' && !array->dtype.big_endian)
		return take_characters(arena, array, i, out, status);
	if (array->objects != NULL && array->objects->values[i].kind == PICKLE_TEXT)
	{
		const PickleString *text = array->objects->values[i].as.string;

		*out = arena_strndup(arena, text->bytes, text->length);
		return *out != NULL || arena_fail(arena, status, "a class", text->length);
	}
	return refuse(status, "classes_ are neither texts nor whole numbers");
}

/* Names, each once, of valid UTF-8 without a zero: config_set_labels looks at the rest. */
static bool
take_classes(Arena *arena, const NumpyArray *array, LogisticHead *head, Status *status)
{
	head->numbered = true;
	for (int i = 0; i < head->n_labels; i++)
	{
		bool numbered;

		if (!take_class(arena, array, (size_t) i, &numbered, &head->classes[i], status))
			return false;
		head->numbered = head->numbered && numbered;
	}
	return true;
}

/* --- Estimators --- */

static bool
read_regression(Arena *arena, const Estimator *estimator, LogisticHead *head, Status *status)
{
	Regression regression;
	size_t first;

	if (!take_regression(estimator, &regression, status))
		return false;
	head->n_labels = (int) regression.classes->n;
	head->n_features = (int) regression.weight->shape[1];
	if (!allocate(arena, head, status) || !take_classes(arena, regression.classes, head, status))
		return false;
	/* one row tells two classes apart: a softmax of zero and it is its sigmoid */
	first = head->n_labels == 2 ? 1 : 0;
	for (size_t i = first; i < (size_t) head->n_labels; i++)
		if (!take_row(&regression, i - first, head, i, status))
			return false;
	return true;
}

/* Whether a regression says no or yes, 0 or 1. */
static bool
says_yes_or_no(const NumpyArray *classes)
{
	int64_t no;
	int64_t yes;

	return classes->n == 2 && numpy_integer(classes, 0, &no) && numpy_integer(classes, 1, &yes) &&
		   no == 0 && yes == 1;
}

static bool
check_several(const Estimator *estimator, Status *status)
{
	const Estimator *binarizer = estimator_value(estimator_member(estimator, "label_binarizer_"));

	if (estimator->kind == ESTIMATOR_MULTI_OUTPUT ||
		(binarizer != NULL && has_text(binarizer, "y_type_", "multilabel-indicator")))
		return true;
	return refuse(status,
				  "a OneVsRestClassifier tells one class from the rest, not several labels");
}

/* Regressions of one label each. */
static bool
read_several(Arena *arena, const Estimator *estimator, LogisticHead *head, Status *status)
{
	const PickleValue *list = estimator_member(estimator, "estimators_");

	if (!check_several(estimator, status))
		return false;
	if (list == NULL || list->kind != PICKLE_LIST || list->as.items->n == 0 ||
		list->as.items->n > CONFIG_MAX_LABELS)
		return refuse(status, "the classifier has no estimators_, or too many");
	for (size_t i = 0; i < list->as.items->n; i++)
	{
		const Estimator *one = estimator_value(&list->as.items->values[i]);
		Regression regression;
		char number[24];

		if (one == NULL || one->kind != ESTIMATOR_LOGISTIC)
			return refuse(status, "estimator %zu is no logistic regression", i);
		if (!take_regression(one, &regression, status))
			return false;
		if (i == 0)
		{
			head->several = head->numbered = true;
			head->n_labels = (int) list->as.items->n;
			head->n_features = (int) regression.weight->shape[1];
			if (!allocate(arena, head, status))
				return false;
		}
		if (!says_yes_or_no(regression.classes) ||
			regression.weight->shape[1] != (size_t) head->n_features)
			return refuse(status, "estimator %zu does not say yes or no to a label", i);
		snprintf(number, sizeof number, "%zu", i);
		head->classes[i] = arena_strdup(arena, number);
		if (head->classes[i] == NULL)
			return arena_fail(arena, status, "a class", sizeof number);
		if (!take_row(&regression, 0, head, i, status))
			return false;
	}
	return true;
}

bool
logistic_head_read(Arena *arena, ByteSource *file, LogisticHead *head, Status *status)
{
	const Estimator *estimator;
	PickleValue root;

	memset(head, 0, sizeof *head);
	if (!numpy_pickle_read(arena, file, &root, status))
		return false;
	estimator = estimator_value(&root);
	if (estimator == NULL || estimator->kind == ESTIMATOR_BINARIZER)
		return refuse(status, "the pickle holds %s, not a classifier", pickle_kind_name(root.kind));
	return estimator->kind == ESTIMATOR_LOGISTIC ? read_regression(arena, estimator, head, status)
												 : read_several(arena, estimator, head, status);
}
