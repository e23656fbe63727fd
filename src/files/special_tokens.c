/* special_tokens.c: what the files name, put in order. */
#include "files/special_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "files/config.h"
#include "files/json.h"

/* In the order in which the reference adds them, and of ClassTraits. */
static const char *const names[CLASS_NAMED_TOKENS] = {
	"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
};

#define MASK_NAME (CLASS_NAMED_TOKENS - 1)

const char *
special_token_name(size_t i)
{
	return names[i];
}

static bool
is_list(const json_t *value)
{
	return json_is_array(value) && json_array_size(value) > 0;
}

/* A member that is absent or null names nothing. */
static const json_t *
member(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_null(value) ? NULL : value;
}

/* --- Tokens with ids --- */

static bool
put_numbered(SpecialTokens *out, const AddedToken *token, Status *status)
{
	for (size_t i = 0; i < out->n_numbered; i++)
		if (out->numbered[i].id == token->id)
		{
			out->numbered[i] = *token;
			return true;
		}
	if (out->n_numbered == ADDED_TOKENS_MAX)
		return status_fail(status, STATUS_LIMIT, "there are more than %d added tokens",
						   ADDED_TOKENS_MAX);
	out->numbered[out->n_numbered++] = *token;
	return true;
}

static bool
read_decoder(Arena *arena, const json_t *decoder, SpecialTokens *out, Status *status)
{
	const char *key;
	json_t *value;

	if (!json_is_object(decoder))
		return status_fail(status, STATUS_INVALID_DATA,
						   "tokenizer_config.json: \"added_tokens_decoder\" is not an object");
	json_object_foreach((json_t *) decoder, key, value)
	{
		AddedToken token;
		char *end;
		long id = strtol(key, &end, 10);

		if (*end != '\0' || id < 0 || id > CONFIG_MAX_VOCAB || !json_is_object(value))
			return status_fail(status, STATUS_INVALID_DATA,
							   "tokenizer_config.json: \"added_tokens_decoder\" has no token with "
							   "the id \"%.20s\"",
							   key);
		if (!added_token_parse(value, arena, false, &token, status))
			return status_prefix(status, "tokenizer_config.json: \"added_tokens_decoder\"");
		token.id = (int32_t) id;
		if (!put_numbered(out, &token, status))
			return false;
	}
	return true;
}

/* Whether the files call a token special; a class's defaults do not. */
static bool
is_named(const SpecialTokens *out, const char *content)
{
	for (size_t i = 0; i < out->n_named; i++)
		if (!out->named[i].is_default && strcmp(out->named[i].token.content, content) == 0)
			return true;
	return added_tokens_find(out->extra, out->n_extra, content) != NULL;
}

/* added_tokens.json: {"token": id, ...} */
static bool
read_added(Arena *arena, const json_t *added, SpecialTokens *out, Status *status)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) added, key, value)
	{
		bool special = is_named(out, key);
		AddedToken token = {.special = special, .normalized = !special};

		if (!json_is_integer(value) || json_integer_value(value) < 0 ||
			json_integer_value(value) > CONFIG_MAX_VOCAB)
			return status_fail(status, STATUS_INVALID_DATA,
							   "added_tokens.json: token \"%.60s\" has no id", key);
		token.id = (int32_t) json_integer_value(value);
		token.content = arena_strdup(arena, key);
		if (token.content == NULL)
			return arena_fail(arena, status, "a token", strlen(key));
		if (!put_numbered(out, &token, status))
			return false;
	}
	return true;
}

static int
compare_ids(const void *a, const void *b)
{
	return (((const AddedToken *) a)->id > ((const AddedToken *) b)->id) -
		   (((const AddedToken *) a)->id < ((const AddedToken *) b)->id);
}

static bool
read_numbered(Arena *arena, const SpecialSources *sources, SpecialTokens *out, Status *status)
{
	if (out->from_decoder)
	{
		if (!read_decoder(arena, member(sources->config, "added_tokens_decoder"), out, status))
			return false;
	}
	else
	{
		if (!read_added(arena, sources->added, out, status))
			return false;
		for (size_t i = 0; i < sources->json->n_added; i++)
			if (!put_numbered(out, &sources->json->added[i], status))
				return false;
	}
	qsort(out->numbered, out->n_numbered, sizeof *out->numbered, compare_ids);
	return true;
}

/* --- Tokens with names --- */

static bool
put_named(Arena *arena, const char *key, const json_t *value, const char *file, SpecialTokens *out,
		  Status *status)
{
	NamedToken named = {.key = arena_strdup(arena, key)};
	size_t place = 0;

	if (named.key == NULL)
		return arena_fail(arena, status, "a token's name", strlen(key));
	if (!added_token_parse(value, arena, true, &named.token, status))
		return status_prefix(status, "%s: \"%s\"", file, key);
	named.token.special = true;
	if (named.token.content[0] == '\0')
		return status_fail(status, STATUS_INVALID_DATA, "%s: \"%s\" is empty", file, key);
	while (place < out->n_named && strcmp(out->named[place].key, key) != 0)
		place++;
	if (place == ADDED_TOKENS_MAX)
		return status_fail(status, STATUS_LIMIT, "there are more than %d special tokens",
						   ADDED_TOKENS_MAX);
	if (place == out->n_named)
		out->n_named++;
	out->named[place] = named;
	return true;
}

static bool
put_default(const char *key, const char *text, SpecialTokens *out)
{
	out->named[out->n_named++] = (NamedToken){
		.key = key, .token = {.content = text, .id = -1, .special = true}, .is_default = true};
	return true;
}

static bool
is_standard(const char *key)
{
	for (size_t i = 0; i < CLASS_NAMED_TOKENS; i++)
		if (strcmp(names[i], key) == 0)
			return true;
	return false;
}

/* "image_token": "<image>": names of the author's own. */
static bool
read_own_names(Arena *arena, const json_t *object, const char *file, bool all, SpecialTokens *out,
			   Status *status)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) object, key, value)
	{
		size_t length = strlen(key);
		bool token = length > 6 && strcmp(key + length - 6, "_token") == 0;

		if ((!all && (!token || is_standard(key))) ||
			(!json_is_string(value) && !json_is_object(value)))
			continue;
		if (!put_named(arena, key, value, file, out, status))
			return false;
	}
	return true;
}

/* What a class makes of a token that is only a text. */
static void
take_traits(const ClassTraits *traits, size_t name, NamedToken *named)
{
	if (strcmp(named->key, names[name]) != 0)
		return;
	named->token.lstrip |= traits->mask_strips && name == MASK_NAME;
}

static bool
read_named(Arena *arena, const SpecialSources *sources, SpecialTokens *out, Status *status)
{
	const json_t *map = out->from_decoder ? NULL : sources->special_map;
	const json_t *own = member(sources->config, "extra_special_tokens");
	const json_t *map_own = member(map, "extra_special_tokens");

	for (size_t i = 0; i < CLASS_NAMED_TOKENS; i++)
	{
		const char *key = names[i];
		const json_t *value = member(sources->config, key);
		const json_t *other = member(map, key);
		const char *file = other != NULL ? "special_tokens_map.json" : "tokenizer_config.json";

		if (value == NULL && other == NULL)
		{
			if (sources->traits != NULL && sources->traits->tokens[i] != NULL)
				put_default(key, sources->traits->tokens[i], out);
		}
		else if (!put_named(arena, key, other != NULL ? other : value, file, out, status))
			return false;
		else if (!json_is_string(other != NULL ? other : value))
			continue;
		if (sources->traits != NULL && out->n_named > 0)
			take_traits(sources->traits, i, &out->named[out->n_named - 1]);
	}
	return read_own_names(arena, sources->config, "tokenizer_config.json", false, out, status) &&
		   read_own_names(arena, map, "special_tokens_map.json", false, out, status) &&
		   (!json_is_object(own) ||
			read_own_names(arena, own, "tokenizer_config.json", true, out, status)) &&
		   (!json_is_object(map_own) ||
			read_own_names(arena, map_own, "special_tokens_map.json", true, out, status));
}

/* --- Further special tokens --- */

static bool
put_extras(Arena *arena, const json_t *list, const char *file, const char *key, SpecialTokens *out,
		   Status *status)
{
	AddedToken token;

	if (list != NULL && !json_is_array(list))
		return status_fail(status, STATUS_INVALID_DATA, "%s: \"%s\" is not a list", file, key);
	for (size_t i = 0; i < json_array_size(list); i++)
	{
		if (!added_token_parse(json_array_get(list, i), arena, true, &token, status))
			return status_prefix(status, "%s: \"%s\"", file, key);
		token.special = true;
		if (!added_tokens_put(out->extra, &out->n_extra, &token, status))
			return false;
	}
	return true;
}

/* extra_special_tokens, or by its older name. */
static bool
put_pieces(const SpecialSources *sources, SpecialTokens *out, Status *status)
{
	for (size_t i = 0; i < sources->n_pieces; i++)
		if (!added_tokens_put(out->extra, &out->n_extra, &sources->pieces[i], status))
			return false;
	return true;
}

/* What the class of CamemBERT adds where nobody names anything. */
static bool
put_camembert(SpecialTokens *out, Status *status)
{
	static const char *const texts[] = {"<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (!added_tokens_put(out->extra, &out->n_extra,
							  &(AddedToken){.content = texts[i], .id = -1, .special = true},
							  status))
			return false;
	return true;
}

static bool
read_extras(Arena *arena, const SpecialSources *sources, SpecialTokens *out, Status *status)
{
	static const char config_name[] = "tokenizer_config.json";
	static const char map_name[] = "special_tokens_map.json";
	const json_t *map = out->from_decoder ? NULL : sources->special_map;
	const json_t *new = member(sources->config, "extra_special_tokens");
	const json_t *old = member(sources->config, "additional_special_tokens");
	bool said = is_list(new) || old != NULL;

	if (sources->pieces != NULL && !is_list(new))
		return put_pieces(sources, out, status);
	if (sources->camembert && !said && member(map, "additional_special_tokens") == NULL &&
		!is_list(member(map, "extra_special_tokens")))
		return put_camembert(out, status);
	if (json_is_object(new))
		new = NULL;
	if (is_list(new))
		old = NULL;
	if (!put_extras(arena, new, config_name, "extra_special_tokens", out, status) ||
		!put_extras(arena, old, config_name, "additional_special_tokens", out, status))
		return false;
	new = member(map, "extra_special_tokens");
	old = said || is_list(new) ? NULL : member(map, "additional_special_tokens");
	return put_extras(arena, json_is_object(new) ? NULL : new, map_name, "extra_special_tokens",
					  out, status) &&
		   put_extras(arena, old, map_name, "additional_special_tokens", out, status);
}

/*
 * A name that is only a string refers to the token with an id, if there is one; and whatever is
 * named is special.
 */
static void
join(SpecialTokens *out)
{
	for (size_t i = 0; i < out->n_named; i++)
	{
		AddedToken *known =
			added_tokens_find(out->numbered, out->n_numbered, out->named[i].token.content);

		if (known != NULL)
			known->special = true;
	}
}

bool
special_tokens_read(Arena *arena, const SpecialSources *sources, SpecialTokens *out, Status *status)
{
	memset(out, 0, sizeof *out);
	out->from_decoder = member(sources->config, "added_tokens_decoder") != NULL;
	out->numbered = arena_alloc_array(arena, ADDED_TOKENS_MAX, sizeof *out->numbered);
	out->named =
		arena_alloc_array(arena, ADDED_TOKENS_MAX + CLASS_NAMED_TOKENS, sizeof *out->named);
	out->extra = arena_alloc_array(arena, ADDED_TOKENS_MAX, sizeof *out->extra);
	if (out->numbered == NULL || out->named == NULL || out->extra == NULL)
		return arena_fail(arena, status, "special tokens", ADDED_TOKENS_MAX * sizeof *out->named);
	if (!read_named(arena, sources, out, status) || !read_extras(arena, sources, out, status) ||
		!read_numbered(arena, sources, out, status))
		return false;
	join(out);
	return true;
}
