/* settings.h: the extension's settings. */
#ifndef BERT_PG_SERVER_SETTINGS_H
#define BERT_PG_SERVER_SETTINGS_H

extern char *guc_kernel;          /* bert.kernel: auto, or a kernel's name */
extern char *guc_cache_directory; /* bert.cache_directory: empty: $PGDATA/pgsql_tmp_bert */
/* bert.max_memory: kB one call may take for activations and scratch */
extern int guc_max_memory;
/* bert.memory_ceiling: kB that no role's bert.max_memory goes beyond; 0: none. See memory_limit. */
extern int guc_memory_ceiling;
extern int guc_max_jobs; /* bert.max_jobs: jobs that run at once in the server */
/* bert.max_jobs_per_role: of one role; 0: one fewer than max_jobs, but one at least */
extern int guc_max_jobs_per_role;
extern int guc_max_cache_size; /* bert.max_cache_size: MB in the cache's directory; 0: no limit */
/* bert.job_retention: minutes that checkpoints and data of ended jobs are kept; -1: for ever */
extern int guc_job_retention;
/* bert.job_query_timeout: seconds a job may read its data; 0: no limit */
extern int guc_job_query_timeout;
/* bert.job_timeout: seconds a job may run at a time, from its start or resumption; 0: no limit */
extern int guc_job_timeout;
/* bert.max_table_workers: processes of one embed_column, the caller's included */
extern int guc_max_table_workers;
/* bert.result_cache_size: kilobytes of results that a backend remembers; 0: none */
extern int guc_result_cache_size;
/* bert.gather_texts: short texts of a scan are computed together */
extern bool guc_gather_texts;
/* bert.table_workers_limit: background workers of all calls in the server; -1: see below */
extern int guc_table_workers_limit;

/* The limit as a number: half of max_worker_processes by default, so others find some. */
extern int table_workers_limit(void);

void guc_init(void);

#endif
