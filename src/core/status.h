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
 * What follows fills *status, which may be NULL, and returns false, so that a caller can write
 * "return status_fail(...)". They are macros around functions without a result: compilers and
 * analyzers see the false at each place of use.
 *
 * status_fail(status, code, format, ...): code and message.
 * status_fail_errno(status, errnum, format, ...): the code that fits the errno value; its text is
 *   appended to the message.
 * status_hint(status, format, ...): adds a hint (a sentence) to a failed status.
 * status_prefix(status, format, ...): puts "prefix: ", for example a file's name, before the
 *   message of a failed status.
 */
#define status_fail(...) (status_set(__VA_ARGS__), status_false())
#define status_fail_errno(...) (status_set_errno(__VA_ARGS__), status_false())
#define status_hint(...) (status_set_hint(__VA_ARGS__), status_false())
#define status_prefix(...) (status_set_prefix(__VA_ARGS__), status_false())

static inline bool
status_false(void)
{
	return false;
}

void status_set(Status *status, StatusCode code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void status_set_errno(Status *status, int errnum, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void status_set_hint(Status *status, const char *format, ...) __attribute__((format(printf, 2, 3)));
void status_set_prefix(Status *status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

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
