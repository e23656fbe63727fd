/*
 * scores.h: from predictions on a labelled data set to its metrics, its confusion matrix and its
 * worst examples.
 *
 * Predictions come in batches as trainer_evaluate gives them, or as anything else that fills an
 * Evaluation does. The metrics of a task, in order; the first one chooses the best checkpoint:
 *
 * - sequence_classification, multiple_choice, next_sentence: accuracy, f1_macro, f1_weighted,
 *   matthews, loss
 * - sequence_classification of several labels a row: f1_micro, f1_macro, precision, recall (micro),
 *   accuracy (of whole rows), best_threshold, loss
 * - regression: pearson, spearman, mse, mae, loss
 * - token_classification: f1, precision, recall (of spans), accuracy, f1_macro, f1_weighted (of
 *   tokens), loss
 * - question_answering: f1, exact_match, loss
 * - masked_lm, causal_lm, pretraining: perplexity, accuracy, loss [, next_sentence_accuracy]
 * - embedding: those of embedding_scores.h
 */
#ifndef BERT_TRAIN_SCORES_H
#define BERT_TRAIN_SCORES_H

#include "train/embedding_scores.h"
#include "train/label_scores.h"
#include "train/metrics.h"
#include "train/trainer.h"

#define SCORES_MAX_METRICS 8
#define SCORES_WORST 20
/* a label of several is predicted from this probability on, unless another one is set */
#define SCORES_THRESHOLD 0.5

typedef struct Scores Scores;

/*
 * config, tokenizer and arena must outlive the scores. NULL and *status on failure. The task
 * embedding takes cosines, unless scores_compare_by says otherwise before anything is added.
 */
Scores *scores_create(Arena *arena, TrainTask task, const BertConfig *config,
					  const Tokenizer *tokenizer, Status *status);

bool scores_compare_by(Scores *scores, const EmbeddingCompare *compare, Status *status);

/* Before the first sample; has no effect on models that do not give several labels. */
bool scores_set_threshold(Scores *scores, double threshold, Status *status);

/*
 * Samples of one row (windows of a context, made with SampleEncoder.scored) must come one after the
 * other.
 */
bool scores_add(Scores *scores, const TrainSample *samples, size_t n, const Evaluation *evaluation,
				Status *status);

bool scores_finish(Scores *scores, const MayContinue *question, Status *status);

size_t scores_list(const Scores *scores, const Score **list);

/* Higher is better: the first metric, or minus the perplexity of language models. */
double scores_main(const Scores *scores);

/*
 * Mean loss of the examples; NaN where there is none. Between equal main scores the lower loss is
 * better.
 */
double scores_loss(const Scores *scores);

/* (classes, classes), rows are labels; NULL for tasks without classes. */
const uint64_t *scores_confusion(const Scores *scores, size_t *classes);

/* How many labels have scores of their own: those of a model that gives several, else 0. */
size_t scores_labels(const Scores *scores);
LabelScore scores_label(const Scores *scores, size_t label);

typedef struct ScoreExample
{
	uint64_t row;     /* 0-based */
	double loss;      /* of this example */
	const char *text; /* the row's own, shortened */
	const char *label;
	const char *prediction;
	double probability; /* of the prediction; NaN for several labels */
} ScoreExample;

/* Worst first; only for tasks with one label, or several, a row. */
size_t scores_worst(const Scores *scores, const ScoreExample **examples);

#endif
