/*
 * handle.c: the models that this backend has used.
 *
 * A handle is kept by version and content, so a replaced model is another handle and nothing has to
 * be invalidated: names are resolved afresh by every statement. Each handle has its memory in one
 * context; its mappings are released when that context goes.
 */
#include "pg/server/compat.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/bulk.h"
#include "pg/model/cache.h"
#include "pg/model/definition.h"
#include "pg/server/settings.h"
#include "pg/model/handle.h"
#include "pg/server/memory.h"
#include "pg/server/errors.h"
#include "pg/server/progress.h"

#define MAX_IDLE_HANDLES 16 /* unpinned ones that are kept */
#define MAX_NAMES_PER_SITE 8
#define WORTH_TELLING ((size_t) 8 * 1024 * 1024) /* bytes that were made for the cache */

/* One model bound for a head and kernels; its blocks' files are retained. */
typedef struct Bound
{
	struct Bound *next;
	HeadKind head;
	const Kernels *kernels;
	BertModel *model;
	TensorTable table;
	const BertConfig *config;
	int n_files;
	CacheFile **files; /* (table.n_blocks) */
} Bound;

typedef struct Handle
{
	ModelHandle public; /* first */
	dlist_node node;    /* in the list, most recently used first */
	int pins;
	MemoryContext context;
	Arena *arena;
	ModelDefinition *definition;
	bool other_precision; /* a bundled one in the precision that its name asked for */
	CacheFile *tokenizer_file;
	Bound *bound;
	TimestampTz checked; /* when a bundled model's files were last looked at */
} Handle;

static dlist_head handles = DLIST_STATIC_INIT(handles);
static uint64 last_serial;

/* What makes two snapshots see the same: a statement's snapshot, by its contents. */
typedef struct SnapshotKey
{
	uint64 running; /* hash of the transactions in progress */
	/* what one did and rolled back leaves no other trace; 64 bits: keys are compared as bytes */
	uint64 subtransaction;
	TransactionId xmin;
	TransactionId xmax;
	CommandId curcid;
	uint32 xcnt;
	int32 subxcnt;
	Oid user;
} SnapshotKey;

/* What a call site has resolved; several names may alternate there. */
typedef struct Resolved
{
	struct Resolved *next;
	char *name;
	SnapshotKey key;
	Handle *handle;
} Resolved;

typedef struct CallSite
{
	Resolved *first; /* most recently used first */
	MemoryContext context;
	MemoryContextCallback callback;
} CallSite;

/* --- Snapshots --- */

static void
snapshot_key(SnapshotKey *key)
{
	Snapshot snapshot = GetActiveSnapshot();

	memset(key, 0, sizeof *key);
	key->xmin = snapshot->xmin;
	key->xmax = snapshot->xmax;
	key->curcid = snapshot->curcid;
	key->xcnt = snapshot->xcnt;
	key->subxcnt = snapshot->subxcnt;
	if (snapshot->xcnt > 0)
		key->running = hash_bytes_extended((const unsigned char *) snapshot->xip,
										   (int) (snapshot->xcnt * sizeof(TransactionId)), 0);
	if (snapshot->subxcnt > 0)
		key->running =
			hash_bytes_extended((const unsigned char *) snapshot->subxip,
								(int) (snapshot->subxcnt * sizeof(TransactionId)), key->running);
	key->user = GetUserId();
	key->subtransaction = GetCurrentSubTransactionId();
}

/* --- Handles --- */

static void
release_files(void *argument)
{
	Handle *handle = argument;

	for (Bound *bound = handle->bound; bound != NULL; bound = bound->next)
		for (int i = 0; i < bound->n_files; i++)
			cache_release(bound->files[i]);
	if (handle->tokenizer_file != NULL)
		cache_release(handle->tokenizer_file);
	handle->bound = NULL;
	handle->tokenizer_file = NULL;
}

static void
drop_idle(void)
{
	dlist_mutable_iter iter;
	int idle = 0;

	dlist_foreach_modify(iter, &handles)
	{
		Handle *handle = dlist_container(Handle, node, iter.cur);

		if (handle->pins > 0 || ++idle <= MAX_IDLE_HANDLES)
			continue;
		dlist_delete(&handle->node);
		MemoryContextDelete(handle->context);
	}
}

static Handle *
find_handle(const ModelRow *row)
{
	dlist_iter iter;

	dlist_foreach(iter, &handles)
	{
		Handle *handle = dlist_container(Handle, node, iter.cur);

		if (handle->public.version == row->version && row->version != 0 &&
			handle->public.precision == row->precision &&
			memcmp(&handle->definition->digest, &row->digest, sizeof row->digest) == 0)
			return handle;
	}
	return NULL;
}

/* A bundled model's handle, unless its files have changed. */
static Handle *
find_bundled(const FoundModel *found)
{
	dlist_iter iter;

	dlist_foreach(iter, &handles)
	{
		Handle *handle = dlist_container(Handle, node, iter.cur);
		TimestampTz now;
		BlockHash identity;

		if (handle->public.version != 0 || strcmp(handle->public.name, found->bundled) != 0 ||
			handle->other_precision != found->has_precision ||
			(found->has_precision && handle->public.precision != found->precision))
			continue;
		now = GetCurrentTimestamp();
		if (!TimestampDifferenceExceeds(handle->checked, now, BUNDLE_CHECK_MS))
			return handle;
		bundle_identity(found->bundled, &identity);
		if (memcmp(&identity, &handle->definition->identity, sizeof identity) != 0)
			continue;
		handle->checked = now;
		return handle;
	}
	return NULL;
}

/* A tokenizer's image; without room for it (payload NULL) only its length. */
typedef struct TokenizerFill
{
	ModelDefinition *definition;
	size_t length;
} TokenizerFill;

static void
fill_tokenizer(void *context, void *payload, size_t size)
{
	TokenizerFill *fill = context;
	MemoryContext memory =
		AllocSetContextCreate(CurrentMemoryContext, "bert tokenizer", ALLOCSET_DEFAULT_SIZES);
	Arena *arena = arena_in_context(memory, 0);
	TokenizerSettings settings;
	unsigned char *image;
	Status status;

	definition_read_tokenizer(fill->definition, arena, &settings);
	if (!tokenizer_compile(arena, &settings, &image, &fill->length, &status))
		report_status(&status);
	if (payload != NULL)
	{
		if (fill->length != size)
			elog(ERROR, "the tokenizer of model \"%s\" changed its size", fill->definition->name);
		memcpy(payload, image, size);
	}
	MemoryContextDelete(memory);
}

static void
open_tokenizer(Handle *handle)
{
	CacheKey key = {.kind = "tokenizer", .precision = "none", .kernel = "none"};
	TokenizerFill fill = {handle->definition, 0};
	const void *image;
	size_t length;
	Status status;

	memcpy(key.content, handle->definition->tokenizer.bytes, SHA256_BYTES);
	for (int attempt = 0; handle->public.tokenizer == NULL; attempt++)
	{
		handle->tokenizer_file = cache_open(&key, 0);
		if (handle->tokenizer_file == NULL)
		{
			fill_tokenizer(&fill, NULL, 0);
			handle->tokenizer_file = cache_get(&key, fill.length, fill_tokenizer, &fill);
		}
		image = cache_payload(handle->tokenizer_file, &length);
		handle->public.tokenizer = tokenizer_open(handle->arena, image, length, &status);
		if (handle->public.tokenizer == NULL)
		{
			if (attempt == 1)
				report_status(&status);
			/* Written by another version of the extension. */
			cache_remove(handle->tokenizer_file);
			cache_release(handle->tokenizer_file);
			handle->tokenizer_file = NULL;
		}
	}
}

static Handle *
make_handle(const FoundModel *found)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "bert model", ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	Handle *handle = palloc0(sizeof *handle);
	MemoryContextCallback *callback = palloc0(sizeof *callback);
	ModelDefinition *definition;

	handle->context = context;
	handle->arena = arena_in_context(context, 0);
	callback->func = release_files;
	callback->arg = handle;
	MemoryContextRegisterResetCallback(context, callback);
	definition = definition_of_found(found);
	handle->definition = definition;
	handle->other_precision = found->has_precision;
	handle->checked = GetCurrentTimestamp();
	handle->public.serial = ++last_serial;
	handle->public.name = definition->name;
	handle->public.version = definition->version;
	handle->public.config = definition->config;
	handle->public.head = definition->table.head;
	handle->public.precision = definition->precision;
	handle->public.sentence = definition->sentence;
	open_tokenizer(handle);
	definition_rest(definition);
	handle->public.max_length = sentence_max_length(
		&definition->sentence, tokenizer_max_length(handle->public.tokenizer), &definition->config);
	MemoryContextSwitchTo(previous);
	MemoryContextSetParent(context, CacheMemoryContext);
	dlist_push_head(&handles, &handle->node);
	return handle;
}

/* The handle for the name as the active snapshot sees it; permission checked. */
static Handle *
resolve(const char *name)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "bert name", ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	FoundModel found;
	Handle *handle;

	definition_find(name, &found);
	handle = found.row != NULL ? find_handle(found.row) : find_bundled(&found);
	if (handle == NULL)
		handle = make_handle(&found);
	else
	{
		dlist_move_head(&handles, &handle->node);
		if (found.row != NULL && strcmp(handle->public.name, found.row->name) != 0) /* renamed */
			handle->public.name = MemoryContextStrdup(handle->context, found.row->name);
	}
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
	return handle;
}

/* --- Call sites --- */

static void
release_site(void *argument)
{
	CallSite *site = argument;

	for (Resolved *resolved = site->first; resolved != NULL; resolved = resolved->next)
		if (resolved->handle != NULL)
			resolved->handle->pins--;
	site->first = NULL;
}

static CallSite *
new_site(MemoryContext context)
{
	CallSite *site = MemoryContextAllocZero(context, sizeof *site);

	site->context = context;
	site->callback.func = release_site;
	site->callback.arg = site;
	MemoryContextRegisterResetCallback(context, &site->callback);
	return site;
}

static void keep_sound(Handle *handle);

/*
 * The site's entry of this name, moved to the front; NULL if there is none. The list stays short.
 */
static Resolved *
find_resolved(CallSite *site, const char *name)
{
	int n = 0;

	for (Resolved **link = &site->first; *link != NULL; link = &(*link)->next)
	{
		Resolved *resolved = *link;

		if (strcmp(resolved->name, name) == 0)
		{
			*link = resolved->next;
			resolved->next = site->first;
			site->first = resolved;
			return resolved;
		}
		if (++n == MAX_NAMES_PER_SITE)
		{
			*link = resolved->next;
			resolved->handle->pins--;
			pfree(resolved->name);
			pfree(resolved);
			break;
		}
	}
	return NULL;
}

static CallSite *
site_of(FmgrInfo *flinfo)
{
	CallSite *site = flinfo == NULL ? NULL : flinfo->fn_extra;

	if (site == NULL)
	{
		site = new_site(flinfo == NULL ? CurrentMemoryContext : flinfo->fn_mcxt);
		if (flinfo != NULL)
			flinfo->fn_extra = site;
	}
	return site;
}

/* The handle for the name, resolved once for each snapshot and pinned as long as the site is. */
static Handle *
handle_by_name(CallSite *site, const char *name)
{
	Resolved *resolved = find_resolved(site, name);
	SnapshotKey key;
	Handle *handle;

	snapshot_key(&key);
	if (resolved != NULL && memcmp(&resolved->key, &key, sizeof key) == 0)
		return resolved->handle;

	handle = resolve(name);
	keep_sound(handle);
	if (resolved == NULL)
	{
		resolved = MemoryContextAllocZero(site->context, sizeof *resolved);
		resolved->name = MemoryContextStrdup(site->context, name);
		resolved->handle = handle;
		resolved->next = site->first;
		site->first = resolved;
	}
	else
		resolved->handle->pins--;
	handle->pins++;
	resolved->handle = handle;
	resolved->key = key;
	drop_idle();
	return handle;
}

/* --- Which model when none is given --- */

static bool
serves(const ModelHandle *model, HeadKind head)
{
	HeadKind served[HEAD_KIND_COUNT];
	int n = served_heads(model->config.family, model->head, served);

	for (int i = 0; i < n; i++)
		if (served[i] == head)
			return true;
	return head == HEAD_NONE;
}

/* Whether the task's functions take the model. */
static bool
can_do(const ModelHandle *model, ModelTask task)
{
	bool classifier = serves(model, HEAD_SEQUENCE_CLASSIFICATION);

	switch (task)
	{
		case TASK_EMBED:
			return true;
		case TASK_CLASSIFY:
			return classifier && !config_is_regression(&model->config);
		case TASK_LABELS:
			return classifier && model->config.problem_type == PROBLEM_MULTI_LABEL;
		case TASK_REGRESS:
			return classifier && model->config.num_labels == 1;
		case TASK_RANK: /* by its head, or by embeddings */
			return !classifier || model->config.num_labels == 1;
		case TASK_ZERO_SHOT: /* by what entails, or by embeddings */
			return !classifier || config_tells_entailment(&model->config);
		case TASK_TAG:
		case TASK_ENTITIES:
			return serves(model, HEAD_TOKEN_CLASSIFICATION);
		case TASK_ANSWER:
			return serves(model, HEAD_QUESTION_ANSWERING);
		case TASK_FILL_MASK:
			return serves(model, HEAD_MASKED_LM);
		case TASK_NEXT_SENTENCE:
			return serves(model, HEAD_NEXT_SENTENCE);
		case TASK_CHOOSE:
			return serves(model, HEAD_MULTIPLE_CHOICE);
		case TASK_GENERATE:
			return serves(model, HEAD_CAUSAL_LM) && model->config.is_decoder;
	}
	return false;
}

static void
name_setting(void *unused)
{
	errcontext("model named by the setting bert.default_model");
}

static Handle *
handle_by_setting(CallSite *site, const char *name)
{
	ErrorContextCallback callback = {error_context_stack, name_setting, NULL};
	Handle *handle;

	error_context_stack = &callback;
	handle = handle_by_name(site, name);
	error_context_stack = callback.previous;
	return handle;
}

/* name: CHOICE_NAME_BYTES; becomes the chosen model's, with the precision that the setting says. */
static Handle *
default_handle(CallSite *site, ModelTask task, char *name)
{
	DefaultChoice choice = choice_by_setting(task, name);
	Handle *handle = choice == CHOICE_NONE ? NULL : handle_by_setting(site, name);
	const char *bundled;

	if (handle != NULL && can_do(&handle->public, task))
		return handle;
	if (handle != NULL && choice == CHOICE_FOR_TASK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model \"%s\" cannot do the task \"%s\"", name, model_task_name(task)),
				 errdetail("The setting bert.default_model names it for this task; its head is %s.",
						   head_kind_name(handle->public.head)),
				 errhint("Change bert.default_model, or give the argument \"model\".")));
	bundled = bundle_for_task(task);
	if (bundled == NULL)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("no model was given, and none of the bundled ones is made for the task \"%s\"",
					model_task_name(task)),
			 choice == CHOICE_NONE
				 ? 0
				 : errdetail("The model \"%s\" of the setting bert.default_model cannot do it.",
							 name),
			 errhint("Name one with the argument \"model\", or set bert.default_model.")));
	strlcpy(name, bundled, CHOICE_NAME_BYTES);
	return handle_by_name(site, bundled);
}

ModelHandle *
model_handle_get(FmgrInfo *flinfo, const text *model, ModelTask task)
{
	return model_handle_get_named(flinfo, model, task, NULL);
}

ModelHandle *
model_handle_get_named(FmgrInfo *flinfo, const text *model, ModelTask task, char **name)
{
	CallSite *site = site_of(flinfo);
	char chosen[CHOICE_NAME_BYTES];
	char *given = model == NULL ? NULL : text_to_cstring(model);
	Handle *handle =
		given != NULL ? handle_by_name(site, given) : default_handle(site, task, chosen);

	if (name != NULL)
		*name = given != NULL ? given : pstrdup(chosen);
	return &handle->public;
}

/* --- Binding --- */

typedef struct BlockFill
{
	Handle *handle;
	const Bound *bound;
	int block;
} BlockFill;

/*
 * The floats of a block of the bound table, which may be of another head that the model's own
 * contains.
 */
static void
read_floats(ModelDefinition *definition, const TensorTable *table, int block, float *out)
{
	const BlockSpec *spec = &table->blocks[block];
	int own = definition_find_block(definition, spec->kind, spec->layer);
	float *floats;

	if (spec->kind != BLOCK_HEAD || table->head == definition->table.head)
	{
		definition_read_block(definition, own, out);
		return;
	}
	floats = memory_for_weights(definition->table.blocks[own].elements, true);
	definition_read_block(definition, own, floats);
	for (int i = spec->first_tensor; i < spec->first_tensor + spec->n_tensors; i++)
	{
		const TensorSpec *source = tensor_table_find(&definition->table, table->tensors[i].name);

		if (source == NULL || source->block != own ||
			source->elements != table->tensors[i].elements)
			elog(ERROR, "the head of model \"%s\" has no fitting tensor \"%s\"", definition->name,
				 table->tensors[i].name);
		memcpy(out + table->tensors[i].offset, floats + source->offset,
			   source->elements * sizeof(float));
	}
	pfree(floats);
}

static void
fill_block(void *context, void *payload, size_t size)
{
	BlockFill *fill = context;
	const Bound *bound = fill->bound;
	ModelDefinition *definition = fill->handle->definition;
	size_t elements = bound->table.blocks[fill->block].elements;
	size_t all = elements;
	float *floats;
	Status status;

	if (prepared_needs_embeddings(&bound->table, bound->config, fill->block))
		/* the word embeddings are the first tensor */
		all += bound->table.tensors[0].elements;
	floats = memory_for_weights(all, true);
	read_floats(definition, &bound->table, fill->block, floats);
	if (all > elements)
	{
		float *embeddings = memory_for_weights(bound->table.blocks[0].elements, true);

		definition_read_block(definition, 0, embeddings);
		REPORT_UNLESS(bulk_copy(floats + elements, embeddings, (all - elements) * sizeof(float),
								&backend_may_continue, &status),
					  &status);
		pfree(embeddings);
	}
	if (!prepared_write(&(Preparation){&bound->table, bound->config, fill->handle->public.precision,
									   bound->kernels},
						fill->block, floats, payload, size, &backend_may_continue, &status))
		report_status(&status);
	pfree(floats);
}

static CacheFile *
get_block(Handle *handle, const Bound *bound, int block)
{
	static const char *const kinds[] = {"embeddings", "layer", "pooler", "head", "dense"};
	const BlockSpec *spec = &bound->table.blocks[block];
	ModelDefinition *definition = handle->definition;
	CacheKey key = {.kind = kinds[spec->kind],
					.precision = precision_name(handle->public.precision),
					.version = PREPARED_VERSION};
	BlockFill fill = {handle, bound, block};
	size_t size;
	Status status;
	uint64 rest = hash_bytes_extended(
		(const unsigned char *) head_kind_name(bound->table.head),
		spec->kind == BLOCK_HEAD ? (int) strlen(head_kind_name(bound->table.head)) : 0, 0);

	/* Equal floats of other shapes would be prepared otherwise. */
	for (int i = spec->first_tensor; i < spec->first_tensor + spec->n_tensors; i++)
	{
		const TensorSpec *tensor = &bound->table.tensors[i];
		uint64 shape[3] = {(uint64) tensor->role, tensor->shape[0], tensor->shape[1]};

		rest = hash_bytes_extended((const unsigned char *) shape, sizeof shape, rest);
	}
	if (prepared_needs_embeddings(&bound->table, bound->config, block))
		rest = hash_bytes_extended(definition->blocks[0].bytes, SHA256_BYTES, rest);
	memcpy(key.content,
		   definition->blocks[definition_find_block(definition, spec->kind, spec->layer)].bytes,
		   SHA256_BYTES);
	key.kernel = bound->kernels->panels != NULL ? bound->kernels->panels : bound->kernels->name;
	key.layout = bound->kernels->layout[handle->public.precision];
	key.rest = rest;
	if (!prepared_size(
			&(Preparation){&bound->table, bound->config, handle->public.precision, bound->kernels},
			block, &size, &status))
		report_status(&status);
	return cache_get(&key, size, fill_block, &fill);
}

/* What was cut or overwritten while this backend had it mapped is made again. */
static void
keep_sound(Handle *handle)
{
	TokenizerFill tokenizer = {handle->definition, 0};

	cache_keep_sound(handle->tokenizer_file, fill_tokenizer, &tokenizer);
	for (Bound *bound = handle->bound; bound != NULL; bound = bound->next)
		for (int i = 0; i < bound->n_files; i++)
		{
			BlockFill fill = {handle, bound, i};

			cache_keep_sound(bound->files[i], fill_block, &fill);
		}
	definition_rest(handle->definition);
}

void
model_handle_keep_sound(ModelHandle *handle)
{
	keep_sound((Handle *) handle);
}

char *
model_handle_pinned_name(const ModelHandle *handle)
{
	return definition_pinned_name(((const Handle *) handle)->definition);
}

static void
check_head(const Handle *handle, HeadKind head)
{
	HeadKind own = handle->public.head;

	if (serves(&handle->public, head))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		 errmsg("model \"%s\" has no %s head", handle->public.name, head_kind_name(head)),
		 own == HEAD_NONE ? errdetail("It is an encoder without a head.")
						  : errdetail("Its head is %s.", head_kind_name(own)),
		 errhint(
			 "Use a model with this head (see bert.models), or train one with bert.finetune.")));
}

/* Releases what an error has left half bound. */
static void
forget_failed(Handle *handle)
{
	for (Bound **link = &handle->bound; *link != NULL;)
	{
		Bound *bound = *link;

		if (bound->model != NULL)
		{
			link = &bound->next;
			continue;
		}
		*link = bound->next;
		for (int i = 0; i < bound->n_files; i++)
			cache_release(bound->files[i]);
	}
}

/* Maps the blocks, and makes those that the cache lacks: what takes long says so afterwards. */
static void
map_blocks(Handle *handle, Bound *bound, PreparedImage *images)
{
	CacheMade before = cache_made;
	size_t bytes;

	progress_begin_aside(handle->public.name);
	progress_phase("preparing the model", "blocks", bound->table.n_blocks);
	for (int i = 0; i < bound->table.n_blocks; i++)
	{
		progress_set(i);
		bound->files[i] = get_block(handle, bound, i);
		bound->n_files = i + 1;
		images[i].bytes = cache_payload(bound->files[i], &images[i].size);
	}
	progress_end();
	bytes = cache_made.bytes - before.bytes;
	if (bytes >= WORTH_TELLING)
		ereport(NOTICE, (errmsg("model \"%s\" was prepared for this machine in %.1f s, and %zu MB "
								"kept in the cache",
								handle->public.name, (cache_made.ms - before.ms) / 1000.0,
								bytes / 1048576)));
}

const BertModel *
model_handle_bind(ModelHandle *public, HeadKind head)
{
	Handle *handle = (Handle *) public;
	Status status;
	const Kernels *kernels = kernels_choose(guc_kernel, &status);
	MemoryContext previous;
	PreparedImage *images;
	Bound *bound;

	REPORT_UNLESS(kernels != NULL, &status);
	for (bound = handle->bound; bound != NULL; bound = bound->next)
		if (bound->head == head && bound->kernels == kernels && bound->model != NULL)
			return bound->model;
	check_head(handle, head);
	forget_failed(handle);

	previous = MemoryContextSwitchTo(handle->context);
	bound = palloc0(sizeof *bound);
	bound->head = head;
	bound->kernels = kernels;
	bound->config = &handle->definition->config;
	if (!tensor_table_build(handle->arena, bound->config, head, &bound->table, &status))
		report_status(&status);
	bound->files = palloc0(sizeof(CacheFile *) * (size_t) bound->table.n_blocks);
	images = palloc0(sizeof(PreparedImage) * (size_t) bound->table.n_blocks);
	bound->next = handle->bound;
	/* from now on its files are released with the handle, whatever happens */
	handle->bound = bound;
	MemoryContextSwitchTo(previous);
	map_blocks(handle, bound, images);
	definition_rest(handle->definition);
	if (!bert_model_bind(
			handle->arena,
			&(Preparation){&bound->table, bound->config, handle->public.precision, kernels}, images,
			bound->table.n_blocks, &bound->model, &status))
		report_status(&status);
	pfree(images);
	return bound->model;
}
