/*
 * sentence_settings.h: sentence settings as JSON, for the files beside sentence.c only: jansson's
 * names clash with the server's, so sentence.h is without them.
 */
#ifndef BERT_FILES_SENTENCE_SETTINGS_H
#define BERT_FILES_SENTENCE_SETTINGS_H

#include "files/json.h"
#include "files/sentence.h"

#define SENTENCE_FILE_BYTES ((size_t) 1024 * 1024)

const char *similarity_name(Similarity similarity);
/* The member similarity_fn_name, if there is one; STATUS_UNSUPPORTED for others. */
bool similarity_get(const json_t *root, const char *member, Similarity *similarity, Status *status);

/* Members prompts and default_prompt_name: texts by name, and one of the names. */
bool sentence_prompts_check(const json_t *root, Status *status);

/* in_features, out_features, bias, activation_function: a Dense module's config.json. */
bool dense_parse(const json_t *root, DenseModule *dense, Arena *arena, Status *status);
/* The members of a SpladePooling module's config.json. */
bool splade_parse(const json_t *root, SpladeSettings *splade, Status *status);
json_t *splade_to_json(const SpladeSettings *splade, bool *complete);

json_t *dense_to_json(const DenseModule *dense, bool *complete);

/*
 * Makes "saved" of the other members and of the prompts (an object of texts) and the default's
 * name; either may be NULL.
 */
bool sentence_settings_save(Arena *arena, SentenceSettings *settings, json_t *prompts,
							json_t *default_prompt_name, Status *status);

/* "saved" as a document in the arena, empty when there is none. */
json_t *sentence_settings_open(Arena *arena, const SentenceSettings *settings, Status *status);

#endif
