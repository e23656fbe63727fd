/* predict.c: assembling, the inference forward pass, and the loss. */
#include "train/predict.h"

#include <math.h>

#include "files/sentence.h"
#include "nn/select.h"
#include "nn/splade.h"
#include "train/batches.h"

/* Right tokens of a language model. */
static size_t
count_correct(const HeadOutput *output, const HeadTargets *targets)
{
	size_t correct = 0;

	for (size_t i = 0; i < targets->n_rows; i++)
		correct += select_best(output->logits + i * output->n_columns, output->n_columns) ==
				   (size_t) targets->row_labels[i];
	return correct;
}

/* Embeddings of an assembled batch, as the model's own sentence settings make them. */
static bool
predict_embeddings(const Predictor *predictor, const AssembledBatch *assembled, Arena *arena,
				   Evaluation *evaluation, const MayContinue *question, Status *status)
{
	const BertModel *model = predictor->model;
	const BertConfig *config = bert_model_config(model);
	const EmbeddingOptions *embedding = predictor->embedding;
	size_t rows = assembled->batch.n_sequences;
	size_t pooled = (size_t) embedding->pooling.n * (size_t) config->hidden_size;
	size_t columns = (size_t) sentence_dimensions(config, &embedding->pooling);
	float *poolings = arena_alloc_array(arena, rows * pooled, sizeof *poolings);
	bool dense = config->n_dense > 0 && !splade_has_query_weights(config);
	float *out = !dense ? poolings : arena_alloc_array(arena, rows * columns, 4);
	PoolCall pool = {.modes = &embedding->pooling};
	ForwardWants wants = {0};
	EncoderOutput encoded;
	size_t *skip;

	if (poolings == NULL || out == NULL)
		return arena_fail(arena, status, "embeddings", rows * (pooled + columns) * 4);
	if (!batch_unpooled(assembled, embedding->unpooled, arena, &skip, status) ||
		!encoder_forward(model, &assembled->batch, &wants, arena, &encoded, question, status))
		return false;
	pool.skip = skip;
	if (!pool_forward(model, &assembled->batch, encoded.last_hidden_state, &pool, arena, poolings,
					  status) ||
		(dense && !dense_forward(model, rows, poolings, out, arena, question, status)) ||
		!batch_row_offsets(assembled, HEAD_NONE, arena, &evaluation->row_offsets, status))
		return false;
	if (embedding->normalize)
		normalize_rows(rows, columns, out);
	evaluation->n_columns = columns;
	evaluation->logits = out;
	return true;
}

bool
predict_samples(const Predictor *predictor, const TrainSample *samples, size_t n, Arena *arena,
				Evaluation *evaluation, const MayContinue *question, Status *status)
{
	const BertModel *model = predictor->model;
	BatchRequest request = {.config = bert_model_config(model), .head = bert_model_head(model)};
	bool language = head_has_vocabulary(request.head);
	ForwardWants wants = head_wants(model);
	AssembledBatch assembled;
	HeadTargets *targets = &assembled.targets;
	LossCounts counts = {0};
	EncoderOutput encoded;
	HeadOutput output;
	LossCall loss;

	*evaluation = (Evaluation){.loss = NAN};
	request.masks = (BatchMasks){.seed = predictor->seed, .by_sample = true};
	request.masks.options = batch_masking_options(request.config, predictor->tokenizer,
												  predictor->mask_probability, false);
	if (!batch_assemble(&request, samples, n, arena, &assembled, status))
		return false;
	if (request.head == HEAD_NONE)
		return predict_embeddings(predictor, &assembled, arena, evaluation, question, status);
	if (!encoder_forward(model, &assembled.batch, &wants, arena, &encoded, question, status) ||
		!head_forward(model,
					  &(HeadInput){&assembled.batch, &encoded, language ? targets->rows : NULL,
								   language ? targets->n_rows : 0},
					  arena, &output, question, status) ||
		!batch_row_offsets(&assembled, request.head, arena, &evaluation->row_offsets, status))
		return false;
	loss =
		(LossCall){request.head, request.config, &assembled.batch, targets, output.n_columns, NULL};
	if (!loss_count(&loss, &counts, status))
		return false;
	evaluation->loss = loss_value(&loss, &counts, output.logits);
	if (request.head == HEAD_PRETRAINING && counts.labels == 0)
		evaluation->loss = 0;
	if (request.head == HEAD_PRETRAINING)
		evaluation->loss += loss_sentences(&loss, &counts, output.seq_relationship_logits);
	evaluation->labels = counts.labels + counts.ends;
	evaluation->n_columns = output.n_columns;
	evaluation->correct = language ? count_correct(&output, targets) : 0;
	evaluation->logits = language ? NULL : output.logits;
	evaluation->next_sentence_logits = output.seq_relationship_logits;
	return true;
}
