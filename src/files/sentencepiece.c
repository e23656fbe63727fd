/* sentencepiece.c: protocol buffers, as far as a SentencePiece model needs them. */
#include "files/sentencepiece.h"

#include <string.h>

#include "core/bulk.h"
#include "files/config.h"

#define ASK_PIECES 8192

/* Field numbers and wire types of sentencepiece_model.proto. */
#define WIRE_VARINT 0
#define WIRE_64 1
#define WIRE_BYTES 2
#define WIRE_32 5
#define MODEL_PIECE 1
#define MODEL_TRAINER 2
#define MODEL_NORMALIZER 3
#define PIECE_TEXT 1
#define PIECE_SCORE 2
#define PIECE_TYPE 3
#define TRAINER_MODEL_TYPE 3
#define NORMALIZER_CHARSMAP 2

#define MODEL_TYPE_UNIGRAM 1
#define PIECE_CONTROL 3
#define PIECE_USER_DEFINED 4

/* A message, or what is left of it. */
typedef struct Message
{
	const unsigned char *at;
	const unsigned char *end;
} Message;

typedef struct Field
{
	uint64_t number;
	int wire;
	uint64_t value; /* of a varint, or of 32 or 64 bits */
	Message bytes;
} Field;

static bool
damaged(Status *status)
{
	return status_fail(status, STATUS_INVALID_DATA, "it is not a SentencePiece model");
}

static bool
take_varint(Message *message, uint64_t *value)
{
	*value = 0;
	for (int shift = 0; shift < 64 && message->at < message->end; shift += 7)
	{
		unsigned char byte = *message->at++;

		*value |= (uint64_t) (byte & 0x7F) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

static bool
take_fixed(Message *message, int bytes, uint64_t *value)
{
	*value = 0;
	if (message->end - message->at < bytes)
		return false;
	for (int i = 0; i < bytes; i++)
		*value |= (uint64_t) *message->at++ << (8 * i);
	return true;
}

/* The next field; false at damage, so check for the end before. */
static bool
take_field(Message *message, Field *field)
{
	uint64_t key;
	uint64_t length;

	if (!take_varint(message, &key))
		return false;
	field->number = key >> 3;
	field->wire = (int) (key & 7);
	switch (field->wire)
	{
		case WIRE_VARINT:
			return take_varint(message, &field->value);
		case WIRE_64:
			return take_fixed(message, 8, &field->value);
		case WIRE_32:
			return take_fixed(message, 4, &field->value);
		case WIRE_BYTES:
			if (!take_varint(message, &length) || length > (uint64_t) (message->end - message->at))
				return false;
			field->bytes = (Message){message->at, message->at + length};
			message->at += length;
			return true;
		default: /* groups have never been used here */
			return false;
	}
}

/* UTF-8 without zero bytes, as JSON can say it again. */
static bool
is_text(const unsigned char *at, size_t length)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

	for (const unsigned char *end = at + length; at < end;)
	{
		int trail = *at < 0x80 ? 0 : *at < 0xE0 ? 1 : *at < 0xF0 ? 2 : 3;
		uint32_t c = trail == 0 ? *at : *at & (0x3Fu >> trail);

		if (*at == 0 || (*at >= 0x80 && *at < 0xC2) || *at > 0xF4 || end - at <= trail)
			return false;
		at++;
		for (int i = 0; i < trail; i++, at++)
		{
			if ((*at & 0xC0) != 0x80)
				return false;
			c = c << 6 | (*at & 0x3F);
		}
		if (c < least[trail] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
			return false;
	}
	return true;
}

static bool
read_piece(Message message, SentencePiece *piece, uint64_t *type)
{
	*piece = (SentencePiece){.text = ""};
	*type = 1;
	while (message.at < message.end)
	{
		Field field;

		if (!take_field(&message, &field))
			return false;
		if (field.number == PIECE_TEXT && field.wire == WIRE_BYTES)
		{
			piece->text = (const char *) field.bytes.at;
			piece->length = (size_t) (field.bytes.end - field.bytes.at);
		}
		else if (field.number == PIECE_SCORE && field.wire == WIRE_32)
		{
			uint32_t bits = (uint32_t) field.value;

			memcpy(&piece->score, &bits, sizeof piece->score);
		}
		else if (field.number == PIECE_TYPE && field.wire == WIRE_VARINT)
			*type = field.value;
	}
	return piece->length <= PIECES_MAX_LENGTH &&
		   is_text((const unsigned char *) piece->text, piece->length) && piece->score > -1e30F &&
		   piece->score < 1e30F;
}

/* What is in a message of other settings: one number, one text. */
static bool
read_settings(Message message, uint64_t number, Field *out)
{
	while (message.at < message.end)
	{
		Field field;

		if (!take_field(&message, &field))
			return false;
		if (field.number == number)
			*out = field;
	}
	return true;
}

static bool
add_piece(Arena *arena, const SentencePiece *piece, uint64_t type, SentencePieceModel *out,
		  Status *status)
{
	AddedToken token = {.id = -1, .special = type == PIECE_CONTROL};

	if (type != PIECE_CONTROL && type != PIECE_USER_DEFINED)
		return true;
	if (piece->length == 0)
		return damaged(status);
	token.content = arena_strndup(arena, piece->text, piece->length);
	if (token.content == NULL)
		return arena_fail(arena, status, "a token", piece->length);
	return added_tokens_put(out->added, &out->n_added, &token, status);
}

static bool
count_pieces(Message message, size_t *n)
{
	*n = 0;
	while (message.at < message.end)
	{
		Field field;

		if (!take_field(&message, &field))
			return false;
		*n += field.number == MODEL_PIECE && field.wire == WIRE_BYTES;
	}
	return *n > 0 && *n <= CONFIG_MAX_VOCAB;
}

/* A field of the model; *type: of the algorithm. */
static bool
read_field(Arena *arena, const Field *field, SentencePieceModel *out, uint64_t *type,
		   Status *status)
{
	Field found = {0};
	uint64_t piece_type;

	if (field->wire != WIRE_BYTES)
		return true;
	if (field->number == MODEL_PIECE)
	{
		SentencePiece *piece = &out->pieces[out->n++];

		return read_piece(field->bytes, piece, &piece_type)
				   ? add_piece(arena, piece, piece_type, out, status)
				   : damaged(status);
	}
	if (field->number == MODEL_TRAINER)
	{
		if (!read_settings(field->bytes, TRAINER_MODEL_TYPE, &found))
			return damaged(status);
		if (found.number != 0)
			*type = found.wire == WIRE_VARINT ? found.value : 0;
	}
	else if (field->number == MODEL_NORMALIZER)
	{
		if (!read_settings(field->bytes, NORMALIZER_CHARSMAP, &found))
			return damaged(status);
		if (found.number != 0 && found.wire == WIRE_BYTES)
		{
			out->charsmap = found.bytes.at;
			out->charsmap_length = (size_t) (found.bytes.end - found.bytes.at);
		}
	}
	return true;
}

bool
sentencepiece_read(Arena *arena, const char *bytes, size_t length, SentencePieceModel *out,
				   Status *status)
{
	Message message = {(const unsigned char *) bytes, (const unsigned char *) bytes + length};
	uint64_t type = MODEL_TYPE_UNIGRAM;
	size_t n;

	memset(out, 0, sizeof *out);
	if (!count_pieces(message, &n))
		return damaged(status);
	out->pieces = arena_alloc_array(arena, n, sizeof *out->pieces);
	out->added = arena_alloc_array_zero(arena, ADDED_TOKENS_MAX, sizeof *out->added);
	if (out->pieces == NULL || out->added == NULL)
		return arena_fail(arena, status, "the vocabulary", n * sizeof *out->pieces);
	for (size_t turn = 0; message.at < message.end; turn++)
	{
		Field field;

		if (bulk_turn(turn, ASK_PIECES) && !arena_may_continue(arena, status))
			return false;
		if (!take_field(&message, &field))
			return damaged(status);
		if (!read_field(arena, &field, out, &type, status))
			return false;
	}
	if (out->charsmap_length > PIECES_MAX_CHARSMAP)
		return damaged(status);
	return type == MODEL_TYPE_UNIGRAM ||
		   status_fail(status, STATUS_UNSUPPORTED,
					   "it is a SentencePiece model of another kind than Unigram");
}

/* --- The order of a class --- */

typedef struct Order
{
	Arena *arena;
	Pieces *out;
	char *texts;
	uint32_t *offsets;
	double *scores;
	bool too_long;
} Order;

static void
put(Order *order, const char *text, size_t length, double score)
{
	uint32_t i = order->out->n++;

	if (length > PIECES_MAX_LENGTH)
	{
		order->too_long = true;
		length = 0;
	}
	memcpy(order->texts + order->offsets[i], text, length);
	order->offsets[i + 1] = order->offsets[i] + (uint32_t) length;
	order->scores[i] = score;
}

static void
put_named(Order *order, const char *name, double score)
{
	if (name != NULL)
		put(order, name, strlen(name), score);
}

static void
put_model(Order *order, const SentencePieceModel *model, uint32_t first)
{
	for (uint32_t i = first; i < model->n; i++)
		put(order, model->pieces[i].text, model->pieces[i].length, (double) model->pieces[i].score);
}

bool
sentencepiece_order(Arena *arena, const SentencePieceModel *model, TokenizerClass class,
					const char *const names[CLASS_NAMED_TOKENS], Pieces *out, Status *status)
{
	enum
	{
		BOS,
		EOS,
		UNK,
		PAD = 4,
		MASK = 6
	};
	Order order = {.arena = arena, .out = out};
	size_t n = (size_t) model->n + CLASS_NAMED_TOKENS + 3;
	size_t bytes = CLASS_NAMED_TOKENS * PIECES_MAX_LENGTH + 64;

	for (uint32_t i = 0; i < model->n; i++)
		bytes += model->pieces[i].length;
	memset(out, 0, sizeof *out);
	order.texts = arena_alloc(arena, bytes);
	order.offsets = arena_alloc_array(arena, n + 1, sizeof *order.offsets);
	order.scores = arena_alloc_array(arena, n, sizeof *order.scores);
	if (order.texts == NULL || order.offsets == NULL || order.scores == NULL)
		return arena_fail(arena, status, "the vocabulary", bytes);
	order.offsets[0] = 0;
	if (class == CLASS_XLM_ROBERTA)
	{
		put_named(&order, names[BOS], 0);
		put_named(&order, names[PAD], 0);
		put_named(&order, names[EOS], 0);
		put_named(&order, names[UNK], 0);
		put_model(&order, model, 3);
		put_named(&order, names[MASK], 0);
	}
	else if (class == CLASS_CAMEMBERT)
	{
		put_named(&order, "<s>NOTUSED", 0);
		put_named(&order, names[PAD], 0);
		put_named(&order, "</s>NOTUSED", 0);
		put_named(&order, names[UNK], 0);
		put_named(&order, "<unk>NOTUSED", -100);
		put_model(&order, model, 1);
		put_named(&order, names[MASK], 0);
	}
	else
		put_model(&order, model, 0);
	if (order.too_long)
		return status_fail(status, STATUS_LIMIT, "a special token has more than %d bytes",
						   PIECES_MAX_LENGTH);
	out->texts = order.texts;
	out->offsets = order.offsets;
	out->scores = order.scores;
	out->charsmap = model->charsmap;
	out->charsmap_length = model->charsmap_length;
	return true;
}
