/* keep.c: see keep.h. */
#include "pg/server/compat.h"

#include <math.h>

#include "executor/instrument.h"
#include "utils/timestamp.h"

#include "pg/job/checkpoint.h"
#include "pg/job/keep.h"
#include "pg/model/cache.h"
#include "pg/server/worker.h"

#define PAUSE_SECONDS 60.0
#define PAUSE_SHARE 20
#define FILE_RATE 10e6 /* bytes of state a second, on average */
#define LOG_RATE 1e6   /* bytes of write-ahead log a second, on average */
/* The write-ahead log of a job's copies, their removal included: model sizes for each checkpoint.
 */
#define LOG_SHARE 1.5
/*
 * What the log takes of a copy's bytes: the rows, and of those that go with it or at the job's end
 * images of their pages. Measured 1.02 and 1.0.
 */
#define LOG_INSERT 1.05
#define LOG_REMOVE 1.05

/* A checkpoint's stream: best score and step, then the trainer's ranges. */
typedef struct CheckpointHead
{
	double best_score;
	double best_loss;
	int64 best_step;
	int64 evaluations_since_best;
} CheckpointHead;

#define MAX_RANGES (TRAINER_MAX_RANGES + 1)

/* The whole state, head first; returns the number of ranges. */
static int
state_ranges(JobRun *run, CheckpointHead *head, StateRange ranges[MAX_RANGES])
{
	ranges[0] = (StateRange){"head", head, sizeof *head};
	return trainer_state(run->trainer, ranges + 1) + 1;
}

/* The weights alone. */
static int
weight_ranges(JobRun *run, StateRange ranges[MAX_RANGES])
{
	int n = trainer_state(run->trainer, ranges);
	int kept = 0;

	for (int i = 0; i < n; i++)
		if (strcmp(ranges[i].name, "weights") == 0)
			ranges[kept++] = ranges[i];
	return kept;
}

static uint64
size_of(const StateRange *ranges, int n)
{
	uint64 size = 0;

	for (int i = 0; i < n; i++)
		size += ranges[i].size;
	return size;
}

static JobCheckpoint
checkpoint_of(const JobRun *run, const char *kind, int64 step)
{
	return (JobCheckpoint){run->job->job, kind, step, run->keep.identity};
}

/* NULL: there is none. */
static CheckpointFile *
open_file(const JobRun *run, const char *kind, const StateRange *ranges, int n)
{
	JobCheckpoint checkpoint = checkpoint_of(run, kind, 0);

	return checkpoint_file_open(&checkpoint, size_of(ranges, n));
}

void
job_keep_identify(JobRun *run)
{
	const Job *job = run->job;
	const char *options = JsonbToCString(NULL, &run->job->options->root, VARSIZE(job->options));
	Sha256 hash;

	sha256_init(&hash);
	sha256_update(&hash, &job->job, sizeof job->job);
	sha256_update(&hash, job->task, strlen(job->task) + 1);
	sha256_update(&hash, options, strlen(options) + 1);
	sha256_update(&hash, run->base->digest.bytes, sizeof run->base->digest.bytes);
	sha256_update(&hash, run->data.digest, sizeof run->data.digest);
	sha256_final(&hash, run->keep.identity);
}

/* --- Keeping --- */

void
job_keep_begin(JobRun *run)
{
	run->keep.since = GetCurrentTimestamp();
}

/*
 * Whether so many bytes may be copied to the table now, with what it takes to remove them in the
 * end. logged is what this process really wrote to the log; so does the last copy tell of the next.
 */
static bool
may_log(const JobRun *run, uint64 bytes)
{
	const JobKeep *keep = &run->keep;
	double model = (double) run->table.elements * sizeof(float);
	double seconds = (double) (GetCurrentTimestamp() - keep->since) / USECS_PER_SEC;
	double removal = LOG_REMOVE * (double) bytes;
	double next = LOG_INSERT * (double) bytes + (keep->copied ? removal : 0);

	next = Max(next, (double) keep->last_logged);
	return (double) keep->logged + next + removal <=
			   LOG_SHARE * model * (double) keep->checkpoints &&
		   (double) keep->logged + next <= LOG_RATE * seconds;
}

/* The best weights, if the table has others: from their file. */
static void
copy_best(JobRun *run, CheckpointFile *best)
{
	JobCheckpoint checkpoint = checkpoint_of(run, "best", run->best_step);

	if (best != NULL && checkpoint_file_step(best) == run->best_step &&
		job_checkpoint_step(run->job->job, "best") != run->best_step)
		checkpoint_file_copy(best, &checkpoint);
}

/* In the caller's transaction. */
static void
copy_to_table(JobRun *run, const StateRange *ranges, int n)
{
	JobCheckpoint checkpoint = checkpoint_of(run, "last", trainer_steps(run->trainer));
	StateRange weights[MAX_RANGES];
	CheckpointFile *best = NULL;

	if (run->best_step > 0)
		best = open_file(run, "best", weights, weight_ranges(run, weights));
	job_checkpoint_save(&checkpoint, ranges, n);
	copy_best(run, best);
	checkpoint_file_close(best);
}

void
job_keep_state(JobRun *run)
{
	JobKeep *keep = &run->keep;
	CheckpointHead head = {run->best_score, run->best_loss, run->best_step,
						   run->evaluations_since_best};
	StateRange ranges[MAX_RANGES];
	int n = state_ranges(run, &head, ranges);
	uint64 size = size_of(ranges, n);
	JobCheckpoint checkpoint = checkpoint_of(run, "last", trainer_steps(run->trainer));
	uint64 before = pgWalUsage.wal_bytes;
	StateRange weights[MAX_RANGES];
	uint64 best_size = size_of(weights, weight_ranges(run, weights));
	bool copy;

	keep->checkpoints++;
	copy = may_log(run, size + (run->best_step > 0 ? best_size : 0));
	worker_begin();
	if (cache_has_room(size))
		checkpoint_file_write(&checkpoint, ranges, n);
	if (copy)
		copy_to_table(run, ranges, n);
	job_set_kept(run->job->job);
	job_run_commit(run);
	if (copy)
	{
		keep->last_logged = pgWalUsage.wal_bytes - before;
		keep->copied = true;
	}
	keep->logged += pgWalUsage.wal_bytes - before;
}

void
job_keep_best(JobRun *run)
{
	JobCheckpoint checkpoint = checkpoint_of(run, "best", run->best_step);
	StateRange ranges[MAX_RANGES];
	int n = weight_ranges(run, ranges);
	uint64 before = pgWalUsage.wal_bytes;

	worker_begin();
	if (cache_has_room(size_of(ranges, n)))
		checkpoint_file_write(&checkpoint, ranges, n);
	else
		job_checkpoint_save(&checkpoint, ranges, n);
	job_run_commit(run);
	run->keep.logged += pgWalUsage.wal_bytes - before;
}

double
job_keep_pause(JobRun *run, double took)
{
	CheckpointHead head;
	StateRange ranges[MAX_RANGES];
	double size = (double) size_of(ranges, state_ranges(run, &head, ranges));

	return Max(Max(PAUSE_SECONDS, PAUSE_SHARE * took), size / FILE_RATE);
}

/* --- Going on --- */

/* What there is: files that are open, and the steps of rows; -1 for none. */
typedef struct Kept
{
	CheckpointFile *last;
	CheckpointFile *best;
	int64 file_best;
	int64 row_last;
	int64 row_best;
} Kept;

static void
read_file(const CheckpointFile *file, const StateRange *ranges, int n)
{
	uint64 at = 0;

	for (int i = 0; i < n; i++)
	{
		checkpoint_file_read(file, at, ranges[i].bytes, ranges[i].size);
		at += ranges[i].size;
	}
}

static void
refuse_checkpoint(const JobRun *run)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the checkpoint of job %lld does not fit the job", (long long) run->job->job)));
}

/*
 * Whether the state's best weights are there; where they are of a later step it has none, as if
 * nothing had been evaluated: see keep.h.
 */
static bool
has_best(const Kept *kept, CheckpointHead *head)
{
	if (head->best_step <= 0 || kept->file_best == head->best_step ||
		kept->row_best == head->best_step)
		return true;
	if (Max(kept->file_best, kept->row_best) < head->best_step)
		return false;
	*head = (CheckpointHead){.best_score = -INFINITY,
							 .evaluations_since_best = head->evaluations_since_best};
	return true;
}

static void
restore_from(JobRun *run, const Kept *kept, bool file)
{
	CheckpointHead head;
	StateRange ranges[MAX_RANGES];
	int n = state_ranges(run, &head, ranges);
	Status status;

	if (file)
		read_file(kept->last, ranges, n);
	else if (!job_checkpoint_load(run->job->job, "last", ranges, n))
		refuse_checkpoint(run);
	if (!trainer_state_restored(run->trainer, &status))
		refuse_checkpoint(run);
	(void) has_best(kept, &head);
	run->best_score = head.best_score;
	run->best_loss = head.best_loss;
	run->best_step = head.best_step;
	run->evaluations_since_best = (int) head.evaluations_since_best;
	ereport(LOG, (errmsg("bert job %lld resumes at step %lld", (long long) run->job->job,
						 (long long) trainer_steps(run->trainer))));
}

static void
find_kept(JobRun *run, Kept *kept)
{
	CheckpointHead head;
	StateRange ranges[MAX_RANGES];

	kept->last = open_file(run, "last", ranges, state_ranges(run, &head, ranges));
	kept->best = open_file(run, "best", ranges, weight_ranges(run, ranges));
	kept->file_best = kept->best == NULL ? -1 : checkpoint_file_step(kept->best);
	kept->row_last = job_checkpoint_step(run->job->job, "last");
	kept->row_best = job_checkpoint_step(run->job->job, "best");
	run->keep.copied = kept->row_last >= 0;
}

/* The file is the newer one, or was never copied; rows are of use where it is gone. */
void
job_keep_restore(JobRun *run)
{
	CheckpointHead head;
	Kept kept;

	run->best_score = -INFINITY;
	worker_begin();
	find_kept(run, &kept);
	if (kept.last != NULL && checkpoint_file_step(kept.last) >= kept.row_last)
		checkpoint_file_read(kept.last, 0, &head, sizeof head);
	else
	{
		checkpoint_file_close(kept.last);
		kept.last = NULL;
	}
	if (kept.last != NULL && has_best(&kept, &head))
		restore_from(run, &kept, true);
	else if (kept.row_last >= 0)
	{
		if (!job_checkpoint_begin(run->job->job, "last", &head, sizeof head))
			refuse_checkpoint(run);
		if (has_best(&kept, &head))
			restore_from(run, &kept, false);
	}
	checkpoint_file_close(kept.last);
	checkpoint_file_close(kept.best);
	job_run_commit(run);
}

void
job_keep_take_best(JobRun *run)
{
	StateRange ranges[MAX_RANGES];
	int n = weight_ranges(run, ranges);
	CheckpointFile *file;

	worker_begin();
	file = open_file(run, "best", ranges, n);
	if (file != NULL && checkpoint_file_step(file) == run->best_step)
		read_file(file, ranges, n);
	else if (job_checkpoint_step(run->job->job, "best") != run->best_step ||
			 !job_checkpoint_load(run->job->job, "best", ranges, n))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the best weights of job %lld are gone", (long long) run->job->job)));
	checkpoint_file_close(file);
	job_run_commit(run);
}
