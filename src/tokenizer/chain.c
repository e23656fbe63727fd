/* chain.c: the normalizers of a composed tokenizer, one after the other, as a stream. */
#include "tokenizer/composed.h"

#include "tokenizer/charsmap.h"

#define ASK_CHARACTERS 16384 /* of waiting ones between two questions */

bool
chain_told_to_stop(Chain *chain, size_t turn)
{
	if (bulk_turn(turn, ASK_CHARACTERS) && !may_continue(chain->question, chain->status))
		chain->stopped = true;
	return chain->stopped;
}

static bool
grow(Chain *chain, void **items, size_t used, size_t *capacity, size_t size)
{
	size_t larger = *capacity * 2 + 32;
	void *copy = arena_alloc_array(chain->arena, larger, size);

	if (copy == NULL)
	{
		chain->failed = true;
		chain->wanted = larger * size;
		return false;
	}
	if (!bulk_copy(copy, *items, used * size, chain->question, chain->status))
	{
		chain->stopped = true;
		return false;
	}
	*items = copy;
	*capacity = larger;
	return true;
}

bool
waiting_append(Chain *chain, WaitingList *list, Waiting item)
{
	if (list->n == list->capacity &&
		!grow(chain, (void **) &list->items, list->n, &list->capacity, sizeof *list->items))
		return false;
	list->items[list->n++] = item;
	return true;
}

bool
origins_append(Chain *chain, OriginQueue *queue, uint32_t origin)
{
	if (queue->head == queue->end)
		queue->head = queue->end = 0;
	if (queue->end == queue->capacity)
	{
		/* Room at the front is used again once it is half of it all. */
		if (queue->head >= queue->capacity / 2 && queue->head > 0)
		{
			memmove(queue->items, queue->items + queue->head,
					(queue->end - queue->head) * sizeof *queue->items);
			queue->end -= queue->head;
			queue->head = 0;
		}
		else if (!grow(chain, (void **) &queue->items, queue->end, &queue->capacity,
					   sizeof *queue->items))
			return false;
	}
	queue->items[queue->end++] = origin;
	return true;
}

static void
take_origin(OriginQueue *queue)
{
	if (queue->head < queue->end)
		queue->last = queue->items[queue->head++];
}

void
chain_give(Chain *chain, size_t i, uint32_t c, int32_t change)
{
	OriginQueue *queue = &chain->links[i].origins;
	uint32_t origin;

	if (change <= 0)
		take_origin(queue);
	origin = queue->last;
	for (; change < 0; change++)
		take_origin(queue);
	chain_push(chain, i + 1, c, origin);
}

bool
chain_init(Chain *chain, const StepEntry *steps, size_t n, const unsigned char *strings,
		   Arena *arena)
{
	memset(chain, 0, sizeof *chain);
	chain->steps = steps;
	chain->n = n;
	chain->strings = strings;
	chain->arena = arena;
	chain->links = arena_alloc_array_zero(arena, n + 1, sizeof *chain->links);
	if (chain->links == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		Link *link = &chain->links[i];

		link->step = &steps[i];
		link->last_class = -1;
		if (steps[i].kind != STEP_REPLACE && steps[i].kind != STEP_REPLACE_RUN)
			continue;
		link->pattern = arena_alloc_array(arena, steps[i].text_length + 1, sizeof *link->pattern);
		if (link->pattern == NULL)
			return false;
		for (size_t at = 0; at < steps[i].text_length;)
			at += (size_t) utf8_decode(strings + steps[i].text + at,
									   &link->pattern[link->n_pattern++]);
	}
	return true;
}

void
chain_reset(Chain *chain)
{
	for (size_t i = 0; i < chain->n; i++)
	{
		Link *link = &chain->links[i];

		link->begun = false;
		link->waiting.n = 0;
		link->origins.head = link->origins.end = 0;
		link->run = 0;
		link->has_starter = false;
		link->last_class = -1;
		link->marks.n = 0;
		memset(&link->cluster, 0, sizeof link->cluster);
		link->has_held = false;
	}
}

static void
push_text(Chain *chain, size_t i, uint32_t offset, uint32_t length, uint32_t origin)
{
	const unsigned char *text = chain->strings + offset;

	for (size_t at = 0; at < length;)
	{
		uint32_t c;

		at += (size_t) utf8_decode(text + at, &c);
		chain_push(chain, i, c, origin);
	}
}

/* The characters that wait, as they are. */
static void
release(Chain *chain, size_t i)
{
	WaitingList *list = &chain->links[i].waiting;

	for (size_t k = 0; k < list->n && !chain_told_to_stop(chain, k); k++)
		chain_push(chain, i + 1, list->items[k].c, list->items[k].origin);
	list->n = 0;
}

static void
push_lowered(Chain *chain, size_t i, uint32_t c, uint32_t origin)
{
	uint32_t lowered[UNICODE_MAX_MAPPING];
	int count = 1;

	lowered[0] = c;
	if ((unicode_record(c).bits & UNICODE_LOWERS) != 0)
		count = unicode_lower(c, lowered);
	for (int k = 0; k < count; k++)
		chain_push(chain, i + 1, lowered[k], origin);
}

static void
push_strip(Chain *chain, size_t i, uint32_t c, uint32_t origin)
{
	Link *link = &chain->links[i];

	if ((unicode_record(c).bits & UNICODE_SPACE) != 0)
	{
		if ((link->step->flags & STEP_LEFT) != 0 && !link->begun)
			return;
		if ((link->step->flags & STEP_RIGHT) != 0)
		{
			waiting_append(chain, &link->waiting, (Waiting){.c = c, .origin = origin});
			return;
		}
	}
	link->begun = true;
	release(chain, i);
	chain_push(chain, i + 1, c, origin);
}

#define DROPPED UINT32_MAX

/* What Nmt makes of a character, or DROPPED. */
static uint32_t
nmt_character(uint32_t c)
{
	if ((c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
		c == 0x8F || c == 0x9F)
		return DROPPED;
	if (c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
		(c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
		c == 0xFFFD)
		return ' ';
	return c;
}

/* The leftmost match, as far as it has come: what cannot begin it goes on. */
static void
push_replace(Chain *chain, size_t i, uint32_t c, uint32_t origin)
{
	Link *link = &chain->links[i];
	WaitingList *list = &link->waiting;
	size_t first = 0;

	if (!waiting_append(chain, list, (Waiting){.c = c, .origin = origin}))
		return;
	while (first < list->n)
	{
		size_t k = first;

		while (k < list->n && list->items[k].c == link->pattern[k - first])
			k++;
		if (k == list->n)
			break;
		chain_push(chain, i + 1, list->items[first].c, list->items[first].origin);
		first++;
	}
	memmove(list->items, list->items + first, (list->n - first) * sizeof *list->items);
	list->n -= first;
	if (list->n < link->n_pattern)
		return;
	list->n = 0;
	push_text(chain, i + 1, link->step->content, link->step->content_length, origin);
}

static void
end_run(Chain *chain, size_t i)
{
	Link *link = &chain->links[i];

	if (link->run >= link->step->count)
	{
		link->waiting.n = 0;
		push_text(chain, i + 1, link->step->content, link->step->content_length,
				  link->origins.last);
	}
	else
		release(chain, i);
	link->run = 0;
}

static bool
in_run(const Link *link, uint32_t c)
{
	if ((link->step->flags & STEP_ANY_SPACE) != 0)
		return (unicode_record(c).bits & UNICODE_SPACE) != 0;
	return link->n_pattern > 0 && c == link->pattern[0];
}

static void
push_run(Chain *chain, size_t i, uint32_t c, uint32_t origin)
{
	Link *link = &chain->links[i];

	if (in_run(link, c))
	{
		link->run++;
		link->origins.last = origin;
		if (link->run < link->step->count)
			waiting_append(chain, &link->waiting, (Waiting){.c = c, .origin = origin});
		return;
	}
	if (link->run > 0)
		end_run(chain, i);
	chain_push(chain, i + 1, c, origin);
}

void
chain_push(Chain *chain, size_t i, uint32_t c, uint32_t origin)
{
	Link *link = &chain->links[i];

	if (i == chain->n)
	{
		chain->emit(chain->context, c, 0, origin);
		return;
	}
	switch ((StepKind) link->step->kind)
	{
		case STEP_PRECOMPILED:
			precompiled_push(chain, i, c, origin);
			return;
		case STEP_NFC:
		case STEP_NFD:
		case STEP_NFKC:
		case STEP_NFKD:
			forms_push(chain, i, c, origin);
			return;
		case STEP_LOWERCASE:
			push_lowered(chain, i, c, origin);
			return;
		case STEP_STRIP:
			push_strip(chain, i, c, origin);
			return;
		case STEP_REPLACE:
			push_replace(chain, i, c, origin);
			return;
		case STEP_REPLACE_RUN:
			push_run(chain, i, c, origin);
			return;
		case STEP_NMT:
			c = nmt_character(c);
			if (c != DROPPED)
				chain_push(chain, i + 1, c, origin);
			return;
		case STEP_STRIP_ACCENTS:
			if ((unicode_properties(c).bits & UNICODE_COMBINING) == 0)
				chain_push(chain, i + 1, c, origin);
			return;
		case STEP_PREPEND:
			if (!link->begun)
				push_text(chain, i + 1, link->step->text, link->step->text_length, origin);
			link->begun = true;
			chain_push(chain, i + 1, c, origin);
			return;
		default:
			chain_push(chain, i + 1, c, origin);
	}
}

void
chain_finish(Chain *chain)
{
	for (size_t i = 0; i < chain->n; i++)
		switch ((StepKind) chain->links[i].step->kind)
		{
			case STEP_PRECOMPILED:
				precompiled_finish(chain, i);
				break;
			case STEP_NFC:
			case STEP_NFD:
			case STEP_NFKC:
			case STEP_NFKD:
				forms_finish(chain, i);
				break;
			case STEP_REPLACE:
				release(chain, i);
				break;
			case STEP_REPLACE_RUN:
				if (chain->links[i].run > 0)
					end_run(chain, i);
				break;
			default: /* white space at the end is what Strip drops */
				break;
		}
}

/* Nothing waits in the link for what comes. */
static bool
link_idle(const Link *link)
{
	if (link->waiting.n > 0 || link->origins.head < link->origins.end || link->run > 0 ||
		link->has_starter || link->has_held || link->cluster.n_chars > 0)
		return false;
	return link->begun || (link->step->kind != STEP_PREPEND && link->step->kind != STEP_STRIP);
}

void
chain_settle(Chain *chain)
{
	for (size_t i = 0; i < chain->n; i++)
	{
		switch ((StepKind) chain->links[i].step->kind)
		{
			case STEP_PRECOMPILED:
				precompiled_settle(chain, i);
				break;
			case STEP_NFC:
			case STEP_NFD:
			case STEP_NFKC:
			case STEP_NFKD:
				/* nothing that is ASCII composes with what was before it */
				forms_finish(chain, i);
				break;
			default:
				break;
		}
		/* what it still has may compose with what the links behind it have */
		if (!link_idle(&chain->links[i]))
			return;
	}
}

bool
chain_idle(const Chain *chain)
{
	for (size_t i = 0; i < chain->n; i++)
		if (!link_idle(&chain->links[i]))
			return false;
	return true;
}

void
chain_passed(Chain *chain)
{
	for (size_t i = 0; i < chain->n; i++)
		chain->links[i].begun = true;
}

/* Whether a link leaves an ASCII character alone, and does not wait for more after it. */
static bool
is_plain(const Tokenizer *t, const StepEntry *step, uint32_t c)
{
	unsigned char byte = (unsigned char) c;
	size_t found;

	switch ((StepKind) step->kind)
	{
		case STEP_PRECOMPILED:
			return c >= ' ' && c < 0x7F &&
				   charsmap_find(t->strings + step->text, step->text_length, &byte, 1, &found) ==
					   NULL;
		case STEP_STRIP:
			return (unicode_record(c).bits & UNICODE_SPACE) == 0;
		case STEP_REPLACE:
			return t->strings[step->text] != byte;
		case STEP_REPLACE_RUN:
			return (step->flags & STEP_ANY_SPACE) != 0
					   ? (unicode_record(c).bits & UNICODE_SPACE) == 0
					   : t->strings[step->text] != byte;
		case STEP_NMT:
			return nmt_character(c) == c;
		default:
			return true;
	}
}

void
chain_plain(const Tokenizer *t, uint8_t plain[128])
{
	for (uint32_t first = 0; first < 128; first++)
	{
		uint32_t c = first;

		for (size_t i = 0; i < t->header->n_steps[0] && c != 0; i++)
		{
			const StepEntry *step = &t->steps[0][i];

			if (!is_plain(t, step, c))
				c = 0;
			else if (step->kind == STEP_LOWERCASE && c >= 'A' && c <= 'Z')
				c += 'a' - 'A';
		}
		plain[first] = (uint8_t) c;
	}
}
