/* mine_options.c: what bert.mine_negatives is told. */
#include "pg/server/compat.h"

#include <math.h>
#include <unistd.h>

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "core/names.h"
#include "pg/job/mine_options.h"
#include "pg/server/errors.h"
#include "train/compute.h"

#define MOST_NEGATIVES 1000
#define MOST_SKIPPED 1000000

static double
number_option(const char *name, const JsonbValue *value, double least, double most, bool whole)
{
	double number;

	if (value->type != jbvNumeric)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be a number", name)));
	number = DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
	if (!(number >= least && number <= most) || (whole && number != floor(number)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" is out of range: %g", name, number),
						errhint("It must be %s from %g to %g.",
								whole ? "a whole number" : "a number", least, most)));
	return number;
}

typedef enum MineOption
{
	MINE_NUM_NEGATIVES,
	MINE_RANGE_MIN,
	MINE_MAX_SCORE,
	MINE_MIN_SCORE,
	MINE_ABSOLUTE_MARGIN,
	MINE_RELATIVE_MARGIN,
	MINE_CORPUS_QUERY,
	MINE_CORPUS_TABLE,
	MINE_CORPUS_TEXT,
	MINE_CORPUS_EMBEDDING,
	MINE_THREADS,
	MINE_OPTIONS
} MineOption;

static const char *const option_names[MINE_OPTIONS] = {
	"num_negatives",   "range_min",        "max_score",    "min_score",
	"absolute_margin", "relative_margin",  "corpus_query", "corpus_table",
	"corpus_text",     "corpus_embedding", "threads"};

static char *
string_option(const char *name, const JsonbValue *value)
{
	if (value->type != jbvString)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" must be a string", name)));
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static void
set_option(MineOptions *out, MineOption option, const JsonbValue *value)
{
	const char *name = option_names[option];
	MiningOptions *mining = &out->mining;

	switch (option)
	{
		case MINE_NUM_NEGATIVES:
			mining->num_negatives = (size_t) number_option(name, value, 1, MOST_NEGATIVES, true);
			break;
		case MINE_RANGE_MIN:
			mining->range_min = (size_t) number_option(name, value, 0, MOST_SKIPPED, true);
			break;
		case MINE_MAX_SCORE:
			mining->max_score = number_option(name, value, -1e9, 1e9, false);
			break;
		case MINE_MIN_SCORE:
			mining->min_score = number_option(name, value, -1e9, 1e9, false);
			break;
		case MINE_ABSOLUTE_MARGIN:
			mining->absolute_margin = number_option(name, value, 0, 1e9, false);
			break;
		case MINE_RELATIVE_MARGIN:
			mining->relative_margin = number_option(name, value, 0, 1, false);
			break;
		case MINE_CORPUS_QUERY:
			out->corpus_query = string_option(name, value);
			break;
		case MINE_CORPUS_TABLE:
			out->corpus.table = string_option(name, value);
			break;
		case MINE_CORPUS_TEXT:
			out->corpus.text = string_option(name, value);
			break;
		case MINE_CORPUS_EMBEDDING:
			out->corpus.embedding = string_option(name, value);
			break;
		case MINE_THREADS:
			out->threads = (int) number_option(name, value, 1, COMPUTE_MAX_THREADS, true);
			break;
		case MINE_OPTIONS:
			break;
	}
}

static void
check_corpus(const MineOptions *options)
{
	const MineTable *corpus = &options->corpus;
	int given = (corpus->table != NULL) + (corpus->text != NULL) + (corpus->embedding != NULL);

	if (given != 0 && given != 3)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options \"corpus_table\", \"corpus_text\" and "
							   "\"corpus_embedding\" go together"),
						errhint("Name a table, its column of texts and its column of their "
								"embeddings.")));
	if (given == 3 && options->corpus_query != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options \"corpus_query\" and \"corpus_table\" exclude each "
							   "other")));
}

void
mine_options_read(Jsonb *json, MineOptions *out)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue value;
	int option = 0;
	Status status;

	*out = (MineOptions){.mining = {.num_negatives = 3,
									.max_score = INFINITY,
									.min_score = -INFINITY,
									.absolute_margin = NAN,
									.relative_margin = NAN}};
	out->threads = (int) Max(1, Min(sysconf(_SC_NPROCESSORS_ONLN), COMPUTE_MAX_THREADS));
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY)
		{
			option = name_parse(pnstrdup(value.val.string.val, value.val.string.len), "option",
								option_names, MINE_OPTIONS, &status);
			REPORT_UNLESS(option >= 0, &status);
		}
		else if (token == WJB_VALUE && value.type != jbvNull)
			set_option(out, (MineOption) option, &value);
	check_corpus(out);
}
