/* precision.c: what a model computes in: what is said, or the fastest that loses little. */
#include "pg/server/compat.h"

#include <math.h>
#include <time.h>

#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "nn/windows.h"
#include "pg/infer/batch.h"
#include "pg/infer/embedding.h"
#include "pg/model/store.h"
#include "pg/server/detoast.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"

#define N_SAMPLES 6
/* What precisions are compared on: texts of several languages, lengths and kinds. */
static const char *const samples[N_SAMPLES] = {
	"Where can I change the password of my account?",
	"The committee voted 7 to 2 in favour of the new budget; the opposition called it a mistake.",
	"Wie lange dauert die Lieferung nach \xc3\x96sterreich?",
	"Un homme joue de la guitare sur la place du march\xc3\xa9.",
	"error 404: file /var/lib/data/report.csv not found",
	"Good food, slow service, and far too loud to talk: I would not go there again with friends.",
};

/* Passes of each precision, in alternation, of which the fastest counts; the first one warms up. */
#define N_ROUNDS 4
/* A less exact precision is not worth a gain of less than this. */
#define LEAST_GAIN 1.05

/* A precision of the model on this machine. */
typedef struct Trial
{
	ModelHandle *handle;
	double seconds; /* the processor's, for all samples */
	float *means;   /* (N_SAMPLES, hidden) of the last hidden states */
	double loss;    /* one less the mean cosine with those of fp32 */
} Trial;

static double
processor_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

/* The samples as tokens, in the call's arena. */
static void
encode_samples(Call *call, Batch *batch)
{
	EncodeOptions options = {.special_tokens = true,
							 .truncation = TRUNCATE_LONGEST_FIRST,
							 .max_length = call->handle->max_length};
	Encoding windows[N_SAMPLES];
	EncodeResult all = {.n_windows = N_SAMPLES, .windows = windows};
	Status status;

	for (size_t i = 0; i < N_SAMPLES; i++)
	{
		InputText input = {.utf8 = samples[i], .length = strlen(samples[i])};
		EncodeResult one;

		encode_with(call, &input, NULL, &options, &one);
		windows[i] = one.windows[0];
	}
	REPORT_UNLESS(windows_batch(&all, 0, N_SAMPLES, call->arena, batch, &status), &status);
}

/* One pass: its time, and what comes out. */
static void
run_trial(Trial *trial)
{
	size_t hidden = (size_t) trial->handle->config.hidden_size;
	const BertModel *model = model_handle_bind(trial->handle, HEAD_NONE);
	ForwardWants wants = {0};
	EncoderOutput output;
	Batch batch;
	Call call;
	double started;
	Status status;

	call_begin_with(&call, trial->handle, "set_precision");
	encode_samples(&call, &batch);
	check_memory(&call, model, &batch, &wants, 0);
	started = processor_seconds();
	REPORT_UNLESS(
		encoder_forward(model, &batch, &wants, call.arena, &output, &backend_may_continue, &status),
		&status);
	trial->seconds = Min(trial->seconds, processor_seconds() - started);
	memset(trial->means, 0, N_SAMPLES * hidden * sizeof(float));
	for (size_t b = 0; b < batch.n_sequences; b++)
		for (int32_t t = batch.cu_seqlens[b]; t < batch.cu_seqlens[b + 1]; t++)
			for (size_t i = 0; i < hidden; i++)
				trial->means[b * hidden + i] += output.last_hidden_state[(size_t) t * hidden + i];
}

static void
measure_trials(const char *name, Trial *trials)
{
	for (int p = 0; p < PRECISION_COUNT; p++)
	{
		char *full = psprintf("%s:%s", name, precision_name((Precision) p));

		trials[p].handle = model_handle_get(NULL, cstring_to_text(full), TASK_EMBED);
		trials[p].seconds = INFINITY;
		trials[p].means =
			palloc_array(float, N_SAMPLES *(size_t) trials[p].handle->config.hidden_size);
	}
	for (int round = 0; round < N_ROUNDS; round++)
		for (int p = 0; p < PRECISION_COUNT; p++)
		{
			if (round == 1)
				trials[p].seconds = INFINITY;
			run_trial(&trials[p]);
		}
	for (int p = 0; p < PRECISION_COUNT; p++)
	{
		size_t hidden = (size_t) trials[p].handle->config.hidden_size;
		double cosines = 0;

		for (size_t i = 0; i < N_SAMPLES; i++)
			cosines += embedding_similarity(SIMILARITY_COSINE, hidden,
											trials[PRECISION_FP32].means + i * hidden,
											trials[p].means + i * hidden);
		trials[p].loss = p == PRECISION_FP32 ? 0 : Max(0, 1 - cosines / N_SAMPLES);
	}
}

/* The fastest that loses no more than max_loss; says what was measured. */
static Precision
fastest_precision(const char *name, double max_loss)
{
	Trial trials[PRECISION_COUNT];
	Precision best = PRECISION_FP32;
	const double ms = 1000.0 / N_SAMPLES;

	PushActiveSnapshot(GetTransactionSnapshot());
	measure_trials(name, trials);
	PopActiveSnapshot();
	for (int p = 0; p < PRECISION_COUNT; p++)
		if (trials[p].loss <= max_loss && trials[p].seconds * LEAST_GAIN < trials[best].seconds)
			best = (Precision) p;
	ereport(
		NOTICE,
		(errmsg("model \"%s\" computes in %s", name, precision_name(best)),
		 errdetail("A short text takes %.2f ms in fp32; %.2f ms in bf16, which loses %.6f; %.2f "
				   "ms in int8, which loses %.6f.",
				   ms * trials[PRECISION_FP32].seconds, ms * trials[PRECISION_BF16].seconds,
				   trials[PRECISION_BF16].loss, ms * trials[PRECISION_INT8].seconds,
				   trials[PRECISION_INT8].loss)));
	return best;
}

PG_FUNCTION_INFO_V1(bert_set_precision);
PGDLLEXPORT Datum
bert_set_precision(PG_FUNCTION_ARGS)
{
	ModelRow *row = model_to_change(fcinfo);
	char *name = text_to_cstring(ARGUMENT_TEXT(1));
	float4 max_loss = PG_GETARG_FLOAT4(2);
	Precision precision;
	Status status;

	if (!(max_loss >= 0 && max_loss <= 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_loss must be between 0 and 1")));
	if (strcmp(name, "auto") == 0)
		precision = fastest_precision(row->name, (double) max_loss);
	else
		REPORT_UNLESS(precision_parse(name, &precision, &status), &status);
	store_set_precision(row, precision);
	PG_RETURN_VOID();
}
