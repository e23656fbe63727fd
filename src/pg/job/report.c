/* report.c: bert.job_report: one HTML page, everything inside it. */
#include "pg/server/compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "pg/job/job.h"
#include "pg/server/role.h"
#include "pg/job/svg_chart.h"

#define BLUE "#2563eb"
#define ORANGE "#ea580c"
#define GREEN "#059669"
#define PURPLE "#7c3aed"
#define PINK "#be185d"
#define MAX_EVAL_METRICS 5

PG_FUNCTION_INFO_V1(bert_job_report);

/* Narrow screens: nothing is wider than the page but what scrolls by itself, words break, and the
 * rows of a table of texts become blocks. */
static const char *const style =
	"body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 "
	"1rem;color:#1f2937;background:#fff;overflow-wrap:anywhere}"
	"h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p.sub{margin:.2rem 0 "
	"1.2rem;color:#6b7280}"
	".tiles{display:flex;flex-wrap:wrap;gap:.7rem}.tile{border:1px solid "
	"#e5e7eb;border-radius:.5rem;padding:.5rem .9rem;min-width:6rem}"
	".tile b{display:block;font-size:1.2rem}.tile span{color:#6b7280;font-size:.85rem}"
	".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));"
	"gap:1rem}"
	"svg{width:100%;border:1px solid #e5e7eb;border-radius:.5rem}svg text{font:13px "
	"system-ui,sans-serif;fill:#4b5563}"
	"svg text.title{font-weight:600;font-size:15px;fill:#111827}svg .grid{stroke:#eef0f3}"
	"table{border-collapse:collapse;font-size:.9rem}td,th{padding:.25rem .6rem;border:1px solid "
	"#e5e7eb;text-align:left;vertical-align:top}"
	"th{background:#f9fafb;font-weight:600}td.n{text-align:right;font-variant-numeric:tabular-nums}"
	"pre{background:#f9fafb;padding:.7rem;overflow:auto;white-space:pre-wrap}"
	".failed{color:#b91c1c}.succeeded{color:#047857}"
	".wide{overflow-x:auto}.wide th,.wide td{overflow-wrap:normal;min-width:2rem;max-width:14rem}"
	".wide th{overflow-wrap:break-word}"
	"@media(max-width:40rem){.texts,.texts tbody,.texts tr,.texts td{display:block}"
	".texts tr.head{display:none}.texts tr{margin-bottom:.8rem}.texts td.n{text-align:left}"
	".texts td::before{content:attr(data-name);color:#6b7280;margin-right:.5rem}}";

/* The columns of the curves. */
typedef struct Curves
{
	int n;
	double *step;
	double *loss;
	double *learning_rate;
	double *grad_norm;
	double *rate; /* samples per second */
	int n_eval_metrics;
	const char *left_out; /* names of those that are not drawn, or NULL */
	const char *eval_names[MAX_EVAL_METRICS];
	double *eval_loss;
	double *eval[MAX_EVAL_METRICS];
} Curves;

static void
query(const char *sql, int64 number)
{
	Oid type = INT8OID;
	Datum value = Int64GetDatum(number);

	if (SPI_execute_with_args(sql, 1, &type, &value, " ", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "report query failed");
}

static double
cell(uint64 row, int column)
{
	bool is_null;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);

	return is_null ? NAN : DatumGetFloat8(value);
}

static char *
cell_text(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static double *
column(uint64 n, int number)
{
	double *values = palloc(Max(n, 1) * sizeof *values);

	for (uint64 i = 0; i < n; i++)
		values[i] = cell(i, number);
	return values;
}

/* The names of the evaluations' metrics, loss apart, those that say most first. */
static void
find_eval_metrics(int64 number, Curves *curves)
{
	query("SELECT k FROM (SELECT DISTINCT k FROM bert.job_metric, "
		  "pg_catalog.jsonb_object_keys(eval) AS k WHERE job = $1 AND k <> 'loss') AS n ORDER BY "
		  "pg_catalog.array_position('{accuracy,f1_macro,f1,f1_micro,exact_match,spearman,pearson,"
		  "ndcg@10,mrr@10,recall@10,accuracy@1}', k), k",
		  number);
	for (uint64 i = 0; i < SPI_processed; i++)
		if (curves->n_eval_metrics < MAX_EVAL_METRICS)
			curves->eval_names[curves->n_eval_metrics++] = cell_text(i, 1);
		else
			curves->left_out = curves->left_out == NULL
								   ? cell_text(i, 1)
								   : psprintf("%s, %s", curves->left_out, cell_text(i, 1));
}

static void
load_curves(int64 number, Curves *curves)
{
	query("SELECT step::pg_catalog.float8, loss, learning_rate, grad_norm, samples_per_second, "
		  "(eval ->> 'loss')::pg_catalog.float8"
		  " FROM bert.job_metric WHERE job = $1 ORDER BY step",
		  number);
	curves->n = (int) SPI_processed;
	curves->step = column(SPI_processed, 1);
	curves->loss = column(SPI_processed, 2);
	curves->learning_rate = column(SPI_processed, 3);
	curves->grad_norm = column(SPI_processed, 4);
	curves->rate = column(SPI_processed, 5);
	curves->eval_loss = column(SPI_processed, 6);
	find_eval_metrics(number, curves);
	for (int m = 0; m < curves->n_eval_metrics; m++)
	{
		query(psprintf("SELECT (eval ->> %s)::pg_catalog.float8 FROM bert.job_metric WHERE job = "
					   "$1 ORDER BY step",
					   quote_literal_cstr(curves->eval_names[m])),
			  number);
		curves->eval[m] = column(SPI_processed, 1);
	}
}

static void
draw(StringInfo out, const char *title, int n_series, const ChartSeries *series)
{
	Chart chart = {title, "step", "", n_series, series};

	svg_chart(out, &chart);
}

/* Which of the curves drawn so far goes through the same points; -1: none. */
static int
same_curve(const Curves *c, const ChartSeries *drawn, int n_drawn, const double *y)
{
	for (int s = 0; s < n_drawn; s++)
	{
		bool same = true;

		for (int i = 0; i < c->n; i++)
			same = same && (isnan(y[i]) ? isnan(drawn[s].y[i]) : fabs(y[i] - drawn[s].y[i]) < 5e-5);
		if (same)
			return s;
	}
	return -1;
}

static void
draw_curves(StringInfo out, const Curves *c)
{
	static const char *const colors[MAX_EVAL_METRICS] = {GREEN, PURPLE, ORANGE, BLUE, PINK};
	ChartSeries loss[] = {{"training", BLUE, c->n, c->step, c->loss, false},
						  {"evaluation", ORANGE, c->n, c->step, c->eval_loss, true}};
	ChartSeries rate[] = {{"learning rate", PURPLE, c->n, c->step, c->learning_rate, false}};
	ChartSeries speed[] = {{"samples/s", GREEN, c->n, c->step, c->rate, false}};
	ChartSeries norm[] = {{"norm", ORANGE, c->n, c->step, c->grad_norm, false}};
	ChartSeries eval[MAX_EVAL_METRICS];
	int n_eval = 0;

	for (int m = 0; m < c->n_eval_metrics; m++)
	{
		int same = same_curve(c, eval, n_eval, c->eval[m]);

		if (same >= 0)
			eval[same].name = psprintf("%s = %s", eval[same].name, c->eval_names[m]);
		else
		{
			eval[n_eval] =
				(ChartSeries){c->eval_names[m], colors[n_eval], c->n, c->step, c->eval[m], true};
			n_eval++;
		}
	}
	appendStringInfoString(out, "<h2>Curves</h2><div class=\"charts\">\n");
	draw(out, "Loss", 2, loss);
	draw(out, "Evaluation", n_eval, eval);
	draw(out, "Learning-rate schedule", 1, rate);
	draw(out, "Throughput", 1, speed);
	draw(out, "Gradient norm", 1, norm);
	appendStringInfoString(out, "</div>\n");
	if (c->left_out != NULL)
	{
		appendStringInfoString(out, "<p class=\"sub\">not drawn, but in bert.job_metrics: ");
		html_escape(out, c->left_out);
		appendStringInfoString(out, "</p>\n");
	}
}

static void
tile(StringInfo out, const char *name, const char *value)
{
	if (value == NULL)
		return;
	appendStringInfoString(out, "<div class=\"tile\"><b>");
	html_escape(out, value);
	appendStringInfo(out, "</b><span>%s</span></div>\n", name);
}

static void
write_head(StringInfo out, int64 number)
{
	static const char *const names[] = {"state",  "task",    "step",      "of steps",
										"epochs", "samples", "held back", "last loss",
										"took",   "attempts"};
	char *state;
	char *error;

	query("SELECT name, base, state, task, step, total_steps, "
		  "pg_catalog.round(epoch::pg_catalog.numeric, 2), samples, eval_samples,"
		  " pg_catalog.round(loss::pg_catalog.numeric, 4), pg_catalog.date_trunc('second', "
		  "coalesce(finished, pg_catalog.clock_timestamp()) - started),"
		  " attempts, error, bert.job_role(job), pg_catalog.to_char(submitted, 'YYYY-MM-DD "
		  "HH24:MI:SS TZ'), (SELECT pg_catalog.date_trunc('second', s.eta) FROM bert.jobs AS s "
		  "WHERE s.job = j.job) FROM bert.job AS j WHERE job = $1",
		  number);
	state = cell_text(0, 3);
	error = cell_text(0, 13);
	appendStringInfo(out,
					 "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"%s\"><meta "
					 "name=\"viewport\" content=\"width=device-width\"><title>Job "
					 "%lld</title><style>%s</style></head><body>\n<h1>",
					 "utf-8", (long long) number, style);
	html_escape(out, cell_text(0, 1));
	appendStringInfo(out, "</h1><p class=\"sub\">job %lld, fine-tuned from <b>",
					 (long long) number);
	html_escape(out, cell_text(0, 2));
	appendStringInfoString(out, "</b>, submitted by ");
	html_escape(out, cell_text(0, 14));
	appendStringInfoString(out, " at ");
	html_escape(out, cell_text(0, 15));
	appendStringInfoString(out, "</p><div class=\"tiles\">\n");
	appendStringInfo(out, "<div class=\"tile\"><b class=\"%s\">%s</b><span>%s</span></div>\n",
					 state, state, names[0]);
	for (int i = 1; i < lengthof(names); i++)
		tile(out, names[i], cell_text(0, 3 + i));
	tile(out, "time left", cell_text(0, 16));
	appendStringInfoString(out, "</div>\n");
	if (error != NULL)
	{
		appendStringInfoString(out, "<h2>Error</h2><pre class=\"failed\">");
		html_escape(out, error);
		appendStringInfoString(out, "</pre>\n");
	}
}

/* A table of two columns from a query of (name, value). */
static void
write_pairs(StringInfo out, const char *title, const char *sql, int64 number)
{
	query(sql, number);
	if (SPI_processed == 0)
		return;
	appendStringInfo(out, "<h2>%s</h2><table>\n", title);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char *value = cell_text(i, 2);

		appendStringInfoString(out, "<tr><th>");
		html_escape(out, cell_text(i, 1));
		appendStringInfoString(out, "</th><td>");
		html_escape(out, value == NULL ? "" : value);
		appendStringInfoString(out, "</td></tr>\n");
	}
	appendStringInfoString(out, "</table>\n");
}

/* A matrix that is too large for a page is not left out without a word. */
static void
write_left_out(StringInfo out, int64 number)
{
	query("SELECT details #>> '{confusion,left_out}', details #>> '{confusion,most}' FROM bert.job "
		  "WHERE job = $1 AND details #> '{confusion,left_out}' IS NOT NULL",
		  number);
	if (SPI_processed == 0)
		return;
	appendStringInfo(
		out,
		"<h2>Confusion matrix</h2><p class=\"sub\">left out: the data have %s classes, "
		"and a matrix of more than %s does not fit the page</p>\n",
		cell_text(0, 1), cell_text(0, 2));
}

/* Rows are labels, columns predictions; the darker a cell, the larger its share of the row. */
static void
write_confusion(StringInfo out, int64 number)
{
	int n;
	char **labels;

	query("SELECT l FROM bert.job, pg_catalog.jsonb_array_elements_text(details #> "
		  "'{confusion,labels}') WITH ORDINALITY AS a(l, i) WHERE job = $1 ORDER BY i",
		  number);
	n = (int) SPI_processed;
	if (n == 0)
	{
		write_left_out(out, number);
		return;
	}
	labels = palloc((Size) n * sizeof *labels);
	for (int i = 0; i < n; i++)
		labels[i] = cell_text((uint64) i, 1);
	query("SELECT c::pg_catalog.float8, pg_catalog.sum(c::pg_catalog.float8) OVER (PARTITION BY i) "
		  "FROM bert.job,"
		  " pg_catalog.jsonb_array_elements(details #> '{confusion,counts}') WITH ORDINALITY AS "
		  "r(cells, i),"
		  " pg_catalog.jsonb_array_elements_text(cells) WITH ORDINALITY AS a(c, j) WHERE job = $1 "
		  "ORDER BY i, j",
		  number);
	if (SPI_processed != (uint64) n * (uint64) n)
		return;
	appendStringInfoString(
		out, "<h2>Confusion matrix</h2><p class=\"sub\">rows: labels; columns: predictions, on the "
			 "held-back data</p><div class=\"wide\"><table><tr><th></th>");
	for (int j = 0; j < n; j++)
	{
		appendStringInfoString(out, "<th>");
		html_escape(out, labels[j]);
		appendStringInfoString(out, "</th>");
	}
	appendStringInfoString(out, "</tr>\n");
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(out, "<tr><th>");
		html_escape(out, labels[i]);
		appendStringInfoString(out, "</th>");
		for (int j = 0; j < n; j++)
		{
			double count = cell((uint64) i * n + j, 1);
			double total = cell((uint64) i * n + j, 2);

			appendStringInfo(out, "<td class=\"n\" style=\"background:rgba(%s,%.2f)\">%.0f</td>",
							 i == j ? "5,150,105" : "234,88,12",
							 total > 0 ? 0.75 * count / total : 0, count);
		}
		appendStringInfoString(out, "</tr>\n");
	}
	appendStringInfoString(out, "</table></div>\n");
}

/* Of rows with several labels: each label's own scores. */
static void
write_labels(StringInfo out, int64 number)
{
	static const char *const names[] = {"rows", "precision", "recall", "F1"};

	query("SELECT l ->> 'label', l ->> 'count',"
		  " pg_catalog.round((l ->> 'precision')::pg_catalog.numeric, 4),"
		  " pg_catalog.round((l ->> 'recall')::pg_catalog.numeric, 4),"
		  " pg_catalog.round((l ->> 'f1')::pg_catalog.numeric, 4)"
		  " FROM bert.job, pg_catalog.jsonb_array_elements(details -> 'labels') WITH ORDINALITY AS "
		  "a(l, i) WHERE job = $1 ORDER BY i",
		  number);
	if (SPI_processed == 0)
		return;
	appendStringInfoString(out, "<h2>Labels</h2><p class=\"sub\">each label's scores on the "
								"held-back rows</p><div class=\"wide\"><table><tr><th></th>");
	for (int j = 0; j < lengthof(names); j++)
		appendStringInfo(out, "<th>%s</th>", names[j]);
	appendStringInfoString(out, "</tr>\n");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		appendStringInfoString(out, "<tr><th>");
		html_escape(out, cell_text(i, 1));
		appendStringInfoString(out, "</th>");
		for (int j = 0; j < lengthof(names); j++)
			appendStringInfo(out, "<td class=\"n\">%s</td>", cell_text(i, 2 + j));
		appendStringInfoString(out, "</tr>\n");
	}
	appendStringInfoString(out, "</table></div>\n");
}

static void
write_worst(StringInfo out, int64 number)
{
	static const char *const names[] = {"row",        "loss",        "label",
										"prediction", "probability", "text"};

	query("SELECT w ->> 'row', pg_catalog.round((w ->> 'loss')::pg_catalog.numeric, 3), w ->> "
		  "'label', w ->> 'prediction',"
		  " pg_catalog.round((w ->> 'probability')::pg_catalog.numeric, 3), w ->> 'text'"
		  " FROM bert.job, pg_catalog.jsonb_array_elements(details -> 'worst') WITH ORDINALITY AS "
		  "a(w, i) WHERE job = $1 ORDER BY i",
		  number);
	if (SPI_processed == 0)
		return;
	appendStringInfo(out,
					 "<h2>Worst examples</h2><p class=\"sub\">the %llu held-back rows with the "
					 "largest loss; long texts are cut</p><table class=\"texts\"><tr "
					 "class=\"head\">",
					 (unsigned long long) SPI_processed);
	for (int j = 0; j < lengthof(names); j++)
		appendStringInfo(out, "<th>%s</th>", names[j]);
	appendStringInfoString(out, "</tr>\n");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		appendStringInfoString(out, "<tr>");
		for (int j = 0; j < lengthof(names); j++)
		{
			char *value = cell_text(i, j + 1);

			appendStringInfo(out, "<td data-name=\"%s\"%s>", names[j],
							 j == 0 || j == 1 || j == 4 ? " class=\"n\"" : "");
			html_escape(out, value == NULL ? "" : value);
			appendStringInfoString(out, "</td>");
		}
		appendStringInfoString(out, "</tr>\n");
	}
	appendStringInfoString(out, "</table>\n");
}

Datum
bert_job_report(PG_FUNCTION_ARGS)
{
	int64 number = PG_GETARG_INT64(0);
	MemoryContext caller = CurrentMemoryContext;
	StringInfoData out;
	Curves curves = {0};
	RoleSwitch role;
	Job job;
	text *page;

	job_load_own(number, &job);
	role_become_owner(&role);
	SPI_connect();
	initStringInfo(&out);
	write_head(&out, number);
	load_curves(number, &curves);
	draw_curves(&out, &curves);
	write_pairs(&out, "Metrics",
				"SELECT key, pg_catalog.round(value::pg_catalog.numeric, 4) FROM bert.job, "
				"pg_catalog.jsonb_each_text(metrics) WHERE job = $1 ORDER BY key",
				number);
	write_pairs(&out, "Metrics before training",
				"SELECT key, pg_catalog.round(value::pg_catalog.numeric, 4) FROM bert.job_metric, "
				"pg_catalog.jsonb_each_text(eval) WHERE job = $1 AND step = 0 ORDER BY key",
				number);
	write_confusion(&out, number);
	write_labels(&out, number);
	write_worst(&out, number);
	write_pairs(&out, "Settings",
				"SELECT key, value FROM bert.job, pg_catalog.jsonb_each_text(options) WHERE job = "
				"$1 ORDER BY key",
				number);
	write_pairs(&out, "Lineage",
				"SELECT p.k, p.v FROM bert.job, LATERAL (VALUES (1, 'base', base), (2, 'base "
				"version', coalesce(base_version::pg_catalog.text, '')),"
				" (3, 'model', name), (4, 'version', coalesce(version::pg_catalog.text, '')), (5, "
				"'query', query),"
				" (6, 'data SHA-256', coalesce(pg_catalog.encode(pg_catalog.substr(data_digest, 1, "
				"32), 'hex'), '')),"
				" (7, 'truncated rows', coalesce(details ->> 'truncated', '0'))) AS p(i, k, v) "
				"WHERE job = $1 ORDER BY p.i",
				number);
	appendStringInfoString(&out, "</body></html>\n");
	MemoryContextSwitchTo(caller);
	page = cstring_to_text_with_len(out.data, out.len);
	SPI_finish();
	role_restore(&role);
	PG_RETURN_TEXT_P(page);
}
