/* names.c: finding names, and the nearest one by Levenshtein distance. */
#include "core/names.h"

#include <stddef.h>
#include <string.h>

#define MAX_LENGTH 63 /* of a name that is compared with others: PostgreSQL's identifiers */

int
name_find(const char *wanted, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (names[i] != NULL && strcmp(wanted, names[i]) == 0)
			return i;
	return -1;
}

static char
lower(char letter)
{
	return letter >= 'A' && letter <= 'Z' ? (char) (letter - 'A' + 'a') : letter;
}

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Letters to change, add or leave out to make b of a; both have at most MAX_LENGTH bytes. */
static size_t
distance(const char *a, const char *b)
{
	size_t columns = strlen(b);
	size_t row[MAX_LENGTH + 1]; /* row[j]: from what was read of a to the first j letters of b */

	for (size_t j = 0; j <= columns; j++)
		row[j] = j;
	for (size_t i = 0; a[i] != '\0'; i++)
	{
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < columns; j++)
		{
			size_t changed = diagonal + (lower(a[i]) != lower(b[j]));

			diagonal = row[j + 1];
			row[j + 1] = smaller(changed, smaller(row[j], row[j + 1]) + 1);
		}
	}
	return row[columns];
}

const char *
name_nearest(const char *wanted, const char *const *names, int n)
{
	size_t length = strlen(wanted);
	size_t limit = smaller(length / 2, length / 3 > 3 ? length / 3 : 3);
	const char *nearest = NULL;

	if (length > MAX_LENGTH)
		return NULL;
	for (int i = 0; i < n; i++)
	{
		size_t letters;

		if (names[i] == NULL || strlen(names[i]) > MAX_LENGTH)
			continue;
		letters = distance(wanted, names[i]);
		if (letters < limit || (letters == limit && nearest == NULL))
		{
			nearest = names[i];
			limit = letters;
		}
	}
	return nearest;
}

/* "a, b or c" */
static void
list_names(const char *const *names, int n, char *out, size_t size)
{
	int last = n - 1;
	bool first = true;

	while (last > 0 && names[last] == NULL)
		last--;
	out[0] = '\0';
	for (int i = 0; i <= last; i++)
	{
		if (names[i] == NULL)
			continue;
		if (!first)
			strncat(out, i == last ? " or " : ", ", size - strlen(out) - 1);
		strncat(out, names[i], size - strlen(out) - 1);
		first = false;
	}
}

int
name_parse(const char *wanted, const char *kind, const char *const *names, int n, Status *status)
{
	int found = name_find(wanted, names, n);
	const char *nearest;
	char list[sizeof((Status *) NULL)->hint];

	if (found >= 0)
		return found;
	nearest = name_nearest(wanted, names, n);
	status_fail(status, STATUS_INVALID_ARGUMENT, "unknown %s \"%.60s\"", kind, wanted);
	if (nearest != NULL)
		status_hint(status, "Perhaps you meant \"%s\".", nearest);
	else
	{
		list_names(names, n, list, sizeof list);
		status_hint(status, "Use %s.", list);
	}
	return -1;
}
