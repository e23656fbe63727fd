/*
 * path.h: opening by path without following a symbolic link, and who we are to the system.
 *
 * A path is walked one component at a time, each opened from the descriptor of the one before it.
 * What is opened is what the path names, whoever renames or plants entries meanwhile.
 */
#ifndef BERT_FILES_PATH_H
#define BERT_FILES_PATH_H

#include <fcntl.h>
#include <stdbool.h>

#include "core/status.h"

/* A directory on the way needs search permission only, where the system can open it so. */
#ifdef O_PATH
#define PATH_DIRECTORY (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#else
#define PATH_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#endif

/*
 * Opens a path from the descriptor `at`, which stays open (AT_FDCWD: the working directory), its
 * last component with last_flags, which hold O_NOFOLLOW. -1 with errno on failure; ELOOP for a
 * symbolic link.
 */
int path_open(int at, const char *path, int last_flags);

/*
 * Fills *status for errno of a failed path_open: says which path, and for links and missing
 * permissions the way out. directory: what name lies in, or NULL. False.
 */
bool path_open_failed(Status *status, int errnum, const char *directory, const char *name);

/* The name of the operating-system user that we are, or its number; static memory. */
const char *path_user(void);

#endif
