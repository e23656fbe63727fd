/*
 * predict.h: predictions of a finished model (src/nn) on training samples, in the form that
 * trainer_evaluate gives, so that scores.h serves both.
 */
#ifndef BERT_TRAIN_PREDICT_H
#define BERT_TRAIN_PREDICT_H

#include "nn/model.h"
#include "train/trainer.h"

/*
 * model: bound with the samples' head. tokenizer: for the masks of masked language models, drawn
 * from (seed, sample id) with the probability given; may be NULL for the other heads.
 */
typedef struct Predictor
{
	const BertModel *model;
	const Tokenizer *tokenizer;
	double mask_probability;
	uint64_t seed;
	const EmbeddingOptions *embedding; /* of a model without a head; or NULL */
} Predictor;

/* Arrays of the evaluation live in the arena. */
bool predict_samples(const Predictor *predictor, const TrainSample *samples, size_t n, Arena *arena,
					 Evaluation *evaluation, const MayContinue *question, Status *status);

#endif
