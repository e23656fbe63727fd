/*
 * forward.c: forward: the raw model, ids in, tensors and the loss out.
 *
 * The batch is rectangular, so its packed form is the array itself, and outputs get their
 * dimensions back. A mask of 0 hides a token as a key only.
 */
#include "pg/server/compat.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "core/names.h"
#include "pg/infer/batch.h"
#include "pg/server/detoast.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
#include "pg/server/progress.h"

PG_FUNCTION_INFO_V1(bert_forward);

enum
{
	ARG_INPUT_IDS,
	ARG_MODEL,
	ARG_TOKEN_TYPE_IDS,
	ARG_ATTENTION_MASK,
	ARG_LABELS,
	ARG_HEAD,
	ARG_OUTPUT,
	ARG_ENCODER_HIDDEN_STATES,
	ARG_ENCODER_ATTENTION_MASK
};

enum
{
	OUT_LOSS,
	OUT_LOGITS,
	OUT_SEQ_RELATIONSHIP_LOGITS,
	OUT_LAST_HIDDEN_STATE,
	OUT_POOLER_OUTPUT,
	OUT_HIDDEN_STATES,
	OUT_ATTENTIONS,
	OUT_COUNT
};

static const char *const output_names[OUT_COUNT] = {[OUT_LOGITS] = "logits",
													[OUT_LAST_HIDDEN_STATE] = "last_hidden_state",
													[OUT_POOLER_OUTPUT] = "pooler_output",
													[OUT_HIDDEN_STATES] = "hidden_states",
													[OUT_ATTENTIONS] = "attentions"};

typedef struct Forward
{
	FunctionCallInfo fcinfo;
	Call call;
	HeadKind head;
	const BertModel *model;
	bool wanted[OUT_COUNT];
	bool has_batch; /* the batch dimension was given */
	int n_batch;    /* questions, for multiple choice */
	int n_choices;  /* sequences per element of the batch; 1 but for multiple choice */
	int length;
	Batch batch;
	EncoderOutput encoded;
	HeadOutput output;
} Forward;

static void *
take(Forward *forward, size_t count, size_t size, const char *what)
{
	void *memory = arena_alloc_array(forward->call.arena, count, size);
	Status status;

	if (memory == NULL)
	{
		arena_fail(forward->call.arena, &status, what, count * size);
		report_status(&status);
	}
	return memory;
}

/* An array argument without NULLs, or NULL when it is not given. */
static ArrayType *
array_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	ArrayType *array;

	if (PG_ARGISNULL(argument))
		return NULL;
	array = ARGUMENT_ARRAY(argument);
	if (array_contains_nulls(array))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s must not contain NULL", name)));
	return array;
}

/* "(2, 7)" */
static char *
shape_name(int n_dims, const int *dims)
{
	char *text = pstrdup("(");

	for (int i = 0; i < n_dims; i++)
		text = psprintf("%s%s%d", text, i == 0 ? "" : ", ", dims[i]);
	return psprintf("%s)", text);
}

static void
check_shape(const ArrayType *array, const char *name, int n_dims, const int *dims)
{
	bool equal = ARR_NDIM(array) == n_dims;

	for (int i = 0; equal && i < n_dims; i++)
		equal = ARR_DIMS(array)[i] == dims[i];
	if (!equal)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has the shape %s, not %s", name,
						shape_name(ARR_NDIM(array), ARR_DIMS(array)), shape_name(n_dims, dims))));
}

static const int32_t *
ints(const ArrayType *array)
{
	return (const int32_t *) ARR_DATA_PTR(array);
}

static uint8_t *
mask_argument(Forward *forward, const ArrayType *array, const char *name)
{
	size_t n = (size_t) ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	uint8_t *mask = take(forward, n, 1, "a mask");
	const int32_t *values = ints(array);

	for (size_t i = 0; i < n; i++)
	{
		if (values[i] != 0 && values[i] != 1)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s holds 0 and 1 only, not %d", name, values[i])));
		mask[i] = (uint8_t) values[i];
	}
	return mask;
}

static int32_t *
even_bounds(Forward *forward, size_t n_sequences, size_t length)
{
	int32_t *bounds = take(forward, n_sequences + 1, sizeof(int32_t), "a batch");

	for (size_t b = 0; b <= n_sequences; b++)
		bounds[b] = (int32_t) (b * length);
	return bounds;
}

static void
read_wanted(Forward *forward)
{
	FunctionCallInfo fcinfo = forward->fcinfo;
	Datum *names;
	int n;
	bool *nulls;

	if (PG_ARGISNULL(ARG_OUTPUT))
	{
		forward->wanted[OUT_LOGITS] = true;
		return;
	}
	deconstruct_array(array_argument(fcinfo, ARG_OUTPUT, "output"), TEXTOID, -1, false,
					  TYPALIGN_INT, &names, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		Status status;
		int out =
			name_parse(TextDatumGetCString(names[i]), "output", output_names, OUT_COUNT, &status);

		REPORT_UNLESS(out >= 0, &status);
		forward->wanted[out] = true;
	}
}

static void
read_head(Forward *forward)
{
	FunctionCallInfo fcinfo = forward->fcinfo;
	Status status;

	forward->head = forward->call.handle->head;
	if (!PG_ARGISNULL(ARG_HEAD))
		REPORT_UNLESS(
			head_kind_parse(text_to_cstring(ARGUMENT_TEXT(ARG_HEAD)), &forward->head, &status),
			&status);
	forward->model = model_handle_bind(forward->call.handle, forward->head);
	if (forward->wanted[OUT_POOLER_OUTPUT] &&
		!config_head_uses_pooler(&forward->call.handle->config, forward->head) &&
		!(forward->head == HEAD_NONE && forward->call.handle->config.use_pooler))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("model \"%s\" has no pooling layer with the head %s",
							   forward->call.handle->name, head_kind_name(forward->head))));
}

/* The shape of input_ids decides all others. */
static void
read_input(Forward *forward)
{
	FunctionCallInfo fcinfo = forward->fcinfo;
	ArrayType *input_ids = array_argument(fcinfo, ARG_INPUT_IDS, "input_ids");
	ArrayType *types = array_argument(fcinfo, ARG_TOKEN_TYPE_IDS, "token_type_ids");
	ArrayType *mask = array_argument(fcinfo, ARG_ATTENTION_MASK, "attention_mask");
	bool choices = forward->head == HEAD_MULTIPLE_CHOICE;
	int n_dims = ARR_NDIM(input_ids);
	const int *dims = ARR_DIMS(input_ids);

	if (n_dims == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("input_ids must not be empty")));
	if (n_dims > (choices ? 3 : 2))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("input_ids has the shape %s", shape_name(n_dims, dims)),
						errdetail("For the head %s it is %s.", head_kind_name(forward->head),
								  choices ? "(choices, length) or (batch, choices, length)"
										  : "(length) or (batch, length)")));
	forward->length = dims[n_dims - 1];
	forward->n_choices = choices && n_dims > 1 ? dims[n_dims - 2] : 1;
	forward->has_batch = n_dims == (choices ? 3 : 2);
	forward->n_batch = forward->has_batch ? dims[0] : 1;
	forward->batch.n_sequences = (size_t) forward->n_batch * (size_t) forward->n_choices;
	forward->batch.cu_seqlens =
		even_bounds(forward, forward->batch.n_sequences, (size_t) forward->length);
	forward->batch.input_ids = ints(input_ids);
	if (types != NULL)
	{
		check_shape(types, "token_type_ids", n_dims, dims);
		forward->batch.token_type_ids = ints(types);
	}
	if (mask != NULL)
	{
		check_shape(mask, "attention_mask", n_dims, dims);
		forward->batch.attention_mask = mask_argument(forward, mask, "attention_mask");
	}
}

static void
read_encoder_states(Forward *forward)
{
	FunctionCallInfo fcinfo = forward->fcinfo;
	ArrayType *states = array_argument(fcinfo, ARG_ENCODER_HIDDEN_STATES, "encoder_hidden_states");
	ArrayType *mask = array_argument(fcinfo, ARG_ENCODER_ATTENTION_MASK, "encoder_attention_mask");
	int hidden = forward->call.handle->config.hidden_size;
	int n_dims = forward->has_batch ? 3 : 2;
	int shape[3] = {forward->n_batch, 0, hidden};
	int length;

	if (states == NULL)
	{
		if (mask != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("encoder_attention_mask needs encoder_hidden_states")));
		return;
	}
	length = ARR_NDIM(states) == n_dims ? ARR_DIMS(states)[n_dims - 2] : 0;
	shape[1] = length;
	if (length == 0 || ARR_DIMS(states)[n_dims - 1] != hidden ||
		(forward->has_batch && ARR_DIMS(states)[0] != forward->n_batch))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("encoder_hidden_states has the shape %s",
							   shape_name(ARR_NDIM(states), ARR_DIMS(states))),
						forward->has_batch
							? errdetail("It must be (%d, length, %d).", forward->n_batch, hidden)
							: errdetail("It must be (length, %d).", hidden)));
	forward->batch.encoder_hidden_states = (const float *) ARR_DATA_PTR(states);
	forward->batch.encoder_cu_seqlens =
		even_bounds(forward, (size_t) forward->n_batch, (size_t) length);
	if (mask != NULL)
	{
		check_shape(mask, "encoder_attention_mask", n_dims - 1, shape + 3 - n_dims);
		forward->batch.encoder_attention_mask =
			mask_argument(forward, mask, "encoder_attention_mask");
	}
}

/* The shapes that labels may have: with the batch dimension, if there is one, before `rest`. */
static bool
labels_match(const Forward *forward, const ArrayType *labels, int n_rest, int rest)
{
	int n_dims = (forward->has_batch ? 1 : 0) + n_rest;
	int dims[2] = {forward->n_batch, rest};

	if (n_dims == 0) /* one label for one input is an array of one */
		return ARR_NDIM(labels) == 1 && ARR_DIMS(labels)[0] == 1;
	if (ARR_NDIM(labels) != n_dims)
		return false;
	for (int i = 0; i < n_dims; i++)
		if (ARR_DIMS(labels)[i] != dims[i + 2 - n_dims - (n_rest == 0 ? 1 : 0)])
			return false;
	return true;
}

static void
check_labels(const Forward *forward, const ArrayType *labels)
{
	const BertConfig *config = &forward->call.handle->config;
	const char *expected = NULL;

	switch (forward->head)
	{
		case HEAD_PRETRAINING:
			if (!labels_match(forward, labels, 1, forward->length + 1))
				expected =
					"(batch, length + 1): a label for every token, then the next-sentence label";
			break;
		case HEAD_MASKED_LM:
		case HEAD_CAUSAL_LM:
		case HEAD_TOKEN_CLASSIFICATION:
		case HEAD_REPLACED_TOKEN:
			if (!labels_match(forward, labels, 1, forward->length))
				expected = "(batch, length)";
			break;
		case HEAD_NEXT_SENTENCE:
		case HEAD_MULTIPLE_CHOICE:
			if (!labels_match(forward, labels, 0, 0))
				expected = "(batch)";
			break;
		case HEAD_QUESTION_ANSWERING:
			if (!labels_match(forward, labels, 1, 2))
				expected = "(batch, 2): start and end";
			break;
		case HEAD_SEQUENCE_CLASSIFICATION:
			if (config->problem_type != PROBLEM_REGRESSION &&
				config->problem_type != PROBLEM_MULTI_LABEL && labels_match(forward, labels, 0, 0))
				break;
			if (config->num_labels == 1 && labels_match(forward, labels, 0, 0))
				break;
			if (config->problem_type != PROBLEM_SINGLE_LABEL &&
				labels_match(forward, labels, 1, config->num_labels))
				break;
			expected = config->problem_type == PROBLEM_SINGLE_LABEL ? "(batch)"
					   : config->num_labels == 1                    ? "(batch) or (batch, 1)"
					   : config->problem_type == PROBLEM_UNSET      ? "(batch) or (batch, labels)"
																	: "(batch, labels)";
			break;
		case HEAD_NONE:
		case HEAD_KIND_COUNT:
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("labels need a head, the bare model has no loss"),
							errhint("Name a head that the model has.")));
	}
	if (expected != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("labels has the shape %s", shape_name(ARR_NDIM(labels), ARR_DIMS(labels))),
				 errdetail("For the head %s it is %s%s.", head_kind_name(forward->head), expected,
						   forward->has_batch ? "" : ", without the batch")));
}

static void
compute(Forward *forward)
{
	ForwardWants wants = head_wants(forward->model);
	size_t n_tokens = (size_t) forward->batch.cu_seqlens[forward->batch.n_sequences];
	Call *call = &forward->call;
	Status status;

	wants.pooler_output = wants.pooler_output || forward->wanted[OUT_POOLER_OUTPUT];
	wants.hidden_states = forward->wanted[OUT_HIDDEN_STATES];
	wants.attentions = forward->wanted[OUT_ATTENTIONS];
	REPORT_UNLESS(batch_validate(&forward->batch, &call->handle->config, &status), &status);
	check_memory(call, forward->model, &forward->batch, &wants,
				 forward->head == HEAD_NONE ? 0 : n_tokens);
	REPORT_UNLESS(encoder_forward(forward->model, &forward->batch, &wants, call->arena,
								  &forward->encoded, &backend_may_continue, &status),
				  &status);
	if (forward->head != HEAD_NONE)
		REPORT_UNLESS(head_forward(forward->model,
								   &(HeadInput){&forward->batch, &forward->encoded, NULL, 0},
								   call->arena, &forward->output, &backend_may_continue, &status),
					  &status);
	call->counted.texts += (int64) forward->batch.n_sequences;
	call->counted.tokens += (int64) n_tokens;
	for (size_t i = 0; i < forward->batch.n_sequences; i++)
		call->counted.lengths[stats_length_place((int64) forward->length)]++;
}

/*
 * The dimension of states: the batch, if there is one; for multiple choice all its sequences, as in
 * the reference. 0: none.
 */
static int
states_dimension(const Forward *forward)
{
	return forward->has_batch || forward->head == HEAD_MULTIPLE_CHOICE
			   ? (int) forward->batch.n_sequences
			   : 0;
}

static int
batch_dimension(const Forward *forward)
{
	return forward->has_batch ? forward->n_batch : 0;
}

/* values (before, batch, a, b) as an array; dimensions of 0 are left out. */
static Datum
shaped_array(const float *values, int before, int batch, int a, int b)
{
	int dims[4];
	int n_dims = 0;

	if (before > 0)
		dims[n_dims++] = before;
	if (batch > 0)
		dims[n_dims++] = batch;
	if (a > 0)
		dims[n_dims++] = a;
	if (b > 0)
		dims[n_dims++] = b;
	return PointerGetDatum(real_array(values, n_dims, dims));
}

static Datum
logits_array(Forward *forward)
{
	const HeadOutput *output = &forward->output;
	int columns = (int) output->n_columns;
	size_t length = (size_t) forward->length;
	float *spans;

	switch (forward->head)
	{
		case HEAD_QUESTION_ANSWERING: /* (T, 2) to (batch, 2, length) */
			spans = take(forward, output->n_rows * 2, sizeof(float), "logits");
			for (size_t b = 0; b < forward->batch.n_sequences; b++)
				for (size_t t = 0; t < length; t++)
					for (size_t column = 0; column < 2; column++)
						spans[(2 * b + column) * length + t] =
							output->logits[2 * (b * length + t) + column];
			return shaped_array(spans, 0, batch_dimension(forward), 2, forward->length);
		case HEAD_MULTIPLE_CHOICE: /* (batch * choices, 1) */
			return shaped_array(output->logits, 0, batch_dimension(forward), forward->n_choices, 0);
		case HEAD_REPLACED_TOKEN: /* (T, 1) */
			return shaped_array(output->logits, 0, batch_dimension(forward), forward->length, 0);
		case HEAD_NEXT_SENTENCE:
		case HEAD_SEQUENCE_CLASSIFICATION:
			return shaped_array(output->logits, 0, batch_dimension(forward), columns, 0);
		default:
			return shaped_array(output->logits, 0, batch_dimension(forward), forward->length,
								columns);
	}
}

/*
 * (layers, batch, heads, length, length); what was pruned is NULL where layers have kept different
 * numbers of heads.
 */
static Datum
attentions_array(Forward *forward)
{
	const BertConfig *config = &forward->call.handle->config;
	size_t square = (size_t) forward->length * (size_t) forward->length;
	size_t n_sequences = forward->batch.n_sequences;
	int layers = config->num_hidden_layers;
	int most = 0;
	bool even = true;
	int dims[6];
	int n_dims = 0;
	int lbs[6] = {1, 1, 1, 1, 1, 1};
	size_t total;
	size_t at = 0;

	for (int layer = 0; layer < layers; layer++)
	{
		int heads = config_layer_heads(config, layer);

		even = even && (layer == 0 || heads == most);
		most = Max(most, heads);
	}
	dims[n_dims++] = layers;
	if (states_dimension(forward) > 0)
		dims[n_dims++] = states_dimension(forward);
	dims[n_dims++] = most;
	dims[n_dims++] = forward->length;
	dims[n_dims++] = forward->length;
	total = (size_t) layers * n_sequences * (size_t) most * square;
	if (even)
	{
		float *all = take(forward, total, sizeof(float), "attentions");

		for (size_t i = 0; i < (size_t) layers * n_sequences; i++)
			memcpy(all + i * (size_t) most * square, forward->encoded.attentions[i],
				   (size_t) most * square * sizeof(float));
		return PointerGetDatum(real_array(all, n_dims, dims));
	}
	{
		Datum *values = take(forward, total, sizeof(Datum), "attentions");
		bool *nulls = take(forward, total, sizeof(bool), "attentions");

		for (int layer = 0; layer < layers; layer++)
			for (size_t b = 0; b < n_sequences; b++)
			{
				size_t kept = (size_t) config_layer_heads(config, layer) * square;
				/* (heads, length, length) */
				const float *matrix = forward->encoded.attentions[(size_t) layer * n_sequences + b];

				for (size_t i = 0; i < (size_t) most * square; i++, at++)
				{
					nulls[at] = i >= kept;
					values[at] = i < kept ? Float4GetDatum(matrix[i]) : (Datum) 0;
				}
			}
		return PointerGetDatum(construct_md_array(values, nulls, n_dims, dims, lbs, FLOAT4OID,
												  sizeof(float4), true, TYPALIGN_INT));
	}
}

static void
read_loss(Forward *forward, Datum *values, bool *nulls)
{
	FunctionCallInfo fcinfo = forward->fcinfo;
	ArrayType *labels = array_argument(fcinfo, ARG_LABELS, "labels");
	ForwardLabels given = {.n_choices = (size_t) forward->n_choices};
	double loss;
	Status status;

	if (labels == NULL)
		return;
	given.values = (const double *) ARR_DATA_PTR(labels);
	given.n = (size_t) ArrayGetNItems(ARR_NDIM(labels), ARR_DIMS(labels));
	REPORT_UNLESS(head_loss(forward->model, &forward->batch, &forward->output, &given,
							forward->call.arena, &loss, &status),
				  &status);
	values[OUT_LOSS] = Float4GetDatum((float4) loss);
	nulls[OUT_LOSS] = false;
}

/*
 * bert.forward(input_ids, token_type_ids, attention_mask, labels, model, head, output,
 * encoder_hidden_states, encoder_attention_mask)
 */
PGDLLEXPORT Datum
bert_forward(PG_FUNCTION_ARGS)
{
	Forward forward = {.fcinfo = fcinfo};
	Datum values[OUT_COUNT] = {0};
	bool nulls[OUT_COUNT];
	int hidden;
	int layers;

	if (PG_ARGISNULL(ARG_INPUT_IDS))
		PG_RETURN_NULL();
	read_wanted(&forward);
	call_begin(&forward.call, fcinfo, ARG_MODEL, TASK_EMBED);
	call_name(&forward.call, "forward");
	progress_phase("computing", NULL, -1);
	read_head(&forward);
	read_input(&forward);
	read_encoder_states(&forward);
	if (!PG_ARGISNULL(ARG_LABELS))
		check_labels(&forward, ARGUMENT_ARRAY(ARG_LABELS));
	compute(&forward);
	hidden = forward.call.handle->config.hidden_size;
	layers = forward.call.handle->config.num_hidden_layers;
	memset(nulls, true, sizeof nulls);
	read_loss(&forward, values, nulls);
	for (int out = OUT_LOGITS; out < OUT_COUNT; out++)
		nulls[out] = !forward.wanted[out];
	nulls[OUT_LOGITS] = nulls[OUT_LOGITS] || forward.head == HEAD_NONE;
	nulls[OUT_SEQ_RELATIONSHIP_LOGITS] = nulls[OUT_LOGITS] || forward.head != HEAD_PRETRAINING;
	if (!nulls[OUT_LOGITS])
		values[OUT_LOGITS] = logits_array(&forward);
	if (!nulls[OUT_SEQ_RELATIONSHIP_LOGITS])
		values[OUT_SEQ_RELATIONSHIP_LOGITS] = shaped_array(forward.output.seq_relationship_logits,
														   0, batch_dimension(&forward), 2, 0);
	if (!nulls[OUT_LAST_HIDDEN_STATE])
		values[OUT_LAST_HIDDEN_STATE] =
			shaped_array(forward.encoded.last_hidden_state, 0, states_dimension(&forward),
						 forward.length, hidden);
	if (!nulls[OUT_POOLER_OUTPUT])
		values[OUT_POOLER_OUTPUT] =
			shaped_array(forward.encoded.pooler_output, 0, states_dimension(&forward), hidden, 0);
	if (!nulls[OUT_HIDDEN_STATES])
		values[OUT_HIDDEN_STATES] =
			shaped_array(forward.encoded.hidden_states, layers + 1, states_dimension(&forward),
						 forward.length, hidden);
	if (!nulls[OUT_ATTENTIONS])
		values[OUT_ATTENTIONS] = attentions_array(&forward);
	call_end(&forward.call);
	return composite_result(fcinfo, values, nulls);
}
