/*
 * pickle.h: a machine for the opcodes of Python's pickle that data need, protocols 2 to 5.
 *
 * It builds values and runs nothing. A global is a name out of the host's table, and what calling
 * one gives the host makes; any other name ends the reading, with its name. Values refer to each
 * other as they do in Python, cycles included: who walks them must not go down without end.
 *
 * Bounds: 16 MB of pickle, 1 M containers and objects, 4 M values held in them, a stack and a memo
 * of 1 M values. Memory is the arena's, the question "may I go on?" too.
 *
 * Source: Lib/pickletools.py (CPython 3.12).
 */
#ifndef BERT_FILES_PICKLE_H
#define BERT_FILES_PICKLE_H

#include "files/source.h"

#define PICKLE_MAX_BYTES ((size_t) 16 * 1024 * 1024)

typedef enum PickleKind
{
	PICKLE_NONE,
	PICKLE_BOOL,
	PICKLE_INT,
	PICKLE_BIG, /* an integer of more than 64 bits */
	PICKLE_FLOAT,
	PICKLE_TEXT,  /* UTF-8 as far as Python has seen to it; not checked */
	PICKLE_BYTES, /* also Python 2's str */
	PICKLE_TUPLE,
	PICKLE_LIST,
	PICKLE_DICT,
	PICKLE_GLOBAL,
	PICKLE_OBJECT, /* made by the host */
	PICKLE_MARK    /* on the stack only */
} PickleKind;

typedef struct PickleString
{
	size_t length;
	const char *bytes; /* NUL-terminated; of a big integer little-endian, two's complement */
} PickleString;

typedef struct PickleValue PickleValue;

/* Of a dictionary key, value, key, value; a key may be there twice, the last one counts. */
typedef struct PickleSequence
{
	size_t n;
	size_t capacity;
	PickleValue *values; /* (n) */
} PickleSequence;

struct PickleValue
{
	PickleKind kind;
	int tag; /* of a global: its index in the host's table; of an object: the host's own */
	union
	{
		int64_t integer; /* of a bool too */
		double number;
		const PickleString *string;
		PickleSequence *items;
		void *object;
	} as;
};

/* A source read from one place on, once. */
typedef struct PickleReader
{
	ByteSource *source;
	uint64_t at;      /* of the next byte to be taken, in the source */
	uint64_t end;     /* of what may be taken */
	uint64_t held_at; /* of the buffer's first byte */
	size_t held;      /* bytes in the buffer */
	unsigned char buffer[4096];
} PickleReader;

typedef struct PickleGlobal
{
	const char *module;
	const char *name;
} PickleGlobal;

typedef struct PickleMachine PickleMachine;

typedef struct PickleHost
{
	const PickleGlobal *globals; /* (n_globals) what a pickle may name */
	int n_globals;
	/* The result of calling the global with these arguments. */
	bool (*call)(PickleMachine *machine, int global, const PickleSequence *arguments,
				 PickleValue *result);
	/* What a persistent id stands for. */
	bool (*persistent)(PickleMachine *machine, const PickleValue *id, PickleValue *result);
	/* Sets an object's state; NULL: no object has one. */
	bool (*build)(PickleMachine *machine, PickleValue *object, const PickleValue *state);
	const char *purpose; /* for the message about a name that is not in the table */
	const char *hint;
	void *context;
} PickleHost;

/* What the host's functions may use. */
struct PickleMachine
{
	Arena *arena;
	Status *status;
	PickleReader *reader;
	const PickleHost *host;
	PickleValue *stack; /* (depth) */
	size_t depth;
	size_t stack_capacity;
	PickleValue *memo; /* (memo_capacity) PICKLE_MARK where nothing is */
	size_t memo_capacity;
	size_t memo_count;
	size_t n_objects;
	size_t n_values;
	unsigned char opcode;
};

void pickle_reader_init(PickleReader *reader, ByteSource *source, uint64_t offset);

/* The next length bytes. */
bool pickle_reader_take(PickleReader *reader, void *out, size_t length, Status *status);

/* Reads one pickle, to its STOP and no byte further. */
bool pickle_read(Arena *arena, PickleReader *reader, const PickleHost *host, PickleValue *result,
				 Status *status);

/* For hosts: memory for an object, zeroed, and counted; NULL and the machine's status. */
void *pickle_object(PickleMachine *machine, size_t size);

/* For hosts: an empty tuple, list or dictionary; and one more value, or a key and a value. */
bool pickle_new(PickleMachine *machine, PickleKind kind, PickleValue *out);
bool pickle_append(PickleMachine *machine, PickleSequence *items, const PickleValue *values,
				   size_t count);

/* Whether a value is this text. */
bool pickle_is_text(const PickleValue *value, const char *text);

/* "a tuple", for messages */
const char *pickle_kind_name(PickleKind kind);

#endif
