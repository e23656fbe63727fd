/*
 * names.h: names that users write where only some are known, and what they may have meant.
 *
 * "names" has n entries; NULL ones are skipped. Names are compared as bytes; for nearness upper and
 * lower case of ASCII are the same.
 */
#ifndef BERT_CORE_NAMES_H
#define BERT_CORE_NAMES_H

#include "core/status.h"

/* The index of wanted, or -1. */
int name_find(const char *wanted, const char *const *names, int n);

/*
 * The known name with the fewest letters to change, add or leave out, the first of equals; NULL
 * when none is near: more than a third of the letters differ (three may in any case, but never more
 * than half).
 */
const char *name_nearest(const char *wanted, const char *const *names, int n);

/*
 * As name_find, and fills *status when the name is not known: 22023, "unknown KIND "..."", with the
 * nearest name as hint, or all of them when none is near.
 */
int name_parse(const char *wanted, const char *kind, const char *const *names, int n,
			   Status *status);

#endif
