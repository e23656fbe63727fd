/* catalogue_weights.h: changes to the weights' bytes that no replacement of text says. Included by
 * catalogue_cases.h. */
#ifndef BERT_TEST_CATALOGUE_WEIGHTS_H
#define BERT_TEST_CATALOGUE_WEIGHTS_H

#include "catalogue.h"

#define HEADER_LENGTH(name, value)                  \
	static void name(Folder *folder)                \
	{                                               \
		weights_set_header(folder, WEIGHTS, value); \
	}

HEADER_LENGTH(length_zero, 0)
HEADER_LENGTH(length_one, 1)
HEADER_LENGTH(length_past_file, 1000000)
HEADER_LENGTH(length_2_63, UINT64_C(1) << 63)
HEADER_LENGTH(length_2_64, UINT64_MAX)
HEADER_LENGTH(length_cuts_json, weights_header(folder, WEIGHTS) - 100)
HEADER_LENGTH(length_into_data, weights_header(folder, WEIGHTS) + 4)

/* One header from a text that is given once, or often. */
static void
repeat_header(Folder *folder, const char *begin, const char *repeated, size_t count,
			  const char *end)
{
	size_t length = strlen(repeated);
	char *text = must(arena_alloc(folder->arena, strlen(begin) + length * count + strlen(end) + 1));
	char *at = stpcpy(text, begin);

	for (size_t i = 0; i < count; i++, at += length)
		memcpy(at, repeated, length);
	strcpy(at, end);
	weights_new_header(folder, WEIGHTS, text, strlen(text));
}

#define NEW_HEADER(name, text)                                      \
	static void name(Folder *folder)                                \
	{                                                               \
		weights_new_header(folder, WEIGHTS, text, sizeof text - 1); \
	}

NEW_HEADER(header_bom, "\xEF\xBB\xBF{}")
NEW_HEADER(header_array, "[1, 2]")
NEW_HEADER(header_string, "\"text\"")
NEW_HEADER(header_number, "12345")
NEW_HEADER(header_nul, "{}\0\0\0\0")
NEW_HEADER(header_open_string, "{\"a")
NEW_HEADER(header_nan, "{\"a\":NaN}")
NEW_HEADER(header_comment, "{} // none")
NEW_HEADER(header_single_quotes, "{'a':1}")
NEW_HEADER(header_lone_surrogate, "{\"\\ud800\":1}")
NEW_HEADER(header_empty_object, "{}")

static void
header_over_cap(Folder *folder)
{
	repeat_header(folder, "{", " ", (size_t) 16 * 1024 * 1024, "}");
}

static void
header_deep(Folder *folder)
{
	repeat_header(folder, "{\"a\":", "[", 100000, "");
}

static void
header_deep_objects(Folder *folder)
{
	repeat_header(folder, "", "{\"a\":", 100000, "");
}

static void
header_long_name(Folder *folder)
{
	repeat_header(folder, "{\"", "n", 65536, "\":" WORDS "}");
}

static void
header_rank_1000(Folder *folder)
{
	repeat_header(folder, "{\"t\":{\"dtype\":\"F32\",\"shape\":[", "1,", 999,
				  "1],\"data_offsets\":[0,4]}}");
}

/* count tensors without elements */
static void
many_tensors(Folder *folder, int count)
{
	char *text = must(arena_alloc(folder->arena, (size_t) count * 64 + 2));
	char *at = stpcpy(text, "{");

	for (int i = 0; i < count; i++)
		at += sprintf(at, "%s\"%d\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}",
					  i == 0 ? "" : ",", i);
	strcpy(at, "}");
	weights_new_header(folder, WEIGHTS, text, strlen(text));
}

static void
seventy_thousand_tensors(Folder *folder)
{
	many_tensors(folder, 70000);
}

static void
million_tensors(Folder *folder)
{
	many_tensors(folder, 1000000);
}

static void
weights_one_byte_short(Folder *folder)
{
	folder_find(folder, WEIGHTS)->size--;
}

static void
weights_header_only(Folder *folder)
{
	folder_find(folder, WEIGHTS)->size = 8 + weights_header(folder, WEIGHTS);
}

static void
weights_trailing_byte(Folder *folder)
{
	folder_splice(folder, WEIGHTS, folder_find(folder, WEIGHTS)->size, 0, "x", 1);
}

static void
weights_seven_bytes(Folder *folder)
{
	folder_find(folder, WEIGHTS)->size = 7;
}

static void
header_invalid_utf8(Folder *folder)
{
	weights_replace(folder, WEIGHTS, "bert.embeddings.word", "bert.\xC0\xAF.word");
}

/* A header whose tensors begin at an odd place in the file; spaces pad it. */
static void
header_odd(Folder *folder)
{
	size_t end = 8 + weights_header(folder, WEIGHTS);

	folder_splice(folder, WEIGHTS, end, 0, "   ", 3);
	weights_set_header(folder, WEIGHTS, end - 8 + 3);
}

static void
header_padded(Folder *folder)
{
	char *spaces = must(arena_alloc(folder->arena, 5000));

	memset(spaces, ' ', 5000);
	folder_splice(folder, WEIGHTS, 8 + weights_header(folder, WEIGHTS), 0, spaces, 5000);
	weights_set_header(folder, WEIGHTS, weights_header(folder, WEIGHTS) + 5000);
}

/* The weights once more, with the first tensors declared otherwise. */
static void
remake(Folder *folder, TensorDtype dtype,
	   void (*declare)(CheckpointDeclaration *tensors, size_t *count))
{
	CheckpointDeclaration *tensors;
	size_t count = folder_declare(folder, HEAD_SEQUENCE_CLASSIFICATION, dtype, &tensors);

	if (declare != NULL)
		declare(tensors, &count);
	weights_make(folder, WEIGHTS, tensors, count);
}

static void
weights_f16(Folder *folder)
{
	remake(folder, DTYPE_F16, NULL);
}

static void
weights_bf16(Folder *folder)
{
	remake(folder, DTYPE_BF16, NULL);
}

static void
declare_i8(CheckpointDeclaration *tensors, size_t *count)
{
	(void) count;
	tensors[0].dtype = DTYPE_I8;
}

static void
declare_i8_scale(CheckpointDeclaration *tensors, size_t *count)
{
	tensors[0].dtype = DTYPE_I8;
	tensors[*count] =
		(CheckpointDeclaration){"bert.embeddings.word_embeddings.weight.scale", DTYPE_F32, 1, {12}};
	++*count;
}

static void
declare_i8_short_scale(CheckpointDeclaration *tensors, size_t *count)
{
	declare_i8_scale(tensors, count);
	tensors[*count - 1].shape[0] = 11;
}

static void
declare_i8_half_scale(CheckpointDeclaration *tensors, size_t *count)
{
	declare_i8_scale(tensors, count);
	tensors[*count - 1].dtype = DTYPE_F16;
}

static void
declare_hole(CheckpointDeclaration *tensors, size_t *count)
{
	tensors[6] = tensors[--*count];
}

static void
declare_no_head(CheckpointDeclaration *tensors, size_t *count)
{
	(void) tensors;
	*count -= 2;
}

static void
declare_extra(CheckpointDeclaration *tensors, size_t *count)
{
	tensors[*count] = (CheckpointDeclaration){"bert.encoder.something.else", DTYPE_F32, 2, {2, 3}};
	++*count;
	tensors[*count] = (CheckpointDeclaration){"bert.embeddings.position_ids", DTYPE_F32, 2, {1, 8}};
	++*count;
}

static void
declare_old_names(CheckpointDeclaration *tensors, size_t *count)
{
	(void) count;
	tensors[3].name = "bert.embeddings.LayerNorm.gamma";
	tensors[4].name = "bert.embeddings.LayerNorm.beta";
}

static void
declare_no_prefix(CheckpointDeclaration *tensors, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		if (strncmp(tensors[i].name, "bert.", 5) == 0)
			tensors[i].name += 5;
}

static void
declare_gamma_and_weight(CheckpointDeclaration *tensors, size_t *count)
{
	tensors[*count] = tensors[3];
	tensors[*count].name = "bert.embeddings.LayerNorm.gamma";
	++*count;
}

static void
declare_both_prefixes(CheckpointDeclaration *tensors, size_t *count)
{
	tensors[*count] = tensors[0];
	tensors[*count].name += 5;
	++*count;
}

static void
declare_transposed(CheckpointDeclaration *tensors, size_t *count)
{
	(void) count;
	tensors[0].shape[0] = 4;
	tensors[0].shape[1] = 12;
}

static void
declare_wide(CheckpointDeclaration *tensors, size_t *count)
{
	(void) count;
	tensors[0].shape[1] = 5;
}

#define REMAKE(name, declare)               \
	static void name(Folder *folder)        \
	{                                       \
		remake(folder, DTYPE_F32, declare); \
	}

REMAKE(weights_i8, declare_i8_scale)
REMAKE(weights_i8_no_scale, declare_i8)
REMAKE(weights_i8_short_scale, declare_i8_short_scale)
REMAKE(weights_i8_half_scale, declare_i8_half_scale)
REMAKE(weights_hole, declare_hole)
REMAKE(weights_no_head, declare_no_head)
REMAKE(weights_extra, declare_extra)
REMAKE(weights_old_names, declare_old_names)
REMAKE(weights_no_prefix, declare_no_prefix)
REMAKE(weights_gamma_and_weight, declare_gamma_and_weight)
REMAKE(weights_both_prefixes, declare_both_prefixes)
REMAKE(weights_transposed, declare_transposed)
REMAKE(weights_wide, declare_wide)

/* Puts bytes over element 5 of the first tensor. */
static void
poke(Folder *folder, const char *bytes, size_t size)
{
	memcpy(folder_find(folder, WEIGHTS)->bytes + 8 + weights_header(folder, WEIGHTS) + 5 * size,
		   bytes, size);
}

static void
weights_nan(Folder *folder)
{
	poke(folder, "\x00\x00\xC0\x7F", 4);
}

static void
weights_infinite(Folder *folder)
{
	poke(folder, "\x00\x00\x80\x7F", 4);
}

static void
weights_minus_infinite(Folder *folder)
{
	poke(folder, "\x00\x00\x80\xFF", 4);
}

/* 2^128 is finite, and no float. */
static void
weights_f64_beyond(Folder *folder)
{
	remake(folder, DTYPE_F64, NULL);
	poke(folder, "\x00\x00\x00\x00\x00\x00\xF0\x47", 8);
}

static void
weights_f64(Folder *folder)
{
	remake(folder, DTYPE_F64, NULL);
}

static void
weights_f16_infinite(Folder *folder)
{
	weights_f16(folder);
	poke(folder, "\x00\x7C", 2);
}

static void
weights_bf16_nan(Folder *folder)
{
	weights_bf16(folder);
	poke(folder, "\xC1\x7F", 2);
}

static void
weights_scale_nan(Folder *folder)
{
	FolderFile *file;

	weights_i8(folder);
	file = folder_find(folder, WEIGHTS);
	memcpy(file->bytes + file->size - 4, "\x00\x00\xC0\x7F", 4);
}

/* Two shards that hold the same tensors. */
static void
shards_repeat(Folder *folder)
{
	FolderFile *first = folder_find(folder, FIRST_SHARD);

	folder_put(folder, "model-00002-of-00002.safetensors", first->bytes, first->size);
}

static void
shard_truncated(Folder *folder)
{
	folder_find(folder, FIRST_SHARD)->size -= 10;
}

static void
pickle_only(Folder *folder)
{
	folder_remove(folder, WEIGHTS);
	folder_put(folder, "pytorch_model.bin", "PK\003\004", 4);
}

static void
keras_only(Folder *folder)
{
	folder_remove(folder, WEIGHTS);
	folder_put(folder, "tf_model.h5", "\x89HDF", 4);
}

static void
weights_zip(Folder *folder)
{
	folder_put(folder, WEIGHTS, "PK\003\004\000\000\010\010\000\000\000\000", 12);
}

static void
weights_pickle(Folder *folder)
{
	folder_put(folder, WEIGHTS, "\200\002}q\000(X\004\000\000\000", 12);
}

#endif
