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
 * from (seed, sample id) with the probability given. Arrays of the evaluation live in the arena.
 */
typedef struct PredictOptions
{
	const Tokenizer *tokenizer;
	double mask_probability;
	uint64_t seed;
} PredictOptions;

bool predict_samples(const BertModel *model, const PredictOptions *options,
					 const TrainSample *samples, size_t n, Arena *arena, Evaluation *evaluation,
					 const MayContinue *question, Status *status);

#endif
