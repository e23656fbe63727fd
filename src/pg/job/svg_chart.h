/* svg_chart.h: line charts as inline SVG, for the job report. */
#ifndef BERT_PG_JOB_SVG_CHART_H
#define BERT_PG_JOB_SVG_CHART_H

#include "lib/stringinfo.h"

typedef struct ChartSeries
{
	const char *name;
	const char *color; /* "#2563eb" */
	int n;
	const double *x;
	const double *y; /* NaN: no point here */
	bool points;     /* marks every point, for sparse series */
} ChartSeries;

typedef struct Chart
{
	const char *title;
	const char *x_label;
	const char *y_label;
	int n_series;
	const ChartSeries *series;
} Chart;

/* Appends the chart; nothing where no series has a point. */
extern void svg_chart(StringInfo out, const Chart *chart);

/* Appends text with the characters that HTML gives a meaning escaped. */
extern void html_escape(StringInfo out, const char *text);

#endif
