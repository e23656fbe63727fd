/* launcher.h: the process that visits every database, where the library is preloaded. */
#ifndef BERT_PG_LAUNCHER_H
#define BERT_PG_LAUNCHER_H

extern void launcher_init(void);

extern PGDLLEXPORT void bert_launcher_main(Datum unused);
extern PGDLLEXPORT void bert_visitor_main(Datum database);

#endif
