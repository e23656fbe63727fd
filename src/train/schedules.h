/*
 * schedules.h: the learning rate of a step, for the six schedules of the reference
 * (transformers 4.46.3, optimization.py), with its options.
 *
 * Step 0 is the first. With warm-up the rate rises linearly from 0 at step 0 to the base rate at
 * step warmup_steps. Then, with progress = (step - warmup_steps) / (total_steps - warmup_steps):
 *
 * - constant (which has no warm-up), constant_with_warmup: the base rate
 * - linear: falls to 0 at total_steps
 * - cosine: 0.5 (1 + cos(2 pi num_cycles progress)) of it, num_cycles 0.5
 * - cosine_with_restarts: 0.5 (1 + cos(pi (num_cycles progress mod 1))) of it, num_cycles 1
 * - polynomial: (base - lr_end) (1 - progress)^power + lr_end, power 1, lr_end 1e-7
 */
#ifndef BERT_TRAIN_SCHEDULES_H
#define BERT_TRAIN_SCHEDULES_H

#include <stdint.h>

#include "core/status.h"

typedef enum ScheduleKind
{
	SCHEDULE_CONSTANT,
	SCHEDULE_CONSTANT_WITH_WARMUP,
	SCHEDULE_LINEAR,
	SCHEDULE_COSINE,
	SCHEDULE_COSINE_WITH_RESTARTS,
	SCHEDULE_POLYNOMIAL,
	SCHEDULE_COUNT
} ScheduleKind;

typedef struct Schedule
{
	ScheduleKind kind;
	int64_t warmup_steps;
	int64_t total_steps;
	double num_cycles; /* negative: the kind's default */
	double power;
	double lr_end;
} Schedule;

const char *schedule_name(ScheduleKind kind); /* "cosine_with_restarts" */
bool schedule_parse(const char *name, ScheduleKind *kind, Status *status);

/* A schedule with the default options. */
Schedule schedule_default(ScheduleKind kind, int64_t warmup_steps, int64_t total_steps);

/*
 * STATUS_INVALID_ARGUMENT for negative steps, non-finite options, or a polynomial whose lr_end is
 * not below base_lr.
 */
bool schedule_validate(const Schedule *schedule, double base_lr, Status *status);

/* The rate of a step >= 0 of a valid schedule. */
double schedule_rate(const Schedule *schedule, int64_t step, double base_lr);

#endif
