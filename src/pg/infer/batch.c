/* batch.c: inputs to tokens, and how much memory their computation takes. */
#include "pg/server/compat.h"

#include "utils/builtins.h"

#include "core/names.h"
#include "pg/infer/batch.h"
#include "pg/server/detoast.h"
#include "pg/server/memory.h"
#include "pg/server/progress.h"
#include "pg/server/errors.h"

Overflow
overflow_argument(FunctionCallInfo fcinfo, int argument)
{
	static const char *const names[] = {"truncate", "window", "error"};
	Status status;
	int overflow = OVERFLOW_TRUNCATE;

	if (!PG_ARGISNULL(argument))
	{
		overflow = name_parse(text_to_cstring(ARGUMENT_TEXT(argument)), "overflow", names,
							  lengthof(names), &status);
		REPORT_UNLESS(overflow >= 0, &status);
	}
	return (Overflow) overflow;
}

size_t
count_tokens(Call *call, const InputText *input)
{
	size_t count;
	Status status;

	REPORT_UNLESS(tokenizer_count(call->handle->tokenizer, call->arena, input->utf8, input->length,
								  &backend_may_continue, &count, &status),
				  &status);
	return count;
}

void
encode_with(Call *call, const InputText *input, const InputText *pair, const EncodeOptions *options,
			EncodeResult *encoded)
{
	Status status;

	REPORT_UNLESS(tokenizer_encode(call->handle->tokenizer, call->arena,
								   &(EncodeInput){input->utf8, input->length,
												  pair == NULL ? NULL : pair->utf8,
												  pair == NULL ? 0 : pair->length},
								   options, &backend_may_continue, encoded, &status),
				  &status);
}

static void
refuse_overflow(Call *call, const InputText *input, const InputText *pair, bool by_choice)
{
	size_t count = count_tokens(call, input) + 2;

	if (pair != NULL)
		count += count_tokens(call, pair) + 1;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the input of %zu tokens is longer than the %d that model \"%s\" reads", count,
					call->handle->max_length, call->handle->name),
			 by_choice
				 ? errhint("Cut the text with bert.chunk, or use overflow truncate or window.")
				 : errhint("Cut the text with bert.chunk.")));
}

/* Windows over the longer of two texts, each with the whole of the shorter. */
static void
pair_windows(Call *call, const InputText *input, const InputText *pair, EncodeOptions *options)
{
	size_t first = count_tokens(call, input);
	size_t second = count_tokens(call, pair);

	if (Min(first, second) + 3 >= (size_t) options->max_length)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("texts of %zu and %zu tokens cannot be read in windows of %d tokens",
							   first, second, options->max_length),
						errdetail("A window holds the shorter text whole."),
						errhint("Use overflow truncate.")));
	options->truncation = first > second ? TRUNCATE_ONLY_FIRST : TRUNCATE_ONLY_SECOND;
}

static int64
tokens_of(const EncodeResult *encoded)
{
	int64 tokens = 0;

	for (size_t w = 0; w < encoded->n_windows; w++)
		tokens += (int64) encoded->windows[w].n;
	return tokens;
}

/* The text with the call's prompt before it. */
static InputText
put_prompt(Call *call, const InputText *input)
{
	size_t length = strlen(call->prompt);
	char *bytes = call_take(call, length + input->length + 1, 1, "a text with its prompt");
	InputText prompted = *input;

	memcpy(bytes, call->prompt, length);
	memcpy(bytes + length, input->utf8, input->length);
	prompted.bytes = prompted.utf8 = bytes;
	prompted.n_bytes = prompted.length = length + input->length;
	return prompted;
}

void
encode_input(Call *call, const InputText *input, const InputText *pair, Overflow overflow,
			 EncodeResult *encoded)
{
	EncodeOptions options = {.special_tokens = true,
							 .truncation = TRUNCATE_LONGEST_FIRST,
							 .max_length = call->handle->max_length};
	InputText prompted;

	if (pair == NULL && call->prompt[0] != '\0')
	{
		prompted = put_prompt(call, input);
		input = &prompted;
	}
	encode_with(call, input, pair, &options, encoded);
	if (encoded->truncated && overflow >= OVERFLOW_ERROR)
		refuse_overflow(call, input, pair, overflow == OVERFLOW_ERROR);
	if (encoded->truncated && overflow == OVERFLOW_WINDOW)
	{
		options.truncation = TRUNCATE_ONLY_FIRST;
		options.overflow = true;
		if (pair != NULL)
			pair_windows(call, input, pair, &options);
		encode_with(call, input, pair, &options, encoded);
	}
	else if (encoded->truncated)
		call->counted.truncations++;
	call_count_text(call, tokens_of(encoded));
}

void
encode_words(Call *call, const InputText *input, EncodeResult *encoded)
{
	int most = tokenizer_max_length(call->handle->tokenizer);
	EncodeOptions options = {.truncation = most > 0 ? TRUNCATE_LONGEST_FIRST : TRUNCATE_NONE,
							 .max_length = most};
	InputText prompted = *input;

	if (call->prompt[0] != '\0')
		prompted = put_prompt(call, input);
	encode_with(call, &prompted, NULL, &options, encoded);
	call->counted.truncations += encoded->truncated;
	call_count_text(call, tokens_of(encoded));
}

size_t
count_prompt_tokens(Call *call)
{
	EncodeOptions options = {.special_tokens = true,
							 .truncation = TRUNCATE_LONGEST_FIRST,
							 .max_length = call->handle->max_length};
	InputText prompt = {.utf8 = call->prompt, .length = strlen(call->prompt)};
	EncodeResult encoded;
	const Encoding *encoding;

	encode_with(call, &prompt, NULL, &options, &encoded);
	encoding = &encoded.windows[0];
	/* the special token at the end comes after the text, not after the prompt */
	return encoding->n - (encoding->n > 0 && encoding->sequences[encoding->n - 1] < 0 ? 1 : 0);
}

int
window_stride(const ModelHandle *handle, int wanted)
{
	int room = handle->max_length - tokenizer_special_count(handle->tokenizer, false);

	return wanted < room ? wanted : room / 2;
}

void
encode_windows(Call *call, const InputText *input, int stride, EncodeResult *encoded)
{
	EncodeOptions options = {.special_tokens = true,
							 .truncation = TRUNCATE_ONLY_FIRST,
							 .max_length = call->handle->max_length,
							 .stride = stride,
							 .overflow = true};

	encode_with(call, input, NULL, &options, encoded);
	call_count_text(call, tokens_of(encoded));
	progress_phase("computing", "windows", (int64) encoded->n_windows);
	progress_follow(0);
}

/* The bytes that the forward pass takes, and where n_rows rows of the head are wanted, these. */
static void
memory_needed(const BertModel *model, const Batch *batch, const ForwardWants *wants, size_t n_rows,
			  size_t needed[2])
{
	Status status;

	needed[1] = 0;
	REPORT_UNLESS(encoder_forward_memory(model, batch, wants, &needed[0], &status), &status);
	if (n_rows > 0)
		REPORT_UNLESS(head_forward_memory(model, n_rows, &needed[1], &status), &status);
}

bool
memory_suffices(const BertModel *model, const Batch *batch, const ForwardWants *wants)
{
	size_t needed[2];

	memory_needed(model, batch, wants, 0, needed);
	return needed[0] <= memory_limit();
}

void
check_memory(Call *call, const BertModel *model, const Batch *batch, const ForwardWants *wants,
			 size_t n_rows)
{
	size_t limit = memory_limit();
	size_t needed[2];

	memory_needed(model, batch, wants, n_rows, needed);
	if (needed[0] > limit || needed[1] > limit - needed[0])
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("the call needs %zu MB of memory, %s is %zu MB",
							   needed[0] / 1048576 + needed[1] / 1048576 + 1, memory_limit_name(),
							   limit / 1048576),
						errhint("Raise %s, or give fewer or shorter inputs at a time.",
								memory_limit_name())));
}
