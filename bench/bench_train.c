/*
 * bench_train: the speed of training steps of a sequence classifier, or of an embedder that learns
 * from pairs, of the same recipe as the reference's (AdamW, dropout of the config, all layers), and
 * of the step's own matrix products alone, by our kernels and by OpenBLAS.
 *
 *     bench_train MODEL BATCH LENGTH THREADS [PRECISION [KERNELS [TASK]]]
 *
 * TASK: classification or embedding, whose BATCH texts are pairs of two (multiple negatives
 * ranking, mean pooling, unit length).
 *
 * Reads commands, one a line: "step" takes a training step, "gemm" multiplies every matrix pair of
 * a step once, "blas" does so with OpenBLAS; answers a line each: milliseconds of wall clock and of
 * processor time, GFLOP/s of wall clock, and for a step the loss. bench/train_speed.py alternates
 * it with PyTorch.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/rng.h"
#include "kernels/blas.h"
#include "large.h"
#include "nn/loader.h"
#include "train/trainer.h"

static void
die(const Status *status)
{
	fprintf(stderr, "bench_train: %s\n", status->message);
	exit(1);
}

#define CHECK(expression)  \
	do                     \
	{                      \
		if (!(expression)) \
			die(&status);  \
	} while (0)

static double
milliseconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return 1e3 * (double) now.tv_sec + 1e-6 * (double) now.tv_nsec;
}

/*
 * Multiplications and additions of the encoder's forward, as bench/train_speed.py counts them for
 * the reference too.
 */
static double
forward_flops(const BertConfig *config, double batch, double length)
{
	double h = config->hidden_size;
	double f = config->intermediate_size;

	return batch * (length * config->num_hidden_layers * 2 * (4 * h * h + 2 * h * f) +
					config->num_hidden_layers * 4 * length * length * h);
}

typedef struct Product
{
	size_t out;
	size_t in;
} Product;

/*
 * The products of one layer, forward, to the input and to the weight, through the same split over
 * threads as in a step.
 */
static double
run_gemms(Compute *compute, const BertConfig *config, size_t tokens, float *x, float *y, float *w,
		  float *dw)
{
	size_t h = (size_t) config->hidden_size;
	size_t f = (size_t) config->intermediate_size;
	const Product products[] = {{3 * h, h}, {h, h}, {f, h}, {h, f}};
	double flops = 0;

	for (int layer = 0; layer < config->num_hidden_layers; layer++)
		for (int i = 0; i < 4; i++)
		{
			Linear linear = {
				.out = products[i].out, .in = products[i].in, .weight = w, .d_weight = dw};

			train_linear_forward(compute, &linear, tokens, x, y);
			train_linear_backward_input(compute, &linear, tokens, y, false, x);
			train_linear_backward_weight(compute, &linear, tokens, x, y);
			flops += 6.0 * (double) tokens * (double) products[i].out * (double) products[i].in;
			/* no overflow to infinity in the next rounds */
			memset(x, 0, tokens * products[i].in * sizeof(float));
		}
	return flops;
}

static void
load_model(Arena *arena, const char *folder, HeadKind head, BertConfig *config, TensorTable *table,
		   Checkpoint *checkpoint, LoadPlan *plan)
{
	ModelSource *source;
	ByteSource *bytes;
	bool found;
	char *json;
	Status status;

	source = modelsource_open_directory(arena, folder, &status);
	if (source == NULL)
		die(&status);
	CHECK(source->open(source, "config.json", &bytes, &found, &status) && found);
	json = source_read_all(arena, bytes, 1 << 20, &status);
	CHECK(json != NULL && config_parse(arena, json, strlen(json), config, &status));
	CHECK(config_set_labels(arena, config, 2, (const char *const[]){"0", "1"}, &status));
	config->use_pooler = head != HEAD_NONE;
	CHECK(tensor_table_build(arena, config, head, table, &status));
	CHECK(checkpoint_open(arena, source, checkpoint, &status));
	CHECK(load_plan(arena, checkpoint, table, plan, &status));
}

/*
 * Samples of random ids, of so many texts of one length each, with a label; of pairs with what
 * tells their texts apart.
 */
static TrainSample *
random_samples(Arena *arena, size_t n, uint32_t texts, uint32_t length, const BertConfig *config)
{
	TrainSample *samples = arena_alloc_array(arena, n, sizeof *samples);
	Rng rng;

	rng_init(&rng, 1, 0);
	for (size_t i = 0; i < n; i++)
	{
		Sample *sample = arena_alloc_zero(arena, sizeof *sample);

		*sample = (Sample){.n_sequences = texts, .n_tokens = texts * length, .n_labels = 1};
		sample->lengths = arena_alloc_array(arena, texts, sizeof(uint32_t));
		sample->input_ids = arena_alloc_array(arena, sample->n_tokens, sizeof(int32_t));
		sample->token_type_ids = arena_alloc_zero(arena, sample->n_tokens);
		sample->labels = arena_alloc_array(arena, 4, sizeof(int32_t));
		sample->labels[0] = (int32_t) rng_below(&rng, 2);
		if (texts == 2)
		{
			sample->n_labels = 4;
			for (int32_t key = 0; key < 4; key++)
				sample->labels[key] = (int32_t) i * 4 + key;
		}
		for (uint32_t t = 0; t < texts; t++)
			sample->lengths[t] = length;
		for (uint32_t t = 0; t < sample->n_tokens; t++)
			sample->input_ids[t] =
				1000 + (int32_t) rng_below(&rng, (uint64_t) config->vocab_size - 1000);
		samples[i] = (TrainSample){sample, i, 0};
	}
	return samples;
}

/* Long: what the lines of standard input ask for shares all that is made before. */
int
main(int argc, char **argv)
{
	Arena *arena = arena_create(&allocator_malloc, 0);
	TrainerArenas arenas = {arena, arena_create(&allocator_malloc, 0),
							arena_create(&allocator_malloc, 0), arena_create(&allocator_malloc, 0)};
	TrainOptions options = train_options_default(1000000);
	BertConfig config;
	TensorTable table;
	Checkpoint checkpoint = {0};
	LoadPlan plan;
	Trainer *trainer;
	Compute compute;
	const TrainKernels *own;
	TrainKernels blas;
	size_t batch;
	uint32_t length;
	size_t widest;
	uint32_t texts; /* of a sample */
	TrainSample *samples;
	float *x;
	float *y;
	float *w;
	char line[64];
	Status status;

	use_large_pages(argv);
	if (argc < 5)
	{
		fprintf(stderr,
				"usage: bench_train MODEL BATCH LENGTH THREADS [PRECISION [KERNELS [TASK]]]\n");
		return 1;
	}
	batch = (size_t) atol(argv[2]);
	length = (uint32_t) atol(argv[3]);
	options.threads = atoi(argv[4]);
	options.bf16 = argc > 5 && strcmp(argv[5], "bf16") == 0;
	options.learning_rate = 2e-5;
	options.adamw.weight_decay = 0.01;
	options.adamw.max_grad_norm = 0;
	texts = argc > 7 && strcmp(argv[7], "embedding") == 0 ? 2 : 1;
	if (texts == 2)
	{
		options.embedding.pooling = pooling_single(POOLING_MEAN);
		options.embedding.normalize = true;
		options.embedding.loss = embedding_loss_default(LOSS_MULTIPLE_NEGATIVES_RANKING);
	}
	load_model(arena, argv[1], texts == 2 ? HEAD_NONE : HEAD_SEQUENCE_CLASSIFICATION, &config,
			   &table, &checkpoint, &plan);
	trainer = trainer_create(&arenas, &config, &table, NULL, &options, argc > 6 ? argv[6] : "auto",
							 &status);
	if (trainer == NULL)
		die(&status);
	for (int block = 0; block < table.n_blocks; block++)
		CHECK(load_block(&plan, &config, block, 1, trainer_block(trainer, block), NULL, &status));
	samples = random_samples(arena, batch / texts, texts, length, &config);
	widest = (size_t) (config.intermediate_size > 3 * config.hidden_size ? config.intermediate_size
																		 : 3 * config.hidden_size);
	x = arena_alloc_array_zero(arena, batch * length * widest, sizeof(float));
	y = arena_alloc_array_zero(arena, batch * length * widest, sizeof(float));
	w = arena_alloc_array_zero(arena, 2 * widest * (size_t) config.hidden_size, sizeof(float));
	CHECK(compute_init(&compute, arena, train_kernels_choose(argc > 6 ? argv[6] : "auto", &status),
					   threadpool_create(options.threads, &status), widest, &status));
	CHECK(blas_load(&status));
	blas = *compute.kernels;
	own = compute.kernels;
	blas.sgemm = train_kernels_portable.sgemm;
	while (fgets(line, sizeof line, stdin) != NULL)
	{
		double wall = milliseconds(CLOCK_MONOTONIC);
		double processor = milliseconds(CLOCK_PROCESS_CPUTIME_ID);
		double flops;
		StepResult result = {0};

		compute.bf16 = options.bf16 && strcmp(line, "gemm\n") == 0;
		compute.kernels = strcmp(line, "blas\n") == 0 ? &blas : own;
		if (strcmp(line, "gemm\n") == 0 || strcmp(line, "blas\n") == 0)
			flops = run_gemms(&compute, &config, batch * length, x, y, w,
							  w + widest * (size_t) config.hidden_size);
		else
		{
			CHECK(trainer_step(trainer, samples, batch / texts, &result, NULL, &status));
			flops = 3 * forward_flops(&config, (double) batch, length);
		}
		wall = milliseconds(CLOCK_MONOTONIC) - wall;
		processor = milliseconds(CLOCK_PROCESS_CPUTIME_ID) - processor;
		printf("%.3f %.3f %.2f %.5f\n", wall, processor, flops / wall / 1e6, result.loss);
		fflush(stdout);
	}
	threadpool_destroy(compute.pool);
	trainer_destroy(trainer);
	return 0;
}
