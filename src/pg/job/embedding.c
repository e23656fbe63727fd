/* embedding.c: prompts, sentence settings and losses of embedding jobs. */
#include "pg/server/compat.h"

#include "pg/job/embedding.h"
#include "pg/server/errors.h"
#include "pg/server/memory.h"

void
job_encoder_prompts(SampleEncoder *encoder, const SentenceSettings *sentence, Arena *arena)
{
	static const PromptUse uses[EMBEDDING_PROMPT_COUNT] = {
		[EMBEDDING_PROMPT_QUERY] = PROMPT_QUERY,
		[EMBEDDING_PROMPT_DOCUMENT] = PROMPT_DOCUMENT,
		[EMBEDDING_PROMPT_DEFAULT] = PROMPT_DEFAULT,
	};
	Status status;

	for (int i = 0; i < EMBEDDING_PROMPT_COUNT; i++)
		REPORT_UNLESS(
			sentence_prompt(arena, sentence, NULL, uses[i], &encoder->prompts[i], &status),
			&status);
}

void
job_embedding_settings(const SentenceSettings *sentence, const Tokenizer *tokenizer, int max_length,
					   EmbeddingOptions *out)
{
	Arena *arena = arena_in_context(CurrentMemoryContext, 0);
	SampleEncoder encoder;
	Status status;

	out->pooling = sentence->pooling;
	/* as bert.embed: a model that says nothing gives unit vectors */
	out->normalize = sentence->normalize || !sentence->present;
	memset(out->unpooled, 0, sizeof out->unpooled);
	if (sentence->exclude_prompt)
	{
		job_encoder(&encoder, TRAIN_EMBEDDING, tokenizer, max_length, ENCODE_TO_TRAIN);
		job_encoder_prompts(&encoder, sentence, arena);
		for (int i = 0; i < EMBEDDING_PROMPT_COUNT; i++)
			REPORT_UNLESS(samples_prompt_tokens(&encoder, (EmbeddingPrompt) i, arena,
												&backend_may_continue, &out->unpooled[i], &status),
						  &status);
	}
	arena_destroy(arena);
}

/* The losses that take such rows, for a hint. */
static char *
losses_for(EmbeddingShape shape)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int kind = 0; kind < EMBEDDING_LOSS_COUNT; kind++)
		if (embedding_loss_takes((EmbeddingLossKind) kind, shape))
			appendStringInfo(&text, "%s%s", text.len == 0 ? "" : ", ",
							 embedding_loss_name((EmbeddingLossKind) kind));
	return text.data;
}

/* Rows of texts alone learn a teacher's embeddings, and no others do. */
static void
check_teacher(const JobOptions *options, EmbeddingShape shape)
{
	if (shape != EMBEDDING_TEXTS && options->teacher != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"teacher\" has no effect on rows of %s",
							   embedding_shape_columns(shape)),
						errhint("A teacher's embeddings are learned from rows of one column, "
								"input.")));
	if (shape != EMBEDDING_TEXTS)
		return;
	if (options->teacher == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("rows of texts alone need the option \"teacher\""),
						errhint("Name the model whose embeddings are to be learned, or give other "
								"columns: (anchor, positive), (a, b, score) or (input, label).")));
	if (options->eval_fraction > 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"eval_fraction\" has no effect on rows of texts alone"),
						errhint("They have nothing to compare with: give an \"eval_query\" with "
								"other columns.")));
}

void
job_refuse_bare_texts(EmbeddingShape shape, const char *name)
{
	if (shape == EMBEDDING_TEXTS)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("the %s has no column to compare the texts by", name),
				 errhint("Give the columns (anchor, positive), (a, b, score) or (input, label).")));
}

static void
check_fit(EmbeddingLossKind kind, const DataSummary *data)
{
	if (!embedding_loss_takes(kind, data->shape))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the loss %s does not fit rows of %s", embedding_loss_name(kind),
							   embedding_shape_columns(data->shape)),
						errhint("Losses for these are %s.", losses_for(data->shape))));
	if (kind == LOSS_TRIPLET && data->without_negatives > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("row %llu of the query has no negative, which the loss triplet needs",
						(unsigned long long) data->without_negatives),
				 errhint("Give a column \"negative\" or \"negatives\", or use "
						 "multiple_negatives_ranking.")));
}

static void
refuse_unused(EmbeddingLossKind kind, EmbeddingLossUse use, bool given, const char *option)
{
	if (given && (embedding_loss_uses(kind) & use) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" has no effect with the loss %s", option,
							   embedding_loss_name(kind)),
						errhint("Leave it out, or choose another loss.")));
}

EmbeddingLoss
job_embedding_loss(const JobOptions *options)
{
	EmbeddingLossKind kind = LOSS_MULTIPLE_NEGATIVES_RANKING;
	EmbeddingLoss loss;
	Status status;

	if (options->loss != NULL)
		REPORT_UNLESS(embedding_loss_parse(options->loss, &kind, &status), &status);
	loss = embedding_loss_default(kind);
	if (options->scale > 0)
		loss.scale = options->scale;
	if (options->margin >= 0)
		loss.margin = options->margin;
	if (options->distance != NULL)
		REPORT_UNLESS(embedding_distance_parse(options->distance, &loss.distance, &status),
					  &status);
	loss.n_dims = options->matryoshka_dims.n;
	memcpy(loss.dims, options->matryoshka_dims.values, sizeof loss.dims);
	return loss;
}

void
job_embedding_resolve(JobOptions *options, const DataSummary *data)
{
	EmbeddingLoss loss;
	unsigned int uses;

	check_teacher(options, data->shape);
	if (options->loss == NULL)
		options->loss = pstrdup(embedding_loss_name(embedding_loss_of_shape(data->shape)));
	loss = job_embedding_loss(options);
	check_fit(loss.kind, data);
	refuse_unused(loss.kind, LOSS_USES_SCALE, options->scale > 0, "scale");
	refuse_unused(loss.kind, LOSS_USES_MARGIN, options->margin >= 0, "margin");
	refuse_unused(loss.kind, LOSS_USES_DISTANCE, options->distance != NULL, "distance");
	refuse_unused(loss.kind, LOSS_USES_DIMS, loss.n_dims > 0, "matryoshka_dims");
	uses = embedding_loss_uses(loss.kind);
	if (uses & LOSS_USES_SCALE)
		options->scale = loss.scale;
	if (uses & LOSS_USES_MARGIN)
		options->margin = loss.margin;
	if (uses & LOSS_USES_DISTANCE)
		options->distance = pstrdup(embedding_distance_name(loss.distance));
}
