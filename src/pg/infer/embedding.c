/* embedding.c: prompts, pooling, normalizing, similarity. */
#include "pg/server/compat.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/builtins.h"

#include "pg/infer/batch.h"
#include "pg/infer/embedding.h"
#include "pg/server/detoast.h"
#include "pg/server/encoding.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"
#include "pg/server/settings.h"

void
use_prompt(Call *call, const char *words, const char *name, PromptUse use)
{
	size_t length;
	Status status;

	if (words != NULL)
		call->prompt = encoding_to_utf8(words, strlen(words), &length);
	else
		REPORT_UNLESS(
			sentence_prompt(call->arena, &call->handle->sentence,
							name == NULL ? NULL : encoding_to_utf8(name, strlen(name), &length),
							use, &call->prompt, &status),
			&status);
	call->unpooled_tokens = call->handle->sentence.exclude_prompt && call->prompt[0] != '\0'
								? count_prompt_tokens(call)
								: 0;
}

static void
check_pooling(const ModelHandle *handle, const PoolingModes *modes)
{
	char pooling[POOLING_TEXT_BYTES];

	if (pooling_modes_have(modes, POOLING_POOLER) && !handle->config.use_pooler)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("model \"%s\" has no pooling layer", handle->name),
						errhint("Use pooling mean, cls or max.")));
	pooling_modes_print(modes, pooling);
	if (sentence_dimensions(&handle->config, modes) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("pooling %s does not fit model \"%s\"", pooling, handle->name),
						errdetail("It gives %d values, and the model's Dense module takes %d.",
								  modes->n * handle->config.hidden_size,
								  handle->config.dense[0].in_features)));
}

PoolingModes
pooling_argument(FunctionCallInfo fcinfo, int argument, const ModelHandle *handle)
{
	PoolingModes pooling = handle->sentence.pooling;
	Status status;

	if (!PG_ARGISNULL(argument))
		REPORT_UNLESS(
			pooling_modes_parse(text_to_cstring(ARGUMENT_TEXT(argument)), &pooling, &status),
			&status);
	check_pooling(handle, &pooling);
	return pooling;
}

bool
embeds_normalized(const ModelHandle *handle)
{
	return handle->sentence.normalize || !handle->sentence.present;
}

bool
normalize_argument(FunctionCallInfo fcinfo, int argument, const ModelHandle *handle)
{
	return PG_ARGISNULL(argument) ? embeds_normalized(handle) : PG_GETARG_BOOL(argument);
}

static double
dot_in_double(size_t n, const float *x, const float *y)
{
	double sum = 0.0;

	for (size_t i = 0; i < n; i++)
		sum += (double) x[i] * y[i];
	return sum;
}

/* A long array in pieces: none takes more than some milliseconds. */
#define DOT_PIECE ((size_t) 4 * 1024 * 1024)

static double
dot_of(const Kernels *kernels, size_t n, const float *x, const float *y)
{
	double sum = 0.0;

	for (size_t done = 0; done < n; done += DOT_PIECE)
	{
		size_t piece = Min(n - done, DOT_PIECE);

		CHECK_FOR_INTERRUPTS();
		sum += kernels != NULL ? (double) kernels->dot(piece, x + done, y + done)
							   : dot_in_double(piece, x + done, y + done);
	}
	return sum;
}

/* minus the Euclidean or the Manhattan distance */
static double
minus_distance(size_t n, const float *a, const float *b, bool euclidean)
{
	double sum = 0.0;

	for (size_t i = 0; i < n; i++)
	{
		double difference = (double) a[i] - (double) b[i];

		sum += euclidean ? difference * difference : fabs(difference);
	}
	return euclidean ? -sqrt(sum) : -sum;
}

/*
 * 0 where an embedding has no direction, as in sentence-transformers. The kernels add in fp32; sums
 * that leave its middle range are added again in double.
 */
static double
cosine(size_t n, const float *a, const float *b)
{
	Status status;
	const Kernels *kernels = kernels_choose(guc_kernel, &status);
	double ab;
	double aa;
	double bb;

	REPORT_UNLESS(kernels != NULL, &status);
	ab = dot_of(kernels, n, a, b);
	aa = dot_of(kernels, n, a, a);
	bb = dot_of(kernels, n, b, b);
	if (!(aa > 1e-20 && aa < 1e20 && bb > 1e-20 && bb < 1e20))
	{
		ab = dot_of(NULL, n, a, b);
		aa = dot_of(NULL, n, a, a);
		bb = dot_of(NULL, n, b, b);
	}
	return aa == 0.0 || bb == 0.0 ? 0.0 : ab / (sqrt(aa) * sqrt(bb));
}

double
embedding_similarity(Similarity similarity, size_t n, const float *a, const float *b)
{
	switch (similarity)
	{
		case SIMILARITY_DOT:
			return dot_in_double(n, a, b);
		case SIMILARITY_EUCLIDEAN:
			return minus_distance(n, a, b, true);
		case SIMILARITY_MANHATTAN:
			return minus_distance(n, a, b, false);
		case SIMILARITY_COSINE:
		case SIMILARITY_COUNT:
			break;
	}
	return cosine(n, a, b);
}
