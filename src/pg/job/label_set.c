/* label_set.c: the distinct labels of a data set, found while it is read. */
#include "pg/server/compat.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "pg/job/task_query.h"

typedef struct LabelEntry
{
	const char *label; /* the key: a pointer whose text is compared */
	int id;
} LabelEntry;

struct LabelSet
{
	MemoryContext context;
	bool numeric;
	HTAB *table;
	int count;
	int capacity;
	const char **names;
};

static uint32
label_hash(const void *key, Size size)
{
	const char *label = *(const char *const *) key;

	return hash_bytes((const unsigned char *) label, (int) strlen(label));
}

static int
label_match(const void *a, const void *b, Size size)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

LabelSet *
label_set_create(MemoryContext context, bool numeric)
{
	LabelSet *set = MemoryContextAllocZero(context, sizeof *set);
	HASHCTL control = {0};

	set->context = context;
	set->numeric = numeric;
	set->capacity = 64;
	set->names = MemoryContextAlloc(context, (Size) set->capacity * sizeof *set->names);
	control.keysize = sizeof(const char *);
	control.entrysize = sizeof(LabelEntry);
	control.hash = label_hash;
	control.match = label_match;
	control.hcxt = context;
	set->table = hash_create("bert labels", 64, &control,
							 HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	return set;
}

void
label_set_add(LabelSet *set, const char *label)
{
	LabelEntry *entry;

	if (hash_search(set->table, &label, HASH_FIND, NULL) != NULL)
		return;
	if (set->count == CONFIG_MAX_LABELS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("there are more than %d different labels", CONFIG_MAX_LABELS),
						errhint("For numbers to be predicted as such use the task regression.")));
	if (set->count == set->capacity)
	{
		set->capacity *= 2;
		set->names = repalloc(set->names, (Size) set->capacity * sizeof *set->names);
	}
	label = MemoryContextStrdup(set->context, label);
	entry = hash_search(set->table, &label, HASH_ENTER, NULL);
	entry->id = set->count;
	set->names[set->count++] = label;
}

void
label_set_add_row(LabelSet *set, TrainTask task, const TaskRow *row)
{
	if (row->item_labels != NULL)
	{
		for (size_t i = 0; i < row->n_item_labels; i++)
			if (row->item_labels[i] != NULL)
				label_set_add(set, row->item_labels[i]);
	}
	else if (task == TRAIN_SEQUENCE_CLASSIFICATION || task == TRAIN_EMBEDDING)
		label_set_add(set, row->label);
}

static int
compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static int
compare_number(const void *a, const void *b)
{
	long long left = strtoll(*(const char *const *) a, NULL, 10);
	long long right = strtoll(*(const char *const *) b, NULL, 10);

	return (left > right) - (left < right);
}

/* Ids follow the order of names. */
static void
number_names(LabelSet *set)
{
	for (int i = 0; i < set->count; i++)
	{
		LabelEntry *entry = hash_search(set->table, &set->names[i], HASH_FIND, NULL);

		entry->id = i;
	}
}

int
label_set_sort(LabelSet *set)
{
	qsort(set->names, (size_t) set->count, sizeof *set->names,
		  set->numeric ? compare_number : compare_text);
	number_names(set);
	return set->count;
}

static bool
is_number(const char *label)
{
	size_t digits = strspn(label + (label[0] == '-'), "0123456789");

	return digits > 0 && label[(label[0] == '-') + digits] == '\0';
}

/* Another label that means the same class; one that is there already keeps its meaning. */
static void
add_alias(LabelSet *set, const char *label, int id)
{
	LabelEntry *entry;
	bool found;

	if (hash_search(set->table, &label, HASH_FIND, NULL) != NULL)
		return;
	label = MemoryContextStrdup(set->context, label);
	entry = hash_search(set->table, &label, HASH_ENTER, &found);
	entry->id = id;
}

LabelSet *
label_set_of_model(MemoryContext context, bool numeric, const BertConfig *config)
{
	LabelSet *set = label_set_create(context, false);
	int n = config->num_labels;

	set->names = MemoryContextAlloc(context, (Size) Max(n, 1) * sizeof *set->names);
	set->count = set->capacity = n;
	for (int i = 0; i < n; i++)
	{
		set->names[i] = MemoryContextStrdup(context, config->id2label[i]);
		add_alias(set, set->names[i], i);
		numeric = numeric && !is_number(set->names[i]);
	}
	for (int i = 0; numeric && i < n; i++)
		add_alias(set, psprintf("%d", i), i);
	return set;
}

const char *
label_set_missing(const LabelSet *model, const LabelSet *data)
{
	for (int i = 0; i < data->count; i++)
		if (label_set_id(model, data->names[i]) < 0)
			return data->names[i];
	return NULL;
}

int
label_set_count(const LabelSet *set)
{
	return set->count;
}

const char *const *
label_set_names(const LabelSet *set)
{
	return set->names;
}

int
label_set_id(const LabelSet *set, const char *label)
{
	LabelEntry *entry = hash_search(set->table, &label, HASH_FIND, NULL);

	return entry == NULL ? -1 : entry->id;
}

const char *
label_set_mark(const LabelSet *set, const TaskRow *row, float *values)
{
	memset(values, 0, (Size) set->count * sizeof *values);
	for (size_t i = 0; i < row->n_item_labels; i++)
	{
		int id = label_set_id(set, row->item_labels[i]);

		if (id < 0)
			return row->item_labels[i];
		values[id] = 1;
	}
	return NULL;
}

bool
label_set_shares(const LabelSet *data, const BertConfig *config)
{
	for (int i = 0; i < config->num_labels; i++)
		if (label_set_id(data, config->id2label[i]) >= 0)
			return true;
	return false;
}

char *
label_set_extend(LabelSet *set, const LabelSet *data)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < data->count; i++)
	{
		const char *label = data->names[i];

		if (label_set_id(set, label) >= 0)
			continue;
		label_set_add(set, label);
		appendStringInfo(&names, "%s\"%s\"", names.len == 0 ? "" : ", ",
						 pg_any_to_server(label, (int) strlen(label), PG_UTF8));
	}
	return names.data;
}

bool
label_set_is_of(const LabelSet *set, const BertConfig *config)
{
	if (set->count != config->num_labels)
		return false;
	for (int i = 0; i < set->count; i++)
		if (strcmp(set->names[i], config->id2label[i]) != 0)
			return false;
	return true;
}
