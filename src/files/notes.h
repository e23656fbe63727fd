/*
 * notes.h: what files say and the model has no use for, told to whoever imports it.
 *
 * A note's text names file and member: "tokenizer_config.json: chat_template".
 */
#ifndef BERT_FILES_NOTES_H
#define BERT_FILES_NOTES_H

#include <stddef.h>

#include "core/arena.h"
#include "core/status.h"

typedef enum NoteKind
{
	NOTE_IGNORED,   /* known; another file or a rule decides, or it is for other programs */
	NOTE_UNEXPECTED /* not known */
} NoteKind;

typedef struct FileNote
{
	const char *text;
	NoteKind kind;
} FileNote;

/* Begin with {arena}; everything is allocated there. */
typedef struct FileNotes
{
	Arena *arena;
	size_t n;
	size_t capacity;
	FileNote *notes; /* (n) */
} FileNotes;

/* notes: NULL when nobody wants to know. file, member: see above; member may be NULL. */
bool notes_add(FileNotes *notes, NoteKind kind, const char *file, const char *member,
			   Status *status);

#endif
