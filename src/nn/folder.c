/* folder.c: the files of a model together, and whether they fit each other. */
#include "nn/folder.h"

#include <string.h>

#include "tokenizer/tokenizer.h"

#define MAX_CONFIG_BYTES ((size_t) 16 * 1024 * 1024)
#define PADDED_VOCAB_MINIMUM 1024

static bool
read_config(Arena *arena, ModelSource *source, BertConfig *config, Status *status)
{
	ByteSource *file;
	bool found;
	const char *text;

	if (!source->open(source, "config.json", &file, &found, status))
		return false;
	if (!found)
		return status_fail(status, STATUS_NOT_FOUND, "\"%.200s\" has no config.json", source->name);
	text = source_read_all(arena, file, MAX_CONFIG_BYTES, status);
	return text != NULL && config_parse(arena, text, (size_t) file->size, config, status);
}

/*
 * Every token needs a row of the word embeddings. Large vocabularies may have rows to spare, when
 * they were rounded up for the hardware; any other surplus means that lines are lost and the ids
 * after them wrong.
 */
static bool
check_vocabulary(const ModelFolder *folder, int tokens, Status *status)
{
	int rows = folder->config.vocab_size;
	bool padded = tokens >= PADDED_VOCAB_MINIMUM &&
				  (rows == (tokens + 7) / 8 * 8 || rows == (tokens + 63) / 64 * 64 ||
				   rows == (tokens + 127) / 128 * 128);

	if (rows == tokens || padded)
		return true;
	status_fail(status, STATUS_INVALID_DATA,
				"the vocabulary has %d tokens, but the model has embeddings for %d", tokens, rows);
	return tokens > rows ? false
						 : status_hint(status, "If the model has rows to spare, add a line such as "
											   "[unused1] for each to vocab.txt.");
}

bool
modelfolder_compile_tokenizer(Arena *arena, ModelFolder *folder, Status *status)
{
	Tokenizer *tokenizer;

	if (!tokenizer_compile(arena, &folder->tokenizer, &folder->tokenizer_image,
						   &folder->tokenizer_image_length, status))
		return false;
	tokenizer =
		tokenizer_open(arena, folder->tokenizer_image, folder->tokenizer_image_length, status);
	return tokenizer != NULL && check_vocabulary(folder, tokenizer_vocab_size(tokenizer), status);
}

bool
modelfolder_open(Arena *arena, ModelSource *source, const HeadKind *head, ModelFolder *folder,
				 Status *status)
{
	memset(folder, 0, sizeof *folder);
	if (!read_config(arena, source, &folder->config, status) ||
		!checkpoint_open(arena, source, &folder->checkpoint, status) ||
		!tokenizer_settings_read(arena, source, &folder->tokenizer, status) ||
		!modelfolder_compile_tokenizer(arena, folder, status) ||
		!sentence_settings_read(arena, source, &folder->sentence, status))
		return false;
	folder->config.use_pooler = checkpoint_has_pooler(&folder->checkpoint);
	folder->head = head != NULL ? *head : checkpoint_head(&folder->checkpoint, &folder->config);
	return tensor_table_build(arena, &folder->config, folder->head, &folder->table, status) &&
		   load_plan(arena, &folder->checkpoint, &folder->table, &folder->plan, status);
}
