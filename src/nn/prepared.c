/*
 * prepared.c: the image of a block: a header, the list of its parts, and the parts, each 64-byte
 * aligned.
 *
 * One function, block_parts, says what a block consists of; size, writing and binding all walk its
 * list, so they cannot disagree. Poolers, classifiers and norms stay fp32 in every precision: they
 * cost next to nothing and what they compute is what users see.
 */
#include <math.h>
#include <string.h>

#include "core/bf16.h"
#include "core/bulk.h"
#include "core/checked.h"
#include "nn/params.h"

#define PREPARED_MAGIC 0x50545242u /* "BRTP" */
#define MAX_PARTS 24
#define PART_ALIGNMENT 64

typedef enum PartForm
{
	PART_FLOATS,     /* fp32 as in the table */
	PART_ROWS,       /* embedding rows in the precision's form */
	PART_ROW_SCALES, /* the scales of the int8 rows before it */
	PART_PACKED      /* GEMM panels */
} PartForm;

/* What part of the bound model it is; the order of this enum is of no meaning. */
typedef enum PartName
{
	PART_WORDS,
	PART_WORD_SCALES,
	PART_POSITIONS,
	PART_TYPES,
	PART_NORM_WEIGHT,
	PART_NORM_BIAS,
	PART_QKV,
	PART_QKV_BIAS,
	PART_DISTANCE,
	PART_ATTENTION_OUTPUT,
	PART_ATTENTION_OUTPUT_BIAS,
	PART_ATTENTION_NORM_WEIGHT,
	PART_ATTENTION_NORM_BIAS,
	PART_CROSS_QUERY,
	PART_CROSS_QUERY_BIAS,
	PART_CROSS_KEY_VALUE,
	PART_CROSS_KEY_VALUE_BIAS,
	PART_CROSS_OUTPUT,
	PART_CROSS_OUTPUT_BIAS,
	PART_CROSS_NORM_WEIGHT,
	PART_CROSS_NORM_BIAS,
	PART_INTERMEDIATE,
	PART_INTERMEDIATE_BIAS,
	PART_OUTPUT,
	PART_OUTPUT_BIAS,
	PART_DENSE, /* pooler, transform */
	PART_DENSE_BIAS,
	PART_DECODER,
	PART_DECODER_BIAS,
	PART_CLASSIFIER,
	PART_CLASSIFIER_BIAS,
	PART_SEQ_RELATIONSHIP,
	PART_SEQ_RELATIONSHIP_BIAS,
	PART_PROJECTION, /* of the embeddings, or a head's own */
	PART_PROJECTION_BIAS,
	PART_ATTENTION_BIAS
} PartName;

typedef struct PartRecord
{
	uint32_t name;
	uint32_t form;
	uint32_t precision;
	uint32_t zero;
	uint64_t rows;
	uint64_t columns;
	uint64_t offset; /* bytes from the image's start */
	uint64_t bytes;
} PartRecord;

typedef struct PreparedHeader
{
	uint32_t magic;
	uint32_t version;
	uint32_t kind; /* BlockKind */
	uint32_t head;
	uint32_t precision;
	uint32_t layout;      /* the kernels', for the precision */
	uint32_t layout_fp32; /* and for the poolers and classifiers */
	uint32_t zero;
	uint64_t size;
	uint64_t n_parts;
	PartRecord parts[MAX_PARTS];
} PreparedHeader;

typedef struct PartList
{
	const TensorTable *table;
	const BlockSpec *block;
	const Kernels *kernels;
	PreparedHeader header;
	/* where each part's floats begin in the data of prepared_write */
	size_t sources[MAX_PARTS];
	bool failed; /* a size overflowed */
} PartList;

static void
add_part(PartList *list, PartName name, PartForm form, Precision precision, size_t rows,
		 size_t columns, size_t source)
{
	PartRecord *part = &list->header.parts[list->header.n_parts];
	size_t bytes = 0;
	size_t end = 0;
	bool ok = size_mul(rows, columns, &bytes);

	if (form == PART_PACKED)
		ok = ok && (bytes = list->kernels->gemm_packed_size(precision, rows, columns)) != 0;
	else
		ok = ok && size_mul(bytes,
							form != PART_ROWS || precision == PRECISION_FP32 ? sizeof(float)
							: precision == PRECISION_BF16                    ? 2
																			 : 1,
							&bytes);
	ok = ok && size_add(list->header.size, bytes, &end) && size_add(end, PART_ALIGNMENT, &end);
	if (!ok)
	{
		list->failed = true;
		return;
	}
	part->name = name;
	part->form = form;
	part->precision = precision;
	part->rows = rows;
	part->columns = columns;
	part->offset = list->header.size;
	part->bytes = bytes;
	list->sources[list->header.n_parts++] = source;
	list->header.size = size_align(list->header.size + bytes, PART_ALIGNMENT);
}

static const TensorSpec *
tensor_of(const PartList *list, TensorRole role)
{
	return tensor_table_role(list->table, role, list->block->layer);
}

/* A tensor as it is, if the model has it. */
static void
add_floats(PartList *list, PartName name, TensorRole role)
{
	const TensorSpec *tensor = tensor_of(list, role);

	if (tensor == NULL)
		return;
	add_part(list, name, PART_FLOATS, PRECISION_FP32, tensor->shape[0], tensor->shape[1],
			 tensor->offset);
}

/*
 * A linear layer, if the model has it: `times` tensors of the same shape that lie one after the
 * other, as one weight, and their biases.
 */
static void
add_linear(PartList *list, PartName weight_name, PartName bias_name, TensorRole weight,
		   TensorRole bias, size_t times, Precision precision)
{
	const TensorSpec *w = tensor_of(list, weight);
	const TensorSpec *b = tensor_of(list, bias);

	if (w == NULL)
		return;
	add_part(list, weight_name, PART_PACKED, precision, times * w->shape[0], w->shape[1],
			 w->offset);
	add_part(list, bias_name, PART_FLOATS, PRECISION_FP32, times * b->shape[0], 1, b->offset);
}

static void
add_embeddings(PartList *list, Precision precision)
{
	const TensorSpec *words = tensor_of(list, ROLE_WORD_EMBEDDINGS);

	add_part(list, PART_WORDS, PART_ROWS, precision, words->shape[0], words->shape[1],
			 words->offset);
	if (precision == PRECISION_INT8)
		add_part(list, PART_WORD_SCALES, PART_ROW_SCALES, precision, words->shape[0], 1,
				 words->offset);
	add_floats(list, PART_POSITIONS, ROLE_POSITION_EMBEDDINGS);
	add_floats(list, PART_TYPES, ROLE_TYPE_EMBEDDINGS);
	add_floats(list, PART_NORM_WEIGHT, ROLE_EMBEDDINGS_NORM_WEIGHT);
	add_floats(list, PART_NORM_BIAS, ROLE_EMBEDDINGS_NORM_BIAS);
	add_linear(list, PART_PROJECTION, PART_PROJECTION_BIAS, ROLE_EMBEDDINGS_PROJECTION_WEIGHT,
			   ROLE_EMBEDDINGS_PROJECTION_BIAS, 1, precision);
	add_floats(list, PART_ATTENTION_BIAS, ROLE_ATTENTION_BIAS);
}

static void
add_layer(PartList *list, const BertConfig *config, Precision precision)
{
	add_linear(list, PART_QKV, PART_QKV_BIAS, ROLE_QUERY_WEIGHT, ROLE_QUERY_BIAS, 3, precision);
	add_floats(list, PART_DISTANCE, ROLE_DISTANCE_EMBEDDING);
	add_linear(list, PART_ATTENTION_OUTPUT, PART_ATTENTION_OUTPUT_BIAS,
			   ROLE_ATTENTION_OUTPUT_WEIGHT, ROLE_ATTENTION_OUTPUT_BIAS, 1, precision);
	add_floats(list, PART_ATTENTION_NORM_WEIGHT, ROLE_ATTENTION_NORM_WEIGHT);
	add_floats(list, PART_ATTENTION_NORM_BIAS, ROLE_ATTENTION_NORM_BIAS);
	if (config->add_cross_attention)
	{
		add_linear(list, PART_CROSS_QUERY, PART_CROSS_QUERY_BIAS, ROLE_CROSS_QUERY_WEIGHT,
				   ROLE_CROSS_QUERY_BIAS, 1, precision);
		add_linear(list, PART_CROSS_KEY_VALUE, PART_CROSS_KEY_VALUE_BIAS, ROLE_CROSS_KEY_WEIGHT,
				   ROLE_CROSS_KEY_BIAS, 2, precision);
		add_linear(list, PART_CROSS_OUTPUT, PART_CROSS_OUTPUT_BIAS, ROLE_CROSS_OUTPUT_WEIGHT,
				   ROLE_CROSS_OUTPUT_BIAS, 1, precision);
		add_floats(list, PART_CROSS_NORM_WEIGHT, ROLE_CROSS_NORM_WEIGHT);
		add_floats(list, PART_CROSS_NORM_BIAS, ROLE_CROSS_NORM_BIAS);
	}
	add_linear(list, PART_INTERMEDIATE, PART_INTERMEDIATE_BIAS, ROLE_INTERMEDIATE_WEIGHT,
			   ROLE_INTERMEDIATE_BIAS, 1, precision);
	add_linear(list, PART_OUTPUT, PART_OUTPUT_BIAS, ROLE_OUTPUT_WEIGHT, ROLE_OUTPUT_BIAS, 1,
			   precision);
	add_floats(list, PART_NORM_WEIGHT, ROLE_OUTPUT_NORM_WEIGHT);
	add_floats(list, PART_NORM_BIAS, ROLE_OUTPUT_NORM_BIAS);
}

static void
add_head(PartList *list, const BertConfig *config, Precision precision)
{
	if (head_has_vocabulary(list->table->head))
	{
		/* a tied decoder's weight follows the block's own floats: prepared_needs_embeddings */
		size_t decoder = config->tie_word_embeddings ? list->block->elements
													 : tensor_of(list, ROLE_DECODER_WEIGHT)->offset;

		add_linear(list, PART_DENSE, PART_DENSE_BIAS, ROLE_TRANSFORM_WEIGHT, ROLE_TRANSFORM_BIAS, 1,
				   precision);
		add_floats(list, PART_NORM_WEIGHT, ROLE_TRANSFORM_NORM_WEIGHT);
		add_floats(list, PART_NORM_BIAS, ROLE_TRANSFORM_NORM_BIAS);
		add_part(list, PART_DECODER, PART_PACKED, precision, (size_t) config->vocab_size,
				 (size_t) config_embedding_size(config), decoder);
		add_floats(list, PART_DECODER_BIAS, ROLE_DECODER_BIAS);
	}
	add_linear(list, PART_SEQ_RELATIONSHIP, PART_SEQ_RELATIONSHIP_BIAS,
			   ROLE_SEQ_RELATIONSHIP_WEIGHT, ROLE_SEQ_RELATIONSHIP_BIAS, 1, PRECISION_FP32);
	add_linear(list, PART_PROJECTION, PART_PROJECTION_BIAS, ROLE_PROJECTION_WEIGHT,
			   ROLE_PROJECTION_BIAS, 1, PRECISION_FP32);
	add_linear(list, PART_CLASSIFIER, PART_CLASSIFIER_BIAS, ROLE_CLASSIFIER_WEIGHT,
			   ROLE_CLASSIFIER_BIAS, 1, PRECISION_FP32);
}

/* A Dense module; its weight stays fp32, as all that comes after the encoder. */
static void
add_dense(PartList *list)
{
	const TensorSpec *weight = tensor_of(list, ROLE_DENSE_WEIGHT);

	add_part(list, PART_DENSE, PART_PACKED, PRECISION_FP32, weight->shape[0], weight->shape[1],
			 weight->offset);
	if (tensor_of(list, ROLE_DENSE_BIAS) != NULL)
		add_floats(list, PART_DENSE_BIAS, ROLE_DENSE_BIAS);
}

static bool
block_parts(PartList *list, const Preparation *preparation, int block, Status *status)
{
	const TensorTable *table = preparation->table;
	const BertConfig *config = preparation->config;
	Precision precision = preparation->precision;
	const Kernels *kernels = preparation->kernels;

	if (block < 0 || block >= table->n_blocks)
		return status_fail(status, STATUS_INTERNAL, "block %d does not exist", block);
	memset(list, 0, sizeof *list);
	list->table = table;
	list->block = &table->blocks[block];
	list->kernels = kernels;
	list->header.magic = PREPARED_MAGIC;
	list->header.version = PREPARED_VERSION;
	list->header.kind = list->block->kind;
	list->header.head = list->block->kind == BLOCK_HEAD ? table->head : HEAD_NONE;
	list->header.precision = precision;
	list->header.layout = kernels->layout[precision];
	list->header.layout_fp32 = kernels->layout[PRECISION_FP32];
	list->header.size = size_align(sizeof(PreparedHeader), PART_ALIGNMENT);
	switch (list->block->kind)
	{
		case BLOCK_EMBEDDINGS:
			add_embeddings(list, precision);
			break;
		case BLOCK_LAYER:
			add_layer(list, config, precision);
			break;
		case BLOCK_POOLER:
			add_linear(list, PART_DENSE, PART_DENSE_BIAS, ROLE_POOLER_WEIGHT, ROLE_POOLER_BIAS, 1,
					   PRECISION_FP32);
			break;
		case BLOCK_HEAD:
			add_head(list, config, precision);
			break;
		case BLOCK_DENSE:
			add_dense(list);
			break;
	}
	return !list->failed ||
		   status_fail(status, STATUS_LIMIT, "the prepared form of a block is too large");
}

bool
prepared_needs_embeddings(const TensorTable *table, const BertConfig *config, int block)
{
	return table->blocks[block].kind == BLOCK_HEAD && head_has_vocabulary(table->head) &&
		   config->tie_word_embeddings;
}

bool
prepared_size(const Preparation *preparation, int block, size_t *size, Status *status)
{
	PartList list;

	if (!block_parts(&list, preparation, block, status))
		return false;
	*size = list.header.size;
	return true;
}

/* The nearest bf16, ties to even. Finite values stay finite: the loader lets no other in. */
static uint16_t
finite_bf16(float value)
{
	uint16_t rounded = float_to_bf16(value);

	return (rounded & 0x7FFF) == 0x7F80 ? rounded - 1 : rounded;
}

static float
row_scale(const float *row, size_t n)
{
	float largest = 0.0f;

	for (size_t i = 0; i < n; i++)
		largest = fmaxf(largest, fabsf(row[i]));
	return largest / 127.0f;
}

/* Rows between two questions: some milliseconds. */
#define ASK_ROWS 1024

static bool
write_rows(const PartRecord *part, const float *data, void *out, const MayContinue *question,
		   Status *status)
{
	for (size_t r = 0; r < part->rows; r++)
	{
		const float *row = data + r * part->columns; /* (columns) */
		size_t start = r * part->columns;
		float scale;

		if (bulk_turn(r, ASK_ROWS) && !may_continue(question, status))
			return false;

		switch ((Precision) part->precision)
		{
			case PRECISION_FP32:
				memcpy((float *) out + start, row, part->columns * sizeof(float));
				break;
			case PRECISION_BF16:
				for (size_t c = 0; c < part->columns; c++)
					((uint16_t *) out)[start + c] = finite_bf16(row[c]);
				break;
			case PRECISION_INT8:
				scale = row_scale(row, part->columns);
				for (size_t c = 0; c < part->columns; c++)
					((int8_t *) out)[start + c] =
						scale > 0.0f
							? (int8_t) lrintf(fmaxf(-127.0f, fminf(row[c] / scale, 127.0f)))
							: 0;
				break;
		}
	}
	return true;
}

static bool
write_row_scales(const PartRecord *part, size_t columns, const float *data, float *out,
				 const MayContinue *question, Status *status)
{
	for (size_t r = 0; r < part->rows; r++)
	{
		out[r] = row_scale(data + r * columns, columns);
		if (bulk_turn(r, ASK_ROWS) && !may_continue(question, status))
			return false;
	}
	return true;
}

/* Not for PART_PACKED. */
static bool
write_part(const PartRecord *part, const float *source, size_t columns, void *out,
		   const MayContinue *question, Status *status)
{
	switch ((PartForm) part->form)
	{
		case PART_FLOATS:
			return bulk_copy(out, source, part->bytes, question, status);
		case PART_ROWS:
			return write_rows(part, source, out, question, status);
		case PART_ROW_SCALES:
			return write_row_scales(part, columns, source, out, question, status);
		case PART_PACKED:
			break;
	}
	return true;
}

/* The largest one that heads have is as large as the embeddings. */
static bool
write_packed(const Preparation *preparation, const PartRecord *part, const float *source, void *out,
			 const MayContinue *question, Status *status)
{
	return bulk_clear(out, part->bytes, question, status) &&
		   (preparation->kernels->gemm_pack((Precision) part->precision, part->rows, part->columns,
											source, part->columns, out, question) ||
			status_fail(status, STATUS_CANCELLED, "canceled on request"));
}

bool
prepared_write(const Preparation *preparation, int block, const float *data, void *image,
			   size_t size, const MayContinue *question, Status *status)
{
	PartList list;
	unsigned char *bytes = image;
	size_t end = size_align(sizeof(PreparedHeader), PART_ALIGNMENT);

	if (!block_parts(&list, preparation, block, status))
		return false;
	if (size != list.header.size)
		return status_fail(status, STATUS_INTERNAL, "a prepared block takes %zu bytes, not %zu",
						   (size_t) list.header.size, size);
	memset(bytes, 0, end);
	memcpy(bytes, &list.header, sizeof list.header);
	for (size_t i = 0; i < list.header.n_parts; i++)
	{
		const PartRecord *part = &list.header.parts[i];
		const float *source = data + list.sources[i];
		void *out = bytes + part->offset;

		if (!may_continue(question, status))
			return false;
		/* no byte is left to chance: equal blocks give equal images */
		memset(bytes + end, 0, part->offset - end);
		if (!(part->form == PART_PACKED
				  ? write_packed(preparation, part, source, out, question, status)
				  : write_part(part, source, (size_t) config_embedding_size(preparation->config),
							   out, question, status)))
			return false;
		end = part->offset + part->bytes;
	}
	memset(bytes + end, 0, size - end);
	return true;
}

static const void *
part_bytes(const PreparedHeader *header, PartName name)
{
	for (size_t i = 0; i < header->n_parts; i++)
		if (header->parts[i].name == (uint32_t) name)
			return (const unsigned char *) header + header->parts[i].offset;
	return NULL;
}

static void
bind_linear(const PreparedHeader *header, PartName weight, PartName bias, LinearParams *linear)
{
	for (size_t i = 0; i < header->n_parts; i++)
		if (header->parts[i].name == (uint32_t) weight)
		{
			linear->weight.precision = (Precision) header->parts[i].precision;
			linear->weight.n = header->parts[i].rows;
			linear->weight.k = header->parts[i].columns;
			linear->weight.panels = (const unsigned char *) header + header->parts[i].offset;
		}
	linear->bias = part_bytes(header, bias);
}

static void
bind_norm(const PreparedHeader *header, PartName weight, PartName bias, NormParams *norm)
{
	for (size_t i = 0; i < header->n_parts; i++)
		if (header->parts[i].name == (uint32_t) weight)
			norm->n = header->parts[i].rows;
	norm->weight = part_bytes(header, weight);
	norm->bias = part_bytes(header, bias);
}

static void
bind_embeddings(const PreparedHeader *header, BertModel *model)
{
	EmbeddingsParams *params = &model->embeddings;

	params->words.precision = (Precision) header->precision;
	params->words.n_rows = (size_t) model->config.vocab_size;
	params->words.n_columns = model->embedding_size;
	params->words.rows = part_bytes(header, PART_WORDS);
	params->words.scales = part_bytes(header, PART_WORD_SCALES);
	params->positions = part_bytes(header, PART_POSITIONS);
	params->types = part_bytes(header, PART_TYPES);
	bind_norm(header, PART_NORM_WEIGHT, PART_NORM_BIAS, &params->norm);
	bind_linear(header, PART_PROJECTION, PART_PROJECTION_BIAS, &params->projection);
	params->attention_bias = part_bytes(header, PART_ATTENTION_BIAS);
}

static void
bind_layer(const PreparedHeader *header, LayerParams *params)
{
	bind_linear(header, PART_QKV, PART_QKV_BIAS, &params->query_key_value);
	params->distance = part_bytes(header, PART_DISTANCE);
	bind_linear(header, PART_ATTENTION_OUTPUT, PART_ATTENTION_OUTPUT_BIAS,
				&params->attention_output);
	bind_norm(header, PART_ATTENTION_NORM_WEIGHT, PART_ATTENTION_NORM_BIAS,
			  &params->attention_norm);
	bind_linear(header, PART_CROSS_QUERY, PART_CROSS_QUERY_BIAS, &params->cross_query);
	bind_linear(header, PART_CROSS_KEY_VALUE, PART_CROSS_KEY_VALUE_BIAS, &params->cross_key_value);
	bind_linear(header, PART_CROSS_OUTPUT, PART_CROSS_OUTPUT_BIAS, &params->cross_output);
	bind_norm(header, PART_CROSS_NORM_WEIGHT, PART_CROSS_NORM_BIAS, &params->cross_norm);
	bind_linear(header, PART_INTERMEDIATE, PART_INTERMEDIATE_BIAS, &params->intermediate);
	bind_linear(header, PART_OUTPUT, PART_OUTPUT_BIAS, &params->output);
	bind_norm(header, PART_NORM_WEIGHT, PART_NORM_BIAS, &params->output_norm);
}

bool
prepared_bind(BertModel *model, const TensorTable *table, int block, const PreparedImage *image,
			  Status *status)
{
	const PreparedHeader *header = image->bytes;
	const Preparation preparation = {table, &model->config, model->precision, model->kernels};
	PartList list;

	if (!block_parts(&list, &preparation, block, status))
		return false;
	/*
	 * The header follows from the table alone: compared whole, no offset in it needs to be trusted.
	 */
	if (image->bytes == NULL || (uintptr_t) image->bytes % PART_ALIGNMENT != 0 ||
		image->size != list.header.size || memcmp(header, &list.header, sizeof list.header) != 0)
		return status_fail(status, STATUS_INVALID_DATA,
						   "the prepared image of block %d does not fit its model", block);
	switch (list.block->kind)
	{
		case BLOCK_EMBEDDINGS:
			bind_embeddings(header, model);
			break;
		case BLOCK_LAYER:
			for (int layer = 0; layer < model->config.num_hidden_layers; layer++)
				if (config_layer_block(&model->config, layer) == list.block->layer)
					bind_layer(header, &model->layers[layer]);
			break;
		case BLOCK_POOLER:
			model->has_pooler = true;
			bind_linear(header, PART_DENSE, PART_DENSE_BIAS, &model->pooler);
			break;
		case BLOCK_HEAD:
			bind_linear(header, PART_DENSE, PART_DENSE_BIAS, &model->task.transform);
			bind_norm(header, PART_NORM_WEIGHT, PART_NORM_BIAS, &model->task.transform_norm);
			bind_linear(header, PART_DECODER, PART_DECODER_BIAS, &model->task.decoder);
			bind_linear(header, PART_SEQ_RELATIONSHIP, PART_SEQ_RELATIONSHIP_BIAS,
						&model->task.seq_relationship);
			bind_linear(header, PART_PROJECTION, PART_PROJECTION_BIAS, &model->task.projection);
			bind_linear(header, PART_CLASSIFIER, PART_CLASSIFIER_BIAS, &model->task.classifier);
			break;
		case BLOCK_DENSE:
			bind_linear(header, PART_DENSE, PART_DENSE_BIAS, &model->dense[list.block->layer]);
			break;
	}
	return true;
}
