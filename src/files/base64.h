/* base64.h: bytes as text of RFC 4648, as JSON files hold them. */
#ifndef BERT_FILES_BASE64_H
#define BERT_FILES_BASE64_H

#include <stddef.h>

#include "core/arena.h"
#include "core/status.h"

/* The bytes in the arena; what is not base64 with its padding is STATUS_INVALID_DATA. */
bool base64_decode(Arena *arena, const char *text, size_t length, unsigned char **out,
				   size_t *out_length, Status *status);

/* NUL-terminated text in the arena; NULL when there is no memory. */
char *base64_encode(Arena *arena, const unsigned char *bytes, size_t length);

#endif
