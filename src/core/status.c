/* status.c: filling a Status. */
#include "core/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 sequence at text, 0 if it is none (overlong, surrogate, cut off ...). */
static size_t
sequence_length(const unsigned char *text)
{
	size_t length = text[0] < 0x80                      ? 1
					: text[0] >= 0xC2 && text[0] < 0xE0 ? 2
					: (text[0] & 0xF0) == 0xE0          ? 3
					: text[0] >= 0xF0 && text[0] < 0xF5 ? 4
														: 0;

	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xC0) != 0x80)
			return 0;
	if ((text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xED && text[1] > 0x9F) ||
		(text[0] == 0xF0 && text[1] < 0x90) || (text[0] == 0xF4 && text[1] > 0x8F))
		return 0;
	return length;
}

/*
 * What comes from a file may be anything: a message is valid UTF-8 on one line, other bytes become
 * question marks.
 */
static void
clean(char *message)
{
	unsigned char *at = (unsigned char *) message;

	while (*at != '\0')
	{
		size_t length = *at < 0x20 || *at == 0x7F ? 0 : sequence_length(at);

		if (length == 0)
			*at++ = '?';
		else
			at += length;
	}
}

void
status_set(Status *status, StatusCode code, const char *format, ...)
{
	va_list args;

	if (status == NULL)
		return;
	status->code = code;
	status->hint[0] = '\0';
	va_start(args, format);
	vsnprintf(status->message, sizeof status->message, format, args);
	va_end(args);
	clean(status->message);
}

void
status_set_hint(Status *status, const char *format, ...)
{
	va_list args;

	if (status == NULL)
		return;
	va_start(args, format);
	vsnprintf(status->hint, sizeof status->hint, format, args);
	va_end(args);
	clean(status->hint);
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

void
status_set_errno(Status *status, int errnum, const char *format, ...)
{
	va_list args;
	int used;

	if (status == NULL)
		return;
	status->code = code_for_errno(errnum);
	status->hint[0] = '\0';
	va_start(args, format);
	used = vsnprintf(status->message, sizeof status->message, format, args);
	va_end(args);
	if (used >= 0 && (size_t) used < sizeof status->message)
		snprintf(status->message + used, sizeof status->message - (size_t) used, ": %s",
				 strerror(errnum));
	clean(status->message);
}

void
status_set_prefix(Status *status, const char *format, ...)
{
	char message[sizeof((Status *) 0)->message];
	va_list args;
	int used;

	if (status == NULL)
		return;
	va_start(args, format);
	used = vsnprintf(message, sizeof message, format, args);
	va_end(args);
	if (used >= 0 && (size_t) used < sizeof message &&
		snprintf(message + used, sizeof message - (size_t) used, ": %s", status->message) < 0)
		return;
	memcpy(status->message, message, sizeof message);
	clean(status->message);
}

bool
may_continue(const MayContinue *question, Status *status)
{
	if (question == NULL || question->ask == NULL || question->ask(question->context))
		return true;
	return status_fail(status, STATUS_CANCELLED, "canceled on request");
}
