/* note.c: notes of what is done, to one listener. */
#include "core/note.h"

static const MayContinue *heard;
static void (*listen)(size_t done);

void
note_listen(const MayContinue *question, void (*listener)(size_t done))
{
	heard = question;
	listen = listener;
}

void
note_done(const MayContinue *question, size_t done)
{
	if (question != NULL && question == heard)
		listen(done);
}
