/* bert.c: the module's entry point; calls one Init per subsystem and does nothing else. */
#include "pg/server/compat.h"

#include "pg/column/auto_launch.h"
#include "pg/server/settings.h"
#include "pg/job/job.h"
#include "pg/infer/gather.h"
#include "pg/launcher.h"
#include "pg/model/choice.h"
#include "pg/server/shared.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/* Stands for stdin in the jansson that is linked in; see the Makefile. */
extern void *bert_json_stdin;
void *bert_json_stdin;

void
_PG_init(void)
{
	choice_init(); /* before guc_init, which closes the prefix "bert." */
	guc_init();
	job_init();
	auto_init();
	launcher_init();
	shared_init();
	gather_init();
}
