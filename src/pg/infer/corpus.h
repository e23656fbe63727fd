/* corpus.h: the texts of a query of one column. */
#ifndef BERT_PG_INFER_CORPUS_H
#define BERT_PG_INFER_CORPUS_H

typedef void (*VisitText)(void *context, const char *utf8, size_t length);

/*
 * Calls `visit` for the texts of the query's only column, NULLs left out. The query is read as the
 * current user, through a read-only cursor. SPI must be connected. name: what the query is called
 * in messages.
 */
extern void visit_texts(const char *query, const char *name, VisitText visit, void *context);

#endif
