/* notes.c: a growing list. */
#include "files/notes.h"

#include <stdio.h>
#include <string.h>

bool
notes_add(FileNotes *notes, NoteKind kind, const char *file, const char *member, Status *status)
{
	size_t length;
	char *text;

	if (notes == NULL)
		return true;
	if (notes->n == notes->capacity)
	{
		size_t larger = notes->capacity * 2 + 16;
		FileNote *copy = arena_alloc_array(notes->arena, larger, sizeof *copy);

		if (copy == NULL)
			return arena_fail(notes->arena, status, "notes", larger * sizeof *copy);
		if (notes->n > 0)
			memcpy(copy, notes->notes, notes->n * sizeof *copy);
		notes->notes = copy;
		notes->capacity = larger;
	}
	length = strlen(file) + (member == NULL ? 0 : strlen(member)) + 3;
	text = arena_alloc(notes->arena, length);
	if (text == NULL)
		return arena_fail(notes->arena, status, "notes", length);
	snprintf(text, length, "%s%s%s", file, member == NULL ? "" : ": ",
			 member == NULL ? "" : member);
	notes->notes[notes->n++] = (FileNote){text, kind};
	return true;
}
