/* mine_options.h: the options of bert.mine_negatives. */
#ifndef BERT_PG_JOB_MINE_OPTIONS_H
#define BERT_PG_JOB_MINE_OPTIONS_H

#include "utils/jsonb.h"

#include "pg/job/mine_table.h"
#include "train/mining.h"

typedef struct MineOptions
{
	MiningOptions mining;
	char *corpus_query; /* NULL: none */
	MineTable corpus;   /* searched where it lies */
	int threads;
} MineOptions;

/* All values set; strings are palloc'd. */
extern void mine_options_read(Jsonb *options, MineOptions *out);

#endif
