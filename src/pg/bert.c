/* bert.c: the module's entry point; calls one Init per subsystem and does nothing else. */
#include "pg/compat.h"

#include "pg/guc.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	guc_init();
}
