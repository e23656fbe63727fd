/* settings.c: definition of the settings. */
#include "pg/server/compat.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "kernels/kernels.h"
#include "pg/server/settings.h"

char *guc_kernel;
char *guc_cache_directory;
int guc_max_memory;
int guc_memory_ceiling;
int guc_max_jobs;
int guc_max_jobs_per_role;
int guc_job_query_timeout;
int guc_job_timeout;
int guc_job_retention;
int guc_max_cache_size;
int guc_max_table_workers;
int guc_result_cache_size;
bool guc_gather_texts;
int guc_table_workers_limit;

/*
 * A kernel that the CPU lacks is refused here, so a later query cannot meet it. "auto" always finds
 * one, and looks in the processes that compute: AMX has to be asked for.
 */
static bool
check_kernel(char **value, void **extra, GucSource source)
{
	Status status;

	if (strcmp(*value, "auto") == 0 || kernels_choose(*value, &status) != NULL)
		return true;
	GUC_check_errmsg("%s", status.message);
	if (status.hint[0] != '\0')
		GUC_check_errhint("%s", status.hint);
	return false;
}

int
table_workers_limit(void)
{
	return guc_table_workers_limit >= 0 ? guc_table_workers_limit
										: Max(max_worker_processes / 2, 1);
}

static void
define_results(void)
{
	DefineCustomIntVariable(
		"bert.result_cache_size",
		"How much memory a session may use for results of texts that it may be asked for again.",
		"0: each text is computed each time.", &guc_result_cache_size, 16 * 1024, 0, MAX_KILOBYTES,
		PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomBoolVariable(
		"bert.gather_texts", "Short texts of a scan are computed together.",
		"Plans then read some rows ahead of the calls (BertGather in EXPLAIN).", &guc_gather_texts,
		true, PGC_USERSET, 0, NULL, NULL, NULL);
}

void
guc_init(void)
{
	DefineCustomStringVariable("bert.kernel",
							   "The instruction set that computes: auto, or a kernel's name.", NULL,
							   &guc_kernel, "auto", PGC_USERSET, 0, check_kernel, NULL, NULL);
	DefineCustomStringVariable("bert.cache_directory",
							   "Where prepared models are cached; relative to the data directory.",
							   "Empty: pgsql_tmp_bert in the data directory.", &guc_cache_directory,
							   "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"bert.memory_ceiling",
		"What bert.max_memory may be at most, whoever sets it, and the weights of one call or job.",
		"0: no such limit.", &guc_memory_ceiling, 0, 0, MAX_KILOBYTES, PGC_SUSET, GUC_UNIT_KB, NULL,
		NULL, NULL);
	DefineCustomIntVariable(
		"bert.max_memory",
		"The most memory that one call may take for activations, scratch and weights.", NULL,
		&guc_max_memory, 1024 * 1024, 1024, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, NULL, NULL,
		NULL);
	DefineCustomIntVariable(
		"bert.max_jobs",
		"The most fine-tuning jobs that run at once in the server; the others queue.", NULL,
		&guc_max_jobs, 2, 1, 64, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("bert.max_jobs_per_role",
							"The most fine-tuning jobs of one role that run at once.",
							"0: one fewer than bert.max_jobs, but one at least.",
							&guc_max_jobs_per_role, 0, 0, 64, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("bert.max_cache_size",
							"The most that the files in the cache's directory may take.",
							"0: no limit.", &guc_max_cache_size, 0, 0, INT_MAX, PGC_SIGHUP,
							GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("bert.job_retention",
							"How long checkpoints and data of ended jobs are kept.",
							"-1: until the job is dropped.", &guc_job_retention, 7 * 24 * 60, -1,
							INT_MAX, PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("bert.job_query_timeout",
							"How long a fine-tuning job may read its data; then it fails.",
							"0: no limit.", &guc_job_query_timeout, 3600, 0, INT_MAX / 1000,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("bert.job_timeout",
							"How long a fine-tuning job may run at a time; then it fails.",
							"0: no limit.", &guc_job_timeout, 0, 0, INT_MAX / 1000, PGC_SIGHUP,
							GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"bert.max_table_workers",
		"The most processes that one call of bert.embed_column may use, the caller's own included.",
		NULL, &guc_max_table_workers, 8, 1, 64, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"bert.table_workers_limit",
		"The most background workers that all calls of bert.embed_column in the server may use.",
		"Roles that call at the same time get equal shares. -1: half of max_worker_processes.",
		&guc_table_workers_limit, -1, -1, 1024, PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_results();
	MarkGUCPrefixReserved("bert");
}
