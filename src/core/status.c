/* status.c: filling a Status. */
#include "core/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool
status_fail(Status *status, StatusCode code, const char *format, ...)
{
	va_list		args;

	if (status == NULL)
		return false;
	status->code = code;
	status->hint[0] = '\0';
	va_start(args, format);
	vsnprintf(status->message, sizeof status->message, format, args);
	va_end(args);
	return false;
}

bool
status_hint(Status *status, const char *format, ...)
{
	va_list		args;

	if (status == NULL)
		return false;
	va_start(args, format);
	vsnprintf(status->hint, sizeof status->hint, format, args);
	va_end(args);
	return false;
}

static StatusCode
code_for_errno(int errnum)
{
	switch (errnum)
	{
		case ENOENT:
		case ENOTDIR:
			return STATUS_NOT_FOUND;
		case EACCES:
		case EPERM:
		case ELOOP:
			return STATUS_PERMISSION;
		case ENOSPC:
		case EDQUOT:
		case EFBIG:
			return STATUS_DISK_FULL;
		case ENOMEM:
			return STATUS_OUT_OF_MEMORY;
		default:
			return STATUS_IO;
	}
}

bool
status_fail_errno(Status *status, int errnum, const char *format, ...)
{
	va_list		args;
	int			used;

	if (status == NULL)
		return false;
	status->code = code_for_errno(errnum);
	status->hint[0] = '\0';
	va_start(args, format);
	used = vsnprintf(status->message, sizeof status->message, format, args);
	va_end(args);
	if (used >= 0 && (size_t) used < sizeof status->message)
		snprintf(status->message + used, sizeof status->message - (size_t) used, ": %s", strerror(errnum));
	return false;
}

bool
status_prefix(Status *status, const char *format, ...)
{
	char		message[sizeof ((Status *) 0)->message];
	va_list		args;
	int			used;

	if (status == NULL)
		return false;
	va_start(args, format);
	used = vsnprintf(message, sizeof message, format, args);
	va_end(args);
	if (used >= 0 && (size_t) used < sizeof message && snprintf(message + used, sizeof message - (size_t) used, ": %s", status->message) < 0)
		return false;
	memcpy(status->message, message, sizeof message);
	return false;
}

bool
may_continue(const MayContinue *question, Status *status)
{
	if (question == NULL || question->ask == NULL || question->ask(question->context))
		return true;
	return status_fail(status, STATUS_CANCELLED, "canceled on request");
}
