/* import.c: models from folders, arguments and large objects, and new ones with random weights. */
#include "pg/server/compat.h"

#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "libpq/libpq-fs.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "files/tokenizer_files.h"
#include "nn/folder.h"
#include "pg/server/detoast.h"
#include "pg/server/encoding.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"
#include "pg/server/errors.h"
#include "pg/server/values.h"
#include "pg/model/store.h"

/* Reads a block of the new model; may raise errors. */
typedef void (*BlockReader)(void *context, const ModelFolder *model, int block, float *out);

/* Puts the model into the store and gives its version. */
static int64
save_model(const char *name, Arena *arena, const ModelFolder *model, const char *origin,
		   BlockReader read, void *context, bool replace)
{
	ModelDraft draft = {0};
	Status status;
	BlockHash *hashes = palloc0(sizeof(BlockHash) * (size_t) model->table.n_blocks);
	int64 total = 0;
	int64 done = 0;
	char *tokenizer = tokenizer_settings_write(arena, &model->tokenizer, &status);

	REPORT_UNLESS(tokenizer != NULL, &status);
	for (int b = 0; b < model->table.n_blocks; b++)
		total += (int64) (model->table.blocks[b].elements * sizeof(float));
	progress_phase("storing weights", "bytes", total);
	store_begin_write();
	for (int b = 0; b < model->table.n_blocks; b++)
	{
		size_t bytes = model->table.blocks[b].elements * sizeof(float);
		float *floats = memory_for_weights(model->table.blocks[b].elements, false);

		read(context, model, b, floats);
		store_put_block(floats, bytes, &hashes[b]);
		pfree(floats);
		done += (int64) bytes;
		progress_set(done);
	}
	store_put_block(model->tokenizer.vocab, model->tokenizer.vocab_length, &draft.vocab);
	draft.name = name;
	draft.source = origin;
	draft.table = &model->table;
	draft.config = &model->config;
	draft.precision = PRECISION_FP32;
	draft.sentence = model->sentence;
	draft.tokenizer = tokenizer;
	draft.blocks = hashes;
	return store_put_model(&draft, replace);
}

/*
 * An error that PostgreSQL raised inside a callback of a plain C layer, to be raised again outside
 * of it.
 */
static ErrorData *pending_error;

static void
fail(const Status *status)
{
	ErrorData *error = pending_error;

	pending_error = NULL;
	if (error != NULL)
		ReThrowError(error);
	report_status(status);
}

static void
read_from_plan(void *context, const ModelFolder *model, int block, float *out)
{
	Status status;

	if (!load_block(context, &model->config, block, 0, out, &backend_may_continue, &status))
		fail(&status);
}

/* Rows of what did not simply fit; a notice counts all. */
static void
return_report(FunctionCallInfo fcinfo, const char *name, const KeyReport *report)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int n[KEY_IGNORED + 1] = {0};
	int settings = 0;

	for (size_t i = 0; i < report->n_lines; i++)
	{
		Datum values[2];
		bool nulls[2] = {false, false};

		if (report->lines[i].of_file)
			settings++;
		else
			n[report->lines[i].status]++;
		if (report->lines[i].status == KEY_LOADED)
			continue;
		values[0] = CStringGetTextDatum(encoding_to_server_lossy(report->lines[i].key));
		values[1] = CStringGetTextDatum(key_status_name(report->lines[i].status));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	ereport(NOTICE,
			(errmsg("model \"%s\": %d tensors loaded, %d missing, %d unexpected, %d ignored", name,
					n[KEY_LOADED], n[KEY_MISSING], n[KEY_UNEXPECTED], n[KEY_IGNORED]),
			 settings == 0
				 ? 0
				 : errdetail_plural("%d setting of its files is not used.",
									"%d settings of its files are not used.", settings, settings)));
}

/* What was missing has random weights: what it computes means nothing before it is trained. */
static void
warn_of_random_weights(const char *name, const ModelFolder *model)
{
	const TensorTable *table = &model->table;
	bool head = false;
	bool pooler = false;
	bool cross_attention = false;
	StringInfoData parts;

	for (int i = 0; i < table->n_tensors; i++)
	{
		BlockKind kind = table->blocks[table->tensors[i].block].kind;

		if (model->plan.plan[i] != NULL)
			continue;
		head = head || kind == BLOCK_HEAD;
		pooler = pooler || kind == BLOCK_POOLER;
		cross_attention = cross_attention || kind == BLOCK_LAYER;
	}
	if (!head && !pooler && !cross_attention)
		return;
	initStringInfo(&parts);
	if (head)
		appendStringInfo(&parts, "%s head", head_kind_name(table->head));
	if (pooler)
		appendStringInfo(&parts, "%spooling layer", parts.len > 0 ? " and " : "");
	if (cross_attention)
		appendStringInfo(&parts, "%scross-attention", parts.len > 0 ? " and " : "");
	ereport(
		WARNING,
		(errmsg("model \"%s\" has random weights in its %s", name, parts.data),
		 errdetail("The files have none for it."),
		 errhint("Train it with bert.finetune, or import the model with the head that its files "
				 "have.")));
}

static void
close_source(void *source)
{
	modelsource_close(source);
}

static void
import_source(FunctionCallInfo fcinfo, const char *name, Arena *arena, ModelSource *source,
			  const FolderChoice *choice, bool replace)
{
	ModelFolder model;
	MemoryContextCallback *callback = palloc0(sizeof *callback);
	Status status;

	callback->func = close_source;
	callback->arg = source;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	progress_begin("import_model", name);
	progress_phase("reading files", NULL, -1);
	if (!modelfolder_open(arena, source, choice, &model, &backend_may_continue, &status))
		fail(&status);
	save_model(name, arena, &model, "imported", read_from_plan, &model.plan, replace);
	progress_end();
	return_report(fcinfo, name, &model.plan.report);
	warn_of_random_weights(name, &model);
}

/* The head argument; NULL if it is to be found out. */
static const HeadKind *
head_argument(FunctionCallInfo fcinfo, int n, HeadKind *head)
{
	Status status;

	if (PG_ARGISNULL(n))
		return NULL;
	if (!head_kind_parse(text_to_cstring(ARGUMENT_TEXT(n)), head, &status))
		report_status(&status);
	return head;
}

static bool
replace_argument(FunctionCallInfo fcinfo, int n)
{
	return !PG_ARGISNULL(n) && PG_GETARG_BOOL(n);
}

/* Everything an import allocates, and its open files, go with this context. */
static MemoryContext
import_context(void)
{
	return AllocSetContextCreate(CurrentMemoryContext, "bert import", ALLOCSET_DEFAULT_SIZES);
}

PG_FUNCTION_INFO_V1(bert_import_directory);
PGDLLEXPORT Datum
bert_import_directory(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	MemoryContext previous;
	ModelSource *source;
	Arena *arena;
	char *name;
	HeadKind head;
	const HeadKind *wanted;
	Status status;

	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to read a model from the server's files"),
						errdetail("Only roles with privileges of the \"%s\" role may do so.",
								  "pg_read_server_files"),
						errhint("Files can also be passed as bytea or large object.")));
	name = text_argument(fcinfo, 0, "name");
	store_check_name(name);
	wanted = head_argument(fcinfo, 2, &head);
	InitMaterializedSRF(fcinfo, 0);
	context = import_context();
	previous = MemoryContextSwitchTo(context);
	arena = arena_in_context(context, memory_limit());
	source = modelsource_open_directory(arena, text_argument(fcinfo, 1, "directory"), &status);
	if (source == NULL)
		report_status(&status);
	import_source(fcinfo, name, arena, source, &(FolderChoice){wanted, NULL},
				  replace_argument(fcinfo, 3));
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	return (Datum) 0;
}

/* --- Arguments --- */

typedef struct LargeObjectSource
{
	int32 fd;              /* of lo_open, which the end of the transaction closes in any case */
	MemoryContext context; /* for the error */
} LargeObjectSource;

/* Called from plain C: an error is kept and raised again by fail(). */
static bool
large_object_read(ByteSource *base, uint64_t offset, void *buffer, size_t length, Status *status)
{
	const LargeObjectSource *source = base->memory;
	volatile bool ok = true;

	PG_TRY();
	{
		DirectFunctionCall3(be_lo_lseek64, Int32GetDatum(source->fd), Int64GetDatum((int64) offset),
							Int32GetDatum(SEEK_SET));
		for (size_t done = 0; ok && done < length;)
		{
			int32 wanted = (int32) Min(length - done, (size_t) 1 << 20);
			bytea *piece;
			size_t n;

			CHECK_FOR_INTERRUPTS();
			piece = DatumGetByteaPP(
				DirectFunctionCall2(be_loread, Int32GetDatum(source->fd), Int32GetDatum(wanted)));
			n = VARSIZE_ANY_EXHDR(piece);
			memcpy((char *) buffer + done, VARDATA_ANY(piece), n);
			if (n == 0)
				ok = status_fail(status, STATUS_INVALID_DATA,
								 "the large object became shorter while it was read");
			done += n;
			pfree(piece);
		}
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(source->context);
		pending_error = CopyErrorData();
		FlushErrorState();
		ok = status_fail(status, STATUS_IO, "could not read the large object");
	}
	PG_END_TRY();
	return ok;
}

static void
source_from_large_object(ByteSource *source, const char *name, LargeObjectSource *object, Oid oid)
{
	object->context = CurrentMemoryContext;
	object->fd = DatumGetInt32(
		DirectFunctionCall2(be_lo_open, ObjectIdGetDatum(oid), Int32GetDatum(INV_READ)));
	memset(source, 0, sizeof *source);
	source->name = name;
	source->size = (uint64) DatumGetInt64(DirectFunctionCall3(
		be_lo_lseek64, Int32GetDatum(object->fd), Int64GetDatum(0), Int32GetDatum(SEEK_END)));
	source->read = large_object_read;
	source->memory = object;
	source->fd = -1;
}

/* A jsonb or text argument as a source in UTF-8. */
static void
source_from_text(ByteSource *source, const char *name, const text *value)
{
	size_t length;
	const char *utf8 = encoding_to_utf8(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &length);

	source_from_memory(source, name, utf8, length);
}

static const char *
utf8_of_jsonb(Jsonb *value)
{
	const char *text = json_text(value);
	size_t length;

	return encoding_to_utf8(text, strlen(text), &length);
}

static void
source_from_jsonb(ByteSource *source, const char *name, Jsonb *value)
{
	const char *utf8 = utf8_of_jsonb(value);

	source_from_memory(source, name, utf8, strlen(utf8));
}

#define MAX_SOURCES 5

/* The arguments that stand for files, but for the weights; returns how many there are. */
static size_t
small_sources(FunctionCallInfo fcinfo, ByteSource sources[MAX_SOURCES])
{
	size_t n = 0;

	source_from_jsonb(&sources[n++], "config.json", ARGUMENT_JSONB(1));
	if (!PG_ARGISNULL(2))
		source_from_text(&sources[n++], "vocab.txt", ARGUMENT_TEXT(2));
	if (!PG_ARGISNULL(4))
		source_from_jsonb(&sources[n++], "tokenizer_config.json", ARGUMENT_JSONB(4));
	if (!PG_ARGISNULL(8))
		source_from_jsonb(&sources[n++], "tokenizer.json", ARGUMENT_JSONB(8));
	return n;
}

static Datum
import_arguments(FunctionCallInfo fcinfo, bool large_object)
{
	char *name = text_argument(fcinfo, 0, "name");
	HeadKind head;
	FolderChoice choice = {head_argument(fcinfo, 5, &head), NULL};
	MemoryContext context;
	MemoryContext previous;
	ByteSource sources[MAX_SOURCES];
	LargeObjectSource object = {0};
	size_t n;
	Arena *arena;
	ModelSource *source;
	Status status;

	store_check_name(name);
	if (PG_ARGISNULL(1) || PG_ARGISNULL(3) || (PG_ARGISNULL(2) && PG_ARGISNULL(8)))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("config, vocab or tokenizer, and weights must not be null")));
	InitMaterializedSRF(fcinfo, 0);
	context = import_context();
	previous = MemoryContextSwitchTo(context);
	arena = arena_in_context(context, memory_limit());
	n = small_sources(fcinfo, sources);
	if (large_object)
		source_from_large_object(&sources[n++], "model.safetensors", &object, PG_GETARG_OID(3));
	else
	{
		bytea *weights = ARGUMENT_BYTEA(3);

		source_from_memory(&sources[n++], "model.safetensors", VARDATA_ANY(weights),
						   VARSIZE_ANY_EXHDR(weights));
	}
	if (!PG_ARGISNULL(7))
		choice.sentence = utf8_of_jsonb(ARGUMENT_JSONB(7));
	source = modelsource_from_sources(arena, "arguments", sources, n, &status);
	if (source == NULL)
		report_status(&status);
	import_source(fcinfo, name, arena, source, &choice, replace_argument(fcinfo, 6));
	if (large_object)
		DirectFunctionCall1(be_lo_close, Int32GetDatum(object.fd));
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(bert_import_bytea);
PGDLLEXPORT Datum
bert_import_bytea(PG_FUNCTION_ARGS)
{
	return import_arguments(fcinfo, false);
}

PG_FUNCTION_INFO_V1(bert_import_large_object);
PGDLLEXPORT Datum
bert_import_large_object(PG_FUNCTION_ARGS)
{
	return import_arguments(fcinfo, true);
}

/* --- New models --- */

static void
read_random(void *seed, const ModelFolder *model, int block, float *out)
{
	const BlockSpec *spec = &model->table.blocks[block];

	for (int i = spec->first_tensor; i < spec->first_tensor + spec->n_tensors; i++)
	{
		Status status;

		REPORT_UNLESS(tensor_initialize(&model->table.tensors[i], &model->config, *(uint64 *) seed,
										out + model->table.tensors[i].offset, &backend_may_continue,
										&status),
					  &status);
	}
}

/* The configuration of a new model; a member that is not known, often a slip, is told. */
static void
read_config(Arena *arena, const char *name, Jsonb *value, BertConfig *config)
{
	FileNotes notes = {.arena = arena};
	ByteSource file;
	ModelSource *source;
	Status status;

	source_from_jsonb(&file, "config.json", value);
	source = modelsource_from_sources(arena, "arguments", &file, 1, &status);
	if (source == NULL || !config_read(arena, source, &notes, config, &status))
		report_status(&status);
	for (size_t i = 0; i < notes.n; i++)
		ereport(WARNING, (errmsg("model \"%s\": %s is not known and has no effect", name,
								 encoding_to_server_lossy(notes.notes[i].text))));
}

PG_FUNCTION_INFO_V1(bert_create_model);
PGDLLEXPORT Datum
bert_create_model(PG_FUNCTION_ARGS)
{
	char *name = text_argument(fcinfo, 0, "name");
	MemoryContext context = import_context();
	MemoryContext previous = MemoryContextSwitchTo(context);
	Arena *arena = arena_in_context(context, memory_limit());
	ModelFolder model = {0};
	TokenizerContext context_of_tokenizer = {0};
	ByteSource vocab;
	uint64 seed = PG_ARGISNULL(4) ? 0 : (uint64) PG_GETARG_INT64(4);
	int64 version;
	Status status;

	store_check_name(name);
	require_argument(fcinfo, 1, "config");
	require_argument(fcinfo, 2, "vocab");
	source_from_text(&vocab, "vocab.txt", ARGUMENT_TEXT(2));
	if (!head_kind_parse(text_argument(fcinfo, 3, "head"), &model.head, &status))
		report_status(&status);
	read_config(arena, name, ARGUMENT_JSONB(1), &model.config);
	context_of_tokenizer.rows = model.config.vocab_size;
	if (!tokenizer_files_from_vocab(arena, vocab.memory, (size_t) vocab.size, &context_of_tokenizer,
									&model.tokenizer, &status))
		report_status(&status);
	model.config.use_pooler = true; /* of a bare encoder; a head decides for itself */
	if (!modelfolder_compile_tokenizer(arena, &model, &status) ||
		!tensor_table_build(arena, &model.config, model.head, &model.table, &status))
		report_status(&status);
	progress_begin("create_model", name);
	version = save_model(name, arena, &model, "created", read_random, &seed, false);
	progress_end();
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	PG_RETURN_INT64(version);
}
