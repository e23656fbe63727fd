/*
 * embedding.h: how a model's texts become embeddings, and how alike two are: what the caller says,
 * else the model's own files.
 */
#ifndef BERT_PG_INFER_EMBEDDING_H
#define BERT_PG_INFER_EMBEDDING_H

#include "pg/infer/call.h"

/*
 * How alike two embeddings (n) are, as sentence-transformers' similarity functions say it; greater
 * is more alike. The cosine of embeddings without a direction is 0.
 */
extern double embedding_similarity(Similarity similarity, size_t n, const float *a, const float *b);

/*
 * Sets the call's prompt: the words, or one of the model's prompts by name, or (both NULL) the one
 * of the use; 22023 for a name that the model has not.
 */
extern void use_prompt(Call *call, const char *words, const char *name, PromptUse use);

/* The pooling argument, or what the model was made for. */
extern PoolingModes pooling_argument(FunctionCallInfo fcinfo, int argument,
									 const ModelHandle *handle);
/* Whether embeddings get length 1 when nothing else is asked for: as the model's own files say. */
extern bool embeds_normalized(const ModelHandle *handle);
extern bool normalize_argument(FunctionCallInfo fcinfo, int argument, const ModelHandle *handle);

#endif
