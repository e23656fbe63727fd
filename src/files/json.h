/*
 * json.h: JSON from untrusted files, through jansson: duplicate names rejected, size and depth
 * bounded, values read with the type they must have. A document that was parsed lies in the arena,
 * and goes with it: it is neither changed nor given back with json_decref. Parsing asks the arena's
 * "may I go on?" every kilobyte.
 */
#ifndef BERT_FILES_JSON_H
#define BERT_FILES_JSON_H

#include <stddef.h>

#include <jansson.h>

#include "core/arena.h"
#include "core/status.h"
#include "files/source.h"

#define JSON_MAX_DEPTH 64
#define JSON_MAX_STRING ((size_t) 16 * 1024 * 1024) /* bytes of one text */
#define JSON_MAX_MEMBERS ((size_t) 1 << 21)         /* of all objects together */

/* Parses an array or an object. name: for messages. NULL and *status on failure. */
json_t *json_open_array(Arena *arena, const char *name, const char *text, size_t length,
						size_t max_length, Status *status);
json_t *json_open_object(Arena *arena, const char *name, const char *text, size_t length,
						 size_t max_length, Status *status);

/*
 * A file of a model, an array or an object; *out is NULL, and the result true, when there is none.
 */
bool json_read_array(Arena *arena, ModelSource *source, const char *name, size_t max_length,
					 json_t **out, Status *status);
bool json_read_object(Arena *arena, ModelSource *source, const char *name, size_t max_length,
					  json_t **out, Status *status);

/*
 * Members of an object. Absent or null leaves *out alone; a wrong type or a value outside [minimum,
 * maximum] is STATUS_INVALID_DATA naming the member.
 */
bool json_get_int(const json_t *object, const char *name, long long minimum, long long maximum,
				  int *out, Status *status);
bool json_get_float(const json_t *object, const char *name, double minimum, double maximum,
					float *out, Status *status);
bool json_get_bool(const json_t *object, const char *name, bool *out, Status *status);
bool json_get_string(const json_t *object, const char *name, Arena *arena, const char **out,
					 Status *status);

/*
 * From here to json_write the values of a large document lie in the arena, which saves the walk
 * through them at the end. Nothing else is parsed or given back in between.
 */
void json_build(Arena *arena);

/*
 * Writing: json_put takes the value over and clears *complete when it could not be stored;
 * json_write gives the document as text in the arena and closes it, or NULL and *status. flags are
 * those of json_dumps.
 */
void json_put(json_t *object, const char *name, json_t *value, bool *complete);
char *json_write(Arena *arena, json_t *document, size_t flags, bool complete, const char *name,
				 Status *status);

#endif
