/* numpy_pickle.c: what a pickle of arrays and estimators may call, and what that makes. */
#include "files/numpy_pickle.h"

#include <string.h>

#include "core/checked.h"

#define MAX_NESTED 4       /* pickles inside the pickle: arrays of objects */
#define MAX_ITEM (1 << 16) /* of an element, as its dtype says */
#define MAX_ALIGNMENT 0xFF /* bytes before an array */

typedef enum NumpyGlobal
{
	GLOBAL_LOGISTIC,
	GLOBAL_LOGISTIC_OLD,
	GLOBAL_ONE_VS_REST,
	GLOBAL_MULTI_OUTPUT,
	GLOBAL_BINARIZER,
	GLOBAL_BINARIZER_OLD,
	GLOBAL_WRAPPER,
	GLOBAL_WRAPPER_OLD,
	GLOBAL_NDARRAY,
	GLOBAL_DTYPE,
	GLOBAL_RECONSTRUCT,
	GLOBAL_RECONSTRUCT_OLD,
	GLOBAL_SCALAR,
	GLOBAL_SCALAR_OLD,
	GLOBAL_ENCODE
} NumpyGlobal;

static const PickleGlobal globals[] = {
	{"sklearn.linear_model._logistic", "LogisticRegression"},
	{"sklearn.linear_model.logistic", "LogisticRegression"},
	{"sklearn.multiclass", "OneVsRestClassifier"},
	{"sklearn.multioutput", "MultiOutputClassifier"},
	{"sklearn.preprocessing._label", "LabelBinarizer"},
	{"sklearn.preprocessing.label", "LabelBinarizer"},
	{"joblib.numpy_pickle", "NumpyArrayWrapper"},
	{"sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper"},
	{"numpy", "ndarray"},
	{"numpy", "dtype"},
	{"numpy._core.multiarray", "_reconstruct"},
	{"numpy.core.multiarray", "_reconstruct"},
	{"numpy._core.multiarray", "scalar"},
	{"numpy.core.multiarray", "scalar"},
	{"_codecs", "encode"},
};

/* What a reading remembers beside its values. */
typedef struct Nesting
{
	bool inside;
	int n;
} Nesting;

const char logistic_head_hint[] =
	"Read are scikit-learn's LogisticRegression, and OneVsRestClassifier or MultiOutputClassifier "
	"of it for several labels. Nothing in a file is ever executed.";

#define unexpected(machine, what)                                                  \
	(status_set((machine)->status, STATUS_UNSUPPORTED, "the pickle has %s", what), \
	 status_hint((machine)->status, "%s", logistic_head_hint))

/* --- Values --- */

const PickleValue *
estimator_member(const Estimator *estimator, const char *name)
{
	const PickleValue *found = NULL;

	for (size_t i = 0; estimator->members != NULL && i + 1 < estimator->members->n; i += 2)
		if (pickle_is_text(&estimator->members->values[i], name))
			found = &estimator->members->values[i + 1];
	return found;
}

const NumpyArray *
numpy_array(const PickleValue *value)
{
	const NumpyArray *array =
		value != NULL && value->kind == PICKLE_OBJECT && value->tag == NUMPY_ARRAY
			? value->as.object
			: NULL;

	return array != NULL && array->filled ? array : NULL;
}

const Estimator *
estimator_value(const PickleValue *value)
{
	return value != NULL && value->kind == PICKLE_OBJECT && value->tag == NUMPY_ESTIMATOR
			   ? value->as.object
			   : NULL;
}

/* Where element i, row by row, lies; NULL for objects. */
static const unsigned char *
element(const NumpyArray *array, size_t i)
{
	if (array->bytes == NULL || array->dtype.big_endian)
		return NULL;
	if (array->by_columns && array->rank == 2)
		i = i % array->shape[1] * array->shape[0] + i / array->shape[1];
	return array->bytes + i * array->bytes_each;
}

bool
numpy_integer(const NumpyArray *array, size_t i, int64_t *out)
{
	const unsigned char *at = element(array, i);
	uint64_t bits = 0;

	if (array->objects != NULL)
	{
		*out = array->objects->values[i].as.integer;
		return array->objects->values[i].kind == PICKLE_INT;
	}
	if (at == NULL || strchr("iub", array->dtype.kind) == NULL || array->bytes_each > 8)
		return false;
	for (size_t b = array->bytes_each; b-- > 0;)
		bits = bits << 8 | at[b];
	if (array->dtype.kind == 'i' && array->bytes_each < 8 &&
		(at[array->bytes_each - 1] & 0x80) != 0)
		bits |= UINT64_MAX << (8 * array->bytes_each);
	*out = (int64_t) bits;
	return array->dtype.kind == 'i' || *out >= 0;
}

bool
numpy_number(const NumpyArray *array, size_t i, double *out)
{
	const unsigned char *at = element(array, i);
	float single;

	if (at == NULL || array->dtype.kind != 'f')
		return false;
	if (array->bytes_each == sizeof *out)
		memcpy(out, at, sizeof *out);
	else if (array->bytes_each == sizeof single)
	{
		memcpy(&single, at, sizeof single);
		*out = single;
	}
	else
		return false;
	return true;
}

/* --- Arrays --- */

static bool
take_shape(PickleMachine *machine, const PickleValue *value, NumpyArray *array)
{
	if (value == NULL || value->kind != PICKLE_TUPLE || value->as.items->n > NUMPY_MAX_RANK)
		return unexpected(machine, "an array of more than 2 dimensions");
	array->rank = (int) value->as.items->n;
	array->n = 1;
	for (int i = 0; i < array->rank; i++)
	{
		const PickleValue *size = &value->as.items->values[i];

		if (size->kind != PICKLE_INT || size->as.integer < 0 ||
			(uint64_t) size->as.integer > PICKLE_MAX_BYTES)
			return unexpected(machine, "an array with a size that is none");
		array->shape[i] = (size_t) size->as.integer;
		if (!size_mul(array->n, array->shape[i], &array->n) || array->n > PICKLE_MAX_BYTES)
			return unexpected(machine, "an array that is too large");
	}
	return true;
}

static bool
take_dtype(PickleMachine *machine, const PickleValue *value, NumpyArray *array)
{
	if (value == NULL || value->kind != PICKLE_OBJECT || value->tag != NUMPY_DTYPE)
		return unexpected(machine, "an array without a dtype");
	array->dtype = *(const NumpyDtype *) value->as.object;
	array->bytes_each = (size_t) array->dtype.size * (array->dtype.kind == 'U' ? 4 : 1);
	return true;
}

/* An array of objects: a pickle of its own inside this one. */
static bool
take_objects(PickleMachine *machine, NumpyArray *array)
{
	Nesting *nesting = machine->host->context;
	const NumpyArray *inner;
	PickleValue value;
	bool ok;

	if (nesting->inside || ++nesting->n > MAX_NESTED)
		return unexpected(machine, "arrays of objects in arrays of objects, or too many");
	nesting->inside = true;
	ok = pickle_read(machine->arena, machine->reader, machine->host, &value, machine->status);
	nesting->inside = false;
	if (!ok)
		return false;
	inner = numpy_array(&value);
	if (inner == NULL || inner->objects == NULL || inner->n != array->n)
		return unexpected(machine, "an array of objects that is none");
	array->objects = inner->objects;
	array->filled = true;
	return true;
}

/* The bytes of an array that joblib wrapped, which follow in the stream. */
static bool
take_bytes(PickleMachine *machine, bool aligned, NumpyArray *array)
{
	unsigned char padding[MAX_ALIGNMENT];
	unsigned char skip = 0;
	unsigned char *bytes;
	size_t size;

	if (aligned && (!pickle_reader_take(machine->reader, &skip, 1, machine->status) ||
					!pickle_reader_take(machine->reader, padding, skip, machine->status)))
		return false;
	if (!size_mul(array->n, array->bytes_each, &size) ||
		size > machine->reader->end - machine->reader->at)
		return status_fail(machine->status, STATUS_INVALID_DATA, "an array is cut off");
	bytes = pickle_object(machine, size + 1);
	if (bytes == NULL || !pickle_reader_take(machine->reader, bytes, size, machine->status))
		return false;
	array->bytes = bytes;
	array->filled = true;
	return true;
}

/* joblib's wrapper: {"subclass", "shape", "order", "dtype", ..., "numpy_array_alignment_bytes"} */
static bool
build_wrapped(PickleMachine *machine, NumpyArray *array, const PickleValue *state)
{
	Estimator members = {.members = state->kind == PICKLE_DICT ? state->as.items : NULL};
	const PickleValue *subclass = estimator_member(&members, "subclass");
	const PickleValue *order = estimator_member(&members, "order");
	const PickleValue *alignment = estimator_member(&members, "numpy_array_alignment_bytes");

	if (subclass == NULL || subclass->kind != PICKLE_GLOBAL || subclass->tag != GLOBAL_NDARRAY ||
		order == NULL || (!pickle_is_text(order, "C") && !pickle_is_text(order, "F")))
		return unexpected(machine, "an array of a class of its own");
	array->by_columns = pickle_is_text(order, "F");
	if (!take_shape(machine, estimator_member(&members, "shape"), array) ||
		!take_dtype(machine, estimator_member(&members, "dtype"), array))
		return false;
	if (array->dtype.kind == 'O')
		return take_objects(machine, array);
	return take_bytes(machine, alignment != NULL && alignment->kind == PICKLE_INT, array);
}

/* numpy's own: ([version,] shape, dtype, by columns, bytes or a list) */
static bool
build_plain(PickleMachine *machine, NumpyArray *array, const PickleValue *state)
{
	const PickleSequence *parts = state->kind == PICKLE_TUPLE ? state->as.items : NULL;
	const PickleValue *last;
	size_t size;

	if (parts == NULL || parts->n < 4 || parts->n > 5 ||
		!take_shape(machine, &parts->values[parts->n - 4], array) ||
		!take_dtype(machine, &parts->values[parts->n - 3], array))
		return parts != NULL && parts->n >= 4 && parts->n <= 5
				   ? false
				   : unexpected(machine, "an array that is none");
	last = &parts->values[parts->n - 1];
	array->by_columns = parts->values[parts->n - 2].as.integer != 0;
	array->filled = true;
	if (array->dtype.kind == 'O' && last->kind == PICKLE_LIST && last->as.items->n == array->n)
	{
		array->objects = last->as.items;
		return true;
	}
	if (last->kind != PICKLE_BYTES || array->dtype.kind == 'O' ||
		!size_mul(array->n, array->bytes_each, &size) || last->as.string->length != size)
		return unexpected(machine, "an array whose bytes are not as many as its elements need");
	array->bytes = (const unsigned char *) last->as.string->bytes;
	return true;
}

/* ('f8', False, True): the byte order comes with BUILD */
static bool
make_dtype(PickleMachine *machine, const PickleSequence *arguments, PickleValue *result)
{
	const PickleString *text;
	NumpyDtype *dtype;
	size_t at = 1;

	if (arguments->n < 1 || arguments->values[0].kind != PICKLE_TEXT ||
		arguments->values[0].as.string->length == 0)
		return unexpected(machine, "a dtype without a name");
	text = arguments->values[0].as.string;
	dtype = pickle_object(machine, sizeof *dtype);
	if (dtype == NULL)
		return false;
	dtype->kind = text->bytes[0];
	while (at < text->length && text->bytes[at] >= '0' && text->bytes[at] <= '9' &&
		   dtype->size < MAX_ITEM)
		dtype->size = dtype->size * 10 + (text->bytes[at++] - '0');
	if (at < text->length || dtype->size == 0 || dtype->size >= MAX_ITEM ||
		strchr("fiubUOSVcmM", dtype->kind) == NULL)
		return unexpected(machine, "a dtype that is not known");
	*result = (PickleValue){.kind = PICKLE_OBJECT, .tag = NUMPY_DTYPE, .as.object = dtype};
	return true;
}

static bool
make_array(PickleMachine *machine, bool wrapped, PickleValue *result)
{
	NumpyArray *array = pickle_object(machine, sizeof *array);

	if (array == NULL)
		return false;
	array->wrapped = wrapped;
	*result = (PickleValue){.kind = PICKLE_OBJECT, .tag = NUMPY_ARRAY, .as.object = array};
	return true;
}

/* _codecs.encode(text, 'latin1'): how protocol 2 writes bytes. */
static bool
make_bytes(PickleMachine *machine, const PickleSequence *arguments, PickleValue *result)
{
	const PickleString *text;
	PickleString *made;
	char *out;

	if (arguments->n != 2 || arguments->values[0].kind != PICKLE_TEXT ||
		!pickle_is_text(&arguments->values[1], "latin1"))
		return unexpected(machine, "bytes that are no latin1");
	text = arguments->values[0].as.string;
	made = pickle_object(machine, sizeof *made + text->length + 1);
	if (made == NULL)
		return false;
	out = (char *) (made + 1);
	for (size_t i = 0; i < text->length; i++)
	{
		unsigned char byte = (unsigned char) text->bytes[i];

		if (byte >= 0x80)
		{
			/* a character up to U+00FF has two bytes, the first C2 or C3; a zero ends the text */
			if ((byte != 0xC2 && byte != 0xC3) || ((unsigned char) text->bytes[i + 1] >> 6) != 2)
				return unexpected(machine, "bytes that are no latin1");
			byte = (unsigned char) (byte << 6 | ((unsigned char) text->bytes[++i] & 0x3F));
		}
		out[made->length++] = (char) byte;
	}
	made->bytes = out;
	*result = (PickleValue){.kind = PICKLE_BYTES, .as.string = made};
	return true;
}

/* --- The host --- */

static bool
make_estimator(PickleMachine *machine, EstimatorKind kind, PickleValue *result)
{
	Estimator *estimator = pickle_object(machine, sizeof *estimator);

	if (estimator == NULL)
		return false;
	estimator->kind = kind;
	*result = (PickleValue){.kind = PICKLE_OBJECT, .tag = NUMPY_ESTIMATOR, .as.object = estimator};
	return true;
}

static bool
call(PickleMachine *machine, int global, const PickleSequence *arguments, PickleValue *result)
{
	switch ((NumpyGlobal) global)
	{
		case GLOBAL_LOGISTIC:
		case GLOBAL_LOGISTIC_OLD:
			return make_estimator(machine, ESTIMATOR_LOGISTIC, result);
		case GLOBAL_ONE_VS_REST:
			return make_estimator(machine, ESTIMATOR_ONE_VS_REST, result);
		case GLOBAL_MULTI_OUTPUT:
			return make_estimator(machine, ESTIMATOR_MULTI_OUTPUT, result);
		case GLOBAL_BINARIZER:
		case GLOBAL_BINARIZER_OLD:
			return make_estimator(machine, ESTIMATOR_BINARIZER, result);
		case GLOBAL_WRAPPER:
		case GLOBAL_WRAPPER_OLD:
			return make_array(machine, true, result);
		case GLOBAL_RECONSTRUCT:
		case GLOBAL_RECONSTRUCT_OLD:
			return make_array(machine, false, result);
		case GLOBAL_DTYPE:
			return make_dtype(machine, arguments, result);
		case GLOBAL_ENCODE:
			return make_bytes(machine, arguments, result);
		case GLOBAL_SCALAR: /* a setting as one number */
		case GLOBAL_SCALAR_OLD:
			*result = (PickleValue){.kind = PICKLE_NONE};
			return true;
		case GLOBAL_NDARRAY:
			break;
	}
	return unexpected(machine, "an array made in an unknown way");
}

static bool
build(PickleMachine *machine, PickleValue *object, const PickleValue *state)
{
	NumpyArray *array;

	if (object->tag == NUMPY_DTYPE)
	{
		const PickleSequence *parts = state->kind == PICKLE_TUPLE ? state->as.items : NULL;

		if (parts == NULL || parts->n < 2)
			return unexpected(machine, "a dtype with a state that is none");
		((NumpyDtype *) object->as.object)->big_endian = pickle_is_text(&parts->values[1], ">");
		return true;
	}
	if (object->tag == NUMPY_ESTIMATOR)
	{
		if (state->kind != PICKLE_DICT)
			return unexpected(machine, "an estimator with a state that is none");
		((Estimator *) object->as.object)->members = state->as.items;
		return true;
	}
	array = object->as.object;
	if (array->filled)
		return unexpected(machine, "an array that is filled twice");
	return array->wrapped ? build_wrapped(machine, array, state)
						  : build_plain(machine, array, state);
}

bool
numpy_pickle_read(Arena *arena, ByteSource *file, PickleValue *root, Status *status)
{
	Nesting nesting = {0};
	PickleHost host = {.globals = globals,
					   .n_globals = sizeof globals / sizeof globals[0],
					   .call = call,
					   .build = build,
					   .purpose = "a logistic regression",
					   .hint = logistic_head_hint,
					   .context = &nesting};
	PickleReader *reader = arena_alloc(arena, sizeof *reader);

	if (reader == NULL)
		return arena_fail(arena, status, "a pickle", sizeof *reader);
	pickle_reader_init(reader, file, 0);
	return pickle_read(arena, reader, &host, root, status);
}
