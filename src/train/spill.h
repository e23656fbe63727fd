/*
 * spill.h: a training set, tokenized, in one file.
 *
 * A job reads its query once and writes every sample here, so that memory stays bounded however
 * many rows there are, and a resumed job trains on exactly the same data. Samples are
 * variable-length records; an index of their offsets follows the last record, then a footer with
 * count, SHA-256 of all that came before and CRC-32C of the footer itself. The reader uses pread,
 * never a mapping: a file that was cut gives STATUS_INVALID_DATA, not a signal.
 */
#ifndef BERT_TRAIN_SPILL_H
#define BERT_TRAIN_SPILL_H

#include <stdint.h>

#include "core/arena.h"
#include "core/hash.h"

/*
 * One sample: n_sequences token sequences (one; multiple choice: one per choice) back to back and
 * its labels. What the labels mean is the task's business: a class or a choice: labels (1), with a
 * teacher's logits in values (labels); several
 * labels: values (labels), 1 or 0; a value: values (1); token tasks: labels (n_tokens), -100
 * ignored; spans: labels (2) start, end; next sentence: labels (1); language modelling: none. Where
 * tokens lie in their text is kept for masking whole words and, with the texts, for answers that
 * are to be scored.
 */
typedef struct Sample
{
	uint32_t n_sequences;
	uint32_t *lengths;       /* (n_sequences) tokens */
	uint32_t n_tokens;       /* sum of lengths */
	int32_t *input_ids;      /* (n_tokens) */
	uint8_t *token_type_ids; /* (n_tokens) */
	uint32_t n_labels;
	int32_t *labels; /* (n_labels) */
	uint32_t n_values;
	float *values;    /* (n_values) */
	uint64_t row;     /* 0-based row of the query that it came from */
	uint32_t *starts; /* (n_tokens) characters, or NULL; 0 to 0 for special tokens */
	uint32_t *ends;   /* (n_tokens) or NULL, as starts */
	int32_t *words;   /* (n_tokens) or NULL; the context's words, -1 for all else */
	uint32_t n_context;
	/*
	 * (n_context) UTF-8: what an answer is part of, in a row's first window only; of other rows
	 * that are evaluated the beginning of the text
	 */
	char *context;
	uint32_t n_answer;
	char *answer; /* (n_answer) UTF-8: the right one, empty for none; of other rows the pair's */
} Sample;

#define SPILL_MAX_SEQUENCES 1024
#define SPILL_MAX_TOKENS (1u << 22)
#define SPILL_MAX_TEXT (1u << 30)

typedef struct SpillWriter SpillWriter;
typedef struct SpillReader SpillReader;

/* Creates path (which must not exist, mode 0600). */
SpillWriter *spill_create(Arena *arena, const char *path, Status *status);
bool spill_append(SpillWriter *writer, const Sample *sample, Status *status);
uint64_t spill_count(const SpillWriter *writer);

/* Writes index and footer, fsyncs and closes; digest receives the SHA-256. The file stays. */
bool spill_finish(SpillWriter *writer, unsigned char digest[SHA256_BYTES], Status *status);

/*
 * Closes without finishing and unlinks the file. Safe after spill_finish (then it does nothing);
 * NULL is allowed.
 */
void spill_abandon(SpillWriter *writer);

/* Opens and verifies a finished file completely (one sequential read). */
SpillReader *spill_open(Arena *arena, const char *path, Status *status);
void spill_close(SpillReader *reader); /* NULL is allowed */
uint64_t spill_samples(const SpillReader *reader);
const unsigned char *spill_digest(const SpillReader *reader);

/* Reads sample `index` into memory of the arena. */
bool spill_read(SpillReader *reader, uint64_t index, Arena *arena, Sample *sample, Status *status);

/*
 * order[i] = the sample that comes i-th in this epoch: a permutation of 0 .. count-1 that depends
 * on (seed, epoch) alone (Fisher-Yates over Philox).
 */
void spill_shuffle(uint64_t seed, uint64_t epoch, uint32_t count, uint32_t *order);

#endif
