/* folder.c: the files of a model together, and whether they fit each other. */
#include "nn/folder.h"

#include <string.h>

#include "files/router.h"
#include "files/settings_change.h"
#include "files/tokenizer_files.h"
#include "nn/folder_head.h"
#include "nn/tied.h"
#include "tokenizer/tokenizer.h"

/*
 * Every token needs a row of the word embeddings. Rows to spare are ids that no text gives: a
 * vocabulary is often rounded up for the hardware, or given room to grow.
 */
static bool
check_vocabulary(const ModelFolder *folder, int tokens, Status *status)
{
	int rows = folder->config.vocab_size;

	if (tokens <= rows)
		return true;
	status_fail(status, STATUS_INVALID_DATA,
				"the vocabulary has %d tokens, but the model has embeddings for %d", tokens, rows);
	return status_hint(status, "Give the vocabulary that the model was trained with; tokens that "
							   "were added later need resize_token_embeddings().");
}

bool
modelfolder_compile_tokenizer(Arena *arena, ModelFolder *folder, Status *status)
{
	Tokenizer *tokenizer;

	if (folder->config.type_vocab_size < 2)
		folder->tokenizer.one_type = true; /* the model knows no other */
	if (!tokenizer_compile(arena, &folder->tokenizer, &folder->tokenizer_image,
						   &folder->tokenizer_image_length, status))
		return false;
	tokenizer =
		tokenizer_open(arena, folder->tokenizer_image, folder->tokenizer_image_length, status);
	return tokenizer != NULL && check_vocabulary(folder, tokenizer_vocab_size(tokenizer), status);
}

/* The class is not known, so that the head must be given. */
static bool
check_architecture(const BertConfig *config, const HeadKind *head, Status *status)
{
	if (config->unknown_architecture == NULL || head != NULL)
		return true;
	status_fail(status, STATUS_UNSUPPORTED, "config.json: architecture \"%.60s\" is not supported",
				config->unknown_architecture);
	return status_hint(status,
					   "Supported are BertModel and the BertFor... classes of the reference "
					   "library. If the tensors are those of one of them, name its head in "
					   "the argument \"head\".");
}

/* The notes about files after the lines about tensors. */
static bool
report_notes(Arena *arena, const FileNotes *notes, KeyReport *report, Status *status)
{
	KeyReportLine *lines = arena_alloc_array(arena, report->n_lines + notes->n + 1, sizeof *lines);

	if (lines == NULL)
		return arena_fail(arena, status, "notes", notes->n * sizeof *lines);
	memcpy(lines, report->lines, report->n_lines * sizeof *lines);
	for (size_t i = 0; i < notes->n; i++)
		lines[report->n_lines++] = (KeyReportLine){
			notes->notes[i].text,
			notes->notes[i].kind == NOTE_IGNORED ? KEY_IGNORED : KEY_UNEXPECTED, true};
	report->lines = lines;
	return true;
}

bool
dense_modules_open(Arena *arena, ModelSource *source, const SentenceFolder *sentence,
				   Checkpoint *checkpoint, Status *status)
{
	for (int i = 0; i < DENSE_MAX; i++)
	{
		ModelSource *module;
		Checkpoint own;
		char name[DENSE_PATH_BYTES];

		if (sentence->dense[i] == NULL)
			continue;
		dense_path(i, name);
		module = modelsource_subfolder(arena, source, sentence->dense[i], status);
		if (module == NULL)
			return false;
		if (!checkpoint_open(arena, module, &own, status) ||
			(checkpoint_find(&own, "weight") != NULL && !router_name_weights(&own, status)))
			return status_prefix(status, "%s", sentence->dense[i]);
		if (!checkpoint_add_module(arena, checkpoint, &own, name, status))
			return false;
	}
	return true;
}

static bool
change_sentence(Arena *arena, const FolderChoice *choice, ModelFolder *folder, Status *status)
{
	SettingsChange change = {.import = true,
							 .head =
								 choice->head != NULL ? *choice->head : folder->config.architecture,
							 .sentence = &folder->sentence,
							 .config = &folder->config};

	return choice->sentence == NULL ||
		   settings_change(arena, choice->sentence, strlen(choice->sentence), &change, status);
}

/* Queries and documents are read by one tokenizer here, so a Router's routes must have the same. */
static bool
check_query_tokenizer(Arena *arena, ModelSource *source, const SentenceFolder *sentence,
					  const TokenizerContext *context, const ModelFolder *folder, Status *status)
{
	TokenizerContext silent = *context;
	TokenizerSettings query;
	ModelSource *inner;
	const char *ours;
	const char *theirs;

	if (folder->sentence.splade.pooling == SPLADE_NONE || sentence->dense[0] == NULL)
		return true;
	silent.notes = NULL;
	inner = modelsource_subfolder(arena, source, sentence->dense[0], status);
	if (inner == NULL)
		return false;
	if (!tokenizer_files_read(arena, inner, &silent, &query, status))
		return status_prefix(status, "%s", sentence->dense[0]);
	ours = tokenizer_settings_write(arena, &folder->tokenizer, status);
	theirs = tokenizer_settings_write(arena, &query, status);
	if (ours == NULL || theirs == NULL)
		return false;
	if (strcmp(ours, theirs) == 0 && query.vocab_length == folder->tokenizer.vocab_length &&
		memcmp(query.vocab, folder->tokenizer.vocab, query.vocab_length) == 0)
		return true;
	status_fail(status, STATUS_UNSUPPORTED,
				"the tokenizers of queries (\"%s\") and documents (\"%s\") differ",
				sentence->dense[0], sentence->transformer);
	return status_hint(status, "Look at tokenizer_config.json and tokenizer.json of both folders.");
}

bool
modelfolder_open(Arena *arena, ModelSource *source, const FolderChoice *choice, ModelFolder *folder,
				 const MayContinue *question, Status *status)
{
	const HeadKind *head = choice->head;
	FileNotes notes = {.arena = arena};
	SentenceFolder sentence = {.notes = &notes};
	TokenizerContext context = {.notes = &notes};
	ModelSource *inner;
	bool classified;

	memset(folder, 0, sizeof *folder);
	if (!sentence_settings_read(arena, source, &sentence, &folder->sentence, status))
		return false;
	inner = modelsource_subfolder(arena, source, sentence.transformer, status);
	if (inner == NULL || !config_read(arena, inner, &notes, &folder->config, status) ||
		!check_architecture(&folder->config, head, status) ||
		!change_sentence(arena, choice, folder, status) ||
		!sentence_settings_put_dense(&folder->sentence, &folder->config, status) ||
		!checkpoint_open(arena, inner, &folder->checkpoint, status) ||
		!dense_modules_open(arena, source, &sentence, &folder->checkpoint, status) ||
		!folder_head_open(arena, source, choice, folder, &notes, &classified, status))
		return false;
	if (sentence.score_activation != SCORE_UNSET)
		folder->config.score_activation = sentence.score_activation;
	context.rows = folder->config.vocab_size;
	context.lowercase_first = sentence.lowercase_first;
	if (!tokenizer_files_read(arena, inner, &context, &folder->tokenizer, status) ||
		!check_query_tokenizer(arena, source, &sentence, &context, folder, status) ||
		!modelfolder_compile_tokenizer(arena, folder, status))
		return false;
	folder->config.use_pooler = checkpoint_has_pooler(&folder->checkpoint, folder->config.family);
	folder->head = head != NULL ? *head
				   : classified ? HEAD_SEQUENCE_CLASSIFICATION
								: checkpoint_head(&folder->checkpoint, &folder->config);
	if (head_has_vocabulary(folder->head) &&
		!tied_resolve(arena, &folder->checkpoint, &folder->config, &notes, question, status))
		return false;
	return tensor_table_build(arena, &folder->config, folder->head, &folder->table, status) &&
		   load_plan(arena, &folder->checkpoint, &folder->table, &folder->plan, status) &&
		   report_notes(arena, &notes, &folder->plan.report, status);
}
