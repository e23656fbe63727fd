/*
 * normal_forms.c: NFD, NFC, NFKD and NFKC as links of the chain.
 *
 * Marks are sorted by their combining classes between starters; each character of a decomposition
 * but the first is added to the one before, whatever the order becomes. Composition joins a starter
 * with marks, and says how many characters of the input the result replaces.
 */
#include "tokenizer/composed.h"

#define INSERTION_SORT_MAX 32

/* A stable sort; long runs are an attack or a test, so a counting sort keeps them linear. */
static void
sort_marks(Chain *chain, WaitingList *list)
{
	Waiting *items = list->items;
	ArenaMark mark;
	Waiting *sorted;
	size_t place[257] = {0};

	if (list->n <= INSERTION_SORT_MAX)
	{
		for (size_t i = 1; i < list->n; i++)
		{
			Waiting moving = items[i];
			size_t j = i;

			for (; j > 0 && items[j - 1].combining_class > moving.combining_class; j--)
				items[j] = items[j - 1];
			items[j] = moving;
		}
		return;
	}
	mark = arena_mark(chain->arena);
	sorted = arena_alloc_array(chain->arena, list->n, sizeof *sorted);
	if (sorted == NULL)
	{
		chain->failed = true;
		chain->wanted = list->n * sizeof *sorted;
		return;
	}
	for (size_t i = 0; i < list->n && !chain_told_to_stop(chain, i); i++)
		place[items[i].combining_class + 1]++;
	for (int k = 0; k < 256; k++)
		place[k + 1] += place[k];
	for (size_t i = 0; i < list->n && !chain_told_to_stop(chain, i); i++)
		sorted[place[items[i].combining_class]++] = items[i];
	if (!chain->stopped &&
		!bulk_copy(items, sorted, list->n * sizeof *items, chain->question, chain->status))
		chain->stopped = true;
	arena_rewind(chain->arena, mark);
}

/* --- Composition --- */

static void
give_marks(Chain *chain, size_t i)
{
	WaitingList *marks = &chain->links[i].marks;

	for (size_t k = 0; k < marks->n && !chain_told_to_stop(chain, k); k++)
		chain_give(chain, i, marks->items[k].c, marks->items[k].change);
	marks->n = 0;
	chain->links[i].last_class = -1;
}

static void
give_starter(Chain *chain, size_t i)
{
	Link *link = &chain->links[i];

	if (link->has_starter)
		chain_give(chain, i, link->starter.c, link->starter.change);
	link->has_starter = false;
	give_marks(chain, i);
}

static void
compose(Chain *chain, size_t i, Waiting item)
{
	Link *link = &chain->links[i];
	bool blocked;
	uint32_t both;

	if (!link->has_starter)
	{
		if (item.combining_class != 0)
			chain_give(chain, i, item.c, item.change);
		else
		{
			link->starter = item;
			link->has_starter = true;
		}
		return;
	}
	blocked = link->last_class >= 0 && link->last_class >= item.combining_class;
	both = blocked ? 0 : unicode_compose(link->starter.c, item.c);
	if (both != 0)
	{
		link->starter.c = both;
		link->starter.change += item.change - 1;
	}
	else if (item.combining_class == 0)
	{
		give_starter(chain, i);
		link->starter = item;
		link->has_starter = true;
	}
	else if (waiting_append(chain, &link->marks, item))
		link->last_class = item.combining_class;
}

/* --- Decomposition --- */

static void
give(Chain *chain, size_t i, Waiting item)
{
	uint32_t kind = chain->links[i].step->kind;

	if (kind == STEP_NFC || kind == STEP_NFKC)
		compose(chain, i, item);
	else
		chain_give(chain, i, item.c, item.change);
}

static void
flush(Chain *chain, size_t i)
{
	WaitingList *list = &chain->links[i].waiting;

	if (list->n == 0)
		return;
	sort_marks(chain, list);
	for (size_t k = 0; k < list->n && !chain->failed && !chain_told_to_stop(chain, k); k++)
		give(chain, i, list->items[k]);
	list->n = 0;
}

static void
push_part(Chain *chain, size_t i, uint32_t c, bool added)
{
	Link *link = &chain->links[i];
	Waiting item = {.c = c, .change = added ? 1 : 0};

	item.combining_class = unicode_record(c).combining_class;
	if (item.combining_class != 0)
	{
		waiting_append(chain, &link->waiting, item);
		return;
	}
	if (link->waiting.n > 0)
		flush(chain, i);
	give(chain, i, item);
}

void
forms_push(Chain *chain, size_t i, uint32_t c, uint32_t origin)
{
	Link *link = &chain->links[i];
	bool compatible = link->step->kind == STEP_NFKC || link->step->kind == STEP_NFKD;
	uint32_t parts[UNICODE_MAX_COMPATIBLE];
	int count = 1;

	if (!origins_append(chain, &link->origins, origin))
		return;
	parts[0] = c;
	if (c >= 0x80)
	{
		if (compatible && (unicode_properties(c).bits & UNICODE_COMPATIBLE) != 0)
			count = unicode_decompose_compatible(c, parts);
		else if ((unicode_record(c).bits & UNICODE_DECOMPOSES) != 0)
			count = unicode_decompose(c, parts);
	}
	for (int k = 0; k < count; k++)
		push_part(chain, i, parts[k], k > 0);
}

void
forms_finish(Chain *chain, size_t i)
{
	flush(chain, i);
	give_starter(chain, i);
}
