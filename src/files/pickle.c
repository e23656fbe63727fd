/* pickle.c: the opcodes, one function for those that do alike, and the table that leads to them. */
#include "files/pickle.h"

#include <stdio.h>
#include <string.h>

#define MAX_STACK ((size_t) 1 << 20)
#define MAX_MEMO ((size_t) 1 << 20)
#define MAX_STRING ((uint64_t) 1 << 20) /* bytes */
#define MAX_NAME 256                    /* bytes of a global's module or name */
#define MAX_BIG 255                     /* bytes of an integer */
#define QUESTION_STEP 4096              /* opcodes between two questions */

typedef bool (*Operation)(PickleMachine *machine);

#define damaged(machine, what)                                                      \
	status_fail((machine)->status, STATUS_INVALID_DATA,                             \
				"the pickle is damaged: %s (opcode 0x%02x before byte %llu)", what, \
				(machine)->opcode, (unsigned long long) (machine)->reader->at)

/* --- Bytes --- */

static bool
take(PickleMachine *machine, void *out, size_t length)
{
	return pickle_reader_take(machine->reader, out, length, machine->status);
}

/* A little-endian number of n bytes, at most 8. */
static bool
take_number(PickleMachine *machine, size_t n, uint64_t *out)
{
	unsigned char bytes[8];

	if (!take(machine, bytes, n))
		return false;
	*out = 0;
	while (n > 0)
		*out = *out << 8 | bytes[--n];
	return true;
}

static bool
take_string(PickleMachine *machine, uint64_t length, PickleValue *out)
{
	PickleString *string;
	char *bytes;

	if (length > MAX_STRING)
		return status_fail(machine->status, STATUS_LIMIT,
						   "the pickle has a string of %llu bytes, more than %llu",
						   (unsigned long long) length, (unsigned long long) MAX_STRING);
	if (length > machine->reader->end - machine->reader->at)
		return take(machine, NULL, (size_t) length); /* says that it is cut off */
	string = pickle_object(machine, sizeof *string + (size_t) length + 1);
	if (string == NULL)
		return false;
	bytes = (char *) (string + 1);
	string->length = (size_t) length;
	string->bytes = bytes;
	out->as.string = string;
	return take(machine, bytes, (size_t) length);
}

/* Text up to a line feed, which goes. */
static bool
take_line(PickleMachine *machine, char out[MAX_NAME])
{
	for (size_t i = 0; i < MAX_NAME; i++)
	{
		if (!take(machine, &out[i], 1))
			return false;
		if (out[i] == '\n')
		{
			out[i] = '\0';
			return true;
		}
		if (out[i] == '\0')
			break;
	}
	return damaged(machine, "a name is no name");
}

/* --- Stack --- */

static bool
push(PickleMachine *machine, PickleValue value)
{
	if (machine->depth == machine->stack_capacity)
	{
		size_t capacity = machine->stack_capacity == 0 ? 256 : machine->stack_capacity * 2;
		PickleValue *stack;

		if (capacity > MAX_STACK)
			return status_fail(machine->status, STATUS_LIMIT,
							   "the pickle needs a stack of more than %zu values", MAX_STACK);
		stack = arena_alloc_array(machine->arena, capacity, sizeof *stack);
		if (stack == NULL)
			return arena_fail(machine->arena, machine->status, "a pickle's stack",
							  capacity * sizeof *stack);
		if (machine->depth > 0)
			memcpy(stack, machine->stack, machine->depth * sizeof *stack);
		machine->stack = stack;
		machine->stack_capacity = capacity;
	}
	machine->stack[machine->depth++] = value;
	return true;
}

/* The value n from the top, 1 is the topmost, or NULL after saying why: none, or a mark. */
static PickleValue *
top(PickleMachine *machine, size_t n)
{
	if (machine->depth < n || machine->stack[machine->depth - n].kind == PICKLE_MARK)
	{
		damaged(machine, "a value is missing");
		return NULL;
	}
	return &machine->stack[machine->depth - n];
}

/*
 * The values above the topmost mark: they, and the mark, are taken from the stack, but stay where
 * they are until the next push. NULL, after saying why, without a mark.
 */
static PickleValue *
above_mark(PickleMachine *machine, size_t *count)
{
	size_t at = machine->depth;

	while (at > 0 && machine->stack[at - 1].kind != PICKLE_MARK)
		at--;
	if (at == 0)
	{
		damaged(machine, "a mark is missing");
		return NULL;
	}
	*count = machine->depth - at;
	machine->depth = at - 1;
	return machine->stack + at;
}

/* --- Simple values --- */

static bool
op_constant(PickleMachine *machine)
{
	switch (machine->opcode)
	{
		case '(':
			return push(machine, (PickleValue){.kind = PICKLE_MARK});
		case 'N':
			return push(machine, (PickleValue){.kind = PICKLE_NONE});
		default:
			return push(machine,
						(PickleValue){.kind = PICKLE_BOOL, .as.integer = machine->opcode == 0x88});
	}
}

static bool
op_integer(PickleMachine *machine)
{
	uint64_t number;

	if (!take_number(machine, machine->opcode == 'J' ? 4 : machine->opcode == 'M' ? 2 : 1, &number))
		return false;
	return push(machine,
				(PickleValue){.kind = PICKLE_INT,
							  .as.integer = machine->opcode == 'J' ? (int32_t) (uint32_t) number
																   : (int64_t) number});
}

/* LONG1, LONG4: two's complement, shortest form or not. */
static bool
op_long(PickleMachine *machine)
{
	PickleValue value = {.kind = PICKLE_BIG};
	uint64_t length;
	uint64_t number = 0;

	if (!take_number(machine, machine->opcode == 0x8A ? 1 : 4, &length))
		return false;
	if (length > MAX_BIG)
		return damaged(machine, "an integer has too many digits");
	if (!take_string(machine, length, &value))
		return false;
	if (length <= 8)
	{
		const unsigned char *bytes = (const unsigned char *) value.as.string->bytes;

		for (size_t i = (size_t) length; i-- > 0;)
			number = number << 8 | bytes[i];
		if (length > 0 && length < 8 && bytes[length - 1] >= 0x80)
			number |= UINT64_MAX << (8 * length);
		value.kind = PICKLE_INT;
		value.as.integer = (int64_t) number;
	}
	return push(machine, value);
}

static bool
op_float(PickleMachine *machine)
{
	unsigned char bytes[8];
	PickleValue value = {.kind = PICKLE_FLOAT};
	uint64_t bits = 0;

	if (!take(machine, bytes, sizeof bytes))
		return false;
	for (int i = 0; i < 8; i++)
		bits = bits << 8 | bytes[i];
	memcpy(&value.as.number, &bits, sizeof bits);
	return push(machine, value);
}

static bool
op_string(PickleMachine *machine)
{
	unsigned char opcode = machine->opcode;
	bool text = opcode == 'X' || opcode == 0x8C || opcode == 0x8D;
	PickleValue value = {.kind = text ? PICKLE_TEXT : PICKLE_BYTES};
	size_t width = opcode == 0x8C || opcode == 'C' || opcode == 'U'  ? 1
				   : opcode == 'X' || opcode == 'B' || opcode == 'T' ? 4
																	 : 8;
	uint64_t length;

	return take_number(machine, width, &length) && take_string(machine, length, &value) &&
		   push(machine, value);
}

/* --- Containers --- */

static bool
op_empty(PickleMachine *machine)
{
	PickleValue value;

	return pickle_new(machine,
					  machine->opcode == ')'   ? PICKLE_TUPLE
					  : machine->opcode == ']' ? PICKLE_LIST
											   : PICKLE_DICT,
					  &value) &&
		   push(machine, value);
}

/* TUPLE, LIST, DICT: of what lies above the mark. */
static bool
op_collect(PickleMachine *machine)
{
	PickleKind kind = machine->opcode == 't'   ? PICKLE_TUPLE
					  : machine->opcode == 'l' ? PICKLE_LIST
											   : PICKLE_DICT;
	PickleValue value;
	size_t count;
	const PickleValue *values = above_mark(machine, &count);

	if (values == NULL)
		return false;
	if (kind == PICKLE_DICT && count % 2 != 0)
		return damaged(machine, "a key has no value");
	return pickle_new(machine, kind, &value) &&
		   pickle_append(machine, value.as.items, values, count) && push(machine, value);
}

/* TUPLE1, TUPLE2, TUPLE3 */
static bool
op_small_tuple(PickleMachine *machine)
{
	size_t count = (size_t) machine->opcode - 0x84;
	PickleValue value;

	for (size_t i = 1; i <= count; i++)
		if (top(machine, i) == NULL)
			return false;
	if (!pickle_new(machine, PICKLE_TUPLE, &value) ||
		!pickle_append(machine, value.as.items, machine->stack + machine->depth - count, count))
		return false;
	machine->depth -= count;
	return push(machine, value);
}

/* APPEND, APPENDS, SETITEM, SETITEMS: to the list or dictionary below. */
static bool
op_extend(PickleMachine *machine)
{
	bool pairs = machine->opcode == 's' || machine->opcode == 'u';
	size_t count = machine->opcode == 's' ? 2 : 1;
	const PickleValue *values;
	const PickleValue *target;

	if (machine->opcode == 'e' || machine->opcode == 'u')
		values = above_mark(machine, &count);
	else
	{
		values = top(machine, count);
		if (values != NULL && (count == 1 || top(machine, 1) != NULL))
			machine->depth -= count;
		else
			values = NULL;
	}
	if (values == NULL)
		return false;
	target = top(machine, 1);
	if (target == NULL)
		return false;
	if (target->kind != (pairs ? PICKLE_DICT : PICKLE_LIST) || (pairs && count % 2 != 0))
		return damaged(machine, "values are put into what cannot hold them");
	return pickle_append(machine, target->as.items, values, count);
}

/* --- Stack and memo --- */

/* POP, POP_MARK, DUP */
static bool
op_stack(PickleMachine *machine)
{
	size_t count;

	if (machine->opcode == '1')
		return above_mark(machine, &count) != NULL;
	if (machine->opcode == '2')
		return top(machine, 1) != NULL && push(machine, *top(machine, 1));
	if (machine->depth == 0)
		return damaged(machine, "a value is missing");
	machine->depth--;
	return true;
}

static bool
memo_put(PickleMachine *machine, uint64_t index)
{
	const PickleValue *value = top(machine, 1);

	if (value == NULL)
		return false;
	if (index > machine->memo_count + 1) /* Python 2 counts from 1 */
		return damaged(machine, "it remembers a value under a number too high");
	if (index >= MAX_MEMO)
		return status_fail(machine->status, STATUS_LIMIT,
						   "the pickle remembers more than %zu values", MAX_MEMO);
	if (index >= machine->memo_capacity)
	{
		size_t capacity = machine->memo_capacity == 0 ? 256 : machine->memo_capacity * 2;
		PickleValue *memo;

		memo = arena_alloc_array(machine->arena, capacity, sizeof *memo);
		if (memo == NULL)
			return arena_fail(machine->arena, machine->status, "a pickle's memo",
							  capacity * sizeof *memo);
		if (machine->memo_capacity > 0)
			memcpy(memo, machine->memo, machine->memo_capacity * sizeof *memo);
		for (size_t i = machine->memo_capacity; i < capacity; i++)
			memo[i] = (PickleValue){.kind = PICKLE_MARK};
		machine->memo = memo;
		machine->memo_capacity = capacity;
	}
	machine->memo_count += machine->memo[index].kind == PICKLE_MARK;
	machine->memo[index] = *value;
	return true;
}

/* BINPUT, LONG_BINPUT, MEMOIZE */
static bool
op_put(PickleMachine *machine)
{
	uint64_t index = machine->memo_count;

	if (machine->opcode != 0x94 && !take_number(machine, machine->opcode == 'q' ? 1 : 4, &index))
		return false;
	return memo_put(machine, index);
}

/* BINGET, LONG_BINGET */
static bool
op_get(PickleMachine *machine)
{
	uint64_t index;

	if (!take_number(machine, machine->opcode == 'h' ? 1 : 4, &index))
		return false;
	if (index >= machine->memo_capacity || machine->memo[index].kind == PICKLE_MARK)
		return damaged(machine, "it remembers a value that it has not seen");
	return push(machine, machine->memo[index]);
}

/* --- Names and objects --- */

static bool
push_global(PickleMachine *machine, const char *module, const char *name)
{
	const PickleHost *host = machine->host;

	for (int i = 0; i < host->n_globals; i++)
		if (strcmp(module, host->globals[i].module) == 0 &&
			strcmp(name, host->globals[i].name) == 0)
			return push(machine, (PickleValue){.kind = PICKLE_GLOBAL, .tag = i});
	status_fail(machine->status, STATUS_UNSUPPORTED,
				"the pickle asks for \"%.80s.%.80s\", which %s does not need", module, name,
				host->purpose);
	return status_hint(machine->status, "%s", host->hint);
}

/* GLOBAL, and INST, which would call it as well */
static bool
op_global(PickleMachine *machine)
{
	char module[MAX_NAME];
	char name[MAX_NAME];

	if (!take_line(machine, module) || !take_line(machine, name))
		return false;
	if (machine->opcode == 'c')
		return push_global(machine, module, name);
	status_fail(machine->status, STATUS_UNSUPPORTED,
				"the pickle makes an instance of \"%.80s.%.80s\" (INST)", module, name);
	return status_hint(machine->status, "%s", machine->host->hint);
}

static bool
op_stack_global(PickleMachine *machine)
{
	const PickleValue *name = top(machine, 1);
	const PickleValue *module = name == NULL ? NULL : top(machine, 2);

	if (module == NULL)
		return false;
	if (module->kind != PICKLE_TEXT || name->kind != PICKLE_TEXT ||
		memchr(module->as.string->bytes, '\0', module->as.string->length) != NULL ||
		memchr(name->as.string->bytes, '\0', name->as.string->length) != NULL)
		return damaged(machine, "a name is no name");
	machine->depth -= 2;
	return push_global(machine, module->as.string->bytes, name->as.string->bytes);
}

/* REDUCE, NEWOBJ */
static bool
op_call(PickleMachine *machine)
{
	const PickleValue *arguments = top(machine, 1);
	const PickleValue *called = arguments == NULL ? NULL : top(machine, 2);
	PickleValue result;

	if (called == NULL)
		return false;
	if (called->kind != PICKLE_GLOBAL || arguments->kind != PICKLE_TUPLE)
		return damaged(machine, "it calls what is no function");
	if (!machine->host->call(machine, called->tag, arguments->as.items, &result))
		return false;
	machine->depth -= 2;
	return push(machine, result);
}

/* BUILD: attributes of a dictionary (a state dictionary's _metadata) are of no use here. */
static bool
op_build(PickleMachine *machine)
{
	const PickleValue *state = top(machine, 1);
	PickleValue *object = state == NULL ? NULL : top(machine, 2);

	if (object == NULL)
		return false;
	if (object->kind == PICKLE_OBJECT && machine->host->build != NULL)
	{
		if (!machine->host->build(machine, object, state))
			return false;
	}
	else if (object->kind != PICKLE_DICT || state->kind != PICKLE_DICT)
		return status_fail(machine->status, STATUS_UNSUPPORTED,
						   "the pickle gives %s a state of its own (BUILD)",
						   pickle_kind_name(object->kind)) ||
			   status_hint(machine->status, "%s", machine->host->hint);
	machine->depth--;
	return true;
}

static bool
op_persistent(PickleMachine *machine)
{
	const PickleValue *id = top(machine, 1);
	PickleValue result;

	if (id == NULL)
		return false;
	if (machine->host->persistent == NULL)
		return damaged(machine, "it refers to something outside of it");
	if (!machine->host->persistent(machine, id, &result))
		return false;
	machine->depth--;
	return push(machine, result);
}

/* FRAME: the length of what follows is of use to who reads a stream. */
static bool
op_frame(PickleMachine *machine)
{
	uint64_t length;

	if (!take_number(machine, 8, &length))
		return false;
	return length <= machine->reader->end - machine->reader->at ||
		   damaged(machine, "a frame is longer than what is left");
}

static const char *
refused_name(unsigned char opcode)
{
	static const struct
	{
		unsigned char opcode;
		const char *name;
	} names[] = {
		{'o', "OBJ"},          {0x82, "EXT1"},           {0x83, "EXT2"},      {0x84, "EXT4"},
		{0x8F, "EMPTY_SET"},   {0x90, "ADDITEMS"},       {0x91, "FROZENSET"}, {0x92, "NEWOBJ_EX"},
		{0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"}};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (names[i].opcode == opcode)
			return names[i].name;
	return strchr("FILPSVgp", opcode) != NULL ? "protocol 0" : NULL;
}

static bool
op_refused(PickleMachine *machine)
{
	const char *name = machine->opcode == 0 ? NULL : refused_name(machine->opcode);

	if (name == NULL)
		return damaged(machine, "there is no such opcode");
	status_fail(machine->status, STATUS_UNSUPPORTED, "the pickle has the opcode 0x%02x (%s)",
				machine->opcode, name);
	return status_hint(machine->status, "%s", machine->host->hint);
}

static const Operation operations[256] = {
	['('] = op_constant, ['N'] = op_constant,     [0x88] = op_constant,     [0x89] = op_constant,
	['J'] = op_integer,  ['K'] = op_integer,      ['M'] = op_integer,       [0x8A] = op_long,
	[0x8B] = op_long,    ['G'] = op_float,        ['X'] = op_string,        ['T'] = op_string,
	['U'] = op_string,   ['B'] = op_string,       ['C'] = op_string,        [0x8C] = op_string,
	[0x8D] = op_string,  [0x8E] = op_string,      [0x96] = op_string,       [')'] = op_empty,
	[']'] = op_empty,    ['}'] = op_empty,        ['t'] = op_collect,       ['l'] = op_collect,
	['d'] = op_collect,  [0x85] = op_small_tuple, [0x86] = op_small_tuple,  [0x87] = op_small_tuple,
	['a'] = op_extend,   ['e'] = op_extend,       ['s'] = op_extend,        ['u'] = op_extend,
	['0'] = op_stack,    ['1'] = op_stack,        ['2'] = op_stack,         ['q'] = op_put,
	['r'] = op_put,      [0x94] = op_put,         ['h'] = op_get,           ['j'] = op_get,
	['c'] = op_global,   ['i'] = op_global,       [0x93] = op_stack_global, ['R'] = op_call,
	[0x81] = op_call,    ['b'] = op_build,        ['Q'] = op_persistent,    [0x95] = op_frame,
};

/* PROTO, which every pickle of protocol 2 or later begins with. */
static bool
read_protocol(PickleMachine *machine)
{
	unsigned char start[2];

	if (!take(machine, start, sizeof start))
		return false;
	if (start[0] != 0x80)
		return status_fail(machine->status, STATUS_INVALID_DATA,
						   "the pickle does not begin with its protocol");
	return (start[1] >= 2 && start[1] <= 5) ||
		   status_fail(machine->status, STATUS_UNSUPPORTED,
					   "the pickle has protocol %d, not 2 to 5", start[1]);
}

static bool
run(PickleMachine *machine)
{
	for (size_t step = 0;; step++)
	{
		Operation operation;

		if (step % QUESTION_STEP == 0 && !arena_may_continue(machine->arena, machine->status))
			return false;
		if (!take(machine, &machine->opcode, 1))
			return false;
		if (machine->opcode == '.')
			return true;
		operation = operations[machine->opcode];
		if (operation == NULL)
			operation = op_refused;
		if (!operation(machine))
			return false;
	}
}

bool
pickle_read(Arena *arena, PickleReader *reader, const PickleHost *host, PickleValue *result,
			Status *status)
{
	PickleMachine machine = {.arena = arena, .status = status, .reader = reader, .host = host};
	const PickleValue *last;

	if (!read_protocol(&machine) || !run(&machine))
		return false;
	last = top(&machine, 1);
	if (last == NULL || machine.depth != 1)
		return last != NULL && damaged(&machine, "values are left over");
	*result = *last;
	return true;
}
