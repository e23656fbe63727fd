/*
 * pipeline.h: the stages of a composed tokenizer as tokenizer.json describes them: normalizers,
 * pre-tokenizers, post-processor and decoders, and the switches of the model. A stage, a type or a
 * member that is not known is refused by its name.
 *
 * A pipeline is kept as JSON (pipeline_write gives the canonical text); the character map of a
 * Precompiled normalizer is not in it but in the vocabulary (pieces.h).
 */
#ifndef BERT_FILES_PIPELINE_H
#define BERT_FILES_PIPELINE_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/status.h"

struct json_t;

#define PIPELINE_STEPS 32    /* of each kind */
#define TEMPLATE_PIECES 64   /* of each template */
#define PIPELINE_MAX_TEXT 64 /* bytes of a pattern, a replacement or a prefix */
#define TEMPLATE_FIRST (-1)
#define TEMPLATE_SECOND (-2)

typedef enum TokenizerKind
{
	TOKENIZER_BERT,    /* WordPiece with the normalizer and the pre-tokenizer of BERT */
	TOKENIZER_UNIGRAM, /* what follows is composed of stages */
	TOKENIZER_BPE
} TokenizerKind;

typedef enum StepKind
{
	/* normalizers */
	STEP_PRECOMPILED = 1,
	STEP_NFC,
	STEP_NFD,
	STEP_NFKC,
	STEP_NFKD,
	STEP_NMT,
	STEP_LOWERCASE,
	STEP_STRIP, /* flags: STEP_LEFT, STEP_RIGHT */
	STEP_STRIP_ACCENTS,
	STEP_REPLACE,     /* text by content */
	STEP_REPLACE_RUN, /* count or more of the character text, or of white space, by content */
	STEP_PREPEND,     /* text */
	/* pre-tokenizers */
	STEP_WHITESPACE_SPLIT,
	STEP_WHITESPACE,
	STEP_DIGITS,      /* flags: STEP_INDIVIDUAL */
	STEP_PUNCTUATION, /* count: SplitBehavior */
	STEP_METASPACE,   /* text: one character; count: PrependScheme; flags: STEP_SPLIT */
	STEP_BYTE_LEVEL,  /* flags: STEP_PREFIX_SPACE, STEP_REGEX */
	STEP_PATTERN,     /* count: SplitBehavior; count2: SplitPattern; flags: STEP_RUN, STEP_INVERT */
	/* decoders */
	STEP_DECODE_METASPACE, /* as STEP_METASPACE */
	STEP_DECODE_BYTE_LEVEL,
	STEP_DECODE_WORDPIECE, /* text: the prefix; flags: STEP_CLEANUP */
	STEP_DECODE_BYTE_FALLBACK,
	STEP_DECODE_FUSE,
	STEP_DECODE_STRIP,   /* text: one character; count from the left, count2 from the right */
	STEP_DECODE_REPLACE, /* text by content */
	STEP_KINDS
} StepKind;

#define STEP_LEFT 1
#define STEP_RIGHT 2
#define STEP_INDIVIDUAL 4
#define STEP_SPLIT 8
#define STEP_PREFIX_SPACE 16
#define STEP_REGEX 32
#define STEP_CLEANUP 64
#define STEP_ANY_SPACE 128 /* STEP_REPLACE_RUN: of any white space */
#define STEP_RUN 256       /* a match is as many characters of the class as there are */
#define STEP_INVERT 512    /* what lies between the matches counts as matched */

typedef enum SplitBehavior
{
	SPLIT_ISOLATED,
	SPLIT_REMOVED,
	SPLIT_MERGED_WITH_PREVIOUS,
	SPLIT_MERGED_WITH_NEXT,
	SPLIT_CONTIGUOUS
} SplitBehavior;

/* What a Split looks for: a character of a class, or a run of them, or the words of GPT-2. */
typedef enum SplitPattern
{
	PATTERN_CHARACTER, /* the step's text */
	PATTERN_SPACE,     /* white space */
	PATTERN_DIGIT,     /* 0 to 9 */
	PATTERN_NUMBER,    /* of the Unicode category N */
	PATTERN_WORDS,     /* those of byte-level BPE, which leave nothing between them */
	PATTERN_COUNT
} SplitPattern;

typedef enum PrependScheme
{
	PREPEND_ALWAYS,
	PREPEND_FIRST,
	PREPEND_NEVER
} PrependScheme;

typedef struct PipelineStep
{
	StepKind kind;
	uint32_t flags;
	uint32_t count;
	uint32_t count2;
	const char *text; /* NUL-terminated; so is content */
	const char *content;
} PipelineStep;

typedef struct TemplatePiece
{
	int32_t what; /* a token's id, TEMPLATE_FIRST or TEMPLATE_SECOND */
	int32_t type; /* its token type */
} TemplatePiece;

typedef struct StepList
{
	size_t n;
	PipelineStep steps[PIPELINE_STEPS];
} StepList;

typedef struct TokenTemplate
{
	size_t n;
	TemplatePiece pieces[TEMPLATE_PIECES];
} TokenTemplate;

typedef struct Pipeline
{
	TokenizerKind kind;
	StepList normalizers;
	StepList pre_tokenizers;
	StepList decoders;
	TokenTemplate single; /* what a text becomes */
	TokenTemplate pair;
	bool trim_offsets;      /* white space at a token's ends is left out of its offsets */
	bool trim_prefix_space; /* but for the one that was put before the text */
	int32_t unk_id;         /* Unigram */
	bool byte_fallback;     /* Unigram */
	bool scores_as_read;    /* Unigram: by the reference from tokenizer.json, see scores.h */
	bool ignore_merges;     /* BPE */
} Pipeline;

/* One part of tokenizer.json each; NULL or JSON's null where there is none. */
typedef struct PipelineParts
{
	const struct json_t *model; /* without vocabulary and merges: type, unk_id ... */
	const struct json_t *normalizer;
	const struct json_t *pre_tokenizer;
	const struct json_t *post_processor;
	const struct json_t *decoder;
} PipelineParts;

bool pipeline_read(Arena *arena, const PipelineParts *parts, Pipeline *out, Status *status);

/*
 * The canonical text, from parts that pipeline_read takes. A character map in them is left out; the
 * one of the first Precompiled normalizer is decoded into *charsmap if that is not NULL.
 */
char *pipeline_write(Arena *arena, const PipelineParts *parts, unsigned char **charsmap,
					 size_t *charsmap_length, Status *status);

/* pipeline_read of a text of pipeline_write. */
bool pipeline_parse(Arena *arena, const char *text, Pipeline *out, Status *status);

#endif
