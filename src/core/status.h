/*
 * status.h: how the plain C layers report an error.
 *
 * Every function that can fail takes a Status * as its last argument and returns false after
 * filling it. A function that returns true leaves the Status alone. Nothing below src/pg exits,
 * prints or longjmps. Messages follow PostgreSQL's style (lower case, no full stop); hints are
 * sentences. Both are valid UTF-8 on one line whatever is put into them: other bytes become
 * question marks. src/pg/report.c maps each code to its own SQLSTATE.
 */
#ifndef BERT_CORE_STATUS_H
#define BERT_CORE_STATUS_H

#include <stdbool.h>

typedef enum StatusCode
{
	STATUS_NONE = 0,
	STATUS_INVALID_ARGUMENT, /* the caller's value is out of range: 22023 */
	STATUS_INVALID_DATA,     /* a file or image is malformed: 22P04 */
	STATUS_INVALID_TEXT,     /* text is not valid in its encoding: 22021 */
	STATUS_NOT_FOUND,        /* a file or an entry does not exist: 58P01 */
	STATUS_UNSUPPORTED,      /* well-formed, but not something we do: 0A000 */
	STATUS_LIMIT,            /* a stated limit would be exceeded: 54000 */
	STATUS_OUT_OF_MEMORY,    /* memory or the arena's budget is used up: 53200 */
	STATUS_IO,               /* the operating system said no: 58030 */
	STATUS_DISK_FULL,        /* ENOSPC, EDQUOT: 53100 */
	STATUS_PERMISSION,       /* EACCES, EPERM, ELOOP on O_NOFOLLOW: 42501 */
	STATUS_CANCELLED,        /* the caller's MayContinue said stop: 57014 */
	STATUS_INTERNAL          /* cannot happen: XX000 */
} StatusCode;

typedef struct Status
{
	StatusCode code;
	char message[512];
	char hint[256];
} Status;

/*
 * Fills *status and returns false, so that a caller can write "return status_fail(...)". status may
 * be NULL.
 */
bool status_fail(Status *status, StatusCode code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds a hint (a sentence) to a status that status_fail has filled; returns false. */
bool status_hint(Status *status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * status_fail for errno: picks the code from the errno value and appends its text. Returns false.
 */
bool status_fail_errno(Status *status, int errnum, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Puts "prefix: " before the message of a failed status (for example the file's name); returns
 * false.
 */
bool status_prefix(Status *status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * The question "may I go on?", asked between layers and blocks, at most 20 ms of compute apart. The
 * callback must not longjmp; when it returns false the work stops with STATUS_CANCELLED. A NULL
 * MayContinue means yes.
 */
typedef struct MayContinue
{
	bool (*ask)(void *context);
	void *context;
} MayContinue;

bool may_continue(const MayContinue *question, Status *status);

#endif
