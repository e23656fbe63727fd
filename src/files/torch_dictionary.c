/* torch_dictionary.c: names, storages and tensors of a pickle; views checked against storages. */
#include "files/torch_dictionary.h"

#include <stdlib.h>
#include <string.h>

#define MAX_KEY_DIGITS 19
#define QUESTION_STEP 1024 /* tensors between two questions */

/* The tags of what is made here. */
typedef enum ObjectTag
{
	OBJECT_STORAGE, /* TorchStorage */
	OBJECT_TENSOR   /* View */
} ObjectTag;

/* A tensor: a view of a storage, counted in elements. */
typedef struct View
{
	TorchStorage *storage;
	uint64_t offset;
	int rank;
	int64_t shape[CHECKPOINT_MAX_RANK];
	int64_t strides[CHECKPOINT_MAX_RANK];
} View;

typedef enum TorchGlobal
{
	GLOBAL_ORDERED_DICT,
	GLOBAL_TENSOR,
	GLOBAL_TENSOR_V2,
	GLOBAL_PARAMETER,
	GLOBAL_STORAGE /* and all that follow */
} TorchGlobal;

static const PickleGlobal globals[] = {
	{"collections", "OrderedDict"},
	{"torch._utils", "_rebuild_tensor"},
	{"torch._utils", "_rebuild_tensor_v2"},
	{"torch._utils", "_rebuild_parameter"},
	{"torch", "FloatStorage"},
	{"torch", "HalfStorage"},
	{"torch", "BFloat16Storage"},
	{"torch", "DoubleStorage"},
	{"torch", "LongStorage"},
	{"torch", "IntStorage"},
	{"torch", "ShortStorage"},
	{"torch", "CharStorage"},
	{"torch", "ByteStorage"},
	{"torch", "BoolStorage"},
};

/* of the storage classes above */
static const char *const storage_dtypes[] = {"F32", "F16", "BF16", "F64", "I64",
											 "I32", "I16", "I8",   "U8",  "BOOL"};

const char torch_save_hint[] =
	"Only a dictionary of tensors is read, and nothing in a file is ever executed. In Python: "
	"torch.save(model.state_dict(), \"pytorch_model.bin\"), or model.save_pretrained(directory).";

#define unexpected(machine, what)                                                  \
	(status_set((machine)->status, STATUS_UNSUPPORTED, "the pickle has %s", what), \
	 status_hint((machine)->status, "%s", torch_save_hint))

/* --- Storages --- */

static bool
add_storage(TorchDictionary *dictionary, TorchStorage *storage)
{
	if (dictionary->n_storages == CHECKPOINT_MAX_TENSORS)
		return status_fail(dictionary->status, STATUS_LIMIT,
						   "the pickle refers to more than %d storages", CHECKPOINT_MAX_TENSORS);
	if (dictionary->n_storages == dictionary->capacity)
	{
		size_t capacity = dictionary->capacity == 0 ? 256 : dictionary->capacity * 2;
		TorchStorage **storages =
			arena_alloc_array(dictionary->arena, capacity, sizeof(TorchStorage *));

		if (storages == NULL)
			return arena_fail(dictionary->arena, dictionary->status, "the storages",
							  capacity * sizeof *storages);
		if (dictionary->n_storages > 0)
			memcpy(storages, dictionary->storages, dictionary->n_storages * sizeof *storages);
		dictionary->storages = storages;
		dictionary->capacity = capacity;
	}
	dictionary->storages[dictionary->n_storages++] = storage;
	return true;
}

/* Decimal digits: torch.save counts storages, or prints their addresses. */
bool
torch_storage_key(const PickleValue *value, uint64_t *key)
{
	const PickleString *text = value->as.string;

	if ((value->kind != PICKLE_TEXT && value->kind != PICKLE_BYTES) || text->length == 0 ||
		text->length > MAX_KEY_DIGITS || (text->bytes[0] == '0' && text->length > 1))
		return false;
	*key = 0;
	for (size_t i = 0; i < text->length; i++)
	{
		if (text->bytes[i] < '0' || text->bytes[i] > '9')
			return false;
		*key = *key * 10 + (uint64_t) (text->bytes[i] - '0');
	}
	return true;
}

static bool
is_word(const PickleValue *value, const char *word)
{
	PickleValue text = *value;

	if (text.kind == PICKLE_BYTES) /* Python 2 */
		text.kind = PICKLE_TEXT;
	return pickle_is_text(&text, word);
}

/* ('storage', class, key, location, elements[, view]) */
static bool
persistent(PickleMachine *machine, const PickleValue *id, PickleValue *result)
{
	const PickleValue *parts = id->kind == PICKLE_TUPLE ? id->as.items->values : NULL;
	TorchStorage *storage;

	if (parts == NULL || id->as.items->n < 5 || id->as.items->n > 6 ||
		!is_word(&parts[0], "storage") || parts[1].kind != PICKLE_GLOBAL ||
		parts[1].tag < GLOBAL_STORAGE || parts[4].kind != PICKLE_INT || parts[4].as.integer < 0)
		return unexpected(machine, "a reference that is not one to a storage");
	if (id->as.items->n == 6 && parts[5].kind != PICKLE_NONE)
		return unexpected(machine, "a view of a storage, as PyTorch before 0.4 made them");
	storage = pickle_object(machine, sizeof *storage);
	if (storage == NULL)
		return false;
	if (!torch_storage_key(&parts[2], &storage->key))
		return unexpected(machine, "a storage whose name is no number");
	storage->dtype = dtype_find(storage_dtypes[parts[1].tag - GLOBAL_STORAGE]);
	storage->elements = (uint64_t) parts[4].as.integer;
	if (storage->elements > (UINT64_C(1) << 62) / storage->dtype->bytes)
		return unexpected(machine, "a storage of more bytes than there can be");
	*result = (PickleValue){.kind = PICKLE_OBJECT, .tag = OBJECT_STORAGE, .as.object = storage};
	return add_storage(machine->host->context, storage);
}

/* --- Calls --- */

/* OrderedDict(), or of a list of pairs, as Python 2 pickles them. */
static bool
make_dictionary(PickleMachine *machine, const PickleSequence *arguments, PickleValue *result)
{
	const PickleSequence *pairs;

	if (!pickle_new(machine, PICKLE_DICT, result))
		return false;
	if (arguments->n == 0)
		return true;
	if (arguments->n > 1 || arguments->values[0].kind != PICKLE_LIST)
		return unexpected(machine, "an OrderedDict of something else than a list");
	pairs = arguments->values[0].as.items;
	for (size_t i = 0; i < pairs->n; i++)
	{
		const PickleValue *pair = &pairs->values[i];

		if ((pair->kind != PICKLE_LIST && pair->kind != PICKLE_TUPLE) || pair->as.items->n != 2)
			return unexpected(machine, "an OrderedDict of something else than pairs");
		if (!pickle_append(machine, result->as.items, pair->as.items->values, 2))
			return false;
	}
	return true;
}

/* A tuple of sizes; strides may not be negative either. */
static bool
take_sizes(const PickleValue *value, int rank, int64_t *out)
{
	if (value->kind != PICKLE_TUPLE || value->as.items->n != (size_t) rank)
		return false;
	for (int i = 0; i < rank; i++)
	{
		const PickleValue *size = &value->as.items->values[i];

		if (size->kind != PICKLE_INT || size->as.integer < 0)
			return false;
		out[i] = size->as.integer;
	}
	return true;
}

static bool
is_nothing(const PickleValue *value)
{
	return value->kind == PICKLE_NONE || (value->kind == PICKLE_DICT && value->as.items->n == 0);
}

/* (storage, offset, sizes, strides[, requires_grad, hooks[, metadata]]) */
static bool
make_tensor(PickleMachine *machine, const PickleSequence *arguments, PickleValue *result)
{
	TorchDictionary *dictionary = machine->host->context;
	const PickleValue *values = arguments->values;
	View *view;

	if (arguments->n < 4 || arguments->n > 7 || values[0].kind != PICKLE_OBJECT ||
		values[0].tag != OBJECT_STORAGE || values[1].kind != PICKLE_INT ||
		values[1].as.integer < 0 || values[2].kind != PICKLE_TUPLE)
		return unexpected(machine, "a tensor that is no view of a storage");
	if (values[2].as.items->n > CHECKPOINT_MAX_RANK)
		return unexpected(machine, "a tensor of more than 8 dimensions");
	if ((arguments->n > 5 && !is_nothing(&values[5])) ||
		(arguments->n > 6 && !is_nothing(&values[6])))
		return unexpected(machine, "a tensor with hooks or metadata");
	if (++dictionary->n_tensors > CHECKPOINT_MAX_TENSORS)
		return status_fail(machine->status, STATUS_LIMIT, "the pickle has more than %d tensors",
						   CHECKPOINT_MAX_TENSORS);
	view = pickle_object(machine, sizeof *view);
	if (view == NULL)
		return false;
	view->storage = values[0].as.object;
	view->offset = (uint64_t) values[1].as.integer;
	view->rank = (int) values[2].as.items->n;
	if (!take_sizes(&values[2], view->rank, view->shape))
		return unexpected(machine, "a tensor with a size that is none");
	if (!take_sizes(&values[3], view->rank, view->strides))
		return unexpected(machine, "a tensor with a stride that is none, or negative");
	*result = (PickleValue){.kind = PICKLE_OBJECT, .tag = OBJECT_TENSOR, .as.object = view};
	return true;
}

static bool
call(PickleMachine *machine, int global, const PickleSequence *arguments, PickleValue *result)
{
	switch (global)
	{
		case GLOBAL_ORDERED_DICT:
			return make_dictionary(machine, arguments, result);
		case GLOBAL_TENSOR:
		case GLOBAL_TENSOR_V2:
			return make_tensor(machine, arguments, result);
		case GLOBAL_PARAMETER:
			if (arguments->n < 1 || arguments->values[0].kind != PICKLE_OBJECT ||
				arguments->values[0].tag != OBJECT_TENSOR)
				return unexpected(machine, "a parameter that is no tensor");
			*result = arguments->values[0];
			return true;
		default:
			return unexpected(machine, "a call of a storage's class");
	}
}

static bool
no_call(PickleMachine *machine, int global, const PickleSequence *arguments, PickleValue *result)
{
	(void) global;
	(void) arguments;
	*result = (PickleValue){.kind = PICKLE_NONE};
	return unexpected(machine, "a call");
}

const PickleHost torch_plain_values = {
	.call = no_call, .purpose = "torch.save's header", .hint = torch_save_hint};

static int
compare_key(const void *a, const void *b)
{
	const TorchStorage *left = *(const TorchStorage *const *) a;
	const TorchStorage *right = *(const TorchStorage *const *) b;

	return (left->key > right->key) - (left->key < right->key);
}

bool
torch_dictionary_read(Arena *arena, PickleReader *reader, TorchDictionary *dictionary,
					  Status *status)
{
	PickleHost host = {.globals = globals,
					   .n_globals = sizeof globals / sizeof globals[0],
					   .call = call,
					   .persistent = persistent,
					   .purpose = "a dictionary of tensors",
					   .hint = torch_save_hint,
					   .context = dictionary};

	memset(dictionary, 0, sizeof *dictionary);
	dictionary->arena = arena;
	dictionary->status = status;
	if (!pickle_read(arena, reader, &host, &dictionary->root, status))
		return false;
	if (dictionary->n_storages > 1)
		qsort(dictionary->storages, dictionary->n_storages, sizeof(TorchStorage *), compare_key);
	for (size_t i = 1; i < dictionary->n_storages; i++)
	{
		const TorchStorage *one = dictionary->storages[i - 1];
		const TorchStorage *other = dictionary->storages[i];

		if (one->key == other->key &&
			(one->dtype != other->dtype || one->elements != other->elements))
			return status_fail(status, STATUS_INVALID_DATA,
							   "storage %llu has two dtypes or two sizes",
							   (unsigned long long) one->key);
	}
	return true;
}

/* --- Tensors --- */

/* Whether elements lie one after the other. */
static bool
is_contiguous(const View *view)
{
	uint64_t expected = 1;

	for (int i = view->rank - 1; i >= 0; i--)
	{
		if (view->shape[i] != 1 && (uint64_t) view->strides[i] != expected)
			return false;
		expected *= (uint64_t) view->shape[i]; /* the elements: counted before, without overflow */
	}
	return true;
}

/* Elements, and that the last of them is in the storage. */
static bool
check_view(const View *view, CheckpointTensor *tensor, Status *status)
{
	uint64_t last = view->offset;

	tensor->elements = 1;
	for (int i = 0; i < view->rank; i++)
		if (__builtin_mul_overflow(tensor->elements, (uint64_t) view->shape[i], &tensor->elements))
			return status_fail(status, STATUS_INVALID_DATA,
							   "tensor \"%.100s\" has more elements than 64 bits can count",
							   tensor->name);
	if (tensor->elements == 0)
		return true;
	for (int i = 0; i < view->rank; i++)
	{
		uint64_t step;

		if (__builtin_mul_overflow((uint64_t) view->shape[i] - 1, (uint64_t) view->strides[i],
								   &step) ||
			__builtin_add_overflow(last, step, &last))
			last = UINT64_MAX;
		if (last == UINT64_MAX)
			break;
	}
	return last < view->storage->elements ||
		   status_fail(status, STATUS_INVALID_DATA, "tensor \"%.100s\" lies outside its storage",
					   tensor->name);
}

static bool
make_entry(const TorchDictionary *dictionary, const View *view, ByteSource *source,
		   CheckpointTensor *tensor, Status *status)
{
	const TorchStorage *storage = view->storage;
	size_t bytes = storage->dtype->bytes;

	tensor->dtype = storage->dtype->dtype;
	tensor->dtype_name = storage->dtype->name;
	tensor->rank = view->rank;
	memcpy(tensor->shape, view->shape, sizeof tensor->shape);
	if (!check_view(view, tensor, status))
		return false;
	tensor->source = source;
	tensor->offset = tensor->elements == 0 ? 0 : storage->offset + view->offset * bytes;
	tensor->bytes = tensor->elements * bytes;
	if (tensor->elements == 0)
		return true;
	if (!is_contiguous(view))
	{
		int64_t *strides = arena_alloc(dictionary->arena, sizeof view->strides);

		if (strides == NULL)
			return arena_fail(dictionary->arena, status, "strides", sizeof view->strides);
		memcpy(strides, view->strides, sizeof view->strides);
		tensor->strides = strides;
	}
	else if (tensor->elements == storage->elements)
		tensor->checksum = storage->checksum;
	return true;
}

/* A tensor's name: printable ASCII, as Python's names of modules and parameters are. */
static bool
take_name(const PickleValue *key, CheckpointTensor *tensor, Status *status)
{
	const PickleString *text = key->as.string;

	if (key->kind != PICKLE_TEXT && key->kind != PICKLE_BYTES)
		return status_fail(status, STATUS_UNSUPPORTED, "a member of the dictionary is named by %s",
						   pickle_kind_name(key->kind)) ||
			   status_hint(status, "%s", torch_save_hint);
	if (text->length == 0 || text->length > CHECKPOINT_MAX_NAME)
		return status_fail(status, STATUS_INVALID_DATA,
						   "a tensor's name has %zu bytes, not 1 to %d", text->length,
						   CHECKPOINT_MAX_NAME);
	for (size_t i = 0; i < text->length; i++)
		if (text->bytes[i] <= ' ' || text->bytes[i] > '~')
			return status_fail(status, STATUS_INVALID_DATA,
							   "the name \"%.100s\" has characters that a tensor's name has not",
							   text->bytes);
	tensor->name = text->bytes;
	return true;
}

/* The dictionary itself, or its member "state_dict". */
static const PickleSequence *
find_state(const TorchDictionary *dictionary, Status *status)
{
	const PickleSequence *members = dictionary->root.as.items;

	if (dictionary->root.kind != PICKLE_DICT)
	{
		status_fail(status, STATUS_UNSUPPORTED, "the pickle holds %s, not a dictionary of tensors",
					pickle_kind_name(dictionary->root.kind));
		status_hint(status, "%s", torch_save_hint);
		return NULL;
	}
	for (size_t i = 0; i < members->n; i += 2)
		if (is_word(&members->values[i], "state_dict") &&
			members->values[i + 1].kind == PICKLE_DICT)
			return members->values[i + 1].as.items;
	return members;
}

static void
remove_wrapper(Checkpoint *part)
{
	static const char prefix[] = "module.";
	size_t length = sizeof prefix - 1;

	for (size_t i = 0; i < part->n_tensors; i++)
		if (strncmp(part->tensors[i].name, prefix, length) != 0 ||
			part->tensors[i].name[length] == '\0')
			return;
	for (size_t i = 0; i < part->n_tensors; i++)
		part->tensors[i].name += length;
}

bool
torch_dictionary_tensors(const TorchDictionary *dictionary, ByteSource *source, Checkpoint *part,
						 Status *status)
{
	const PickleSequence *members = find_state(dictionary, status);
	size_t n;

	if (members == NULL)
		return false;
	n = members->n / 2;
	if (n > CHECKPOINT_MAX_TENSORS)
		return status_fail(status, STATUS_LIMIT, "the dictionary has %zu members, more than %d", n,
						   CHECKPOINT_MAX_TENSORS);
	part->n_tensors = n;
	part->tensors = arena_alloc_array_zero(dictionary->arena, n, sizeof *part->tensors);
	if (part->tensors == NULL)
		return arena_fail(dictionary->arena, status, "the table of tensors",
						  n * sizeof *part->tensors);
	for (size_t i = 0; i < n; i++)
	{
		const PickleValue *value = &members->values[2 * i + 1];
		CheckpointTensor *tensor = &part->tensors[i];

		if (i % QUESTION_STEP == 0 && !arena_may_continue(dictionary->arena, status))
			return false;
		if (!take_name(&members->values[2 * i], tensor, status))
			return false;
		if (value->kind != PICKLE_OBJECT || value->tag != OBJECT_TENSOR)
			return status_fail(status, STATUS_UNSUPPORTED, "member \"%.100s\" is %s, not a tensor",
							   tensor->name, pickle_kind_name(value->kind)) ||
				   status_hint(status, "%s", torch_save_hint);
		if (!make_entry(dictionary, value->as.object, source, tensor, status))
			return false;
	}
	remove_wrapper(part);
	return true;
}
