/* errors.h: from a Status of the plain C layers to an ereport with the right SQLSTATE. */
#ifndef BERT_PG_SERVER_ERRORS_H
#define BERT_PG_SERVER_ERRORS_H

#include "core/status.h"

/*
 * Raises the failed status as an ERROR. STATUS_CANCELLED first processes interrupts, so that the
 * user sees PostgreSQL's own message for the cancel, timeout or shutdown that caused it.
 */
pg_noreturn extern void report_status(const Status *status);

/* ok ? nothing : report_status(status) */
#define REPORT_UNLESS(ok, status)  \
	do                             \
	{                              \
		if (!(ok))                 \
			report_status(status); \
	} while (0)

#endif
