/*
 * output_folder.h: a new directory that is there whole or not at all.
 *
 * Everything is written below a random name beside the directory, which takes its place at the end
 * by a rename. All work is relative to descriptors that are held, no symbolic link is followed in
 * any part of the path, and only what this folder has made itself is ever removed: its files by
 * name from its descriptor, then the directory, if the name still leads to it.
 *
 * Between begin and commit the caller must arrange for output_folder_abandon at errors and at the
 * process's exit (PG_ENSURE_ERROR_CLEANUP).
 */
#ifndef BERT_PG_MODEL_OUTPUT_FOLDER_H
#define BERT_PG_MODEL_OUTPUT_FOLDER_H

#include <sys/stat.h>

#include "core/status.h"
#include "nodes/pg_list.h"

typedef struct OutputFolder
{
	char *path;   /* what it shall be called: absolute, canonical */
	char *parent; /* the directory it lies in, for messages */
	char *name;   /* its last component */
	char temporary[64];
	int parent_fd;
	int fd;    /* of the directory being written, -1 before */
	bool made; /* the temporary directory is ours */
	struct stat identity;
	List *entries; /* OutputEntry *: of it, newest first */
	MemoryContext context;
	char *file_path; /* the file being written */
	int file_fd;     /* -1: none */
} OutputFolder;

/* Before begin: the state in which abandon has nothing to do. */
extern void output_folder_init(OutputFolder *folder, const char *path);

/*
 * path: absolute; must not exist or be an empty directory (42710 and the like); its parent must
 * exist. Errors of the system name the directory, the operating-system user and the way out.
 */
extern void output_folder_begin(OutputFolder *folder);
extern void output_folder_make(OutputFolder *folder, const char *name);
extern void output_folder_write(OutputFolder *folder, const char *name, const char *text,
								size_t length);

/* For what is written in pieces. output_write is a CheckpointWriter's write: errors by status. */
extern void output_open(OutputFolder *folder, const char *name);
extern bool output_write(void *folder, const void *bytes, size_t length, Status *status);
extern void output_close(OutputFolder *folder);

/* Syncs and renames; afterwards abandon has nothing to do. */
extern void output_folder_commit(OutputFolder *folder);

/* Removes what was made; raises no error. */
extern void output_folder_abandon(OutputFolder *folder);

#endif
