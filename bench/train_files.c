/*
 * train_files: fine-tunes, or pre-trains from scratch, from files, with the same trainer that the
 * server's jobs use.
 *
 *     train_files TASK MODEL TRAIN DEV [option=value ...]
 *
 * TASK: classify, tag, answer, mlm. MODEL: a folder with config.json, vocab.txt and, unless
 * training starts from scratch, model.safetensors. TRAIN, DEV: lines as bench/train_data.py writes
 * them. Options: epochs, batch, lr, length, seed, threads, precision (fp32, bf16), warmup (a
 * ratio), decay, dropout, part (all, head, top:N), steps (at most), every (steps between
 * evaluations), log (steps between lines), schedule, dev_limit. Prints one line per log interval
 * and evaluation.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "files/config.h"
#include "files/tokenizer_files.h"
#include "nn/loader.h"
#include "train/metrics.h"
#include "train/trainer.h"

#define MAX_LABELS 64

typedef struct Program
{
	Arena *arena;
	Arena *scratch;
	TrainTask task;
	BertConfig config;
	TensorTable table;
	Tokenizer *tokenizer;
	Trainer *trainer;
	int n_labels;
	const char *labels[MAX_LABELS];
	double epochs;
	size_t batch;
	double lr;
	int length;
	uint64_t seed;
	double warmup;
	double decay;
	double dropout;
	int threads;
	bool bf16;
	const char *part;
	const char *schedule;
	int64_t steps;
	int64_t every;
	int64_t log;
	size_t dev_limit;
	uint64_t features;
} Program;

typedef struct Data
{
	Program *program;
	size_t n_lines;
	char **lines; /* fields NUL-separated */
	size_t n;
	size_t capacity;
	Sample *samples; /* row is the line */
} Data;

static void
die(const Status *status)
{
	fprintf(stderr, "train_files: %s\n%s\n", status->message, status->hint);
	exit(1);
}

#define CHECK(expression)  \
	do                     \
	{                      \
		if (!(expression)) \
			die(&status);  \
	} while (0)

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

static void
parse_option(Program *program, char *text)
{
	char *value = strchr(text, '=');

	if (value == NULL)
	{
		fprintf(stderr, "train_files: \"%s\" is not option=value\n", text);
		exit(1);
	}
	*value++ = '\0';
	if (strcmp(text, "epochs") == 0)
		program->epochs = atof(value);
	else if (strcmp(text, "batch") == 0)
		program->batch = (size_t) atol(value);
	else if (strcmp(text, "lr") == 0)
		program->lr = atof(value);
	else if (strcmp(text, "length") == 0)
		program->length = atoi(value);
	else if (strcmp(text, "seed") == 0)
		program->seed = (uint64_t) atoll(value);
	else if (strcmp(text, "precision") == 0 &&
			 (strcmp(value, "fp32") == 0 || strcmp(value, "bf16") == 0))
		program->bf16 = strcmp(value, "bf16") == 0;
	else if (strcmp(text, "threads") == 0)
		program->threads = atoi(value);
	else if (strcmp(text, "warmup") == 0)
		program->warmup = atof(value);
	else if (strcmp(text, "decay") == 0)
		program->decay = atof(value);
	else if (strcmp(text, "dropout") == 0)
		program->dropout = atof(value);
	else if (strcmp(text, "part") == 0)
		program->part = value;
	else if (strcmp(text, "schedule") == 0)
		program->schedule = value;
	else if (strcmp(text, "steps") == 0)
		program->steps = atoll(value);
	else if (strcmp(text, "every") == 0)
		program->every = atoll(value);
	else if (strcmp(text, "log") == 0)
		program->log = atoll(value);
	else if (strcmp(text, "dev_limit") == 0)
		program->dev_limit = (size_t) atol(value);
	else if (strcmp(text, "features") == 0)
		program->features = (uint64_t) atoll(value);
	else
	{
		fprintf(stderr, "train_files: unknown option \"%s\"\n", text);
		exit(1);
	}
}

static void
read_lines(Data *data, const char *path)
{
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t capacity = 0;
	size_t room = 0;
	ssize_t length;

	if (file == NULL)
	{
		perror(path);
		exit(1);
	}
	while ((length = getline(&line, &capacity, file)) > 0)
	{
		if (line[length - 1] == '\n')
			line[--length] = '\0';
		if (data->n_lines == room)
			data->lines = realloc(data->lines, (room = room * 2 + 1024) * sizeof *data->lines);
		data->lines[data->n_lines] = arena_strndup(data->program->arena, line, (size_t) length + 1);
		for (char *c = data->lines[data->n_lines]; *c != '\0'; c++)
			if (*c == '\t')
				*c = '\0';
		data->n_lines++;
	}
	free(line);
	fclose(file);
}

static char *
field(char *line, int index)
{
	while (index-- > 0)
		line += strlen(line) + 1;
	return line;
}

/* Splits at spaces, in place. */
static size_t
split(char *text, SampleText *items, size_t limit)
{
	size_t n = 0;
	char *rest;

	for (char *word = strtok_r(text, " ", &rest); word != NULL && n < limit;
		 word = strtok_r(NULL, " ", &rest))
		items[n++] = (SampleText){word, strlen(word)};
	return n;
}

static int
label_id(Program *program, const char *text, bool grow)
{
	for (int i = 0; i < program->n_labels; i++)
		if (strcmp(program->labels[i], text) == 0)
			return i;
	if (!grow || program->n_labels == MAX_LABELS)
	{
		fprintf(stderr, "train_files: label \"%s\" is not in the training data\n", text);
		exit(1);
	}
	program->labels[program->n_labels] = arena_strdup(program->arena, text);
	return program->n_labels++;
}

static bool
keep_sample(void *context, const Sample *sample, Status *status)
{
	Data *data = context;
	Arena *arena = data->program->arena;
	Sample *copy;

	if (data->n == data->capacity)
		data->samples = realloc(data->samples, (data->capacity = data->capacity * 2 + 1024) *
												   sizeof *data->samples);
	copy = &data->samples[data->n++];
	*copy = *sample;
	copy->lengths = arena_alloc(arena, sample->n_sequences * sizeof *copy->lengths);
	copy->input_ids = arena_alloc(arena, sample->n_tokens * sizeof *copy->input_ids);
	copy->token_type_ids = arena_alloc(arena, sample->n_tokens);
	copy->labels = arena_alloc(arena, sample->n_labels * sizeof *copy->labels);
	memcpy(copy->lengths, sample->lengths, sample->n_sequences * sizeof *copy->lengths);
	memcpy(copy->input_ids, sample->input_ids, sample->n_tokens * sizeof *copy->input_ids);
	memcpy(copy->token_type_ids, sample->token_type_ids, sample->n_tokens);
	memcpy(copy->labels, sample->labels, sample->n_labels * sizeof *copy->labels);
	return true;
}

static void
encode_lines(Data *data, bool training)
{
	Program *program = data->program;
	SampleEncoder encoder = {.tokenizer = program->tokenizer,
							 .task = program->task,
							 .max_length = program->length,
							 .stride = 64};
	Status status;

	for (size_t i = 0; i < data->n_lines; i++)
	{
		ArenaMark mark = arena_mark(program->scratch);
		char *line = data->lines[i];
		SampleRow row = {.number = i, .input = {line, strlen(line)}};
		static SampleText words[4096];
		static int32_t word_labels[4096];

		if (program->task == TRAIN_SEQUENCE_CLASSIFICATION)
			row.label = label_id(program, field(line, 1), training);
		else if (program->task == TRAIN_QUESTION_ANSWERING)
		{
			row.has_pair = true;
			row.pair = (SampleText){field(line, 1), strlen(field(line, 1))};
			row.answer = (SampleText){field(line, 2), strlen(field(line, 2))};
			row.answer_start = (size_t) atol(field(line, 3));
		}
		else if (program->task == TRAIN_TOKEN_CLASSIFICATION)
		{
			char *tags = arena_strdup(program->scratch, field(line, 1));
			SampleText items[4096];

			row.n_items = split(arena_strdup(program->scratch, line), words, 4096);
			if (split(tags, items, 4096) != row.n_items)
			{
				fprintf(stderr, "train_files: line %zu has not as many labels as words\n", i + 1);
				exit(1);
			}
			for (size_t w = 0; w < row.n_items; w++)
				word_labels[w] = label_id(program, items[w].bytes, training);
			row.items = words;
			row.item_labels = word_labels;
		}
		CHECK(samples_encode(&encoder, &row, program->scratch, keep_sample, data, NULL, &status));
		arena_rewind(program->scratch, mark);
	}
	fprintf(stderr, "%zu lines, %zu samples, %llu cut\n", data->n_lines, data->n,
			(unsigned long long) encoder.truncated);
}

static int
best_column(const float *logits, size_t n)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++)
		if (logits[i] > logits[best])
			best = i;
	return (int) best;
}

/* The best start and end of a window as text; the score is the sum of the logits. */
static void
read_answer(Program *program, char *line, size_t window, const float *logits, double *score,
			char *answer, size_t room)
{
	EncodeOptions options = {.special_tokens = true,
							 .truncation = TRUNCATE_ONLY_SECOND,
							 .max_length = program->length,
							 .stride = 64,
							 .overflow = true};
	char *context = field(line, 1);
	EncodeResult result;
	Encoding *encoding;
	Status status;
	size_t best_start = 0;
	size_t best_end = 0;
	double best = -INFINITY;

	CHECK(tokenizer_encode(program->tokenizer, program->scratch,
						   &(EncodeInput){line, strlen(line), context, strlen(context)}, &options,
						   NULL, &result, &status));
	encoding = &result.windows[window];
	for (size_t start = 0; start < encoding->n; start++)
		for (size_t end = start; end < encoding->n && end < start + 30; end++)
			if (encoding->sequences[start] == 1 && encoding->sequences[end] == 1 &&
				logits[2 * start] + logits[2 * end + 1] > best)
			{
				best = logits[2 * start] + logits[2 * end + 1];
				best_start = start;
				best_end = end;
			}
	if (best > *score)
	{
		size_t character = 0;
		size_t n = 0;

		*score = best;
		for (char *c = context; *c != '\0'; c++)
		{
			if (((unsigned char) *c & 0xC0) != 0x80)
				character++;
			if (character > encoding->starts[best_start] && character <= encoding->ends[best_end] &&
				n + 1 < room)
				answer[n++] = *c;
		}
		answer[n] = '\0';
	}
}

typedef struct Scores
{
	int32_t *labels;
	int32_t *predictions;
	SpanMetrics spans;
	double *best; /* per line: of the answer */
	char (*answers)[1024];
	double loss;
	double count;
	double correct;
} Scores;

static void
score_batch(Program *program, const Data *data, size_t from, size_t n, const Evaluation *evaluation,
			Scores *scores)
{
	for (size_t i = 0; i < n; i++)
	{
		const Sample *sample = &data->samples[from + i];
		const float *logits =
			evaluation->logits +
			(evaluation->logits == NULL ? 0 : evaluation->row_offsets[i] * evaluation->n_columns);

		if (program->task == TRAIN_SEQUENCE_CLASSIFICATION)
		{
			scores->labels[from + i] = sample->labels[0];
			scores->predictions[from + i] = best_column(logits, evaluation->n_columns);
		}
		else if (program->task == TRAIN_TOKEN_CLASSIFICATION)
		{
			static const char *right[4096];
			static const char *given[4096];
			size_t words = 0;

			for (size_t t = 0; t < sample->n_tokens; t++)
				if (sample->labels[t] != -100)
				{
					right[words] = program->labels[sample->labels[t]];
					given[words++] = program->labels[best_column(logits + t * evaluation->n_columns,
																 evaluation->n_columns)];
				}
			metrics_spans_add(&scores->spans, words, right, given);
		}
		else if (program->task == TRAIN_QUESTION_ANSWERING)
		{
			size_t window = 0;

			while (window < from + i && data->samples[from + i - window - 1].row == sample->row)
				window++;
			read_answer(program, data->lines[sample->row], window, logits,
						&scores->best[sample->row], scores->answers[sample->row],
						sizeof scores->answers[0]);
		}
	}
}

/* What the task is measured by, at the end of a line. */
static void
print_scores(Program *program, const Data *data, Scores *scores)
{
	Status status;
	double exact = 0;
	double f1 = 0;

	if (program->task == TRAIN_SEQUENCE_CLASSIFICATION)
	{
		ClassMetrics metrics;

		CHECK(metrics_classes(&(ClassPredictions){data->n, (size_t) program->n_labels,
												  scores->labels, scores->predictions},
							  program->scratch, NULL, &metrics, &status));
		printf(" accuracy %.4f f1_macro %.4f matthews %.4f", metrics.accuracy, metrics.f1_macro,
			   metrics.matthews);
	}
	else if (program->task == TRAIN_TOKEN_CLASSIFICATION)
	{
		metrics_spans_finish(&scores->spans);
		printf(" span precision %.4f recall %.4f f1 %.4f", scores->spans.precision,
			   scores->spans.recall, scores->spans.f1);
	}
	else if (program->task == TRAIN_QUESTION_ANSWERING)
	{
		for (size_t i = 0; i < data->n_lines; i++)
		{
			const char *right = field(data->lines[i], 2);
			double e;
			double f;

			CHECK(metrics_answer(program->scratch, (AnswerText){right, strlen(right)},
								 (AnswerText){scores->answers[i], strlen(scores->answers[i])}, &e,
								 &f, &status));
			exact += e;
			f1 += f;
		}
		printf(" exact_match %.4f f1 %.4f", exact / (double) data->n_lines,
			   f1 / (double) data->n_lines);
	}
	else
		printf(" perplexity %.2f accuracy %.4f", metrics_perplexity(scores->loss / scores->count),
			   scores->correct / scores->count);
}

static void
evaluate(Program *program, const Data *data, int64_t step)
{
	ArenaMark mark = arena_mark(program->scratch);
	Scores scores = {0};
	Status status;

	scores.labels = arena_alloc_array(program->scratch, data->n, sizeof(int32_t));
	scores.predictions = arena_alloc_array(program->scratch, data->n, sizeof(int32_t));
	scores.best = arena_alloc_array(program->scratch, data->n_lines, sizeof(double));
	scores.answers = arena_alloc_array(program->scratch, data->n_lines, sizeof *scores.answers);
	for (size_t i = 0; i < data->n_lines; i++)
	{
		scores.best[i] = -INFINITY;
		scores.answers[i][0] = '\0';
	}
	for (size_t from = 0; from < data->n; from += program->batch)
	{
		ArenaMark inner = arena_mark(program->scratch);
		TrainSample samples[4096];
		size_t n = data->n - from < program->batch ? data->n - from : program->batch;
		Evaluation evaluation;

		for (size_t i = 0; i < n; i++)
			samples[i] = (TrainSample){&data->samples[from + i], from + i, 0};
		CHECK(trainer_evaluate(program->trainer, samples, n, program->scratch, &evaluation, NULL,
							   &status));
		if (evaluation.labels > 0)
		{
			scores.loss += evaluation.loss * (double) evaluation.labels;
			scores.count += (double) evaluation.labels;
		}
		scores.correct += (double) evaluation.correct;
		score_batch(program, data, from, n, &evaluation, &scores);
		arena_rewind(program->scratch, inner);
	}
	printf("eval step %lld loss %.4f", (long long) step, scores.loss / scores.count);
	print_scores(program, data, &scores);
	printf("\n");
	fflush(stdout);
	arena_rewind(program->scratch, mark);
}

static void
open_model(Program *program, const char *folder, ModelSource **source, char **json)
{
	ByteSource *bytes;
	TokenizerSettings settings;
	TokenizerContext context = {0};
	unsigned char *image;
	size_t length;
	bool found;
	Status status;

	*source = modelsource_open_directory(program->arena, folder, &status);
	if (*source == NULL)
		die(&status);
	CHECK((*source)->open(*source, "config.json", &bytes, &found, &status));
	*json = source_read_all(program->arena, bytes, 1 << 20, &status);
	CHECK(*json != NULL &&
		  config_parse(program->arena, *json, strlen(*json), &program->config, &status));
	CHECK(tokenizer_files_read(program->arena, *source, &context, &settings, &status));
	CHECK(tokenizer_compile(program->arena, &settings, &image, &length, &status));
	program->tokenizer = tokenizer_open(program->arena, image, length, &status);
	if (program->tokenizer == NULL)
		die(&status);
}

static void
load_weights(Program *program, ModelSource *source)
{
	Checkpoint checkpoint = {0};
	ByteSource *bytes;
	LoadPlan plan;
	bool found;
	Status status;

	CHECK(source->open(source, "model.safetensors", &bytes, &found, &status));
	if (found)
	{
		CHECK(checkpoint_open(program->arena, source, &checkpoint, &status));
		CHECK(load_plan(program->arena, &checkpoint, &program->table, &plan, &status));
	}
	for (int block = 0; block < program->table.n_blocks; block++)
		if (found)
			CHECK(load_block(&plan, &program->config, block, program->seed,
							 trainer_block(program->trainer, block), NULL, &status));
		else
			trainer_initialize_block(program->trainer, block, program->seed);
}

static void
train(Program *program, const Data *training, const Data *dev)
{
	uint32_t *order = malloc(training->n * sizeof *order);
	int64_t per_epoch = (int64_t) ((training->n + program->batch - 1) / program->batch);
	int64_t total = program->steps;
	double began = seconds();
	double computing = 0;
	double loss = 0;
	double tokens = 0;
	int64_t logged = 0;
	Status status;

	for (int64_t step = 0; step < total; step++)
	{
		size_t from = (size_t) (step % per_epoch) * program->batch;
		size_t n = training->n - from < program->batch ? training->n - from : program->batch;
		TrainSample samples[4096];
		StepResult result;
		double start;

		if (from == 0)
			spill_shuffle(program->seed, (uint64_t) (step / per_epoch), (uint32_t) training->n,
						  order);
		for (size_t i = 0; i < n; i++)
			samples[i] = (TrainSample){&training->samples[order[from + i]], order[from + i], 0};
		start = seconds();
		CHECK(trainer_step(program->trainer, samples, n, &result, NULL, &status));
		computing += seconds() - start;
		loss += result.loss;
		tokens += (double) result.tokens;
		logged++;
		if ((step + 1) % program->log == 0 || step + 1 == total)
		{
			printf("step %lld epoch %.2f loss %.4f norm %.3f lr %.3g tokens/s %.0f seconds %.0f\n",
				   (long long) step + 1, (double) (step + 1) / (double) per_epoch,
				   loss / (double) logged, result.grad_norm, result.learning_rate,
				   tokens / computing, seconds() - began);
			fflush(stdout);
			loss = tokens = computing = 0;
			logged = 0;
		}
		if ((program->every > 0 && (step + 1) % program->every == 0) || step + 1 == total)
			evaluate(program, dev, step + 1);
	}
	free(order);
}

/* The trainer for as many steps as the program takes. */
static void
create_trainer(Program *program)
{
	TrainOptions options;
	TrainerArenas arenas = {program->arena, arena_create(&allocator_malloc, 0),
							arena_create(&allocator_malloc, 0), arena_create(&allocator_malloc, 0)};
	ScheduleKind kind;
	Status status;

	options = train_options_default(program->steps);
	CHECK(schedule_parse(program->schedule, &kind, &status));
	options.schedule = schedule_default(kind, (int64_t) (program->warmup * (double) program->steps),
										program->steps);
	options.learning_rate = program->lr;
	options.adamw.weight_decay = program->decay;
	options.dropout = program->dropout;
	options.seed = program->seed;
	options.threads = program->threads;
	options.bf16 = program->bf16;
	options.feature_bytes = program->features;
	CHECK(train_part_parse(program->part, &options.part, &options.top_layers, &status));
	program->trainer = trainer_create(&arenas, &program->config, &program->table,
									  program->tokenizer, &options, "auto", &status);
	if (program->trainer == NULL)
		die(&status);
}

static TrainTask
task_of(const char *name)
{
	static const char *const names[] = {"classify", "tag", "answer", "mlm"};
	static const TrainTask tasks[] = {TRAIN_SEQUENCE_CLASSIFICATION, TRAIN_TOKEN_CLASSIFICATION,
									  TRAIN_QUESTION_ANSWERING, TRAIN_MASKED_LM};

	for (int i = 0; i < 4; i++)
		if (strcmp(name, names[i]) == 0)
			return tasks[i];
	fprintf(stderr, "train_files: unknown task \"%s\"\n", name);
	exit(1);
}

int
main(int argc, char **argv)
{
	Program program = {.epochs = 3,
					   .batch = 32,
					   .lr = 5e-5,
					   .length = 128,
					   .seed = 1,
					   .warmup = 0.1,
					   .decay = 0.01,
					   .dropout = -1,
					   .threads = 1,
					   .part = "all",
					   .schedule = "linear",
					   .log = 50};
	Data training = {.program = &program};
	Data dev = {.program = &program};
	ModelSource *source;
	char *json;
	Status status = {0};

	if (argc < 5)
	{
		fprintf(stderr,
				"usage: train_files classify|tag|answer|mlm MODEL TRAIN DEV [option=value ...]\n");
		return 1;
	}
	program.task = task_of(argv[1]);
	for (int i = 5; i < argc; i++)
		parse_option(&program, argv[i]);
	program.arena = arena_create(&allocator_malloc, 0);
	program.scratch = arena_create(&allocator_malloc, 0);
	open_model(&program, argv[2], &source, &json);
	read_lines(&training, argv[3]);
	read_lines(&dev, argv[4]);
	if (program.dev_limit > 0 && dev.n_lines > program.dev_limit)
		dev.n_lines = program.dev_limit;
	encode_lines(&training, true);
	encode_lines(&dev, false);
	if (program.task == TRAIN_SEQUENCE_CLASSIFICATION || program.task == TRAIN_TOKEN_CLASSIFICATION)
		CHECK(config_set_labels(program.arena, &program.config, program.n_labels, program.labels,
								&status));
	CHECK(tensor_table_build(program.arena, &program.config, train_task_head(program.task),
							 &program.table, &status));
	if (program.steps == 0)
		program.steps = (int64_t) ceil(program.epochs *
									   (double) ((training.n + program.batch - 1) / program.batch));
	create_trainer(&program);
	load_weights(&program, source);
	modelsource_close(source);
	train(&program, &training, &dev);
	trainer_destroy(program.trainer);
	return 0;
}
