/*
 * near.h: numbers that are to be near each other. NaN and infinities are far from everything, other
 * than in cmocka's assert_float_equal, which lets them pass, and in fmax, which forgets a NaN.
 */
#ifndef BERT_TEST_UNIT_NEAR_H
#define BERT_TEST_UNIT_NEAR_H

#include <math.h>
#include <stdbool.h>

static inline bool
is_near(double got, double expected, double limit)
{
	return fabs(got - expected) <= limit;
}

#define assert_near(got, expected, limit)                            \
	do                                                               \
	{                                                                \
		double got_ = (got);                                         \
		double expected_ = (expected);                               \
                                                                     \
		if (!is_near(got_, expected_, (limit)))                      \
			fail_msg("%s is %.9g, not %.9g", #got, got_, expected_); \
	} while (0)

/* The worse of two differences. */
static inline double
worse(double a, double b)
{
	return isnan(a) || isnan(b) ? INFINITY : fmax(a, b);
}

#endif
