/*
 * loader.c: a checkpoint's keys to the table's tensors, the key report, and blocks as floats.
 *
 * A key is brought to the table's form (prefix, gamma and beta), then looked up. What is not in the
 * table is one of the few things known to be unused (buffers, tied copies, a pooler that the head
 * has no use for), or unexpected.
 */
#include "nn/loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 1024
#define READ_STEP ((size_t) 1 << 20) /* elements between two questions: some milliseconds */
#define READ_STEP_STRIDED ((size_t) 1 << 16)

static const char scale_suffix[] = ".scale";

typedef struct Matcher
{
	const Checkpoint *checkpoint;
	const TensorTable *table;
	const TensorSpec **by_name; /* (n_tensors) the table sorted by name */
	LoadPlan *plan;
	Arena *arena;
	Status *status;
} Matcher;

const char *
key_status_name(KeyStatus status)
{
	static const char *const names[] = {"loaded", "missing", "unexpected", "ignored"};

	return names[status];
}

static bool
starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static bool
ends_with(const char *text, const char *end)
{
	size_t length = strlen(text);
	size_t end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/*
 * The table's form of a checkpoint's key: an encoder's part has the family's prefix, which the bare
 * model's files leave out. out: NAME_BYTES, more than any key has.
 */
static void
canonical_name(const Family *family, const char *key, char *out)
{
	static const char *const parts[] = {"embeddings", "encoder.", "pooler"};
	size_t layers = (size_t) (strchr(family->layer, '.') - family->layer + 1);
	bool bare = strncmp(key, family->layer, layers) == 0;
	size_t length;

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		bare = bare || starts_with(key, parts[i]);
	length = (size_t) snprintf(out, NAME_BYTES, "%s%s", bare ? family->base : "", key);
	if (ends_with(out, "LayerNorm.gamma"))
		strcpy(out + length - strlen("gamma"), "weight");
	else if (ends_with(out, "LayerNorm.beta"))
		strcpy(out + length - strlen("beta"), "bias");
}

static int
compare_specs(const void *a, const void *b)
{
	return strcmp((*(const TensorSpec *const *) a)->name, (*(const TensorSpec *const *) b)->name);
}

static int
compare_name_to_spec(const void *name, const void *spec)
{
	return strcmp(name, (*(const TensorSpec *const *) spec)->name);
}

/* The index of the table's tensor of this canonical name, or -1. */
static int
find_tensor(const Matcher *matcher, const char *name)
{
	const TensorSpec **found = bsearch(name, matcher->by_name, (size_t) matcher->table->n_tensors,
									   sizeof *matcher->by_name, compare_name_to_spec);

	return found == NULL ? -1 : (int) (*found - matcher->table->tensors);
}

static void
print_shape(char *out, size_t size, int rank, const int64_t *shape)
{
	size_t used = (size_t) snprintf(out, size, "(");

	for (int i = 0; i < rank && used < size; i++)
		used += (size_t) snprintf(out + used, size - used, i == 0 ? "%lld" : ", %lld",
								  (long long) shape[i]);
	if (used < size)
		snprintf(out + used, size - used, ")");
}

static bool
check_shape(const CheckpointTensor *tensor, const TensorSpec *spec, Status *status)
{
	int64_t wanted[2] = {(int64_t) spec->shape[0], (int64_t) spec->shape[1]};
	int rank = spec->rank == 1 ? 1 : 2;
	char given_text[192];
	char wanted_text[64];

	if (tensor->rank == rank && tensor->shape[0] == wanted[0] &&
		(rank == 1 || tensor->shape[1] == wanted[1]))
		return true;
	print_shape(given_text, sizeof given_text, tensor->rank, tensor->shape);
	print_shape(wanted_text, sizeof wanted_text, rank, wanted);
	return status_fail(status, STATUS_INVALID_DATA,
					   "%.100s: tensor \"%.100s\" has the shape %s, but config.json says %s",
					   tensor->source->name, tensor->name, given_text, wanted_text);
}

/* The checkpoint's tensor "<key>.scale", checked; NULL and *status otherwise. */
static const CheckpointTensor *
find_scale(const Matcher *matcher, const CheckpointTensor *tensor)
{
	char name[NAME_BYTES];
	const CheckpointTensor *scale;

	snprintf(name, sizeof name, "%s%s", tensor->name, scale_suffix);
	scale = checkpoint_find(matcher->checkpoint, name);
	if (scale == NULL)
		status_fail(matcher->status, STATUS_INVALID_DATA,
					"%.100s: tensor \"%.100s\" has dtype I8 but there is no \"%.110s\"",
					tensor->source->name, tensor->name, name);
	else if (scale->dtype != DTYPE_F32 || scale->rank != 1 || scale->shape[0] != tensor->shape[0])
	{
		status_fail(matcher->status, STATUS_INVALID_DATA,
					"%.100s: tensor \"%.110s\" is not one F32 value for each row of \"%.100s\"",
					tensor->source->name, name, tensor->name);
		scale = NULL;
	}
	return scale;
}

/* A tensor of the model: shape, dtype, scales. */
static bool
match_tensor(Matcher *matcher, const CheckpointTensor *tensor, int index)
{
	const TensorSpec *spec = &matcher->table->tensors[index];
	LoadPlan *plan = matcher->plan;

	if (plan->plan[index] != NULL)
		return status_fail(matcher->status, STATUS_INVALID_DATA,
						   "%.100s: tensors \"%.100s\" and \"%.100s\" are the same parameter",
						   tensor->source->name, plan->plan[index]->name, tensor->name);
	if (!check_shape(tensor, spec, matcher->status))
		return false;
	if (tensor->dtype == DTYPE_OTHER)
		return status_fail(
			matcher->status, STATUS_UNSUPPORTED,
			"%.100s: tensor \"%.100s\" has dtype %s; weights must be F32, F16, BF16 or F64",
			tensor->source->name, tensor->name, tensor->dtype_name);
	if (tensor->dtype == DTYPE_I8 && (plan->scales[index] = find_scale(matcher, tensor)) == NULL)
		return false;
	plan->plan[index] = tensor;
	return true;
}

/* "<key>.scale" of an I8 tensor of the model. */
static bool
is_scale_of_model(const Matcher *matcher, const CheckpointTensor *tensor)
{
	char base[NAME_BYTES];
	char name[NAME_BYTES];
	const CheckpointTensor *scaled;

	if (!ends_with(tensor->name, scale_suffix))
		return false;
	snprintf(base, sizeof base, "%.*s", (int) (strlen(tensor->name) - strlen(scale_suffix)),
			 tensor->name);
	scaled = checkpoint_find(matcher->checkpoint, base);
	canonical_name(matcher->table->family, base, name);
	return scaled != NULL && scaled->dtype == DTYPE_I8 && find_tensor(matcher, name) >= 0;
}

/*
 * What a published checkpoint may hold and the model has no use for: index buffers, the decoder's
 * tied copies, and the pooler for a head without one.
 */
static bool
is_known_unused(const Matcher *matcher, const char *name)
{
	static const char *const always[] = {"embeddings.position_ids", "embeddings.token_type_ids"};
	const Family *family = matcher->table->family;
	const PredictionShape *shape = &family->predictions;
	size_t base = strlen(family->base);
	const char *part = starts_with(name, family->base) ? name + base : "";
	size_t decoder = strlen(shape->decoder);

	for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
		if (strcmp(part, always[i]) == 0)
			return true;
	if (head_has_vocabulary(matcher->table->head) &&
		(strcmp(name, shape->bias) == 0 ||
		 (starts_with(name, shape->decoder) &&
		  (strcmp(name + decoder, ".weight") == 0 || strcmp(name + decoder, ".bias") == 0))))
		return true;
	return starts_with(part, "pooler.") && tensor_table_block(matcher->table, BLOCK_POOLER, -1) < 0;
}

/*
 * The decoder's bias may go by two names. The reference uses the decoder's own; it is tied to the
 * head's unless the weights are untied, and then only the former counts.
 */
static const char *
decoder_bias_key(const Matcher *matcher)
{
	const PredictionShape *shape = &matcher->table->family->predictions;
	bool untied = tensor_table_role(matcher->table, ROLE_DECODER_WEIGHT, -1) != NULL;
	const char *keys[] = {shape->bias, shape->bias_alias};
	const char *preferred = keys[untied];

	if (shape->bias_alias == NULL)
		return shape->bias;
	return checkpoint_find(matcher->checkpoint, preferred) != NULL ? preferred : keys[!untied];
}

static bool
classify_tensor(Matcher *matcher, const CheckpointTensor *tensor, KeyStatus *result)
{
	char name[NAME_BYTES];
	const TensorSpec *bias = tensor_table_role(matcher->table, ROLE_DECODER_BIAS, -1);
	bool is_bias;
	int index;

	canonical_name(matcher->table->family, tensor->name, name);
	is_bias = bias != NULL && strcmp(name, decoder_bias_key(matcher)) == 0;
	index = is_bias ? (int) (bias - matcher->table->tensors) : find_tensor(matcher, name);
	if (index >= 0 && (is_bias || matcher->table->tensors[index].role != ROLE_DECODER_BIAS))
	{
		*result = KEY_LOADED;
		return match_tensor(matcher, tensor, index);
	}
	*result = is_scale_of_model(matcher, tensor) ? KEY_LOADED
			  : is_known_unused(matcher, name)   ? KEY_IGNORED
												 : KEY_UNEXPECTED;
	return true;
}

/*
 * A new head, pooler or cross-attention on a published encoder is normal; an encoder with holes is
 * a damaged or foreign file, and random numbers in its place would go unnoticed.
 */
static bool
may_be_missing(const TensorTable *table, const TensorSpec *spec)
{
	BlockKind kind = table->blocks[spec->block].kind;

	return (kind != BLOCK_EMBEDDINGS && kind != BLOCK_LAYER && kind != BLOCK_DENSE) ||
		   (spec->role >= ROLE_CROSS_QUERY_WEIGHT && spec->role <= ROLE_CROSS_NORM_BIAS);
}

/* The key under which the table's tensor is known in the reference's class. */
static const char *
published_name(const TensorTable *table, const TensorSpec *spec)
{
	const char *base = table->family->base;

	/* a classifier of embeddings stands beside the bare model */
	bool bare = table->head == HEAD_NONE || tensor_table_find(table, "model_head.bias") != NULL;

	return bare && starts_with(spec->name, base) ? spec->name + strlen(base) : spec->name;
}

/* Where a tensor of the encoder is missing: what else the checkpoint may call it. */
static bool
hint_at_name(const Matcher *matcher, const TensorSpec *spec)
{
	const char *bare = spec->name + strlen(matcher->table->family->base);

	for (size_t i = 0; i < matcher->checkpoint->n_tensors; i++)
	{
		const char *name = matcher->checkpoint->tensors[i].name;

		if (ends_with(name, bare) && strlen(name) > strlen(spec->name))
			return status_hint(matcher->status,
							   "The checkpoint has \"%.100s\". Rename its tensors: without the "
							   "\"%.*s\" before them they would be found.",
							   name, (int) (strlen(name) - strlen(bare)), name);
	}
	return status_hint(matcher->status, "Only a head, the pooler and cross-attention may be "
										"missing; they are initialized anew.");
}

static bool
report_missing(Matcher *matcher)
{
	const TensorTable *table = matcher->table;
	KeyReport *report = &matcher->plan->report;

	for (int i = 0; i < table->n_tensors; i++)
	{
		const TensorSpec *spec = &table->tensors[i];
		const char *key = published_name(table, spec);
		const char *alias = matcher->table->family->predictions.bias_alias;

		if (matcher->plan->plan[i] != NULL)
			continue;
		if (!may_be_missing(table, spec))
		{
			status_fail(matcher->status, STATUS_INVALID_DATA,
						"the checkpoint has no tensor \"%.100s\", which config.json asks for", key);
			return hint_at_name(matcher, spec);
		}
		report->lines[report->n_lines++] = (KeyReportLine){key, KEY_MISSING, false};
		if (spec->role == ROLE_DECODER_BIAS && alias != NULL) /* the reference names both */
			report->lines[report->n_lines++] = (KeyReportLine){alias, KEY_MISSING, false};
	}
	return true;
}

static int
compare_lines(const void *a, const void *b)
{
	return strcmp(((const KeyReportLine *) a)->key, ((const KeyReportLine *) b)->key);
}

bool
load_plan(Arena *arena, const Checkpoint *checkpoint, const TensorTable *table, LoadPlan *plan,
		  Status *status)
{
	size_t n = (size_t) table->n_tensors;
	Matcher matcher = {checkpoint, table, NULL, plan, arena, status};

	memset(plan, 0, sizeof *plan);
	plan->table = table;
	plan->plan = arena_alloc_array_zero(arena, n, sizeof *plan->plan);
	plan->scales = arena_alloc_array_zero(arena, n, sizeof *plan->scales);
	plan->report.lines =
		arena_alloc_array_zero(arena, n + 1 + checkpoint->n_tensors, sizeof *plan->report.lines);
	matcher.by_name = arena_alloc_array(arena, n, sizeof *matcher.by_name);
	if (plan->plan == NULL || plan->scales == NULL || plan->report.lines == NULL ||
		matcher.by_name == NULL)
		return arena_fail(arena, status, "the load plan",
						  (n + checkpoint->n_tensors) * sizeof *plan->report.lines);
	for (size_t i = 0; i < n; i++)
		matcher.by_name[i] = &table->tensors[i];
	qsort(matcher.by_name, n, sizeof *matcher.by_name, compare_specs);
	for (size_t i = 0; i < checkpoint->n_tensors; i++)
	{
		KeyReportLine *line = &plan->report.lines[plan->report.n_lines];

		line->key = checkpoint->tensors[i].name;
		if (!classify_tensor(&matcher, &checkpoint->tensors[i], &line->status))
			return false;
		plan->report.n_lines++;
	}
	if (!report_missing(&matcher))
		return false;
	qsort(plan->report.lines, plan->report.n_lines, sizeof *plan->report.lines, compare_lines);
	return true;
}

static bool
has_weight(const Checkpoint *checkpoint, const char *module)
{
	char name[TENSOR_NAME_LENGTH + 8];

	if (module == NULL)
		return false;
	snprintf(name, sizeof name, "%s.weight", module);
	return checkpoint_find(checkpoint, name) != NULL;
}

/*
 * Only the config can tell a tagger from a classifier; a classifier without a dense layer before it
 * (the pooler, or its own) is a tagger.
 */
static HeadKind
classifier_kind(const Checkpoint *checkpoint, const BertConfig *config)
{
	const HeadShape *shape = &config->family->heads[HEAD_SEQUENCE_CLASSIFICATION];
	bool dense = shape->reads == READS_POOLER ? checkpoint_has_pooler(checkpoint, config->family)
											  : has_weight(checkpoint, shape->projection);

	return dense ? HEAD_SEQUENCE_CLASSIFICATION : HEAD_TOKEN_CLASSIFICATION;
}

HeadKind
checkpoint_head(const Checkpoint *checkpoint, const BertConfig *config)
{
	const Family *family = config->family;
	bool predictions = has_weight(checkpoint, family->predictions.dense);
	bool pair = has_weight(checkpoint, family->heads[HEAD_PRETRAINING].classifier);

	if (config->architecture != HEAD_NONE)
		return config->architecture;
	if (predictions)
		return pair ? HEAD_PRETRAINING : config->is_decoder ? HEAD_CAUSAL_LM : HEAD_MASKED_LM;
	if (has_weight(checkpoint, family->heads[HEAD_NEXT_SENTENCE].classifier))
		return HEAD_NEXT_SENTENCE;
	if (has_weight(checkpoint, "qa_outputs"))
		return HEAD_QUESTION_ANSWERING;
	if (has_weight(checkpoint, family->heads[HEAD_REPLACED_TOKEN].classifier))
		return HEAD_REPLACED_TOKEN;
	if (has_weight(checkpoint, family->heads[HEAD_TOKEN_CLASSIFICATION].classifier) ||
		has_weight(checkpoint, family->heads[HEAD_SEQUENCE_CLASSIFICATION].classifier))
		return classifier_kind(checkpoint, config);
	return HEAD_NONE;
}

bool
checkpoint_has_pooler(const Checkpoint *checkpoint, const Family *family)
{
	char name[TENSOR_NAME_LENGTH];
	const char *module = family_module(family, "pooler.dense");

	snprintf(name, sizeof name, "%s%s", family->base, module);
	return family->has_pooler && (has_weight(checkpoint, module) || has_weight(checkpoint, name));
}

/* Multiplies elements first .. first+count-1 of a matrix by their rows' scales. */
static bool
apply_scales(const CheckpointTensor *scale, const TensorSpec *spec, uint64_t first, size_t count,
			 float *out, Status *status)
{
	uint64_t columns = spec->elements / spec->shape[0];

	for (size_t i = 0; i < count;)
	{
		uint64_t row = (first + i) / columns;
		size_t end = (size_t) ((row + 1) * columns - first);
		float factor;

		if (!checkpoint_read(scale, row, 1, &factor, status))
			return false;
		for (; i < count && i < end; i++)
			out[i] *= factor;
	}
	return true;
}

static bool
load_tensor(const CheckpointTensor *tensor, const CheckpointTensor *scale, const TensorSpec *spec,
			float *out, const MayContinue *question, Status *status)
{
	for (uint64_t first = 0; first < spec->elements;)
	{
		uint64_t left = spec->elements - first;
		size_t step = tensor->strides == NULL ? READ_STEP : READ_STEP_STRIDED;
		size_t count = left < step ? (size_t) left : step;

		if (!may_continue(question, status) ||
			!checkpoint_read(tensor, first, count, out + first, status))
			return false;
		if (scale != NULL && !apply_scales(scale, spec, first, count, out + first, status))
			return false;
		first += count;
	}
	return true;
}

bool
load_block(const LoadPlan *plan, const BertConfig *config, int block, uint64_t seed, float *out,
		   const MayContinue *question, Status *status)
{
	const BlockSpec *spec = &plan->table->blocks[block];

	for (int i = spec->first_tensor; i < spec->first_tensor + spec->n_tensors; i++)
	{
		const TensorSpec *tensor = &plan->table->tensors[i];

		if (plan->plan[i] != NULL)
		{
			if (!load_tensor(plan->plan[i], plan->scales[i], tensor, out + tensor->offset, question,
							 status))
				return false;
		}
		else if (!may_continue(question, status) ||
				 !tensor_initialize(tensor, config, seed, out + tensor->offset, question, status))
			return false;
	}
	return true;
}

bool
export_declarations(Arena *arena, const TensorTable *table, int dense,
					CheckpointDeclaration **declarations, int **tensors, size_t *count,
					Status *status)
{
	const char *alias = table->family->predictions.bias_alias;
	size_t capacity = (size_t) table->n_tensors + 1;
	bool untied = tensor_table_role(table, ROLE_DECODER_WEIGHT, -1) != NULL;
	size_t n = 0;

	*declarations = arena_alloc_array_zero(arena, capacity, sizeof **declarations);
	*tensors = arena_alloc_array(arena, capacity, sizeof **tensors);
	if (*declarations == NULL || *tensors == NULL)
		return arena_fail(arena, status, "the list of tensors", capacity * sizeof **declarations);
	for (int i = 0; i < table->n_tensors; i++)
	{
		const TensorSpec *spec = &table->tensors[i];
		const BlockSpec *block = &table->blocks[spec->block];
		CheckpointDeclaration *declaration = &(*declarations)[n];

		if ((block->kind == BLOCK_DENSE ? block->layer : -1) != dense ||
			starts_with(spec->name, "model_head."))
			continue;
		declaration->name = dense >= 0 ? strchr(spec->name, '.') + 1 : published_name(table, spec);
		declaration->dtype = DTYPE_F32;
		declaration->rank = spec->rank;
		declaration->shape[0] = (int64_t) spec->shape[0];
		declaration->shape[1] = (int64_t) spec->shape[1];
		if (dense >= 0 && spec->rank == 2 && spec->shape[1] == 1)
		{
			/* a query's words' weights, of a module of their own */
			declaration->name = "weight";
			declaration->rank = 1;
		}
		(*tensors)[n++] = i;
		if (spec->role == ROLE_DECODER_BIAS && untied && alias != NULL)
		{
			(*declarations)[n] = *declaration;
			(*declarations)[n].name = alias;
			(*tensors)[n++] = i;
		}
	}
	*count = n;
	return true;
}

static const char *
without_prefix(const char *name)
{
	return strncmp(name, "bert.", 5) == 0 ? name + 5 : name;
}

/* True when own has the tensor, or the tensor that the scales of this name belong to. */
static bool
replaced(const Checkpoint *own, const char *name)
{
	static const char suffix[] = ".scale";
	size_t length = strlen(without_prefix(name));

	for (size_t i = 0; i < own->n_tensors; i++)
	{
		const char *other = without_prefix(own->tensors[i].name);

		if (strcmp(other, without_prefix(name)) == 0 ||
			(length > strlen(suffix) &&
			 strcmp(without_prefix(name) + length - strlen(suffix), suffix) == 0 &&
			 strlen(other) == length - strlen(suffix) &&
			 strncmp(other, without_prefix(name), strlen(other)) == 0))
			return true;
	}
	return false;
}

static int
compare_tensors(const void *a, const void *b)
{
	return strcmp(((const CheckpointTensor *) a)->name, ((const CheckpointTensor *) b)->name);
}

bool
checkpoint_merge(Arena *arena, const Checkpoint *own, const Checkpoint *base, Checkpoint *out,
				 Status *status)
{
	size_t n = own->n_tensors;

	out->tensors = arena_alloc_array(arena, n + base->n_tensors, sizeof *out->tensors);
	if (out->tensors == NULL)
		return arena_fail(arena, status, "tensors", (n + base->n_tensors) * sizeof *out->tensors);
	memcpy(out->tensors, own->tensors, n * sizeof *out->tensors);
	for (size_t i = 0; i < base->n_tensors; i++)
		if (!replaced(own, base->tensors[i].name))
			out->tensors[n++] = base->tensors[i];
	out->n_tensors = n;
	qsort(out->tensors, n, sizeof *out->tensors, compare_tensors);
	return true;
}

bool
checkpoint_add_module(Arena *arena, Checkpoint *checkpoint, const Checkpoint *module,
					  const char *folder, Status *status)
{
	Checkpoint named = {module->n_tensors, NULL};
	Checkpoint own = *checkpoint;

	named.tensors = arena_alloc_array(arena, named.n_tensors, sizeof *named.tensors);
	if (named.tensors == NULL)
		return arena_fail(arena, status, "tensors", named.n_tensors * sizeof *named.tensors);
	for (size_t i = 0; i < named.n_tensors; i++)
	{
		size_t length = strlen(folder) + 1 + strlen(module->tensors[i].name) + 1;
		char *name = arena_alloc(arena, length);

		if (name == NULL)
			return arena_fail(arena, status, "a name", length);
		snprintf(name, length, "%s.%s", folder, module->tensors[i].name);
		named.tensors[i] = module->tensors[i];
		named.tensors[i].name = name;
		if (checkpoint_find(checkpoint, name) != NULL)
			return status_fail(status, STATUS_INVALID_DATA,
							   "tensor \"%.100s\" is in the model's file and in the module's own",
							   name);
	}
	return checkpoint_merge(arena, &own, &named, checkpoint, status);
}
