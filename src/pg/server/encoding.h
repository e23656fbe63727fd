/* encoding.h: between the database's encoding and the UTF-8 of the plain C layers. */
#ifndef BERT_PG_SERVER_ENCODING_H
#define BERT_PG_SERVER_ENCODING_H

/*
 * Text as UTF-8: the same bytes where nothing has to be converted, else palloc'd and
 * NUL-terminated; 22021 and the like where it cannot be.
 */
extern const char *encoding_to_utf8(const char *text, size_t length, size_t *out_length);

/* UTF-8 for showing: what the database's encoding cannot hold becomes "?"; palloc'd. */
extern char *encoding_to_server_lossy(const char *utf8);

#endif
