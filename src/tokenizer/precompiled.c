/*
 * precompiled.c: the normalizer of SentencePiece models: grapheme clusters replaced by a character
 * map.
 *
 * As the reference does it, oddities included: a cluster of less than six bytes is replaced as a
 * whole by what its shortest key stands for, a longer one character by character; a cluster that
 * becomes nothing is counted as removed after the character given last, and is forgotten when
 * there is none, which moves the origins of all that follows.
 */
#include "tokenizer/composed.h"

#include "tokenizer/charsmap.h"

/* What is given waits until it is known that nothing after it is removed. */
static void
hold(Chain *chain, size_t i, uint32_t c, int32_t change)
{
	Link *link = &chain->links[i];

	if (link->has_held)
		chain_give(chain, i, link->held.c, link->held.change);
	link->held.c = c;
	link->held.change = change;
	link->has_held = true;
	link->begun = true;
}

/* So many characters go, and nothing comes for them. */
static void
take_away(Link *link, size_t n)
{
	if (link->has_held)
		link->held.change -= (int32_t) n;
	else if (link->begun)
		for (; n > 0 && link->origins.head < link->origins.end; n--)
			link->origins.last = link->origins.items[link->origins.head++];
}

/* n characters become a text. */
static void
put_text(Chain *chain, size_t i, size_t n, const unsigned char *text, size_t length)
{
	size_t count = utf8_count(text, length);
	size_t given = 0;

	for (size_t at = 0; at < length; given++)
	{
		uint32_t c;

		at += (size_t) utf8_decode(text + at, &c);
		hold(chain, i, c, given >= n ? 1 : 0);
	}
	if (count < n)
		take_away(&chain->links[i], n - count);
}

static const unsigned char *
find(const Chain *chain, size_t i, const unsigned char *text, size_t n, size_t *length)
{
	const StepEntry *step = chain->links[i].step;

	return charsmap_find(chain->strings + step->text, step->text_length, text, n, length);
}

static void
put_character(Chain *chain, size_t i, const unsigned char *text, size_t n)
{
	size_t length;
	const unsigned char *mapped = find(chain, i, text, n, &length);
	uint32_t c;

	if (mapped != NULL)
		put_text(chain, i, 1, mapped, length);
	else
	{
		utf8_decode(text, &c);
		hold(chain, i, c, 0);
	}
}

static void
put_characters(Chain *chain, size_t i)
{
	Cluster *cluster = &chain->links[i].cluster;

	for (size_t at = 0; at < cluster->n_bytes;)
	{
		uint32_t c;
		size_t n = (size_t) utf8_decode(cluster->bytes + at, &c);

		put_character(chain, i, cluster->bytes + at, n);
		at += n;
	}
	cluster->n_bytes = 0;
}

static void
end_cluster(Chain *chain, size_t i)
{
	Cluster *cluster = &chain->links[i].cluster;
	const unsigned char *mapped = NULL;
	size_t length;

	if (cluster->n_chars == 0)
		return;
	if (!cluster->is_long)
		mapped = find(chain, i, cluster->bytes, cluster->n_bytes, &length);
	if (mapped != NULL)
		put_text(chain, i, cluster->n_chars, mapped, length);
	else
		put_characters(chain, i);
	cluster->n_bytes = 0;
	cluster->n_chars = 0;
	cluster->is_long = false;
}

void
precompiled_push(Chain *chain, size_t i, uint32_t c, uint32_t origin)
{
	Link *link = &chain->links[i];
	Cluster *cluster = &link->cluster;
	uint8_t class = unicode_properties(c).grapheme;

	if (!origins_append(chain, &link->origins, origin))
		return;
	if (grapheme_begins(&cluster->at, class))
		end_cluster(chain, i);
	grapheme_note(&cluster->at, class);
	cluster->n_chars++;
	cluster->n_bytes += (size_t) utf8_encode(c, cluster->bytes + cluster->n_bytes);
	if (cluster->is_long || cluster->n_bytes >= CLUSTER_BYTES)
	{
		cluster->is_long = true;
		put_characters(chain, i);
	}
}

void
precompiled_finish(Chain *chain, size_t i)
{
	Link *link = &chain->links[i];

	end_cluster(chain, i);
	if (link->has_held)
		chain_give(chain, i, link->held.c, link->held.change);
	link->has_held = false;
}

void
precompiled_settle(Chain *chain, size_t i)
{
	Link *link = &chain->links[i];

	/* what is added takes the next origin if something is removed after it */
	if (link->cluster.at.previous == GRAPHEME_CR)
		return;
	end_cluster(chain, i);
	if (link->has_held && link->held.change <= 0)
	{
		chain_give(chain, i, link->held.c, link->held.change);
		link->has_held = false;
	}
}
