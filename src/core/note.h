/*
 * note.h: how far long work has come. Who asks a MayContinue whether to go on may also note what it
 * has done so far, for whoever has given the question and wants to know.
 */
#ifndef BERT_CORE_NOTE_H
#define BERT_CORE_NOTE_H

#include <stddef.h>

#include "core/status.h"

/*
 * What is noted with this very question goes to the listener, on the thread that notes. There is
 * one in the process: set before any work begins.
 */
void note_listen(const MayContinue *question, void (*listener)(size_t done));

/* So much of the work is done, in the unit of its own loop. */
void note_done(const MayContinue *question, size_t done);

#endif
