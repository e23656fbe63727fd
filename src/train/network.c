/* network.c: binding parameters, laying out a batch's workspace, running it forward and backward.
 */
#include "train/network.h"

#include <math.h>
#include <string.h>

#include "train/embeddings.h"
#include "train/head.h"

size_t
network_block_offset(const TensorTable *table, int block)
{
	size_t offset = 0;

	for (int b = 0; b < block; b++)
		offset += table->blocks[b].elements;
	return offset;
}

size_t
network_tensor_offset(const TensorTable *table, const TensorSpec *tensor)
{
	return network_block_offset(table, tensor->block) + tensor->offset;
}

static float *
weights_of(const Network *network, TensorRole role, int layer)
{
	const TensorSpec *tensor = tensor_table_role(network->table, role, layer);

	return tensor == NULL ? NULL : network->weights + network_tensor_offset(network->table, tensor);
}

static float *
gradients_of(const Network *network, TensorRole role, int layer)
{
	const TensorSpec *tensor = tensor_table_role(network->table, role, layer);
	size_t offset;

	if (tensor == NULL || network->gradients == NULL)
		return NULL;
	offset = network_tensor_offset(network->table, tensor);
	return offset < network->frozen_elements
			   ? NULL
			   : network->gradients + (offset - network->frozen_elements);
}

/* joined: how many tensors of the same shape lie one after the other (query, key, value). */
static Linear
bind_linear(const Network *network, TensorRole weight, TensorRole bias, int layer, size_t joined)
{
	const TensorSpec *tensor = tensor_table_role(network->table, weight, layer);
	Linear linear = {0};

	if (tensor == NULL)
		return linear;
	linear.out = tensor->shape[0] * joined;
	linear.in = tensor->shape[1];
	linear.weight = weights_of(network, weight, layer);
	linear.bias = weights_of(network, bias, layer);
	linear.d_weight = gradients_of(network, weight, layer);
	linear.d_bias = gradients_of(network, bias, layer);
	return linear;
}

static Norm
bind_norm(const Network *network, TensorRole weight, TensorRole bias, int layer)
{
	Norm norm = {.n = tensor_table_role(network->table, weight, layer)->shape[0],
				 .eps = network->config->layer_norm_eps};

	norm.gamma = weights_of(network, weight, layer);
	norm.beta = weights_of(network, bias, layer);
	norm.d_gamma = gradients_of(network, weight, layer);
	norm.d_beta = gradients_of(network, bias, layer);
	return norm;
}

/* layer: of the table, as config_layer_block says */
static void
bind_layer(const Network *network, int layer, LayerParameters *parameters)
{
	const BertConfig *config = network->config;

	memset(parameters, 0, sizeof *parameters);
	parameters->self.head_size =
		(size_t) config->hidden_size / (size_t) config->num_attention_heads;
	parameters->self.query = bind_linear(network, ROLE_QUERY_WEIGHT, ROLE_QUERY_BIAS, layer, 3);
	parameters->self.heads = parameters->self.query.out / 3 / parameters->self.head_size;
	parameters->self.output =
		bind_linear(network, ROLE_ATTENTION_OUTPUT_WEIGHT, ROLE_ATTENTION_OUTPUT_BIAS, layer, 1);
	parameters->self.norm =
		bind_norm(network, ROLE_ATTENTION_NORM_WEIGHT, ROLE_ATTENTION_NORM_BIAS, layer);
	parameters->self.positions = config->position_embedding_type;
	parameters->self.max_positions = (size_t) config->max_position_embeddings;
	parameters->self.distance = weights_of(network, ROLE_DISTANCE_EMBEDDING, layer);
	parameters->self.d_distance = gradients_of(network, ROLE_DISTANCE_EMBEDDING, layer);
	parameters->self.bias = weights_of(network, ROLE_ATTENTION_BIAS, -1);
	parameters->self.d_bias = gradients_of(network, ROLE_ATTENTION_BIAS, -1);
	parameters->has_cross = config->add_cross_attention;
	if (parameters->has_cross)
	{
		parameters->cross.head_size = parameters->self.head_size;
		parameters->cross.heads = (size_t) config->num_attention_heads;
		parameters->cross.query =
			bind_linear(network, ROLE_CROSS_QUERY_WEIGHT, ROLE_CROSS_QUERY_BIAS, layer, 1);
		parameters->cross.key_value =
			bind_linear(network, ROLE_CROSS_KEY_WEIGHT, ROLE_CROSS_KEY_BIAS, layer, 2);
		parameters->cross.output =
			bind_linear(network, ROLE_CROSS_OUTPUT_WEIGHT, ROLE_CROSS_OUTPUT_BIAS, layer, 1);
		parameters->cross.norm =
			bind_norm(network, ROLE_CROSS_NORM_WEIGHT, ROLE_CROSS_NORM_BIAS, layer);
	}
	parameters->intermediate =
		bind_linear(network, ROLE_INTERMEDIATE_WEIGHT, ROLE_INTERMEDIATE_BIAS, layer, 1);
	parameters->output = bind_linear(network, ROLE_OUTPUT_WEIGHT, ROLE_OUTPUT_BIAS, layer, 1);
	parameters->norm = bind_norm(network, ROLE_OUTPUT_NORM_WEIGHT, ROLE_OUTPUT_NORM_BIAS, layer);
	parameters->activation = network->hidden_act;
}

static void
bind_embeddings(Network *network)
{
	EmbeddingParameters *embeddings = &network->embeddings;

	embeddings->vocab = (size_t) network->config->vocab_size;
	embeddings->word = weights_of(network, ROLE_WORD_EMBEDDINGS, -1);
	embeddings->position = weights_of(network, ROLE_POSITION_EMBEDDINGS, -1);
	embeddings->type = weights_of(network, ROLE_TYPE_EMBEDDINGS, -1);
	embeddings->d_word = gradients_of(network, ROLE_WORD_EMBEDDINGS, -1);
	embeddings->d_position = gradients_of(network, ROLE_POSITION_EMBEDDINGS, -1);
	embeddings->d_type = gradients_of(network, ROLE_TYPE_EMBEDDINGS, -1);
	embeddings->norm =
		bind_norm(network, ROLE_EMBEDDINGS_NORM_WEIGHT, ROLE_EMBEDDINGS_NORM_BIAS, -1);
	embeddings->projection = bind_linear(network, ROLE_EMBEDDINGS_PROJECTION_WEIGHT,
										 ROLE_EMBEDDINGS_PROJECTION_BIAS, -1, 1);
}

static void
bind_head(Network *network)
{
	HeadParameters *head = &network->head;

	head->projection = bind_linear(network, ROLE_PROJECTION_WEIGHT, ROLE_PROJECTION_BIAS, -1, 1);
	if (head->reads == READS_POOLER)
	{
		head->projection = bind_linear(network, ROLE_POOLER_WEIGHT, ROLE_POOLER_BIAS, -1, 1);
		head->projection_act = ACTIVATION_TANH;
	}
	head->classifier = bind_linear(network, ROLE_CLASSIFIER_WEIGHT, ROLE_CLASSIFIER_BIAS, -1, 1);
	if (head->classifier.weight == NULL)
		head->classifier =
			bind_linear(network, ROLE_SEQ_RELATIONSHIP_WEIGHT, ROLE_SEQ_RELATIONSHIP_BIAS, -1, 1);
	head->transform = bind_linear(network, ROLE_TRANSFORM_WEIGHT, ROLE_TRANSFORM_BIAS, -1, 1);
	if (head->transform.weight == NULL)
		return;
	head->transform_norm =
		bind_norm(network, ROLE_TRANSFORM_NORM_WEIGHT, ROLE_TRANSFORM_NORM_BIAS, -1);
	if (network->config->tie_word_embeddings)
	{
		head->decoder.out = network->embeddings.vocab;
		head->decoder.in = head->transform.out;
		head->decoder.weight = network->embeddings.word;
		head->decoder.d_weight = network->embeddings.d_word;
		network->dense_words = network->embeddings.d_word != NULL;
	}
	else
		head->decoder = bind_linear(network, ROLE_DECODER_WEIGHT, ROLE_DECODER_BIAS, -1, 1);
	head->decoder.bias = weights_of(network, ROLE_DECODER_BIAS, -1);
	head->decoder.d_bias = gradients_of(network, ROLE_DECODER_BIAS, -1);
}

/* How a model without a head makes embeddings. */
static void
bind_sentence(Network *network, const NetworkSetup *setup)
{
	SentenceParameters *sentence = &network->sentence;
	const BertConfig *config = network->config;

	if (setup->pooling == NULL || network->table->head != HEAD_NONE)
		return;
	sentence->pooling = *setup->pooling;
	sentence->normalize = setup->normalize;
	sentence->n_dense = config->n_dense;
	for (int i = 0; i < config->n_dense; i++)
	{
		sentence->dense[i] = bind_linear(network, ROLE_DENSE_WEIGHT, ROLE_DENSE_BIAS, i, 1);
		sentence->activation[i] = config->dense[i].activation;
	}
}

size_t
network_widest(const TensorTable *table)
{
	size_t widest = 1;

	for (int i = 0; i < table->n_tensors; i++)
		if (table->tensors[i].rank == 1 && table->tensors[i].elements > widest)
			widest = table->tensors[i].elements;
	return 3 * widest;
}

/* Which part is trained, and with what dropout. */
static void
choose_part(Network *network, const NetworkSetup *setup)
{
	const BertConfig *config = setup->config;
	const HeadShape *shape = config_head_shape(config, setup->table->head);
	int layers = config->num_hidden_layers;
	bool own = setup->dropout < 0;

	network->hidden_dropout = own ? config->hidden_dropout_prob : (float) setup->dropout;
	network->probs_dropout = own ? config->attention_probs_dropout_prob : (float) setup->dropout;
	network->head.reads = shape->reads;
	network->head.dropout_first = shape->dropout_first;
	network->head.dropout = shape->dropout == 0 ? 0
							: own               ? config_head_dropout(config, setup->table->head)
												: (float) setup->dropout;
	network->frozen_layers = setup->part == TRAIN_ALL   ? 0
							 : setup->part == TRAIN_TOP ? layers - setup->top_layers
														: layers;
	network->dropout_from = setup->frozen_dropout ? 0 : network->frozen_layers;
	network->embeddings_trained = setup->part == TRAIN_ALL && !setup->freeze_embeddings;
	network->frozen_elements =
		setup->part == TRAIN_NOTHING
			? setup->table->elements
			: network_block_offset(setup->table, network->embeddings_trained ? 0
												 : network->frozen_layers == layers
													 ? 1 + config_layer_blocks(config)
													 : 1 + network->frozen_layers);
}

static bool
allocate_gradients(Network *network, Arena *arena, Status *status)
{
	size_t trained = network->table->elements - network->frozen_elements;
	size_t vocab = (size_t) network->config->vocab_size;

	if (trained > 0)
	{
		network->gradients = arena_alloc_array_zero(arena, trained, sizeof(float));
		if (network->gradients == NULL)
			return arena_fail(arena, status, "gradients", trained * sizeof(float));
	}
	if (network->embeddings_trained)
	{
		network->word_rows.stamps = arena_alloc_array_zero(arena, vocab, sizeof(uint32_t));
		network->word_rows.rows = arena_alloc_array(arena, vocab, sizeof(uint32_t));
		if (network->word_rows.stamps == NULL || network->word_rows.rows == NULL)
			return arena_fail(arena, status, "word rows", 2 * vocab * sizeof(uint32_t));
	}
	return true;
}

bool
network_init(Network *network, const NetworkSetup *setup, Arena *arena, Arena *workspace,
			 Status *status)
{
	int layers = setup->config->num_hidden_layers;

	if (config_head_shape(setup->config, setup->table->head)->reads == READS_EMBEDDING)
		return status_fail(status, STATUS_UNSUPPORTED,
						   "there are no gradients of a classifier that reads the embedding");

	memset(network, 0, sizeof *network);
	if (setup->part == TRAIN_TOP && setup->config->family->shared_layers)
	{
		status_fail(
			status, STATUS_UNSUPPORTED,
			"the last layers of %s cannot be trained alone: they have the first ones' weights",
			setup->config->family->title);
		return status_hint(status, "Train all or the head.");
	}
	if (!activation_parse(setup->config->hidden_act, &network->hidden_act, status) ||
		!head_activation(setup->config, setup->table->head, &network->head.projection_act,
						 status) ||
		!predictions_activation(setup->config, &network->head.transform_act, status))
		return false;
	network->config = setup->config;
	network->table = setup->table;
	network->compute = setup->compute;
	network->weights = setup->weights;
	network->workspace = workspace;
	choose_part(network, setup);
	network->layers = arena_alloc_array(arena, (size_t) layers, sizeof *network->layers);
	if (network->layers == NULL)
		return arena_fail(arena, status, "layers", (size_t) layers * sizeof *network->layers);
	if (!allocate_gradients(network, arena, status))
		return false;
	bind_embeddings(network);
	for (int layer = 0; layer < layers; layer++)
		bind_layer(network, config_layer_block(setup->config, layer), &network->layers[layer]);
	bind_head(network);
	bind_sentence(network, setup);
	network->workspace_mark = arena_mark(workspace);
	return true;
}

bool
network_tensor_unused(const Network *network, const TensorSpec *tensor)
{
	if (tensor->role >= ROLE_CROSS_QUERY_WEIGHT && tensor->role <= ROLE_CROSS_NORM_BIAS)
		return !network->cross_used;
	/* no embedding is made of the pooler's output */
	if (tensor->role == ROLE_POOLER_WEIGHT || tensor->role == ROLE_POOLER_BIAS)
		return network->table->head == HEAD_NONE;
	return tensor->role == ROLE_POSITION_EMBEDDINGS &&
		   network->config->position_embedding_type != POSITION_ABSOLUTE;
}

/*
 * Weights of linear layers are overwritten by the first micro-batch; everything else is added to.
 */
static bool
overwritten(const Network *network, const TensorSpec *tensor)
{
	switch (tensor->role)
	{
		case ROLE_WORD_EMBEDDINGS:
			return true; /* by the tied decoder, or row by row */
		case ROLE_POSITION_EMBEDDINGS:
		case ROLE_TYPE_EMBEDDINGS:
		case ROLE_DISTANCE_EMBEDDING:
		case ROLE_ATTENTION_BIAS:
			return false;
		default:
			return tensor->rank == 2 && !network_tensor_unused(network, tensor);
	}
}

void
network_begin_step(Network *network)
{
	const TensorTable *table = network->table;

	for (int i = 0; i < table->n_tensors; i++)
	{
		const TensorSpec *tensor = &table->tensors[i];
		size_t offset = network_tensor_offset(table, tensor);

		if (offset >= network->frozen_elements && !overwritten(network, tensor))
			memset(network->gradients + (offset - network->frozen_elements), 0,
				   tensor->elements * sizeof(float));
	}
	network->compute->accumulate = false;
	network->word_rows.n = 0;
	network->word_rows.stamp++;
}

/*
 * All memory of one run. Layers that keep nothing share one LayerSaved and write to two outputs in
 * turn.
 */
typedef struct RunBuffers
{
	AttentionShape self_shape;
	AttentionShape cross_shape;
	EmbeddingsSaved embeddings;
	LayerSaved shared;
	float *turn[2];    /* (T, H) */
	LayerSaved *saved; /* (layers) */
	LayerScratch scratch;
	float *d_hidden[2]; /* (T, H) */
	HeadBuffers head;
} RunBuffers;

/* The lowest layer whose backward runs, or the number of layers. */
static int
lowest_backward(const Network *network, const NetworkRun *run)
{
	if (!run->backward)
		return network->config->num_hidden_layers;
	return run->d_embeddings != NULL ? 0 : network->frozen_layers;
}

static bool
needs_encoder_backward(const Network *network, const NetworkRun *run)
{
	return run->backward && (run->d_embeddings != NULL || network->embeddings_trained ||
							 network->frozen_layers < network->config->num_hidden_layers);
}

static bool
embeddings_dropped(const Network *network, const NetworkRun *run)
{
	return run->training && network->dropout_from == 0 && network->hidden_dropout > 0;
}

static void
layout_attention(Bump *bump, const AttentionParameters *parameters, const AttentionShape *shape,
				 size_t hidden, bool training, AttentionSaved *saved)
{
	size_t queries = (size_t) shape->q_offsets[shape->n_sequences];
	size_t keys = (size_t) shape->k_offsets[shape->n_sequences];
	size_t width = parameters->heads * parameters->head_size;

	saved->q = bump_floats(bump, queries, parameters->query.out);
	saved->kv = bump_floats(bump, keys, parameters->key_value.out);
	saved->probs = bump_floats(bump, shape->cells[shape->n_sequences], parameters->heads);
	saved->prob_bits =
		training ? bump_take(bump, shape->bit_rows[shape->n_sequences], parameters->heads, 1)
				 : NULL;
	saved->context = bump_floats(bump, queries, width);
	saved->sum = bump_floats(bump, queries, hidden);
	saved->bits = training ? bump_take(bump, queries, dropout_row_bytes(hidden), 1) : NULL;
	saved->mean = bump_floats(bump, queries, 1);
	saved->rstd = bump_floats(bump, queries, 1);
	saved->out = bump_floats(bump, queries, hidden);
}

/* Everything of a layer but its output. */
static void
layout_layer(Bump *bump, const LayerParameters *parameters, const RunBuffers *buffers,
			 size_t tokens, bool training, bool crossed, LayerSaved *saved)
{
	size_t hidden = parameters->norm.n;

	memset(saved, 0, sizeof *saved);
	layout_attention(bump, &parameters->self, &buffers->self_shape, hidden, training, &saved->self);
	if (parameters->has_cross && crossed)
		layout_attention(bump, &parameters->cross, &buffers->cross_shape, hidden, training,
						 &saved->cross);
	saved->derivative = bump_floats(bump, tokens, parameters->intermediate.out);
	saved->intermediate = bump_floats(bump, tokens, parameters->intermediate.out);
	saved->sum = bump_floats(bump, tokens, hidden);
	saved->bits = training ? bump_take(bump, tokens, dropout_row_bytes(hidden), 1) : NULL;
	saved->mean = bump_floats(bump, tokens, 1);
	saved->rstd = bump_floats(bump, tokens, 1);
}

static void
layout_scratch(const Network *network, const NetworkRun *run, Bump *bump, RunBuffers *buffers,
			   size_t tokens)
{
	AttentionScratch *attention = &buffers->scratch.attention;
	const LayerParameters *first = &network->layers[0];
	size_t hidden = (size_t) network->config->hidden_size;
	size_t heads_width = hidden; /* a pruned layer needs less */
	bool crossed = run->batch->encoder_hidden_states != NULL;

	attention->tile_floats = train_attention_tile_floats(&first->self, &buffers->self_shape);
	if (crossed)
	{
		size_t cross = train_attention_tile_floats(&first->cross, &buffers->cross_shape);

		attention->tile_floats = cross > attention->tile_floats ? cross : attention->tile_floats;
	}
	attention->tiles =
		bump_floats(bump, (size_t) network->compute->threads, attention->tile_floats);
	if (!needs_encoder_backward(network, run))
		return;
	attention->d_context = bump_floats(bump, tokens, heads_width);
	attention->d_q = bump_floats(bump, tokens, 3 * heads_width);
	attention->d_kv =
		crossed
			? bump_floats(bump, (size_t) run->batch->encoder_cu_seqlens[run->batch->n_sequences],
						  2 * heads_width)
			: NULL;
	attention->d_x = bump_floats(bump, tokens, hidden);
	buffers->scratch.d_intermediate =
		bump_floats(bump, tokens, (size_t) network->config->intermediate_size);
	buffers->scratch.d_hidden = bump_floats(bump, tokens, hidden);
	buffers->d_hidden[0] = bump_floats(bump, tokens, hidden);
	buffers->d_hidden[1] = bump_floats(bump, tokens, hidden);
}

/* The layer with the most heads left: what is laid out for it serves all. */
static const LayerParameters *
widest_layer(const Network *network)
{
	const LayerParameters *widest = &network->layers[0];

	for (int layer = 1; layer < network->config->num_hidden_layers; layer++)
		if (network->layers[layer].self.heads > widest->self.heads)
			widest = &network->layers[layer];
	return widest;
}

static void
layout_embeddings(const Network *network, const NetworkRun *run, Bump *bump, size_t tokens,
				  EmbeddingsSaved *saved)
{
	size_t width = network->embeddings.norm.n;
	bool projects = network->embeddings.projection.weight != NULL;

	saved->sum = bump_floats(bump, tokens, width);
	saved->mean = bump_floats(bump, tokens, 1);
	saved->rstd = bump_floats(bump, tokens, 1);
	saved->bits = embeddings_dropped(network, run)
					  ? bump_take(bump, tokens, dropout_row_bytes(width), 1)
					  : NULL;
	saved->out = bump_floats(bump, tokens, (size_t) network->config->hidden_size);
	saved->normed = projects ? bump_floats(bump, tokens, width) : saved->out;
	saved->d_normed =
		projects && needs_encoder_backward(network, run) ? bump_floats(bump, tokens, width) : NULL;
}

static void
layout(const Network *network, const NetworkRun *run, Bump *bump, RunBuffers *buffers)
{
	size_t tokens = (size_t) run->batch->cu_seqlens[run->batch->n_sequences];
	size_t hidden = (size_t) network->config->hidden_size;
	int layers = network->config->num_hidden_layers;
	int lowest = lowest_backward(network, run);
	bool crossed = run->batch->encoder_hidden_states != NULL;
	bool dropout = run->training && (network->hidden_dropout > 0 || network->probs_dropout > 0);

	train_head_layout(network, run, bump, &buffers->head);
	if (run->first_rows_only)
		return;
	layout_embeddings(network, run, bump, tokens, &buffers->embeddings);
	layout_scratch(network, run, bump, buffers, tokens);
	if (run->recompute || lowest > 0)
	{
		layout_layer(bump, widest_layer(network), buffers, tokens, dropout, crossed,
					 &buffers->shared);
		buffers->turn[0] = bump_floats(bump, tokens, hidden);
		buffers->turn[1] = bump_floats(bump, tokens, hidden);
	}
	for (int layer = 0; layer < layers; layer++)
	{
		LayerSaved saved = buffers->shared;

		saved.out = buffers->turn[layer % 2];
		if (layer >= lowest)
		{
			if (!run->recompute)
				layout_layer(bump, &network->layers[layer], buffers, tokens, dropout, crossed,
							 &saved);
			saved.out = bump_floats(bump, tokens, hidden);
		}
		if (layer < network->dropout_from)
			saved.bits = saved.self.bits = saved.self.prob_bits = saved.cross.bits =
				saved.cross.prob_bits = NULL;
		if (buffers->saved != NULL)
			buffers->saved[layer] = saved;
	}
}

static bool
prepare_shapes(const NetworkRun *run, bool masks, bool causal, Arena *arena, RunBuffers *buffers,
			   Status *status)
{
	const Batch *batch = run->batch;
	AttentionKeys self = {batch->cu_seqlens, masks ? batch->attention_mask : NULL, causal};
	AttentionKeys cross = {batch->encoder_cu_seqlens, masks ? batch->encoder_attention_mask : NULL,
						   false};

	return train_attention_shape_init(&buffers->self_shape, arena, batch->n_sequences,
									  batch->cu_seqlens, &self, status) &&
		   (batch->encoder_hidden_states == NULL ||
			train_attention_shape_init(&buffers->cross_shape, arena, batch->n_sequences,
									   batch->cu_seqlens, &cross, status));
}

/* Gives the workspace back and takes one of `needed` bytes, or a little more. */
static bool
grow_workspace(Network *network, size_t needed, Status *status)
{
	arena_rewind(network->workspace, network->workspace_mark);
	/* so that slightly larger batches do not come here again */
	network->workspace_size = needed + needed / 8;
	network->workspace_bytes = arena_alloc(network->workspace, network->workspace_size);
	if (network->workspace_bytes == NULL)
	{
		network->workspace_size = needed;
		network->workspace_bytes = arena_alloc(network->workspace, network->workspace_size);
	}
	if (network->workspace_bytes == NULL)
	{
		arena_fail(network->workspace, status, "a batch's activations", needed);
		return status_hint(status, "Use smaller batches or shorter inputs.");
	}
	network->workspace_used = arena_mark(network->workspace);
	return true;
}

/* Geometry and workspace of a run; the workspace grows to what is needed. */
static bool
prepare(Network *network, const NetworkRun *run, RunBuffers *buffers, Status *status)
{
	size_t layers = (size_t) network->config->num_hidden_layers;

	memset(buffers, 0, sizeof *buffers);
	for (;;)
	{
		ArenaMark mark =
			network->workspace_bytes == NULL ? network->workspace_mark : network->workspace_used;
		Bump bump = {0};

		arena_rewind(network->workspace, mark);
		if (!prepare_shapes(run, true, network->config->is_decoder, network->workspace, buffers,
							status))
			return false;
		buffers->saved = arena_alloc_array(network->workspace, layers, sizeof *buffers->saved);
		if (buffers->saved == NULL)
			return arena_fail(network->workspace, status, "a batch's layers",
							  layers * sizeof *buffers->saved);
		layout(network, run, &bump, buffers);
		if (bump.overflow)
			return status_fail(status, STATUS_LIMIT, "the batch is too large");
		if (network->workspace_bytes != NULL && bump.used <= network->workspace_size)
		{
			bump = (Bump){.base = network->workspace_bytes};
			layout(network, run, &bump, buffers);
			return true;
		}
		if (!grow_workspace(network, bump.used, status))
			return false;
	}
}

LossCall
network_loss_call(const Network *network, const NetworkRun *run)
{
	HeadKind head = network->table->head;

	return (LossCall){head,
					  network->config,
					  run->batch,
					  run->targets,
					  head_has_vocabulary(head) ? network->head.decoder.out
												: network->head.classifier.out,
					  run->loss};
}

bool
network_memory(const Network *network, const NetworkRun *run, size_t *bytes, Status *status)
{
	RunBuffers buffers = {0};
	Bump bump = {0};
	Arena *arena = arena_create(&allocator_malloc, 0);
	bool ok;

	if (arena == NULL)
		return status_fail(status, STATUS_OUT_OF_MEMORY, "out of memory");
	ok = prepare_shapes(run, false, false, arena, &buffers, status);
	if (ok)
	{
		layout(network, run, &bump, &buffers);
		*bytes = bump.used;
		if (bump.overflow)
			ok = status_fail(status, STATUS_LIMIT, "the batch is too large");
	}
	arena_destroy(arena);
	return ok;
}

static LayerContext
layer_context(const Network *network, const NetworkRun *run, const RunBuffers *buffers, int layer)
{
	bool dropped = run->training && layer >= network->dropout_from;
	const Family *family = network->config->family;
	LayerContext context = {
		.self_shape = &buffers->self_shape,
		.cross_shape = &buffers->cross_shape,
		.encoder_states = run->batch->encoder_hidden_states,
		.dense_dropout = dropped && !family->dense_without_dropout ? network->hidden_dropout : 0,
		.output_dropout = dropped && !family->output_without_dropout ? network->hidden_dropout : 0,
		.probs_dropout = dropped ? network->probs_dropout : 0,
		.seed = run->seed,
		.site = (uint64_t) (layer + 1) * LAYER_SITES};

	return context;
}

/* Layers from .. to-1; returns the last output. */
static const float *
forward_layers(Network *network, const NetworkRun *run, RunBuffers *buffers, int from, int to,
			   const float *x, Status *status)
{
	for (int layer = from; layer < to; layer++)
	{
		LayerContext context = layer_context(network, run, buffers, layer);

		if (!may_continue(run->question, status))
			return NULL;
		train_layer_forward(network->compute,
							&(LayerRun){&network->layers[layer], &context, x,
										&buffers->saved[layer], &buffers->scratch});
		x = buffers->saved[layer].out;
	}
	return x;
}

/* The input of a layer, as forward_layers left it. */
static const float *
layer_input(const Network *network, const NetworkRun *run, const RunBuffers *buffers, int layer)
{
	if (layer == network->frozen_layers && run->start_hidden != NULL)
		return run->start_hidden;
	return layer == 0 ? buffers->embeddings.out : buffers->saved[layer - 1].out;
}

/* Whether a layer above has the same weights, so that its gradients are added to theirs. */
static bool
shares_weights(const Network *network, int layer)
{
	return network->config->family->shared_layers &&
		   layer + 1 < network->config->num_hidden_layers &&
		   network->layers[layer].output.weight == network->layers[layer + 1].output.weight;
}

static bool
backward_layers(Network *network, const NetworkRun *run, RunBuffers *buffers, Status *status)
{
	int layers = network->config->num_hidden_layers;
	int lowest = lowest_backward(network, run);
	bool to_embeddings = run->d_embeddings != NULL || network->embeddings_trained;
	bool accumulate = network->compute->accumulate;
	float *dy = buffers->d_hidden[0];
	float *dx = buffers->d_hidden[1];

	for (int layer = layers - 1; layer >= lowest; layer--)
	{
		LayerContext context = layer_context(network, run, buffers, layer);
		LayerRun call = {&network->layers[layer], &context,
						 layer_input(network, run, buffers, layer), &buffers->saved[layer],
						 &buffers->scratch};
		float *swap = dy;

		if (!may_continue(run->question, status))
			return false;
		if (run->recompute && layer != layers - 1)
			train_layer_forward(network->compute, &call);
		network->compute->accumulate = accumulate || shares_weights(network, layer);
		train_layer_backward(network->compute, &call, dy, dx, layer > lowest || to_embeddings);
		dy = dx;
		dx = swap;
	}
	network->compute->accumulate = accumulate;
	if (to_embeddings)
		dy = train_embeddings_backward(
			network, run->batch, embeddings_dropped(network, run) ? network->hidden_dropout : 0,
			run->seed, &buffers->embeddings, dy);
	if (run->d_embeddings != NULL)
		memcpy(run->d_embeddings, dy,
			   (size_t) run->batch->cu_seqlens[run->batch->n_sequences] *
				   network->embeddings.norm.n * sizeof(float));
	return true;
}

bool
network_run(Network *network, const NetworkRun *run, HeadResult *result, Status *status)
{
	int layers = network->config->num_hidden_layers;
	bool encoder_backward = needs_encoder_backward(network, run);
	const float *hidden = run->start_hidden;
	RunBuffers buffers;

	if (run->batch->encoder_hidden_states != NULL)
		network->cross_used = true;
	if (!prepare(network, run, &buffers, status))
		return false;
	if (!run->first_rows_only)
	{
		int from = hidden == NULL ? 0 : network->frozen_layers;

		if (hidden == NULL)
		{
			train_embeddings_forward(network, run->batch,
									 embeddings_dropped(network, run) ? network->hidden_dropout : 0,
									 run->seed, &buffers.embeddings);
			hidden = buffers.embeddings.out;
		}
		hidden = forward_layers(network, run, &buffers, from, layers, hidden, status);
		if (hidden == NULL)
			return false;
	}
	if (!may_continue(run->question, status) ||
		!train_head_run(network, run, hidden, &buffers.head,
						encoder_backward ? buffers.d_hidden[0] : NULL, result, status))
		return false;
	if (encoder_backward && !backward_layers(network, run, &buffers, status))
		return false;
	if (run->backward)
		network->compute->accumulate = true;
	return true;
}

bool
network_encode_frozen(Network *network, const Batch *batch, const float **hidden,
					  const MayContinue *question, Status *status)
{
	NetworkRun run = {.batch = batch, .question = question};
	RunBuffers buffers;

	if (!prepare(network, &run, &buffers, status))
		return false;
	train_embeddings_forward(network, batch, 0, 0, &buffers.embeddings);
	*hidden = forward_layers(network, &run, &buffers, 0, network->frozen_layers,
							 buffers.embeddings.out, status);
	return *hidden != NULL;
}
