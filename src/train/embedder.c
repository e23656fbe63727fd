/* embedder.c: batches of about a thousand tokens, one task each. */
#include "train/embedder.h"

#include <stdatomic.h>
#include <string.h>

#include "core/note.h"

#define BATCH_TOKENS 1024
#define BATCH_MOST 256

typedef struct Embedder
{
	const EmbedderCall *call;
	size_t *starts; /* (tasks + 1) */
	const MayContinue *question;
	atomic_bool stop;
	Status *statuses; /* (threads): of the first failure of each */
	bool *failed;     /* (threads) */
} Embedder;

/* What a thread asks: the calling one whether it may go on, the others whether that was refused. */
typedef struct ThreadQuestion
{
	Embedder *embedder;
	int worker;
} ThreadQuestion;

static bool
ask(void *context)
{
	ThreadQuestion *question = context;
	Embedder *embedder = question->embedder;

	if (question->worker == 0 && !may_continue(embedder->question, NULL))
		atomic_store(&embedder->stop, true);
	return !atomic_load(&embedder->stop);
}

static bool
embed_batch(const Embedder *embedder, size_t first, size_t n, const MayContinue *question,
			Status *status)
{
	const EmbedderCall *call = embedder->call;
	Arena *arena = arena_create(&allocator_malloc, call->memory);
	TrainSample samples[BATCH_MOST];
	Evaluation evaluation;
	bool ok;

	if (arena == NULL)
		return status_fail(status, STATUS_OUT_OF_MEMORY, "out of memory");
	for (size_t i = 0; i < n; i++)
		samples[i] = (TrainSample){&call->samples[first + i], first + i, 0};
	ok = predict_samples(call->predictor, samples, n, arena, &evaluation, question, status);
	if (ok)
		memcpy(call->out + first * call->columns, evaluation.logits,
			   n * call->columns * sizeof(float));
	arena_destroy(arena);
	return ok;
}

static void
embed_task(void *context, size_t task, int worker)
{
	Embedder *embedder = context;
	ThreadQuestion own = {embedder, worker};
	MayContinue question = {ask, &own};
	size_t first = embedder->starts[task];

	if (atomic_load(&embedder->stop) || embedder->failed[worker])
		return;
	if (worker == 0)
		note_done(embedder->question, first);
	if (embed_batch(embedder, first, embedder->starts[task + 1] - first, &question,
					&embedder->statuses[worker]))
		return;
	embedder->failed[worker] = true;
	atomic_store(&embedder->stop, true);
}

/* Where the batches begin; returns how many there are. */
static size_t
divide(const EmbedderCall *call, size_t *starts)
{
	size_t batches = 0;
	size_t tokens = 0;

	starts[0] = 0;
	for (size_t i = 0; i < call->n; i++)
	{
		if (i > starts[batches] && (tokens + call->samples[i].n_tokens > BATCH_TOKENS ||
									i - starts[batches] == BATCH_MOST))
		{
			starts[++batches] = i;
			tokens = 0;
		}
		tokens += call->samples[i].n_tokens;
	}
	starts[batches + 1] = call->n;
	return batches + 1;
}

/* Why it stopped. A thread that was told to stop has failed by that: the cause is another's. */
static bool
blame(const Embedder *embedder, size_t threads, Status *status)
{
	for (size_t t = 0; t < threads; t++)
		if (embedder->failed[t] && embedder->statuses[t].code != STATUS_CANCELLED)
		{
			*status = embedder->statuses[t];
			return false;
		}
	return status_fail(status, STATUS_CANCELLED, "the embeddings were not finished");
}

bool
embedder_run(const EmbedderCall *call, const MayContinue *question, Status *status)
{
	size_t threads = (size_t) threadpool_size(call->pool);
	Arena *arena = arena_create(&allocator_malloc, 0);
	Embedder embedder = {.call = call, .question = question};
	bool ok = true;

	if (arena == NULL)
		return status_fail(status, STATUS_OUT_OF_MEMORY, "out of memory");
	embedder.starts = arena_alloc_array(arena, call->n + 2, sizeof *embedder.starts);
	embedder.statuses = arena_alloc_array(arena, threads, sizeof *embedder.statuses);
	embedder.failed = arena_alloc_array_zero(arena, threads, sizeof *embedder.failed);
	atomic_init(&embedder.stop, false);
	if (embedder.starts == NULL || embedder.statuses == NULL || embedder.failed == NULL)
		ok = arena_fail(arena, status, "embeddings", call->n * sizeof *embedder.starts);
	else if (call->n > 0)
	{
		threadpool_run(call->pool, divide(call, embedder.starts), embed_task, &embedder);
		ok = !atomic_load(&embedder.stop) || blame(&embedder, threads, status);
	}
	arena_destroy(arena);
	return ok;
}
