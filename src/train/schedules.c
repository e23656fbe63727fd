/* schedules.c: the six learning-rate schedules. */
#include "train/schedules.h"

#include <math.h>

#include "core/names.h"

static const char *const names[SCHEDULE_COUNT] = {"constant", "constant_with_warmup", "linear",
												  "cosine",   "cosine_with_restarts", "polynomial"};

const char *
schedule_name(ScheduleKind kind)
{
	return names[kind];
}

bool
schedule_parse(const char *name, ScheduleKind *kind, Status *status)
{
	int i = name_parse(name, "schedule", names, SCHEDULE_COUNT, status);

	if (i < 0)
		return false;
	*kind = (ScheduleKind) i;
	return true;
}

Schedule
schedule_default(ScheduleKind kind, int64_t warmup_steps, int64_t total_steps)
{
	Schedule schedule = {.kind = kind,
						 .warmup_steps = warmup_steps,
						 .total_steps = total_steps,
						 .num_cycles = -1,
						 .power = 1,
						 .lr_end = 1e-7};

	return schedule;
}

bool
schedule_validate(const Schedule *schedule, double base_lr, Status *status)
{
	if ((unsigned int) schedule->kind >= SCHEDULE_COUNT)
		return status_fail(status, STATUS_INVALID_ARGUMENT, "unknown schedule %d",
						   (int) schedule->kind);
	if (schedule->warmup_steps < 0 || schedule->total_steps < 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "warmup_steps and total_steps must not be negative");
	if (!isfinite(base_lr) || base_lr < 0)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "the learning rate must be a number that is not negative");
	if (!isfinite(schedule->num_cycles) || !isfinite(schedule->power) ||
		!isfinite(schedule->lr_end) || schedule->power < 0 || schedule->lr_end < 0)
		return status_fail(
			status, STATUS_INVALID_ARGUMENT,
			"num_cycles, power and lr_end must be numbers, power and lr_end not negative");
	if (schedule->kind == SCHEDULE_POLYNOMIAL && schedule->lr_end >= base_lr)
		return status_fail(status, STATUS_INVALID_ARGUMENT,
						   "lr_end (%g) must be below the learning rate (%g)", schedule->lr_end,
						   base_lr);
	return true;
}

/* (step - warmup) / max(1, total - warmup) */
static double
progress(const Schedule *schedule, int64_t step)
{
	double span = (double) schedule->total_steps - (double) schedule->warmup_steps;

	return ((double) step - (double) schedule->warmup_steps) / (span < 1 ? 1 : span);
}

static double
cycles(const Schedule *schedule, double standard)
{
	return schedule->num_cycles < 0 ? standard : schedule->num_cycles;
}

double
schedule_rate(const Schedule *schedule, int64_t step, double base_lr)
{
	double warmup = (double) (schedule->warmup_steps < 1 ? 1 : schedule->warmup_steps);
	double factor = 1;

	if (schedule->kind == SCHEDULE_CONSTANT)
		return base_lr;
	if (step < schedule->warmup_steps)
		return base_lr * ((double) step / warmup);
	switch (schedule->kind)
	{
		case SCHEDULE_LINEAR:
			factor = 1 - progress(schedule, step);
			if (schedule->total_steps - schedule->warmup_steps < 1)
				factor = (double) (schedule->total_steps - step);
			break;
		case SCHEDULE_COSINE:
			factor = 0.5 * (1 + cos(M_PI * cycles(schedule, 0.5) * 2 * progress(schedule, step)));
			break;
		case SCHEDULE_COSINE_WITH_RESTARTS:
			factor =
				progress(schedule, step) >= 1
					? 0
					: 0.5 *
						  (1 + cos(M_PI * fmod(cycles(schedule, 1) * progress(schedule, step), 1)));
			break;
		case SCHEDULE_POLYNOMIAL:
			if (step > schedule->total_steps || schedule->total_steps <= schedule->warmup_steps)
				return schedule->lr_end;
			return (base_lr - schedule->lr_end) *
					   pow(1 - progress(schedule, step), schedule->power) +
				   schedule->lr_end;
		default:
			break;
	}
	return base_lr * (factor > 0 ? factor : 0);
}
