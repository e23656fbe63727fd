/* corpus.c: what pre-training makes of a query's texts: bert.build_vocab and bert.sentence_pairs.
 */
#include "pg/server/compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "core/bulk.h"
#include "pg/infer/corpus.h"
#include "pg/infer/input.h"
#include "pg/server/detoast.h"
#include "pg/server/encoding.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"
#include "pg/server/errors.h"
#include "tokenizer/vocab_builder.h"
#include "train/masking.h"
#include "train/sentences.h"

PG_FUNCTION_INFO_V1(bert_build_vocab);
PG_FUNCTION_INFO_V1(bert_sentence_pairs);

#define VOCAB_MAX_SIZE 1000000
#define PAIRS_MAX_TOKENS 100000

/* Takes the rows as they come: SPI's own table of them would copy every text. */
typedef struct TextReceiver
{
	DestReceiver public;
	const char *name; /* of the argument */
	Oid type;
	Oid output;        /* of the type */
	MemoryContext row; /* emptied after each */
	VisitText visit;
	void *context;
} TextReceiver;

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	TextReceiver *receiver = (TextReceiver *) self;
	bool varlena;

	(void) operation;
	if (desc->natts != 1)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("%s returns %d columns, not one", receiver->name, desc->natts)));
	receiver->type = getBaseType(TupleDescAttr(desc, 0)->atttypid);
	getTypeOutputInfo(receiver->type, &receiver->output, &varlena);
}

/* The value as its type writes it, in UTF-8. */
static const char *
value_text(const TextReceiver *receiver, Datum value, size_t *length)
{
	const text *raw;
	const char *written;

	if (receiver->type == TEXTOID || receiver->type == VARCHAROID)
	{
		/* their output functions would copy it once more */
		raw = (text *) detoast_packed(value);
		return encoding_to_utf8(VARDATA_ANY(raw), VARSIZE_ANY_EXHDR(raw), length);
	}
	written = OidOutputFunctionCall(receiver->output, value);
	return encoding_to_utf8(written, strlen(written), length);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	TextReceiver *receiver = (TextReceiver *) self;
	MemoryContext caller;
	const char *utf8;
	size_t length;
	bool is_null;
	Datum value = slot_getattr(slot, 1, &is_null);

	CHECK_FOR_INTERRUPTS();
	if (is_null)
		return true;
	caller = MemoryContextSwitchTo(receiver->row);
	utf8 = value_text(receiver, value, &length);
	MemoryContextSwitchTo(caller);
	receiver->visit(receiver->context, utf8, length);
	progress_add(1);
	MemoryContextReset(receiver->row);
	return true;
}

static void
receiver_shutdown(DestReceiver *self)
{
	(void) self;
}

void
visit_texts(const char *query, const char *name, VisitText visit, void *context)
{
	SPIPlanPtr plan = SPI_prepare_cursor(query, 0, NULL, CURSOR_OPT_NO_SCROLL);
	TextReceiver receiver = {
		.public = {receive, receiver_startup, receiver_shutdown, receiver_shutdown, DestNone},
		.name = name,
		.row =
			AllocSetContextCreate(CurrentMemoryContext, "text of a query", ALLOCSET_DEFAULT_SIZES),
		.visit = visit,
		.context = context};
	SPIExecuteOptions options = {.read_only = true, .dest = &receiver.public};
	int result;

	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s does not return rows", name),
				 errhint("Give one SELECT with one column of text.")));
	result = SPI_execute_plan_extended(plan, &options);
	if (result < 0)
		elog(ERROR, "%s failed: %s", name, SPI_result_code_string(result));
	MemoryContextDelete(receiver.row);
}

static void
count_words(void *context, const char *utf8, size_t length)
{
	Status status;

	REPORT_UNLESS(vocab_builder_add_text(context, utf8, length, &backend_may_continue, &status),
				  &status);
}

/*
 * bert.build_vocab(query text, size int, lowercase bool) → text: the vocabulary in the form of
 * vocab.txt
 */
Datum
bert_build_vocab(PG_FUNCTION_ARGS)
{
	char *query = text_to_cstring(ARGUMENT_TEXT(0));
	int size = PG_GETARG_INT32(1);
	VocabBuilderOptions options = vocab_builder_defaults(size, PG_GETARG_BOOL(2));
	Arena *arena;
	VocabBuilder *builder;
	char *vocab;
	text *result;
	size_t length;
	Status status;

	if (size < 10 || size > VOCAB_MAX_SIZE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("size must be from 10 to %d", VOCAB_MAX_SIZE)));
	arena = arena_for_call();
	builder = vocab_builder_create(arena, &options, &status);
	REPORT_UNLESS(builder != NULL, &status);
	progress_begin("build_vocab", NULL);
	progress_phase("reading texts", "texts", -1);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	visit_texts(query, "query", count_words, builder);
	SPI_finish();
	progress_phase("choosing pieces", "pieces", size);
	progress_follow(0);
	REPORT_UNLESS(vocab_builder_finish(builder, &backend_may_continue, &vocab, &length, &status),
				  &status);
	progress_end();
	result = output_text(vocab, length);
	arena_destroy(arena);
	PG_RETURN_TEXT_P(result);
}

/*
 * Documents with the sentences that lie in them; arrays grow in the call's context, texts lie in
 * the arena.
 */
typedef struct Corpus
{
	MemoryContext context;
	Arena *arena;
	const Tokenizer *tokenizer;
	size_t n_documents;
	size_t document_capacity;
	char **texts;   /* (n_documents) */
	size_t *starts; /* (n_documents + 1) */
	size_t n_sentences;
	size_t sentence_capacity;
	SentenceBytes *sentences; /* (n_sentences) */
	uint32_t *lengths;        /* (n_sentences) tokens */
} Corpus;

/* room for n elements; the array may move */
static void *
grow(MemoryContext context, void *array, size_t size, size_t n)
{
	return array == NULL ? MemoryContextAllocHuge(context, n * size)
						 : repalloc_huge(array, n * size);
}

static void
add_sentence(Corpus *corpus, const char *text, const SentenceBytes *sentence)
{
	ArenaMark mark = arena_mark(corpus->arena);
	size_t tokens;
	Status status;

	REPORT_UNLESS(tokenizer_count(corpus->tokenizer, corpus->arena, text + sentence->from,
								  sentence->to - sentence->from, &backend_may_continue, &tokens,
								  &status),
				  &status);
	arena_rewind(corpus->arena, mark);
	if (tokens == 0)
		return;
	if (corpus->n_sentences == corpus->sentence_capacity)
	{
		corpus->sentence_capacity = Max(1024, 2 * corpus->sentence_capacity);
		corpus->sentences = grow(corpus->context, corpus->sentences, sizeof *corpus->sentences,
								 corpus->sentence_capacity);
		corpus->lengths = grow(corpus->context, corpus->lengths, sizeof *corpus->lengths,
							   corpus->sentence_capacity);
	}
	corpus->lengths[corpus->n_sentences] = (uint32_t) Min(tokens, UINT32_MAX);
	corpus->sentences[corpus->n_sentences++] = *sentence;
}

static void
add_document(void *context, const char *utf8, size_t length)
{
	Corpus *corpus = context;
	char *text = arena_alloc(corpus->arena, length + 1);
	SentenceBytes sentence = {0, 0};
	Status status;

	if (text == NULL)
	{
		arena_fail(corpus->arena, &status, "the documents", length);
		report_status(&status);
	}
	REPORT_UNLESS(bulk_copy(text, utf8, length, &backend_may_continue, &status), &status);
	if (corpus->n_documents + 1 >= corpus->document_capacity)
	{
		corpus->document_capacity = Max(256, 2 * corpus->document_capacity);
		corpus->texts =
			grow(corpus->context, corpus->texts, sizeof *corpus->texts, corpus->document_capacity);
		corpus->starts = grow(corpus->context, corpus->starts, sizeof *corpus->starts,
							  corpus->document_capacity);
	}
	corpus->starts[corpus->n_documents] = corpus->n_sentences;
	for (;;)
	{
		bool found;

		REPORT_UNLESS(
			sentence_next(text, length, &sentence, &found, &backend_may_continue, &status),
			&status);
		if (!found)
			break;
		add_sentence(corpus, text, &sentence);
	}
	corpus->texts[corpus->n_documents++] = text;
	corpus->starts[corpus->n_documents] = corpus->n_sentences;
}

/* From the first of the sentences to the end of the last, as the document has them. */
static Datum
range_text(const Corpus *corpus, const SentenceRange *range)
{
	const SentenceBytes *first = &corpus->sentences[corpus->starts[range->document] + range->first];
	const SentenceBytes *last = first + range->count - 1;

	return PointerGetDatum(
		output_text(corpus->texts[range->document] + first->from, last->to - first->from));
}

static void
put_pairs(FunctionCallInfo fcinfo, const Corpus *corpus, const SentencePair *pairs, size_t n)
{
	MemoryContext row =
		AllocSetContextCreate(CurrentMemoryContext, "sentence pair", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(row);

	for (size_t i = 0; i < n; i++)
	{
		Datum values[3] = {range_text(corpus, &pairs[i].a), range_text(corpus, &pairs[i].b),
						   BoolGetDatum(!pairs[i].random)};
		bool nulls[3] = {false, false, false};

		CHECK_FOR_INTERRUPTS();
		progress_add(1);
		put_row(fcinfo, values, nulls);
		MemoryContextReset(row);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(row);
}

/*
 * bert.sentence_pairs(query text, model text, max_tokens int, seed bigint) → SETOF (input text,
 * pair text, label bool)
 */
Datum
bert_sentence_pairs(PG_FUNCTION_ARGS)
{
	Corpus corpus = {.context = CurrentMemoryContext};
	Documents documents;
	ModelHandle *model;
	SentencePair *pairs = NULL;
	size_t n_pairs;
	int max_tokens;
	Status status;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
		return (Datum) 0;
	max_tokens = int_argument(fcinfo, 2, "max_tokens", 2, PAIRS_MAX_TOKENS, 128);
	progress_begin("sentence_pairs", NULL);
	model = model_handle_get(fcinfo->flinfo, PG_ARGISNULL(1) ? NULL : ARGUMENT_TEXT(1), TASK_EMBED);
	progress_name("sentence_pairs", model->name);
	corpus.tokenizer = model->tokenizer;
	corpus.arena = arena_for_call();
	progress_phase("reading texts", "texts", -1);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	visit_texts(text_to_cstring(ARGUMENT_TEXT(0)), "query", add_document, &corpus);
	SPI_finish();
	if (corpus.n_documents > 0)
	{
		progress_phase("making pairs", "pairs", -1);
		documents = (Documents){corpus.n_documents, corpus.starts, corpus.lengths};
		REPORT_UNLESS(sentence_pairs_make(corpus.arena, &documents, (size_t) max_tokens,
										  (uint64_t) PG_GETARG_INT64(3), &pairs, &n_pairs, &status),
					  &status);
		put_pairs(fcinfo, &corpus, pairs, n_pairs);
	}
	progress_end();
	arena_destroy(corpus.arena);
	return (Datum) 0;
}
