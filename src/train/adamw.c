/* adamw.c: the optimizer, over slices of the flat arrays. */
#include "train/adamw.h"

#include <math.h>
#include <string.h>

/* Elements that one task updates; also the piece in which squares are summed. */
#define SLICE ((size_t) 65536)

AdamwOptions
adamw_default(void)
{
	AdamwOptions options = {.beta1 = 0.9,
							.beta2 = 0.999,
							.epsilon = 1e-8,
							.weight_decay = 0,
							.max_grad_norm = 1,
							.correct_bias = true};

	return options;
}

bool
adamw_init(Adamw *adamw, Arena *arena, Network *network, const AdamwOptions *options,
		   Status *status)
{
	size_t elements = network->table->elements - network->frozen_elements;
	size_t width = network->embeddings.norm.n;

	memset(adamw, 0, sizeof *adamw);
	adamw->network = network;
	adamw->options = *options;
	adamw->first = arena_alloc_array_zero(arena, elements, sizeof(float));
	adamw->second = arena_alloc_array_zero(arena, elements, sizeof(float));
	adamw->zeros = arena_alloc_array_zero(arena, width, sizeof(float));
	if (adamw->first == NULL || adamw->second == NULL || adamw->zeros == NULL)
		return arena_fail(arena, status, "moments", 2 * elements * sizeof(float));
	if (network->embeddings_trained && !network->dense_words)
	{
		adamw->met = arena_alloc_zero(arena, network->embeddings.vocab);
		if (adamw->met == NULL)
			return arena_fail(arena, status, "word rows", network->embeddings.vocab);
	}
	return true;
}

/* A run of elements that one task works on. */
typedef struct Slice
{
	size_t at; /* in the trained arrays */
	size_t n;
	const TensorSpec *tensor;
} Slice;

typedef struct Walk
{
	const Adamw *adamw;
	AdamwStep step;
	double decay; /* learning rate times weight decay */
	double *sums; /* of squares, one per slice; NULL when updating */
} Walk;

static bool
sparse_words(const Adamw *adamw, const TensorSpec *tensor)
{
	return tensor->role == ROLE_WORD_EMBEDDINGS && adamw->met != NULL;
}

/* Slices of the dense tensors, in table order: slice `index`, or false past the last. */
static bool
find_slice(const Adamw *adamw, size_t index, Slice *slice)
{
	const Network *network = adamw->network;
	const TensorTable *table = network->table;

	for (int i = 0; i < table->n_tensors; i++)
	{
		const TensorSpec *tensor = &table->tensors[i];
		size_t offset = network_tensor_offset(table, tensor);
		size_t slices = (tensor->elements + SLICE - 1) / SLICE;

		if (offset < network->frozen_elements || network_tensor_unused(network, tensor) ||
			sparse_words(adamw, tensor))
			continue;
		if (index < slices)
		{
			slice->at = offset - network->frozen_elements + index * SLICE;
			slice->n =
				tensor->elements - index * SLICE < SLICE ? tensor->elements - index * SLICE : SLICE;
			slice->tensor = tensor;
			return true;
		}
		index -= slices;
	}
	return false;
}

static size_t
count_slices(const Adamw *adamw)
{
	const Network *network = adamw->network;
	size_t count = 0;

	for (int i = 0; i < network->table->n_tensors; i++)
	{
		const TensorSpec *tensor = &network->table->tensors[i];

		if (network_tensor_offset(network->table, tensor) >= network->frozen_elements &&
			!network_tensor_unused(network, tensor) && !sparse_words(adamw, tensor))
			count += (tensor->elements + SLICE - 1) / SLICE;
	}
	return count;
}

static void
sum_task(void *context, size_t index, int worker)
{
	Walk *walk = context;
	const Network *network = walk->adamw->network;
	Slice slice;

	if (find_slice(walk->adamw, index, &slice))
		walk->sums[index] =
			network->compute->kernels->sum_squares(slice.n, network->gradients + slice.at);
}

double
adamw_grad_norm(const Adamw *adamw)
{
	Network *network = adamw->network;
	size_t slices = count_slices(adamw);
	ArenaMark mark = arena_mark(network->workspace);
	Walk walk = {.adamw = adamw,
				 .sums = arena_alloc_array(network->workspace, slices, sizeof(double))};
	double sum = 0;

	if (walk.sums == NULL)
		return NAN; /* the caller stops on a norm that is no number */
	threadpool_run(network->compute->pool, slices, sum_task, &walk);
	for (size_t i = 0; i < slices; i++)
		sum += walk.sums[i];
	arena_rewind(network->workspace, mark);
	if (adamw->met != NULL)
		for (size_t i = 0; i < network->word_rows.n; i++)
		{
			size_t n = network->embeddings.norm.n;

			sum += network->compute->kernels->sum_squares(n, network->embeddings.d_word +
																 network->word_rows.rows[i] * n);
		}
	return sqrt(sum);
}

static void
update_task(void *context, size_t index, int worker)
{
	Walk *walk = context;
	const Adamw *adamw = walk->adamw;
	const Network *network = adamw->network;
	AdamwStep step = walk->step;
	Slice slice;

	if (!find_slice(adamw, index, &slice))
		return;
	step.decay = slice.tensor->weight_decay ? (float) walk->decay : 0;
	network->compute->kernels->adamw(
		slice.n, network->weights + network->frozen_elements + slice.at,
		network->gradients + slice.at, adamw->first + slice.at, adamw->second + slice.at, &step);
}

/* Rows of the word embeddings, where only some have a gradient. */
#define WORD_ROWS_PER_TASK ((size_t) 1024)

static void
update_words_task(void *context, size_t index, int worker)
{
	Walk *walk = context;
	const Adamw *adamw = walk->adamw;
	Network *network = adamw->network;
	const TrainKernels *kernels = network->compute->kernels;
	size_t n = network->embeddings.norm.n;
	size_t offset =
		(size_t) (network->embeddings.word - network->weights) - network->frozen_elements;
	size_t to = (index + 1) * WORD_ROWS_PER_TASK;
	AdamwStep step = walk->step;

	step.decay = (float) walk->decay;
	for (size_t id = index * WORD_ROWS_PER_TASK; id < to && id < network->embeddings.vocab; id++)
	{
		bool listed = network->word_rows.stamps[id] == network->word_rows.stamp;
		float *weights = network->embeddings.word + id * n;

		if (listed || adamw->met[id])
		{
			adamw->met[id] = 1;
			kernels->adamw(n, weights, listed ? network->embeddings.d_word + id * n : adamw->zeros,
						   adamw->first + offset + id * n, adamw->second + offset + id * n, &step);
		}
		else if (step.decay != 0)
			kernels->axpy(n, -step.decay, weights, weights);
	}
}

void
adamw_step(Adamw *adamw, int64_t step, double learning_rate, double grad_norm)
{
	const AdamwOptions *options = &adamw->options;
	Network *network = adamw->network;
	Walk walk = {.adamw = adamw, .decay = learning_rate * options->weight_decay};
	double step_size = learning_rate;
	double scale = 1;

	if (options->correct_bias)
		step_size *=
			sqrt(1 - pow(options->beta2, (double) step)) / (1 - pow(options->beta1, (double) step));
	if (options->max_grad_norm > 0 && options->max_grad_norm / (grad_norm + 1e-6) < 1)
		scale = options->max_grad_norm / (grad_norm + 1e-6);
	walk.step = (AdamwStep){.gradient_scale = (float) scale,
							.beta1 = (float) options->beta1,
							.beta2 = (float) options->beta2,
							.rest1 = (float) (1 - options->beta1),
							.rest2 = (float) (1 - options->beta2),
							.epsilon = (float) options->epsilon,
							.step_size = (float) step_size};
	threadpool_run(network->compute->pool, count_slices(adamw), update_task, &walk);
	if (adamw->met != NULL)
		threadpool_run(network->compute->pool,
					   (network->embeddings.vocab + WORD_ROWS_PER_TASK - 1) / WORD_ROWS_PER_TASK,
					   update_words_task, &walk);
}
