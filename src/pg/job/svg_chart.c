/* svg_chart.c: axes with round ticks, lines, legend. */
#include "pg/server/compat.h"

#include <math.h>

#include "pg/job/svg_chart.h"

/* Of the drawing, which is scaled to the page: its letters stay readable on 400 pixels. */
#define WIDTH 480.0
#define HEIGHT 280.0
#define LEFT 62.0
#define RIGHT 16.0
#define TOP 54.0
#define BOTTOM 44.0
#define TICKS 5

typedef struct Range
{
	double low;
	double high;
} Range;

void
html_escape(StringInfo out, const char *text)
{
	for (; *text != '\0'; text++)
		switch (*text)
		{
			case '&':
				appendStringInfoString(out, "&amp;");
				break;
			case '<':
				appendStringInfoString(out, "&lt;");
				break;
			case '>':
				appendStringInfoString(out, "&gt;");
				break;
			case '"':
				appendStringInfoString(out, "&quot;");
				break;
			default:
				appendStringInfoCharMacro(out, *text);
		}
}

static bool
find_ranges(const Chart *chart, Range *x, Range *y)
{
	bool any = false;

	*x = *y = (Range){INFINITY, -INFINITY};
	for (int s = 0; s < chart->n_series; s++)
		for (int i = 0; i < chart->series[s].n; i++)
			if (isfinite(chart->series[s].y[i]))
			{
				any = true;
				x->low = Min(x->low, chart->series[s].x[i]);
				x->high = Max(x->high, chart->series[s].x[i]);
				y->low = Min(y->low, chart->series[s].y[i]);
				y->high = Max(y->high, chart->series[s].y[i]);
			}
	return any;
}

/* 1, 2 or 5 times a power of ten, so that about TICKS of them cover the range. */
static double
tick_step(const Range *range)
{
	double raw = (range->high - range->low) / TICKS;
	double power = pow(10, floor(log10(raw)));
	double part = raw / power;

	return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

/* Widens to whole ticks; a single value gets some room. */
static double
round_range(Range *range)
{
	double step;

	if (range->high - range->low < 1e-12 * Max(1, fabs(range->high)))
	{
		double room = range->high == 0 ? 1 : fabs(range->high) * 0.5;

		range->low -= room;
		range->high += room;
	}
	step = tick_step(range);
	range->low = floor(range->low / step + 1e-9) * step;
	range->high = ceil(range->high / step - 1e-9) * step;
	return step;
}

static double
place_x(const Range *x, double value)
{
	return LEFT + (value - x->low) / (x->high - x->low) * (WIDTH - LEFT - RIGHT);
}

static double
place_y(const Range *y, double value)
{
	return HEIGHT - BOTTOM - (value - y->low) / (y->high - y->low) * (HEIGHT - TOP - BOTTOM);
}

static void
draw_axes(StringInfo out, const Chart *chart, const Range *x, double x_step, const Range *y,
		  double y_step)
{
	for (double tick = y->low; tick <= y->high + y_step / 2; tick += y_step)
		appendStringInfo(out,
						 "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" "
						 "y2=\"%.1f\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
						 LEFT, WIDTH - RIGHT, place_y(y, tick), place_y(y, tick), LEFT - 8,
						 place_y(y, tick) + 4, fabs(tick) < y_step / 1e6 ? 0 : tick);
	for (double tick = x->low; tick <= x->high + x_step / 2; tick += x_step)
		appendStringInfo(
			out,
			"<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/><text "
			"x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n",
			place_x(x, tick), place_x(x, tick), TOP, HEIGHT - BOTTOM, place_x(x, tick),
			HEIGHT - BOTTOM + 18, fabs(tick) < x_step / 1e6 ? 0 : tick);
	appendStringInfo(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
					 (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8);
	html_escape(out, chart->x_label);
	appendStringInfo(out, "</text><text class=\"title\" x=\"%.1f\" y=\"18\">", LEFT);
	html_escape(out, chart->title);
	appendStringInfoString(out, "</text>\n");
}

static const char *const dashes[] = {"", " stroke-dasharray=\"8 5\"", " stroke-dasharray=\"2 4\"",
									 " stroke-dasharray=\"10 3 2 3\""};

static void
draw_series(StringInfo out, const ChartSeries *series, int number, const Range *x, const Range *y)
{
	bool begun = false;

	/* dashes let a curve below show through */
	appendStringInfo(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s points=\"",
					 series->color, dashes[number % lengthof(dashes)]);
	for (int i = 0; i < series->n; i++)
		if (isfinite(series->y[i]))
		{
			appendStringInfo(out, "%s%.1f,%.1f", begun ? " " : "", place_x(x, series->x[i]),
							 place_y(y, series->y[i]));
			begun = true;
		}
	appendStringInfoString(out, "\"/>\n");
	for (int i = 0; series->points && i < series->n; i++)
		if (isfinite(series->y[i]))
			appendStringInfo(out,
							 "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>%g: "
							 "%g</title></circle>\n",
							 place_x(x, series->x[i]), place_y(y, series->y[i]), series->color,
							 series->x[i], series->y[i]);
}

static void
draw_legend(StringInfo out, const Chart *chart)
{
	double at = LEFT;

	for (int s = 0; s < chart->n_series; s++)
	{
		appendStringInfo(out,
						 "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"36\" y2=\"36\" stroke=\"%s\" "
						 "stroke-width=\"3\"%s/><text x=\"%.1f\" y=\"41\">",
						 at, at + 20, chart->series[s].color, dashes[s % lengthof(dashes)],
						 at + 25);
		html_escape(out, chart->series[s].name);
		appendStringInfoString(out, "</text>\n");
		at += 38 + 7.2 * (double) strlen(chart->series[s].name);
	}
}

void
svg_chart(StringInfo out, const Chart *chart)
{
	Range x;
	Range y;
	double x_step;
	double y_step;

	if (!find_ranges(chart, &x, &y))
		return;
	x_step = round_range(&x);
	y_step = round_range(&y);
	appendStringInfo(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", WIDTH,
					 HEIGHT);
	html_escape(out, chart->title);
	appendStringInfoString(out, "\">\n");
	draw_axes(out, chart, &x, x_step, &y, y_step);
	for (int s = 0; s < chart->n_series; s++)
		draw_series(out, &chart->series[s], s, &x, &y);
	draw_legend(out, chart);
	appendStringInfoString(out, "</svg>\n");
}
