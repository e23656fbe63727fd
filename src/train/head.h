/*
 * head.h: every task head with its loss, forward and backward in one go. Used by network.c only.
 */
#ifndef BERT_TRAIN_HEAD_H
#define BERT_TRAIN_HEAD_H

#include "train/bump.h"
#include "train/network.h"

/* Rows of vocabulary logits that are held at a time. */
#define HEAD_VOCAB_CHUNK 512

typedef struct HeadBuffers
{
	size_t *first_rows;   /* (B): where each sequence's first token is in hidden */
	float *first;         /* (B, H): the first tokens' states */
	uint8_t *first_bits;  /* of the dropout before the projection, or NULL */
	float *derivative_in; /* (B or T, H): of the projection's activation */
	float *dropped;       /* (B, H) or (T, H): what the classifier reads */
	uint8_t *bits;
	float *logits; /* (B or T, C) */
	float *d_logits;
	float *d_dropped;  /* like dropped */
	float *d_in;       /* (B or T, H): of what the projection reads */
	float *span;       /* (longest) */
	float *gathered;   /* (R, H): the predicted rows of a language model */
	float *derivative; /* (R, E) */
	float *activated;  /* (R, E) */
	float *normed;     /* (R, E) */
	float *mean;       /* (R) */
	float *rstd;
	float *chunk;      /* (HEAD_VOCAB_CHUNK, V) */
	float *d_normed;   /* (R, E) */
	float *d_gathered; /* (R, H) */
	PoolingSaved pooling;
} HeadBuffers;

void train_head_layout(const Network *network, const NetworkRun *run, Bump *bump,
					   HeadBuffers *buffers);

/*
 * hidden (T, H), or (B, H) when run->first_rows_only. d_hidden (T, H) receives the gradient of
 * hidden; NULL: not wanted.
 */
bool train_head_run(Network *network, const NetworkRun *run, const float *hidden,
					HeadBuffers *buffers, float *d_hidden, HeadResult *result, Status *status);

#endif
