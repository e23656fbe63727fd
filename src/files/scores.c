/* scores.c: digits and powers of ten. */
#include "files/scores.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A decimal number: digits * 10^exponent. */
typedef struct Decimal
{
	uint64_t digits;
	int exponent;
	bool negative;
} Decimal;

static Decimal
decimal_of(double number, int digits)
{
	char text[SCORE_TEXT_BYTES];
	Decimal decimal = {.negative = number < 0};

	snprintf(text, sizeof text, "%.*e", digits - 1, number < 0 ? -number : number);
	for (const char *at = text; *at != 'e'; at++)
		if (*at != '.')
			decimal.digits = decimal.digits * 10 + (uint64_t) (*at - '0');
	decimal.exponent = atoi(strchr(text, 'e') + 1) - (digits - 1);
	while (decimal.digits != 0 && decimal.digits % 10 == 0)
	{
		decimal.digits /= 10;
		decimal.exponent++;
	}
	return decimal;
}

static double
power_of_ten(int exponent)
{
	char text[16];

	snprintf(text, sizeof text, "1e%d", exponent);
	return strtod(text, NULL);
}

static double
value_of(Decimal decimal)
{
	double value = (double) decimal.digits;

	if (decimal.exponent >= 0)
		value *= power_of_ten(decimal.exponent);
	else
		value /= power_of_ten(-decimal.exponent);
	return decimal.negative ? -value : value;
}

static bool
means(Decimal decimal, double number)
{
	char text[SCORE_TEXT_BYTES];

	snprintf(text, sizeof text, "%s%llue%d", decimal.negative ? "-" : "",
			 (unsigned long long) decimal.digits, decimal.exponent);
	return strtod(text, NULL) == number;
}

double
score_as_read(double number)
{
	Decimal decimal;
	int digits = 15;

	do
		decimal = decimal_of(number, digits);
	while (digits++ < 17 && !means(decimal, number));
	return value_of(decimal);
}

void
score_text(double number, char text[SCORE_TEXT_BYTES])
{
	int digits = 15;

	do
		snprintf(text, SCORE_TEXT_BYTES, "%.*g", digits, number);
	while (digits++ < 17 && strtod(text, NULL) != number);
	if (strpbrk(text, ".e") == NULL)
		strcat(text, ".0");
}
