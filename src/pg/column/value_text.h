/* value_text.h: values of columns as text, the same whatever the settings of who reads them. */
#ifndef BERT_PG_COLUMN_VALUE_TEXT_H
#define BERT_PG_COLUMN_VALUE_TEXT_H

#include "fmgr.h"

/* Its values read the same whatever the settings. */
extern bool value_type_is_plain(Oid type);

/* Between the two, values become text, and text values, the same way for everybody. */
extern int value_text_begin(void);
extern void value_text_end(int level);

/* How values of one type become text. */
typedef struct ValueText
{
	bool padded;
	bool plain; /* needs neither of the two above */
	FmgrInfo output;
} ValueText;

extern void value_text_describe(ValueText *value, Oid type);
/* char(n) without what fills it up */
extern char *value_text(ValueText *value, Datum datum);

#endif
