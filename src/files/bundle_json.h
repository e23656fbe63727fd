/* bundle_json.h: bundle.json, which says what a bundled model's folder is (models/README.md). */
#ifndef BERT_FILES_BUNDLE_JSON_H
#define BERT_FILES_BUNDLE_JSON_H

#include "core/arena.h"
#include "core/status.h"

typedef struct BundleInfo
{
	const char *encoder;     /* the folder that has the rest, or NULL */
	const char *description; /* or NULL */
	const char *precision;   /* or NULL */
	size_t n_tasks;
	const char **tasks;
} BundleInfo;

bool bundle_json_parse(Arena *arena, const char *text, size_t length, BundleInfo *info,
					   Status *status);

#endif
