-- The whole current schema of the extension; the Makefile copies it to bert--VERSION.sql.
\echo Use "CREATE EXTENSION bert" to load this file. \quit

-- Unqualified names below are pg_catalog's: nothing in the schema "bert" or elsewhere can take the
-- place of an operator, a type or a function.
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

-- A schema that is there already may be full of traps, and its owner could rename it, or put other
-- tables into it, at any time.
DO LANGUAGE plpgsql $$
DECLARE
	schema record;
	problem text;
BEGIN
	SELECT n.oid, n.nspowner, n.nspacl INTO STRICT schema FROM pg_namespace AS n
		WHERE n.nspname = 'bert';
	IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = schema.nspowner
			AND (r.rolsuper OR r.rolname = current_user)) THEN
		problem := format('It belongs to the role "%s".', pg_get_userbyid(schema.nspowner));
	ELSIF EXISTS (SELECT FROM aclexplode(schema.nspacl) AS a WHERE a.privilege_type = 'CREATE'
			AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = a.grantee
				AND (r.rolsuper OR r.oid = schema.nspowner))) THEN
		problem := 'Other roles may create objects in it.';
	ELSIF EXISTS (SELECT FROM pg_depend AS d WHERE d.refclassid = 'pg_namespace'::regclass
			AND d.refobjid = schema.oid AND d.classid <> 'pg_extension'::regclass) THEN
		problem := 'There are objects in it.';
	END IF;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION 'schema "bert" cannot be used for the extension "bert"' USING
			ERRCODE = 'object_not_in_prerequisite_state', DETAIL = problem,
			HINT = 'Drop or rename the schema: CREATE EXTENSION makes one.';
	END IF;
END $$;

-- Types

CREATE TYPE bert.encoding AS (input_ids int[], token_type_ids int[], attention_mask int[],
	tokens text[], starts int[], ends int[]);
COMMENT ON TYPE bert.encoding IS
	'a text as a model reads it; starts and ends are characters of the text, 0-based,'
	' end-exclusive';
COMMENT ON COLUMN bert.encoding.input_ids IS 'ids of the tokens, special ones included';
COMMENT ON COLUMN bert.encoding.token_type_ids IS
	'0 for tokens of the first text, 1 for those of the second';
COMMENT ON COLUMN bert.encoding.attention_mask IS '1 for every token: nothing is padded';
COMMENT ON COLUMN bert.encoding.tokens IS 'the tokens as the vocabulary writes them';
COMMENT ON COLUMN bert.encoding.starts IS
	'where each token begins in its text, in characters from 0; 0 for special tokens';
COMMENT ON COLUMN bert.encoding.ends IS
	'where each token ends, the character behind its last; 0 for special tokens';

CREATE TYPE bert.classification AS (label text, score real);
COMMENT ON TYPE bert.classification IS 'a class and its probability';
COMMENT ON COLUMN bert.classification.label IS 'name of the class';
COMMENT ON COLUMN bert.classification.score IS 'its probability, from 0 to 1';

CREATE TYPE bert.token_tag AS (index int, token text, label text, score real, start_pos int,
	end_pos int);
COMMENT ON TYPE bert.token_tag IS
	'the label of one token; index is its place in the text, 1 for the first';
COMMENT ON COLUMN bert.token_tag.index IS 'place of the token in the text, 1 for the first';
COMMENT ON COLUMN bert.token_tag.token IS 'the token as the vocabulary writes it';
COMMENT ON COLUMN bert.token_tag.label IS 'its most probable label';
COMMENT ON COLUMN bert.token_tag.score IS 'probability of the label, from 0 to 1';
COMMENT ON COLUMN bert.token_tag.start_pos IS
	'where the token begins in the text, in characters from 0';
COMMENT ON COLUMN bert.token_tag.end_pos IS 'where it ends, the character behind its last';

CREATE TYPE bert.entity AS (entity text, word text, score real, start_pos int, end_pos int);
COMMENT ON TYPE bert.entity IS 'a labelled span of a text';
COMMENT ON COLUMN bert.entity.entity IS
	'what kind of thing it is: the label, without B- or I- where tokens are grouped';
COMMENT ON COLUMN bert.entity.word IS 'the words of the span, put together from its tokens';
COMMENT ON COLUMN bert.entity.score IS 'probability of the label, from 0 to 1';
COMMENT ON COLUMN bert.entity.start_pos IS
	'where the span begins in the text, in characters from 0';
COMMENT ON COLUMN bert.entity.end_pos IS 'where it ends, the character behind its last';

CREATE TYPE bert.qa_span AS (answer text, score real, start_pos int, end_pos int);
COMMENT ON TYPE bert.qa_span IS
	'an answer found in a context; the score is the probability of its start times that of its end';
COMMENT ON COLUMN bert.qa_span.answer IS 'the span of the context; empty for the null answer';
COMMENT ON COLUMN bert.qa_span.score IS 'probability of its start times that of its end';
COMMENT ON COLUMN bert.qa_span.start_pos IS
	'where the span begins in the context, in characters from 0';
COMMENT ON COLUMN bert.qa_span.end_pos IS 'where it ends, the character behind its last';

CREATE TYPE bert.fill AS (token text, token_id int, score real, sequence text);
COMMENT ON TYPE bert.fill IS 'a proposal for a mask and the text with it';
COMMENT ON COLUMN bert.fill.token IS 'what the mask is replaced by';
COMMENT ON COLUMN bert.fill.token_id IS 'its id in the vocabulary';
COMMENT ON COLUMN bert.fill.score IS 'its probability, from 0 to 1';
COMMENT ON COLUMN bert.fill.sequence IS 'the text with the mask replaced, as tokens put together';

CREATE TYPE bert.choice AS (choice int, text text, score real);
COMMENT ON TYPE bert.choice IS 'one of several choices, 1 for the first, and its probability';
COMMENT ON COLUMN bert.choice.choice IS 'number of the choice, 1 for the first';
COMMENT ON COLUMN bert.choice.text IS 'the choice itself';
COMMENT ON COLUMN bert.choice.score IS 'its probability among the choices, from 0 to 1';

CREATE TYPE bert.model_output AS (loss real, logits real[], seq_relationship_logits real[],
	last_hidden_state real[], pooler_output real[], hidden_states real[], attentions real[]);
COMMENT ON TYPE bert.model_output IS 'what bert.forward computes';
COMMENT ON COLUMN bert.model_output.loss IS 'mean loss of the labels; NULL without labels';
COMMENT ON COLUMN bert.model_output.logits IS
	'(batch, length, vocabulary or labels), (batch, labels), (batch, choices) or, for question'
	' answering, (batch, 2, length): start row, then end row';
COMMENT ON COLUMN bert.model_output.seq_relationship_logits IS
	'(batch, 2): follows, does not follow; with the head pretraining';
COMMENT ON COLUMN bert.model_output.last_hidden_state IS '(batch, length, hidden)';
COMMENT ON COLUMN bert.model_output.pooler_output IS '(batch, hidden)';
COMMENT ON COLUMN bert.model_output.hidden_states IS
	'(layers + 1, batch, length, hidden); the first are the embeddings';
COMMENT ON COLUMN bert.model_output.attentions IS
	'(layers, batch, heads, length, length): probabilities; NULL for heads that were removed';

-- Models

GRANT USAGE ON SCHEMA bert TO PUBLIC;

-- The store. Ordinary roles have no rights on these tables: the functions below check theirs and
-- act as the tables' owner. There are no foreign keys, for a parallel restore fills the tables in
-- any order; the functions keep them consistent.

CREATE TABLE bert.model (
	name text COLLATE "C" PRIMARY KEY,
	version bigint NOT NULL UNIQUE,
	granted_to_all boolean NOT NULL,
	source text NOT NULL,
	head text NOT NULL,
	precision text NOT NULL,
	config bytea NOT NULL,
	use_pooler boolean NOT NULL,
	tokenizer bytea NOT NULL,
	vocab bytea NOT NULL,
	pooling text,
	normalize boolean NOT NULL,
	max_seq_length integer NOT NULL,
	digest bytea NOT NULL,
	base text,
	base_version bigint,
	lineage jsonb,
	sentence bytea,
	description text,
	created timestamptz NOT NULL
);
COMMENT ON TABLE bert.model IS 'one row per stored model';
COMMENT ON COLUMN bert.model.granted_to_all IS
	'whether all roles may use it; its owner and other grants: see the schema bert_owner';
COMMENT ON COLUMN bert.model.config IS 'config.json, UTF-8 whatever the database''s encoding';
COMMENT ON COLUMN bert.model.tokenizer IS 'tokenizer_config.json, UTF-8';
COMMENT ON COLUMN bert.model.vocab IS 'the block that holds vocab.txt';
COMMENT ON COLUMN bert.model.pooling IS
	'NULL: the model came without sentence-transformers settings';
COMMENT ON COLUMN bert.model.sentence IS
	'prompts, similarity and Dense modules of sentence-transformers, JSON in UTF-8; NULL without';
COMMENT ON COLUMN bert.model.digest IS 'SHA-256 over all that decides what the model computes';

CREATE TABLE bert.tensor (
	version bigint NOT NULL,
	ordinal integer NOT NULL,
	name text COLLATE "C" NOT NULL,
	dtype text NOT NULL,
	shape integer[] NOT NULL,
	block bytea NOT NULL,
	byte_offset bigint NOT NULL,
	PRIMARY KEY (version, ordinal)
);
CREATE INDEX tensor_block ON bert.tensor (block);
COMMENT ON TABLE bert.tensor IS 'the tensors of every model and where they lie in its blocks';
COMMENT ON COLUMN bert.tensor.byte_offset IS 'bytes from the start of the block';

CREATE TABLE bert.head (
	version bigint NOT NULL,
	head text COLLATE "C" NOT NULL,
	PRIMARY KEY (version, head)
);
COMMENT ON TABLE bert.head IS
	'the heads that every model can be used with, its own and those that are part of it';

CREATE TABLE bert.block (
	hash bytea NOT NULL,
	chunk integer NOT NULL,
	crc bigint NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (hash, chunk)
);
ALTER TABLE bert.block ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE bert.block IS
	'blocks of weights (fp32, little-endian) and vocabularies by the SHA-256 of their bytes, in'
	' chunks of 1 MB';
COMMENT ON COLUMN bert.block.crc IS 'CRC-32C of data';

REVOKE ALL ON bert.model, bert.tensor, bert.head, bert.block FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('bert.model', '');
SELECT pg_catalog.pg_extension_config_dump('bert.tensor', '');
SELECT pg_catalog.pg_extension_config_dump('bert.head', '');
SELECT pg_catalog.pg_extension_config_dump('bert.block', '');

-- Owners. For each model there is a function of its name in this schema, never called: whoever owns
-- it owns the model, and roles with EXECUTE on it may use the model. So DROP ROLE, DROP OWNED,
-- REASSIGN OWNED and pg_dump treat models as any object of a role. So it is with jobs (EXECUTE has
-- the role of the session) and columns that are embedded automatically.

CREATE SCHEMA bert_owner;
REVOKE ALL ON SCHEMA bert_owner FROM PUBLIC;
COMMENT ON SCHEMA bert_owner IS
	'a function for each model, job and automatic column of the extension "bert": its owner owns'
	' it, who may execute a model''s may use the model';

CREATE FUNCTION bert.owned_row_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'bert_owned_row_changed' LANGUAGE C;
COMMENT ON FUNCTION bert.owned_row_changed() IS
	'for triggers of the extension: what stands for a row in bert_owner goes with it';

CREATE FUNCTION bert.replicated() RETURNS trigger
	AS 'MODULE_PATHNAME', 'bert_replicated' LANGUAGE C;
COMMENT ON FUNCTION bert.replicated() IS
	'for triggers of the extension: which replicated rows are taken';

CREATE FUNCTION bert.owned_dropped() RETURNS event_trigger
	AS 'MODULE_PATHNAME', 'bert_owned_dropped' LANGUAGE C;
COMMENT ON FUNCTION bert.owned_dropped() IS
	'for an event trigger: removes what belonged to a role after DROP OWNED';
REVOKE ALL ON FUNCTION bert.owned_row_changed(), bert.replicated(), bert.owned_dropped()
	FROM PUBLIC;

CREATE FUNCTION bert.job_role(job bigint) RETURNS regrole
	AS 'MODULE_PATHNAME', 'bert_job_role' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.job_role(bigint) IS 'the role that a job acts as';

CREATE FUNCTION bert.job_session_role(job bigint) RETURNS regrole
	AS 'MODULE_PATHNAME', 'bert_job_session_role' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.job_session_role(bigint) IS
	'the role whose session a job''s worker is, if not that which it acts as';

CREATE FUNCTION bert.auto_embed_role(number bigint) RETURNS regrole
	AS 'MODULE_PATHNAME', 'bert_auto_embed_role' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.auto_embed_role(bigint) IS
	'the role that has a column embedded automatically';

CREATE TRIGGER owned AFTER DELETE OR UPDATE OF name ON bert.model
	FOR EACH ROW EXECUTE FUNCTION bert.owned_row_changed();
ALTER TABLE bert.model ENABLE ALWAYS TRIGGER owned;
CREATE TRIGGER replicated BEFORE INSERT OR DELETE ON bert.block
	FOR EACH ROW EXECUTE FUNCTION bert.replicated();
ALTER TABLE bert.block ENABLE REPLICA TRIGGER replicated;
CREATE EVENT TRIGGER bert_owned_dropped ON sql_drop
	WHEN TAG IN ('DROP OWNED', 'DROP FUNCTION', 'DROP ROUTINE')
	EXECUTE FUNCTION bert.owned_dropped();
COMMENT ON EVENT TRIGGER bert_owned_dropped IS
	'removes the models, jobs and automatic columns that a role has lost with DROP OWNED';

CREATE FUNCTION bert.import_model(name text, directory text, head text DEFAULT NULL,
		replace boolean DEFAULT false)
	RETURNS TABLE (key text, status text)
	AS 'MODULE_PATHNAME', 'bert_import_directory' LANGUAGE C PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.import_model(text, text, text, boolean) IS
	'imports a model folder of the server; needs pg_read_server_files';

CREATE FUNCTION bert.import_model(name text, config jsonb, vocab text, weights bytea,
		tokenizer_config jsonb DEFAULT NULL, head text DEFAULT NULL, replace boolean DEFAULT false,
		sentence jsonb DEFAULT NULL, tokenizer jsonb DEFAULT NULL)
	RETURNS TABLE (key text, status text)
	AS 'MODULE_PATHNAME', 'bert_import_bytea' LANGUAGE C PARALLEL UNSAFE;
COMMENT ON FUNCTION
	bert.import_model(text, jsonb, text, bytea, jsonb, text, boolean, jsonb, jsonb) IS
	'imports a model from the contents of config.json, vocab.txt and model.safetensors, and of'
	' tokenizer_config.json and tokenizer.json (vocab may be NULL then); sentence: its sentence'
	' settings, as bert.alter_model takes them, and its Dense modules ("dense")';

CREATE FUNCTION bert.import_model(name text, config jsonb, vocab text, weights oid,
		tokenizer_config jsonb DEFAULT NULL, head text DEFAULT NULL, replace boolean DEFAULT false,
		sentence jsonb DEFAULT NULL, tokenizer jsonb DEFAULT NULL)
	RETURNS TABLE (key text, status text)
	AS 'MODULE_PATHNAME', 'bert_import_large_object' LANGUAGE C PARALLEL UNSAFE;
COMMENT ON FUNCTION
	bert.import_model(text, jsonb, text, oid, jsonb, text, boolean, jsonb, jsonb) IS
	'imports a model whose model.safetensors is a large object';

CREATE FUNCTION bert.alter_model(name text, settings jsonb) RETURNS bigint
	AS 'MODULE_PATHNAME', 'bert_alter_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.alter_model(text, jsonb) IS
	'changes settings of a model of one''s own, named in a JSON object: pooling, normalize,'
	' include_prompt, max_seq_length, prompts, default_prompt_name, similarity, labels, activation,'
	' description; returns its new version';

CREATE FUNCTION bert.create_model(name text, config jsonb, vocab text, head text,
		seed bigint DEFAULT 0)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'bert_create_model' LANGUAGE C PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.create_model(text, jsonb, text, text, bigint) IS
	'makes a model with random weights, as the reference initializes them, and returns its version';

CREATE FUNCTION bert.export_model(name text, directory text) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_export_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.export_model(text, text) IS
	'writes a model as a folder of the server that the reference library loads; needs'
	' pg_write_server_files';

CREATE FUNCTION bert.copy_model(name text, copy text) RETURNS bigint
	AS 'MODULE_PATHNAME', 'bert_copy_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.copy_model(text, text) IS
	'makes a model of one''s own from another, sharing its blocks, and returns its version';

CREATE FUNCTION bert.rename_model(name text, new_name text) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_rename_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.rename_model(text, text) IS 'renames a model';

CREATE FUNCTION bert.drop_model(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_drop_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.drop_model(text) IS
	'drops a model, and the blocks that no other model has';

CREATE FUNCTION bert.set_precision(name text, new_precision text, max_loss real DEFAULT 0.005)
	RETURNS void
	AS 'MODULE_PATHNAME', 'bert_set_precision' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.set_precision(text, text, real) IS
	'sets what a model computes with: fp32, bf16, int8, or auto: the fastest of them on this machine'
	' that loses no more than max_loss; the stored weights stay fp32';

CREATE FUNCTION bert.prune_heads(name text, heads jsonb) RETURNS bigint
	AS 'MODULE_PATHNAME', 'bert_prune_heads' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.prune_heads(text, jsonb) IS
	'removes attention heads from a model, for example {"0": [1, 2]}: layer, then heads; returns'
	' its new version';

CREATE FUNCTION bert.grant_model(name text, role text) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_grant_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.grant_model(text, text) IS
	'lets a role use a model; the role ''public'' stands for all';

CREATE FUNCTION bert.revoke_model(name text, role text) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_revoke_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.revoke_model(text, text) IS 'takes back what bert.grant_model gave';

CREATE FUNCTION bert.set_model_owner(name text, role regrole) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_set_model_owner' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.set_model_owner(text, regrole) IS
	'gives a model to another role, one that the caller may become; the grants stay';

CREATE FUNCTION bert.pinned(model text) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_pinned' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.pinned(text) IS
	'the model''s name with a hash of all that decides what it computes: name@sha256prefix';

CREATE FUNCTION bert.list_models()
	RETURNS TABLE (name text, version bigint, source text, head text, heads text[],
		"precision" text, parameters bigint, layers integer, hidden_size integer,
		attention_heads integer, vocab_size integer, max_length integer, labels text[],
		pooling text, dimensions integer, sentence jsonb, size_bytes bigint, owner regrole,
		base text, base_version bigint,
		lineage jsonb, description text, created timestamptz)
	AS 'MODULE_PATHNAME', 'bert_list_models'
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 10;
COMMENT ON FUNCTION bert.list_models() IS 'what the view bert.models shows';

CREATE VIEW bert.models AS SELECT * FROM bert.list_models();
COMMENT ON VIEW bert.models IS
	'the models that the current user may use, the bundled ones included';
COMMENT ON COLUMN bert.models.name IS 'name to use it by';
COMMENT ON COLUMN bert.models.version IS 'grows with every change; 0 for a bundled model';
COMMENT ON COLUMN bert.models.source IS 'imported, created, copied, pruned, trained or bundled';
COMMENT ON COLUMN bert.models.head IS 'what it is made for; none for an encoder alone';
COMMENT ON COLUMN bert.models.heads IS
	'the heads it can be used with: its own and those that are part of it';
COMMENT ON COLUMN bert.models.precision IS
	'what it computes in unless a call says otherwise: fp32, bf16 or int8';
COMMENT ON COLUMN bert.models.parameters IS 'how many numbers it consists of';
COMMENT ON COLUMN bert.models.layers IS 'layers of the encoder';
COMMENT ON COLUMN bert.models.hidden_size IS
	'numbers for each token between layers';
COMMENT ON COLUMN bert.models.attention_heads IS
	'attention heads in each layer, before any were removed';
COMMENT ON COLUMN bert.models.vocab_size IS 'rows of the word embeddings';
COMMENT ON COLUMN bert.models.max_length IS 'tokens that it reads at once, special ones included';
COMMENT ON COLUMN bert.models.labels IS 'its classes in their order; NULL for a head without';
COMMENT ON COLUMN bert.models.pooling IS
	'how it makes one embedding of all tokens; NULL where its files do not say';
COMMENT ON COLUMN bert.models.dimensions IS 'values of its embeddings';
COMMENT ON COLUMN bert.models.sentence IS
	'prompts, the default one''s name, similarity unless it is the cosine, Dense modules';
COMMENT ON COLUMN bert.models.size_bytes IS
	'bytes of its weights; shared ones count for each model';
COMMENT ON COLUMN bert.models.owner IS 'role that owns it; NULL for a bundled model';
COMMENT ON COLUMN bert.models.base IS 'the model that it was made from';
COMMENT ON COLUMN bert.models.base_version IS 'version of that model; 0 for a bundled one';
COMMENT ON COLUMN bert.models.lineage IS
	'how it was made from it: the training jobs settings, or the heads removed';
COMMENT ON COLUMN bert.models.description IS 'what it is for';
COMMENT ON COLUMN bert.models.created IS 'when it came into the database';

CREATE FUNCTION bert.list_tensors()
	RETURNS TABLE (model text, version bigint, ordinal integer, name text, dtype text,
		shape integer[], elements bigint, part text, block text, byte_offset bigint)
	AS 'MODULE_PATHNAME', 'bert_list_tensors'
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 1000;
COMMENT ON FUNCTION bert.list_tensors() IS 'what the view bert.tensors shows';

CREATE VIEW bert.tensors AS SELECT * FROM bert.list_tensors();
COMMENT ON VIEW bert.tensors IS
	'the tensors of these models, the block (SHA-256) that holds each, and where in it, in bytes';
COMMENT ON COLUMN bert.tensors.model IS 'name of the model';
COMMENT ON COLUMN bert.tensors.version IS 'version of the model';
COMMENT ON COLUMN bert.tensors.ordinal IS 'place in the model, 1 for the first';
COMMENT ON COLUMN bert.tensors.name IS 'name in the published checkpoint format';
COMMENT ON COLUMN bert.tensors.dtype IS 'type of its numbers in the store';
COMMENT ON COLUMN bert.tensors.shape IS 'its dimensions';
COMMENT ON COLUMN bert.tensors.elements IS 'how many numbers it holds';
COMMENT ON COLUMN bert.tensors.part IS 'embeddings, a layer, pooler or head';
COMMENT ON COLUMN bert.tensors.block IS
	'SHA-256 of the block that holds it; equal for models that share it';
COMMENT ON COLUMN bert.tensors.byte_offset IS 'where in the block it begins, in bytes';

CREATE FUNCTION bert.list_cache()
	RETURNS TABLE (file text, block text, kind text, "precision" text, kernel text,
		size_bytes bigint, mapped boolean)
	AS 'MODULE_PATHNAME', 'bert_list_cache'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 100;
COMMENT ON FUNCTION bert.list_cache() IS 'what the view bert.cache shows';

CREATE VIEW bert.cache AS SELECT * FROM bert.list_cache();
COMMENT ON VIEW bert.cache IS
	'the files of prepared blocks on this machine, and whether this session has them mapped';
COMMENT ON COLUMN bert.cache.file IS 'name of the file in the cache directory';
COMMENT ON COLUMN bert.cache.block IS 'SHA-256 of what was prepared';
COMMENT ON COLUMN bert.cache.kind IS 'embeddings, layer, pooler, head, tokenizer or bundle';
COMMENT ON COLUMN bert.cache.precision IS
	'precision it was prepared for; NULL where that does not matter';
COMMENT ON COLUMN bert.cache.kernel IS
	'instruction set it was prepared for; NULL where that does not matter';
COMMENT ON COLUMN bert.cache.size_bytes IS 'size of the file in bytes';
COMMENT ON COLUMN bert.cache.mapped IS 'whether this session has it in use';

CREATE FUNCTION bert.list_stats()
	RETURNS TABLE (model text, function text, calls bigint, texts bigint, cached bigint,
		deduplicated bigint, tokens bigint, truncations bigint, ms double precision)
	AS 'MODULE_PATHNAME', 'bert_list_stats'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 100 ROWS 10;
COMMENT ON FUNCTION bert.list_stats() IS 'what the view bert.stats shows';

CREATE VIEW bert.stats AS SELECT * FROM bert.list_stats();
COMMENT ON VIEW bert.stats IS
	'what the models of this database have done, by function, since the server started or'
	' bert.reset_stats was called; a running transaction counts within about a second';
COMMENT ON COLUMN bert.stats.model IS 'name of the model';
COMMENT ON COLUMN bert.stats.function IS 'the function of the schema bert that used it';
COMMENT ON COLUMN bert.stats.calls IS 'calls of the function';
COMMENT ON COLUMN bert.stats.texts IS
	'texts that they read, alone or in pairs; those not cached or deduplicated were computed';
COMMENT ON COLUMN bert.stats.cached IS
	'texts whose result the session remembered; see bert.result_cache_size';
COMMENT ON COLUMN bert.stats.deduplicated IS 'texts that were equal to another one of their batch';
COMMENT ON COLUMN bert.stats.tokens IS 'tokens that were computed';
COMMENT ON COLUMN bert.stats.truncations IS
	'texts that were cut because they were longer than the model reads';
COMMENT ON COLUMN bert.stats.ms IS 'time in calls, in milliseconds';

CREATE FUNCTION bert.list_histograms()
	RETURNS TABLE (model text, function text, measure text, le double precision, count bigint)
	AS 'MODULE_PATHNAME', 'bert_list_histograms'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 100 ROWS 100;
COMMENT ON FUNCTION bert.list_histograms() IS 'what the view bert.histograms shows';

CREATE VIEW bert.histograms AS SELECT * FROM bert.list_histograms();
COMMENT ON VIEW bert.histograms IS
	'lengths of computed texts and times of calls, by model and function, as Prometheus has'
	' histograms';
COMMENT ON COLUMN bert.histograms.model IS 'name of the model';
COMMENT ON COLUMN bert.histograms.function IS 'the function of the schema bert that used it';
COMMENT ON COLUMN bert.histograms.measure IS
	'tokens: of texts that were computed; ms: milliseconds of calls';
COMMENT ON COLUMN bert.histograms.le IS 'upper limit, included; infinity for all';
COMMENT ON COLUMN bert.histograms.count IS 'how many there were up to the limit';

CREATE FUNCTION bert.reset_stats() RETURNS void
	AS 'MODULE_PATHNAME', 'bert_reset_stats' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION bert.reset_stats() IS
	'sets the counters of this database in bert.stats and bert.histograms to zero; for superusers,'
	' and who is granted EXECUTE';
REVOKE ALL ON FUNCTION bert.reset_stats() FROM PUBLIC;

GRANT SELECT ON bert.models, bert.tensors, bert.cache, bert.stats,
	bert.histograms TO PUBLIC;

-- Text

CREATE FUNCTION bert.tokenize(input text, model text DEFAULT NULL, pair text DEFAULT NULL)
	RETURNS text[]
	AS 'MODULE_PATHNAME', 'bert_tokenize' LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION bert.tokenize(text, text, text) IS
	'the tokens of a text, or of a text and a pair, without special tokens';

CREATE FUNCTION bert.encode(input text, model text DEFAULT NULL, pair text DEFAULT NULL,
		max_length int DEFAULT NULL, special_tokens bool DEFAULT true)
	RETURNS bert.encoding
	AS 'MODULE_PATHNAME', 'bert_encode' LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION bert.encode(text, text, text, int, bool) IS
	'ids, types, tokens and offsets of a text as the model reads it, cut to max_length tokens'
	' (NULL: the model''s)';

CREATE FUNCTION bert.decode(ids int[], model text DEFAULT NULL,
		skip_special_tokens bool DEFAULT true)
	RETURNS text
	AS 'MODULE_PATHNAME', 'bert_decode' LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION bert.decode(int[], text, bool) IS 'the text that token ids stand for';

CREATE FUNCTION bert.count_tokens(input text, model text DEFAULT NULL) RETURNS int
	AS 'MODULE_PATHNAME', 'bert_count_tokens' LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION bert.count_tokens(text, text) IS
	'how many tokens a text has, special tokens not counted';

CREATE TYPE bert.sparse AS (dimensions int, indices int[], weights real[]);
COMMENT ON TYPE bert.sparse IS
	'weights of words: token ids, ascending, and what each weighs; all others weigh nothing';
COMMENT ON COLUMN bert.sparse.dimensions IS 'size of the vocabulary';
COMMENT ON COLUMN bert.sparse.indices IS 'token ids, from 0';
COMMENT ON COLUMN bert.sparse.weights IS 'their weights, greater than 0';

CREATE FUNCTION bert.sparse_text(sparse bert.sparse) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_sparse_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.sparse_text(bert.sparse) IS
	'in the notation of pgvector''s sparsevec, which counts from 1';
CREATE CAST (bert.sparse AS text) WITH FUNCTION bert.sparse_text(bert.sparse) AS ASSIGNMENT;
COMMENT ON CAST (bert.sparse AS text) IS 'in the notation of pgvector''s sparsevec';

CREATE FUNCTION bert.computed_once(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'bert_computed_once' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.computed_once(internal) IS
	'has the planner compute the embedding of a constant text once a query, before its rows';

CREATE FUNCTION bert.computed_together(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'bert_computed_together' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.computed_together(internal) IS
	'has the library loaded when a query is planned whose texts it computes together';

CREATE FUNCTION bert.embed_sparse(input text, model text DEFAULT NULL,
		kind text DEFAULT 'document')
	RETURNS bert.sparse
	AS 'MODULE_PATHNAME', 'bert_embed_sparse' LANGUAGE C STABLE PARALLEL SAFE COST 100000
	SUPPORT bert.computed_once;
COMMENT ON FUNCTION bert.embed_sparse(text, text, text) IS
	'the weights of words that a SPLADE model gives a text, with its prompt for documents or'
	' queries';

CREATE FUNCTION bert.chunk(input text, model text DEFAULT NULL, max_tokens int DEFAULT NULL,
		overlap int DEFAULT 32, OUT chunk int, OUT text text, OUT start_pos int, OUT end_pos int)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'bert_chunk' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION bert.chunk(text, text, int, int) IS
	'a long text in parts of at most max_tokens tokens (NULL: what the model reads) that share at'
	' most overlap tokens; words stay whole';

-- Inference

CREATE FUNCTION bert.embed(input text, model text DEFAULT NULL, pooling text DEFAULT NULL,
		normalize_embeddings bool DEFAULT NULL, prompt_name text DEFAULT NULL,
		prompt text DEFAULT NULL, dimensions int DEFAULT NULL, overflow text DEFAULT 'truncate')
	RETURNS real[]
	AS 'MODULE_PATHNAME', 'bert_embed' LANGUAGE C STABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_once;
COMMENT ON FUNCTION bert.embed(text, text, text, bool, text, text, int, text) IS
	'the embedding of a text; pooling mean, cls, max, pooler, mean_sqrt_len_tokens, weightedmean or'
	' lasttoken or several (mean+max), and whether it has length 1 (NULL: what the model was made'
	' for); a prompt before the text, by name or in words (NULL: the default one); only the first'
	' dimensions; overflow truncate, window or error';

CREATE FUNCTION bert.embed(inputs text[], model text DEFAULT NULL, pooling text DEFAULT NULL,
		normalize_embeddings bool DEFAULT NULL, prompt_name text DEFAULT NULL,
		prompt text DEFAULT NULL, dimensions int DEFAULT NULL, overflow text DEFAULT 'truncate')
	RETURNS SETOF real[]
	AS 'MODULE_PATHNAME', 'bert_embed_many' LANGUAGE C STABLE PARALLEL SAFE COST 1000000 ROWS 100;
COMMENT ON FUNCTION bert.embed(text[], text, text, bool, text, text, int, text) IS
	'the embeddings of many texts, in their order, computed in batches';

CREATE FUNCTION bert.embed_pinned(input text, model text DEFAULT NULL, pooling text DEFAULT NULL,
		normalize_embeddings bool DEFAULT NULL, prompt_name text DEFAULT NULL,
		prompt text DEFAULT NULL, dimensions int DEFAULT NULL, overflow text DEFAULT 'truncate')
	RETURNS real[]
	AS 'MODULE_PATHNAME', 'bert_embed_pinned' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_together;
COMMENT ON FUNCTION bert.embed_pinned(text, text, text, bool, text, text, int, text) IS
	'bert.embed by a name that bert.pinned gave; immutable, for generated columns and indexes';

CREATE FUNCTION bert.embed_pinned(inputs text[], model text DEFAULT NULL,
		pooling text DEFAULT NULL, normalize_embeddings bool DEFAULT NULL,
		prompt_name text DEFAULT NULL, prompt text DEFAULT NULL, dimensions int DEFAULT NULL,
		overflow text DEFAULT 'truncate')
	RETURNS SETOF real[]
	AS 'MODULE_PATHNAME', 'bert_embed_many_pinned'
	LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000000 ROWS 100;
COMMENT ON FUNCTION bert.embed_pinned(text[], text, text, bool, text, text, int, text) IS
	'bert.embed of many texts by a name that bert.pinned gave; immutable';

CREATE FUNCTION bert.embed_query(input text, model text DEFAULT NULL, dimensions int DEFAULT NULL)
	RETURNS real[]
	AS 'MODULE_PATHNAME', 'bert_embed_query' LANGUAGE C STABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_once;
COMMENT ON FUNCTION bert.embed_query(text, text, int) IS
	'the embedding of a query, with the model''s prompt for queries if it has one';

CREATE FUNCTION bert.embed_document(input text, model text DEFAULT NULL,
		dimensions int DEFAULT NULL)
	RETURNS real[]
	AS 'MODULE_PATHNAME', 'bert_embed_document' LANGUAGE C STABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_once;
COMMENT ON FUNCTION bert.embed_document(text, text, int) IS
	'the embedding of a document, with the model''s prompt for documents if it has one';

CREATE FUNCTION bert.similarity(a text, b text, model text DEFAULT NULL) RETURNS real
	AS 'MODULE_PATHNAME', 'bert_similarity' LANGUAGE C STABLE PARALLEL SAFE COST 20000
	SUPPORT bert.computed_together;
COMMENT ON FUNCTION bert.similarity(text, text, text) IS
	'how alike two texts are, by the model''s own function: the cosine of their embeddings, their dot'
	' product, or minus their distance';

CREATE FUNCTION bert.similarity(a real[], b real[]) RETURNS real
	AS 'MODULE_PATHNAME', 'bert_similarity_of_embeddings'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION bert.similarity(real[], real[]) IS
	'the cosine of two stored embeddings; 0 where one is all zeros';

CREATE FUNCTION bert.classify(input text, model text DEFAULT NULL, pair text DEFAULT NULL,
		overflow text DEFAULT 'truncate')
	RETURNS bert.classification
	AS 'MODULE_PATHNAME', 'bert_classify' LANGUAGE C STABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_together;
COMMENT ON FUNCTION bert.classify(text, text, text, text) IS
	'the most probable class of a text, or of a text and a pair';

CREATE FUNCTION bert.classify(inputs text[], model text DEFAULT NULL, pairs text[] DEFAULT NULL,
		overflow text DEFAULT 'truncate')
	RETURNS SETOF bert.classification
	AS 'MODULE_PATHNAME', 'bert_classify_many'
	LANGUAGE C STABLE PARALLEL SAFE COST 1000000 ROWS 100;
COMMENT ON FUNCTION bert.classify(text[], text, text[], text) IS
	'the most probable class of each of many texts, in their order, computed in batches';

CREATE FUNCTION bert.classify_pinned(input text, model text DEFAULT NULL, pair text DEFAULT NULL,
		overflow text DEFAULT 'truncate')
	RETURNS bert.classification
	AS 'MODULE_PATHNAME', 'bert_classify_pinned' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_together;
COMMENT ON FUNCTION bert.classify_pinned(text, text, text, text) IS
	'bert.classify by a name that bert.pinned gave; immutable, for generated columns and indexes';

CREATE FUNCTION bert.classify_pinned(inputs text[], model text DEFAULT NULL,
		pairs text[] DEFAULT NULL, overflow text DEFAULT 'truncate')
	RETURNS SETOF bert.classification
	AS 'MODULE_PATHNAME', 'bert_classify_many_pinned'
	LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1000000 ROWS 100;
COMMENT ON FUNCTION bert.classify_pinned(text[], text, text[], text) IS
	'bert.classify of many texts by a name that bert.pinned gave; immutable';

CREATE FUNCTION bert.classify_all(input text, model text DEFAULT NULL, pair text DEFAULT NULL,
		overflow text DEFAULT 'truncate')
	RETURNS SETOF bert.classification
	AS 'MODULE_PATHNAME', 'bert_classify_all' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION bert.classify_all(text, text, text, text) IS
	'all classes of a text with their probabilities, best first';

CREATE FUNCTION bert.label(input text, model text DEFAULT NULL, pair text DEFAULT NULL,
		overflow text DEFAULT 'truncate')
	RETURNS text
	AS 'MODULE_PATHNAME', 'bert_label' LANGUAGE C STABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_together;
COMMENT ON FUNCTION bert.label(text, text, text, text) IS
	'the label alone of what bert.classify gives';

CREATE FUNCTION bert.label_pinned(input text, model text DEFAULT NULL, pair text DEFAULT NULL,
		overflow text DEFAULT 'truncate')
	RETURNS text
	AS 'MODULE_PATHNAME', 'bert_label_pinned' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_together;
COMMENT ON FUNCTION bert.label_pinned(text, text, text, text) IS
	'bert.label by a name that bert.pinned gave; immutable, for generated columns and indexes';

CREATE FUNCTION bert.labels(input text, model text DEFAULT NULL, pair text DEFAULT NULL,
		threshold real DEFAULT 0.5, overflow text DEFAULT 'truncate')
	RETURNS text[]
	AS 'MODULE_PATHNAME', 'bert_labels' LANGUAGE C STABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_together;
COMMENT ON FUNCTION bert.labels(text, text, text, real, text) IS
	'the labels that a multi-label model gives a text with at least this probability, best first';

CREATE FUNCTION bert.zero_shot(input text, labels text[], model text DEFAULT NULL,
		hypothesis_template text DEFAULT NULL, multi_label bool DEFAULT false)
	RETURNS SETOF bert.classification
	AS 'MODULE_PATHNAME', 'bert_zero_shot' LANGUAGE C STABLE PARALLEL SAFE COST 20000 ROWS 5;
COMMENT ON FUNCTION bert.zero_shot(text, text[], text, text, bool) IS
	'labels by how well they fit a text, best first, without training: by an entailment model, or by'
	' how like the text is to each label where the model has no head; the template says where the'
	' label stands, {}; multi_label: each label alone, several may fit';

CREATE FUNCTION bert.regress(input text, model text DEFAULT NULL, pair text DEFAULT NULL,
		overflow text DEFAULT 'truncate')
	RETURNS real
	AS 'MODULE_PATHNAME', 'bert_regress' LANGUAGE C STABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_together;
COMMENT ON FUNCTION bert.regress(text, text, text, text) IS
	'the value that a regression model gives a text, or a text and a pair';

CREATE FUNCTION bert.regress_pinned(input text, model text DEFAULT NULL, pair text DEFAULT NULL,
		overflow text DEFAULT 'truncate')
	RETURNS real
	AS 'MODULE_PATHNAME', 'bert_regress_pinned' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_together;
COMMENT ON FUNCTION bert.regress_pinned(text, text, text, text) IS
	'bert.regress by a name that bert.pinned gave; immutable, for generated columns and indexes';

CREATE FUNCTION bert.rank(query text, documents text[], model text DEFAULT NULL,
		overflow text DEFAULT 'truncate', OUT document int, OUT score real, OUT text text)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'bert_rank' LANGUAGE C STABLE PARALLEL SAFE COST 1000000 ROWS 100;
COMMENT ON FUNCTION bert.rank(text, text[], text, text) IS
	'documents by how well they fit a query, best first: a cross-encoder''s probability, or the'
	' similarity of embeddings when the model has no head';

CREATE FUNCTION bert.tag(input text, model text DEFAULT NULL) RETURNS SETOF bert.token_tag
	AS 'MODULE_PATHNAME', 'bert_tag' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 50;
COMMENT ON FUNCTION bert.tag(text, text) IS
	'the label of every token of a text; long texts are read in windows';

CREATE FUNCTION bert.entities(input text, model text DEFAULT NULL,
		aggregation text DEFAULT 'simple')
	RETURNS SETOF bert.entity
	AS 'MODULE_PATHNAME', 'bert_entities' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 10;
COMMENT ON FUNCTION bert.entities(text, text, text) IS
	'the entities in a text; aggregation none, simple, first, average or max; long texts are read'
	' in windows';

CREATE FUNCTION bert.answer(question text, context text, model text DEFAULT NULL,
		null_answer bool DEFAULT false)
	RETURNS bert.qa_span
	AS 'MODULE_PATHNAME', 'bert_answer' LANGUAGE C STABLE PARALLEL SAFE COST 30000;
COMMENT ON FUNCTION bert.answer(text, text, text, bool) IS
	'the span of the context that answers the question best; with null_answer it may be empty';

CREATE FUNCTION bert.answers(question text, context text, model text DEFAULT NULL,
		top_k int DEFAULT 5, max_answer_tokens int DEFAULT 30, stride int DEFAULT 128,
		null_answer bool DEFAULT false)
	RETURNS SETOF bert.qa_span
	AS 'MODULE_PATHNAME', 'bert_answers' LANGUAGE C STABLE PARALLEL SAFE COST 30000 ROWS 5;
COMMENT ON FUNCTION bert.answers(text, text, text, int, int, int, bool) IS
	'the top_k best answers; windows of a long context share stride tokens';

CREATE FUNCTION bert.fill_mask(input text, model text DEFAULT NULL, top_k int DEFAULT 5)
	RETURNS SETOF bert.fill
	AS 'MODULE_PATHNAME', 'bert_fill_mask' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 5;
COMMENT ON FUNCTION bert.fill_mask(text, text, int) IS
	'the top_k best tokens for every mask of a text, mask after mask';

CREATE FUNCTION bert.next_sentence(a text, b text, model text DEFAULT NULL) RETURNS real
	AS 'MODULE_PATHNAME', 'bert_next_sentence' LANGUAGE C STABLE PARALLEL SAFE COST 10000
	SUPPORT bert.computed_together;
COMMENT ON FUNCTION bert.next_sentence(text, text, text) IS 'the probability that b follows a';

CREATE FUNCTION bert.choose(prompt text, choices text[], model text DEFAULT NULL)
	RETURNS bert.choice
	AS 'MODULE_PATHNAME', 'bert_choose' LANGUAGE C STABLE PARALLEL SAFE COST 30000;
COMMENT ON FUNCTION bert.choose(text, text[], text) IS 'the choice that goes best with a prompt';

CREATE FUNCTION bert.choose_all(prompt text, choices text[], model text DEFAULT NULL)
	RETURNS SETOF bert.choice
	AS 'MODULE_PATHNAME', 'bert_choose_all' LANGUAGE C STABLE PARALLEL SAFE COST 30000 ROWS 4;
COMMENT ON FUNCTION bert.choose_all(text, text[], text) IS
	'all choices with their probabilities, best first';

CREATE FUNCTION bert.generate(prompt text, model text DEFAULT NULL, max_new_tokens int DEFAULT 32,
		temperature real DEFAULT 0, top_k int DEFAULT 0, top_p real DEFAULT 1,
		seed bigint DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'bert_generate' LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION bert.generate(text, text, int, real, int, real, bigint) IS
	'what a causal language model writes after the prompt; temperature 0 always takes the most'
	' probable token; equal seeds give equal texts (NULL: 0)';

CREATE FUNCTION bert.pseudo_perplexity(input text, model text DEFAULT NULL) RETURNS real
	AS 'MODULE_PATHNAME', 'bert_pseudo_perplexity' LANGUAGE C STABLE PARALLEL SAFE COST 500000;
COMMENT ON FUNCTION bert.pseudo_perplexity(text, text) IS
	'how surprising a text is to a masked language model that sees all but one token at a time;'
	' NaN for a text without tokens';

CREATE FUNCTION bert.forward(input_ids int[], model text DEFAULT NULL,
		token_type_ids int[] DEFAULT NULL, attention_mask int[] DEFAULT NULL,
		labels float8[] DEFAULT NULL, head text DEFAULT NULL, output text[] DEFAULT '{logits}',
		encoder_hidden_states real[] DEFAULT NULL, encoder_attention_mask int[] DEFAULT NULL)
	RETURNS bert.model_output
	AS 'MODULE_PATHNAME', 'bert_forward' LANGUAGE C STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION bert.forward(int[], text, int[], int[], float8[], text, text[], real[],
	int[]) IS
	'the raw model: ids in, tensors out, the loss when labels are given';

-- Training

CREATE FUNCTION bert.learning_rate(schedule text, step bigint, warmup_steps bigint,
		total_steps bigint, base_lr float8 DEFAULT 1, options jsonb DEFAULT '{}')
	RETURNS float8
	AS 'MODULE_PATHNAME', 'bert_learning_rate' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.learning_rate(text, bigint, bigint, bigint, float8, jsonb) IS
	'learning rate of a step (the first is 0) of a schedule: constant, constant_with_warmup,'
	' linear, cosine, cosine_with_restarts, polynomial';

CREATE FUNCTION bert.build_vocab(query text, size int, lowercase bool DEFAULT true)
	RETURNS text
	AS 'MODULE_PATHNAME', 'bert_build_vocab' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.build_vocab(text, int, bool) IS
	'WordPiece vocabulary, one token a line, made from the texts that the query returns in its'
	' only column';

CREATE FUNCTION bert.sentence_pairs(query text, model text DEFAULT NULL, max_tokens int DEFAULT 128,
		seed bigint DEFAULT 0, OUT input text, OUT pair text, OUT label bool)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'bert_sentence_pairs' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.sentence_pairs(text, text, int, bigint) IS
	'pairs for pre-training made of the documents that the query returns in its only column;'
	' label: pair follows input; half do';
-- Jobs

CREATE SEQUENCE bert.job_number;
COMMENT ON SEQUENCE bert.job_number IS 'numbers of jobs';

CREATE TABLE bert.job (
	job bigint PRIMARY KEY,
	name text NOT NULL,
	base text NOT NULL,
	task text NOT NULL,
	query text NOT NULL,
	search_path text NOT NULL,
	options jsonb NOT NULL,
	set_role boolean NOT NULL,
	state text NOT NULL DEFAULT 'queued'
		CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
	phase text,
	attempts int NOT NULL DEFAULT 0,
	attempt_started timestamptz,
	crashes int NOT NULL DEFAULT 0,
	worker_pid int,
	submitted timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	started timestamptz,
	finished timestamptz,
	step bigint NOT NULL DEFAULT 0,
	total_steps bigint,
	epoch float8 NOT NULL DEFAULT 0,
	loss float8,
	learning_rate float8,
	samples_per_second float8,
	tokens_per_second float8,
	samples bigint,
	eval_samples bigint,
	base_version bigint,
	base_digest bytea,
	version bigint,
	data_digest bytea,
	labels text[],
	metrics jsonb,
	details jsonb,
	error text,
	sqlstate text
);
CREATE INDEX ON bert.job (state) WHERE state IN ('queued', 'running');
COMMENT ON TABLE bert.job IS 'fine-tuning jobs; see the view bert.jobs';
COMMENT ON COLUMN bert.job.crashes IS
	'how often in a row its worker ended without a word before a checkpoint';
COMMENT ON COLUMN bert.job.set_role IS
	'the session that submitted it was another role''s; see bert.job_session_role';

CREATE TABLE bert.job_metric (
	job bigint NOT NULL,
	step bigint NOT NULL,
	epoch float8 NOT NULL,
	loss float8,
	learning_rate float8,
	grad_norm float8,
	samples_per_second float8,
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	eval jsonb,
	PRIMARY KEY (job, step)
);
COMMENT ON TABLE bert.job_metric IS
	'what fine-tuning jobs reported on their way; see the view bert.job_metrics';

CREATE TABLE bert.job_checkpoint (
	job bigint NOT NULL,
	kind text NOT NULL CHECK (kind IN ('last', 'best')),
	chunk int NOT NULL,
	step bigint NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (job, kind, chunk)
);
ALTER TABLE bert.job_checkpoint ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE bert.job_checkpoint IS
	'weights, optimizer state and position of running jobs, in chunks';

ALTER TABLE bert.job ENABLE ROW LEVEL SECURITY;
ALTER TABLE bert.job_metric ENABLE ROW LEVEL SECURITY;
ALTER TABLE bert.job_checkpoint ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bert.job FOR SELECT
	USING (pg_catalog.pg_has_role(bert.job_role(job)::oid, 'USAGE'));
CREATE POLICY own ON bert.job_metric FOR SELECT
	USING (EXISTS (SELECT 1 FROM bert.job AS j WHERE j.job = job_metric.job));
GRANT SELECT ON bert.job, bert.job_metric TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('bert.job', '');
SELECT pg_catalog.pg_extension_config_dump('bert.job_metric', '');
SELECT pg_catalog.pg_extension_config_dump('bert.job_checkpoint', '');
SELECT pg_catalog.pg_extension_config_dump('bert.job_number', '');

CREATE FUNCTION bert.job_restored() RETURNS trigger
	AS 'MODULE_PATHNAME', 'bert_job_restored' LANGUAGE C;
COMMENT ON FUNCTION bert.job_restored() IS
	'for a trigger of the extension: a job that comes out of a dump waits for bert.resume_job';
REVOKE ALL ON FUNCTION bert.job_restored() FROM PUBLIC;

CREATE TRIGGER restored BEFORE INSERT ON bert.job
	FOR EACH ROW EXECUTE FUNCTION bert.job_restored();
ALTER TABLE bert.job ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER owned AFTER DELETE OR UPDATE OF job ON bert.job
	FOR EACH ROW EXECUTE FUNCTION bert.owned_row_changed();
ALTER TABLE bert.job ENABLE ALWAYS TRIGGER owned;
CREATE TRIGGER replicated BEFORE INSERT OR UPDATE OR DELETE ON bert.job
	FOR EACH ROW EXECUTE FUNCTION bert.replicated();
ALTER TABLE bert.job ENABLE REPLICA TRIGGER replicated;
CREATE TRIGGER replicated BEFORE INSERT OR UPDATE OR DELETE ON bert.job_metric
	FOR EACH ROW EXECUTE FUNCTION bert.replicated();
ALTER TABLE bert.job_metric ENABLE REPLICA TRIGGER replicated;
CREATE TRIGGER replicated BEFORE INSERT OR UPDATE OR DELETE ON bert.job_checkpoint
	FOR EACH ROW EXECUTE FUNCTION bert.replicated();
ALTER TABLE bert.job_checkpoint ENABLE REPLICA TRIGGER replicated;

CREATE VIEW bert.jobs WITH (security_invoker = true) AS
SELECT job, name, base, task, state, phase, bert.job_role(job) AS role, step, total_steps,
	epoch, loss, learning_rate, samples_per_second, tokens_per_second,
	CASE WHEN state = 'running' AND samples_per_second > 0 AND total_steps > step AND step > 0
		THEN pg_catalog.make_interval(
			secs => (total_steps - step) * CASE
				WHEN pg_catalog.jsonb_typeof(details -> 'seconds_per_step') = 'number'
				THEN (details ->> 'seconds_per_step')::float8 END)
	END AS eta,
	samples, eval_samples, submitted, started, finished, attempts, worker_pid, query, options,
	base_version, version, metrics, sqlstate, error
FROM bert.job;
COMMENT ON VIEW bert.jobs IS
	'the fine-tuning jobs that you submitted (all, for a superuser), their progress and outcome';
COMMENT ON COLUMN bert.jobs.job IS 'number of the job';
COMMENT ON COLUMN bert.jobs.name IS 'the model that it makes';
COMMENT ON COLUMN bert.jobs.base IS 'the model that it starts from';
COMMENT ON COLUMN bert.jobs.task IS 'what is learned';
COMMENT ON COLUMN bert.jobs.state IS 'queued, running, succeeded, failed or cancelled';
COMMENT ON COLUMN bert.jobs.phase IS 'what a running job is doing';
COMMENT ON COLUMN bert.jobs.role IS 'who submitted it; it runs with this roles privileges';
COMMENT ON COLUMN bert.jobs.step IS 'optimizer steps done';
COMMENT ON COLUMN bert.jobs.total_steps IS 'optimizer steps to do';
COMMENT ON COLUMN bert.jobs.epoch IS 'passes over the rows done, in parts of one';
COMMENT ON COLUMN bert.jobs.loss IS 'mean training loss of the last logged steps';
COMMENT ON COLUMN bert.jobs.learning_rate IS 'learning rate of the last logged step';
COMMENT ON COLUMN bert.jobs.samples_per_second IS 'rows trained on in a second';
COMMENT ON COLUMN bert.jobs.tokens_per_second IS 'tokens trained on in a second';
COMMENT ON COLUMN bert.jobs.eta IS 'time left, estimated; NULL unless it is running';
COMMENT ON COLUMN bert.jobs.samples IS 'rows to train on';
COMMENT ON COLUMN bert.jobs.eval_samples IS 'rows to evaluate on';
COMMENT ON COLUMN bert.jobs.submitted IS 'when it was submitted';
COMMENT ON COLUMN bert.jobs.started IS 'when it first started';
COMMENT ON COLUMN bert.jobs.finished IS 'when it ended';
COMMENT ON COLUMN bert.jobs.attempts IS 'how often it was started';
COMMENT ON COLUMN bert.jobs.worker_pid IS 'process that runs it';
COMMENT ON COLUMN bert.jobs.query IS 'where its rows come from';
COMMENT ON COLUMN bert.jobs.options IS
	'its options as they were submitted, with the defaults of the others';
COMMENT ON COLUMN bert.jobs.base_version IS 'version of the base it started from';
COMMENT ON COLUMN bert.jobs.version IS 'version of the model it has made';
COMMENT ON COLUMN bert.jobs.metrics IS
	'metrics of the finished model on the rows to evaluate on; NULL without any';
COMMENT ON COLUMN bert.jobs.sqlstate IS 'SQLSTATE of the error that ended it';
COMMENT ON COLUMN bert.jobs.error IS 'message of the error that ended it';

CREATE VIEW bert.job_metrics WITH (security_invoker = true) AS
SELECT job, step, epoch, loss, learning_rate, grad_norm, samples_per_second, at, eval
FROM bert.job_metric;
COMMENT ON VIEW bert.job_metrics IS
	'loss, learning rate, gradient norm and evaluations of your fine-tuning jobs, by step';
COMMENT ON COLUMN bert.job_metrics.job IS 'number of the job';
COMMENT ON COLUMN bert.job_metrics.step IS 'optimizer steps done then';
COMMENT ON COLUMN bert.job_metrics.epoch IS 'passes over the rows done then, in parts of one';
COMMENT ON COLUMN bert.job_metrics.loss IS
	'mean training loss since the row before; NULL when it was not a number';
COMMENT ON COLUMN bert.job_metrics.learning_rate IS 'learning rate of the step';
COMMENT ON COLUMN bert.job_metrics.grad_norm IS 'length of the gradient before it was clipped';
COMMENT ON COLUMN bert.job_metrics.samples_per_second IS 'rows trained on in a second';
COMMENT ON COLUMN bert.job_metrics.at IS 'when it was logged';
COMMENT ON COLUMN bert.job_metrics.eval IS
	'metrics of an evaluation at this step; NULL without one';
GRANT SELECT ON bert.jobs, bert.job_metrics TO PUBLIC;

CREATE FUNCTION bert.finetune(name text, base text, task text, query text,
		options jsonb DEFAULT '{}')
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'bert_finetune' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.finetune(text, text, text, text, jsonb) IS
	'submits a fine-tuning job on the rows of a query; returns its number at once';

CREATE FUNCTION bert.wait_job(job bigint, timeout interval DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_wait_job' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.wait_job(bigint, interval) IS
	'waits until a job has ended or the time is up, reporting progress as notices; returns its'
	' state';

CREATE FUNCTION bert.cancel_job(job bigint) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_cancel_job' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.cancel_job(bigint) IS 'cancels a queued or running job; returns its state';

CREATE FUNCTION bert.resume_job(job bigint) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_resume_job' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.resume_job(bigint) IS
	'puts a job that was interrupted, cancelled or failed back into the queue; it goes on from its'
	' last checkpoint';

CREATE FUNCTION bert.drop_job(job bigint) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_drop_job' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.drop_job(bigint) IS
	'forgets a job that is not running, with its metrics, checkpoints and data';

CREATE FUNCTION bert.evaluate(model text, task text, query text, options jsonb DEFAULT '{}')
	RETURNS TABLE (metric text, value float8)
	AS 'MODULE_PATHNAME', 'bert_evaluate' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.evaluate(text, text, text, jsonb) IS
	'the metrics of a model on the labelled rows of a query; options max_length, mask_probability,'
	' matryoshka_dims and seed are those of bert.finetune';

CREATE FUNCTION bert.mine_negatives(query text, model text DEFAULT NULL,
		options jsonb DEFAULT '{}')
	RETURNS TABLE (anchor text, positive text, negative text, score real)
	AS 'MODULE_PATHNAME', 'bert_mine_negatives' LANGUAGE C VOLATILE PARALLEL UNSAFE
	COST 10000 ROWS 1000;
COMMENT ON FUNCTION bert.mine_negatives(text, text, jsonb) IS
	'for pairs of texts (columns anchor, positive) the positives of others that are most alike: hard'
	' negatives, with their similarity';

CREATE FUNCTION bert.explain(input text, model text DEFAULT NULL, pair text DEFAULT NULL)
	RETURNS TABLE (token text, start_pos int, end_pos int, attribution real)
	AS 'MODULE_PATHNAME', 'bert_explain' LANGUAGE C STABLE PARALLEL SAFE COST 30000;
COMMENT ON FUNCTION bert.explain(text, text, text) IS
	'what each token contributed to the predicted class: gradient times input';

CREATE FUNCTION bert.job_report(job bigint) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_job_report' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION bert.job_report(bigint) IS
	'one self-contained HTML page about a job: curves, schedule, confusion matrix, worst examples,'
	' settings, lineage';

-- Tables at work

CREATE PROCEDURE bert.embed_column(relation regclass, source name, target name,
		model text DEFAULT NULL, workers int DEFAULT 2, batch_rows int DEFAULT 500,
		filter text DEFAULT NULL, prompt_name text DEFAULT NULL, dimensions int DEFAULT NULL,
		template text DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'bert_embed_column' LANGUAGE C;
COMMENT ON PROCEDURE
	bert.embed_column(regclass, name, name, text, int, int, text, text, int, text) IS
	'fills the target column with embeddings of the source column wherever it is NULL, in'
	' committed batches, on several processes; with the model''s prompt for documents, or the one'
	' named; only the first dimensions; of the template''s columns, the source among them';

CREATE FUNCTION bert.list_progress()
	RETURNS TABLE (pid int, role regrole, function text, model text, phase text, unit text,
		done bigint, total bigint, relation regclass, source text, target text,
		workers int, pass int, blocks_total bigint, blocks_done bigint, rows_total bigint,
		rows_done bigint, rows_skipped bigint, rows_per_second float8, eta interval,
		started_at timestamptz)
	AS 'MODULE_PATHNAME', 'bert_list_progress'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 100 ROWS 1;
COMMENT ON FUNCTION bert.list_progress() IS 'what the view bert.progress shows';

CREATE VIEW bert.progress AS SELECT * FROM bert.list_progress();
COMMENT ON VIEW bert.progress IS
	'calls that run and take long, those of bert.embed_column with what concerns its table: yours,'
	' or all for members of pg_read_all_stats';
COMMENT ON COLUMN bert.progress.pid IS 'process of the session that called';
COMMENT ON COLUMN bert.progress.role IS 'who called';
COMMENT ON COLUMN bert.progress.function IS
	'the function; first use: a model is prepared for this machine';
COMMENT ON COLUMN bert.progress.model IS 'the model';
COMMENT ON COLUMN bert.progress.phase IS 'what it does at this moment';
COMMENT ON COLUMN bert.progress.unit IS 'what is counted in this phase; NULL: nothing';
COMMENT ON COLUMN bert.progress.done IS 'so many of these are done';
COMMENT ON COLUMN bert.progress.total IS 'of so many; NULL: that is not known';
COMMENT ON COLUMN bert.progress.relation IS 'the table';
COMMENT ON COLUMN bert.progress.source IS 'column of the texts';
COMMENT ON COLUMN bert.progress.target IS 'column of the embeddings';
COMMENT ON COLUMN bert.progress.workers IS 'processes at work, the callers included';
COMMENT ON COLUMN bert.progress.pass IS
	'1; more when rows were in use, or have moved, during the pass before';
COMMENT ON COLUMN bert.progress.blocks_total IS
	'blocks of the table in this pass; of partitioned ones: of the largest part';
COMMENT ON COLUMN bert.progress.blocks_done IS 'blocks of them that are done';
COMMENT ON COLUMN bert.progress.rows_total IS
	'rows to fill, estimated from the blocks that are done; NULL at the beginning';
COMMENT ON COLUMN bert.progress.rows_done IS 'rows written';
COMMENT ON COLUMN bert.progress.rows_skipped IS 'rows left out in this pass';
COMMENT ON COLUMN bert.progress.rows_per_second IS 'rows written in a second, from the start';
COMMENT ON COLUMN bert.progress.eta IS
	'time left, estimated, of bert.embed_column in all, else of the phase; NULL at the beginning';
COMMENT ON COLUMN bert.progress.started_at IS 'when the call began';
GRANT SELECT ON bert.progress TO PUBLIC;

CREATE SEQUENCE bert.auto_number;
COMMENT ON SEQUENCE bert.auto_number IS 'numbers of rows of bert.auto_column';
CREATE SEQUENCE bert.auto_queue_id;
COMMENT ON SEQUENCE bert.auto_queue_id IS 'numbers of rows of bert.auto_queue';

CREATE TYPE bert.auto_relation;
CREATE FUNCTION bert.auto_relation_in(cstring) RETURNS bert.auto_relation
	AS 'MODULE_PATHNAME', 'bert_auto_relation_in' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.auto_relation_in(cstring) IS
	'a table by its name; without an error, but with a warning, if there is none';
CREATE FUNCTION bert.auto_relation_out(bert.auto_relation) RETURNS cstring
	AS 'regclassout' LANGUAGE internal STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.auto_relation_out(bert.auto_relation) IS 'the table''s name';
CREATE TYPE bert.auto_relation (INPUT = bert.auto_relation_in, OUTPUT = bert.auto_relation_out,
	LIKE = oid);
COMMENT ON TYPE bert.auto_relation IS
	'a table, of bert.auto_column and bert.auto_queue; regclass, but rows of a missing table do not'
	' keep the others from being restored';
CREATE CAST (bert.auto_relation AS oid) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (bert.auto_relation AS regclass) WITHOUT FUNCTION;
CREATE CAST (regclass AS bert.auto_relation) WITHOUT FUNCTION AS ASSIGNMENT;
COMMENT ON CAST (bert.auto_relation AS oid) IS 'the table''s number';
COMMENT ON CAST (bert.auto_relation AS regclass) IS 'the table';
COMMENT ON CAST (regclass AS bert.auto_relation) IS 'the table';

CREATE TABLE bert.auto_column (
	number bigint PRIMARY KEY DEFAULT pg_catalog.nextval('bert.auto_number'),
	relation bert.auto_relation NOT NULL,
	model text NOT NULL,
	by_owner boolean NOT NULL,
	search_path text NOT NULL,
	prompt_name text,
	dimensions int,
	chunks bert.auto_relation,
	template text,
	max_tokens int,
	overlap int,
	started timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	next_try timestamptz NOT NULL DEFAULT '-infinity',
	failed timestamptz,
	sqlstate text,
	error text
);
COMMENT ON TABLE bert.auto_column IS
	'columns that are embedded or cut into chunks automatically; see the views bert.auto_embeds'
	' and bert.auto_chunks';

CREATE TABLE bert.auto_queue (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('bert.auto_queue_id'),
	number bigint NOT NULL,
	relation bert.auto_relation NOT NULL,
	names text[] NOT NULL,
	key text[] NOT NULL,
	stale boolean NOT NULL DEFAULT false,
	queued timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	next_try timestamptz NOT NULL DEFAULT '-infinity',
	attempts int NOT NULL DEFAULT 0,
	sqlstate text,
	error text
);
CREATE INDEX ON bert.auto_queue (number, next_try, id);
COMMENT ON TABLE bert.auto_queue IS 'keys of rows that wait for their embedding';

CREATE TABLE bert.auto_attempt (
	number bigint NOT NULL,
	role oid NOT NULL,
	begun int NOT NULL,
	PRIMARY KEY (number, role)
);
COMMENT ON TABLE bert.auto_attempt IS
	'workers that have begun with a column and finished nothing yet: where they crash is seen here';

ALTER TABLE bert.auto_column ENABLE ROW LEVEL SECURITY;
ALTER TABLE bert.auto_queue ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bert.auto_column FOR SELECT
	USING (pg_catalog.pg_has_role(bert.auto_embed_role(number)::oid, 'USAGE'));
CREATE POLICY own ON bert.auto_queue FOR SELECT
	USING (EXISTS (SELECT 1 FROM bert.auto_column AS a WHERE a.number = auto_queue.number));
GRANT SELECT ON bert.auto_column, bert.auto_queue TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('bert.auto_number', '');
SELECT pg_catalog.pg_extension_config_dump('bert.auto_queue_id', '');
-- a table that is gone would be dumped as a number, and mean another one where that is restored
SELECT pg_catalog.pg_extension_config_dump('bert.auto_column',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = relation) AND'
	' (chunks IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = chunks))');
SELECT pg_catalog.pg_extension_config_dump('bert.auto_queue',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = relation)');

CREATE TRIGGER owned AFTER DELETE OR UPDATE OF number ON bert.auto_column
	FOR EACH ROW EXECUTE FUNCTION bert.owned_row_changed();
ALTER TABLE bert.auto_column ENABLE ALWAYS TRIGGER owned;
CREATE TRIGGER replicated BEFORE INSERT OR UPDATE OR DELETE ON bert.auto_column
	FOR EACH ROW EXECUTE FUNCTION bert.replicated();
ALTER TABLE bert.auto_column ENABLE REPLICA TRIGGER replicated;
CREATE TRIGGER replicated BEFORE INSERT OR UPDATE OR DELETE ON bert.auto_queue
	FOR EACH ROW EXECUTE FUNCTION bert.replicated();
ALTER TABLE bert.auto_queue ENABLE REPLICA TRIGGER replicated;

CREATE FUNCTION bert.auto_embed(relation regclass, source name, target name,
		model text DEFAULT NULL, prompt_name text DEFAULT NULL, dimensions int DEFAULT NULL,
		template text DEFAULT NULL)
	RETURNS void
	AS 'MODULE_PATHNAME', 'bert_auto_embed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.auto_embed(regclass, name, name, text, text, int, text) IS
	'has the target column filled with the source column''s embedding shortly after each insert or'
	' update commits; with the model''s prompt for documents, or the one named; only the first'
	' dimensions; of the template''s columns, the source among them';

CREATE FUNCTION bert.stop_auto_embed(relation regclass, source name DEFAULT NULL,
		target name DEFAULT NULL, model text DEFAULT NULL)
	RETURNS void
	AS 'MODULE_PATHNAME', 'bert_stop_auto_embed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.stop_auto_embed(regclass, name, name, text) IS
	'ends what bert.auto_embed began, for all columns of the table or those named';

CREATE FUNCTION bert.auto_embed_clear() RETURNS trigger
	AS 'MODULE_PATHNAME', 'bert_auto_embed_clear' LANGUAGE C;
COMMENT ON FUNCTION bert.auto_embed_clear() IS
	'for triggers that bert.auto_embed makes: an embedding of another text is none';

CREATE FUNCTION bert.auto_embed_queue() RETURNS trigger
	AS 'MODULE_PATHNAME', 'bert_auto_embed_queue' LANGUAGE C;
COMMENT ON FUNCTION bert.auto_embed_queue() IS
	'for triggers that bert.auto_embed makes: queues a row''s key';

CREATE FUNCTION bert.auto_chunk(relation regclass, source name, target text,
		model text DEFAULT NULL, max_tokens int DEFAULT NULL, overlap int DEFAULT 32,
		template text DEFAULT '{chunk}', embedding_type text DEFAULT 'real[]')
	RETURNS regclass
	AS 'MODULE_PATHNAME', 'bert_auto_chunk' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.auto_chunk(regclass, name, text, text, int, int, text, text) IS
	'makes a table of the chunks of the source column''s texts, with their embeddings, which'
	' follows the source';

CREATE FUNCTION bert.stop_auto_chunk(target regclass) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_stop_auto_chunk' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.stop_auto_chunk(regclass) IS
	'ends what bert.auto_chunk began; the table of chunks stays as it is';

CREATE FUNCTION bert.auto_chunk_follow() RETURNS trigger
	AS 'MODULE_PATHNAME', 'bert_auto_chunk_follow' LANGUAGE C;
COMMENT ON FUNCTION bert.auto_chunk_follow() IS
	'for triggers that bert.auto_chunk makes: chunks follow a row, whose key is queued';

CREATE FUNCTION bert.auto_chunk_names(relation oid, number bigint, INOUT template text,
		OUT source text)
	AS 'MODULE_PATHNAME', 'bert_auto_chunk_names' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION bert.auto_chunk_names(oid, bigint, text) IS
	'the column that the view bert.auto_chunks names, and the template with the names of now';

CREATE FUNCTION bert.auto_column_names(relation oid, number bigint, OUT source text,
		OUT target text)
	AS 'MODULE_PATHNAME', 'bert_auto_column_names' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION bert.auto_column_names(oid, bigint) IS
	'the columns that the view bert.auto_embeds names';

CREATE FUNCTION bert.auto_embed_template(relation oid, number bigint, template text) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_auto_embed_template' LANGUAGE C VOLATILE STRICT
	PARALLEL RESTRICTED;
COMMENT ON FUNCTION bert.auto_embed_template(oid, bigint, text) IS
	'the template that the view bert.auto_embeds shows, with the names of now';

CREATE VIEW bert.auto_embeds WITH (security_invoker = true) AS
SELECT a.relation::regclass, c.source, c.target, a.model, a.prompt_name, a.dimensions,
	bert.auto_embed_role(a.number) AS role, a.started,
	(SELECT count(*) FROM bert.auto_queue AS q
		WHERE q.number = a.number AND q.error IS NULL) AS queued,
	(SELECT count(*) FROM bert.auto_queue AS q
		WHERE q.number = a.number AND q.error IS NOT NULL) AS failed,
	a.sqlstate, a.error, a.failed AS failed_at, nullif(a.next_try, '-infinity') AS next_try,
	bert.auto_embed_template(a.relation, a.number, a.template) AS template
FROM bert.auto_column AS a, LATERAL bert.auto_column_names(a.relation, a.number) AS c
WHERE c.target IS NOT NULL;
COMMENT ON VIEW bert.auto_embeds IS
	'the columns for which you have called bert.auto_embed (all, for a superuser), rows waiting'
	' and failed, and why a column is paused';
COMMENT ON COLUMN bert.auto_embeds.relation IS 'the table';
COMMENT ON COLUMN bert.auto_embeds.source IS 'column of the texts';
COMMENT ON COLUMN bert.auto_embeds.target IS 'column of the embeddings';
COMMENT ON COLUMN bert.auto_embeds.model IS 'the model';
COMMENT ON COLUMN bert.auto_embeds.prompt_name IS
	'the prompt asked for; NULL: the model''s prompt for documents';
COMMENT ON COLUMN bert.auto_embeds.dimensions IS 'the first so many; NULL: all';
COMMENT ON COLUMN bert.auto_embeds.role IS
	'who called bert.auto_embed; rows are embedded with this roles privileges';
COMMENT ON COLUMN bert.auto_embeds.started IS 'when it was called';
COMMENT ON COLUMN bert.auto_embeds.queued IS 'rows that wait';
COMMENT ON COLUMN bert.auto_embeds.failed IS
	'rows that could not be embedded; see bert.auto_errors';
COMMENT ON COLUMN bert.auto_embeds.sqlstate IS
	'SQLSTATE of what keeps the whole column from being embedded; NULL while nothing does';
COMMENT ON COLUMN bert.auto_embeds.error IS 'message of it';
COMMENT ON COLUMN bert.auto_embeds.failed_at IS 'when that was seen last';
COMMENT ON COLUMN bert.auto_embeds.next_try IS
	'until when it is paused; infinity: its worker has crashed twice, and auto_embed must begin anew';
COMMENT ON COLUMN bert.auto_embeds.template IS
	'what the text of a row is; NULL: the source';

CREATE VIEW bert.auto_chunks WITH (security_invoker = true) AS
SELECT a.relation::regclass, c.source, a.chunks::regclass AS target, a.model, a.max_tokens,
	a.overlap, c.template, bert.auto_embed_role(a.number) AS role, a.started,
	(SELECT count(*) FROM bert.auto_queue AS q
		WHERE q.number = a.number AND q.error IS NULL) AS queued,
	(SELECT count(*) FROM bert.auto_queue AS q
		WHERE q.number = a.number AND q.error IS NOT NULL) AS failed,
	a.sqlstate, a.error, a.failed AS failed_at, nullif(a.next_try, '-infinity') AS next_try
FROM bert.auto_column AS a, LATERAL bert.auto_chunk_names(a.relation, a.number, a.template) AS c
WHERE a.chunks IS NOT NULL AND c.source IS NOT NULL;
COMMENT ON VIEW bert.auto_chunks IS
	'the tables of chunks that you have had made by bert.auto_chunk (all, for a superuser), rows'
	' waiting and failed, and why one is paused; their embeddings are in bert.auto_embeds';
COMMENT ON COLUMN bert.auto_chunks.relation IS 'the table of the texts';
COMMENT ON COLUMN bert.auto_chunks.source IS 'column of the texts';
COMMENT ON COLUMN bert.auto_chunks.target IS 'the table of chunks';
COMMENT ON COLUMN bert.auto_chunks.model IS 'the model';
COMMENT ON COLUMN bert.auto_chunks.max_tokens IS 'tokens of a chunk; NULL: what the model reads';
COMMENT ON COLUMN bert.auto_chunks.overlap IS 'tokens that neighbours share at most';
COMMENT ON COLUMN bert.auto_chunks.template IS 'what is embedded of a chunk';
COMMENT ON COLUMN bert.auto_chunks.role IS
	'who called bert.auto_chunk; texts are cut and embedded with this roles privileges';
COMMENT ON COLUMN bert.auto_chunks.started IS 'when it was called';
COMMENT ON COLUMN bert.auto_chunks.queued IS 'rows whose text waits to be cut';
COMMENT ON COLUMN bert.auto_chunks.failed IS
	'rows whose text could not be cut; see bert.auto_errors';
COMMENT ON COLUMN bert.auto_chunks.sqlstate IS
	'SQLSTATE of what keeps all texts from being cut; NULL while nothing does';
COMMENT ON COLUMN bert.auto_chunks.error IS 'message of it';
COMMENT ON COLUMN bert.auto_chunks.failed_at IS 'when that was seen last';
COMMENT ON COLUMN bert.auto_chunks.next_try IS
	'until when it is paused; infinity: its worker has crashed twice, and auto_chunk must begin anew';

CREATE VIEW bert.auto_errors WITH (security_invoker = true) AS
SELECT a.relation::regclass, coalesce(c.target, a.chunks::regclass::text) AS target,
	q.names AS key_columns, q.key, q.attempts, q.sqlstate, q.error, q.queued, q.next_try
FROM bert.auto_queue AS q JOIN bert.auto_column AS a USING (number),
	LATERAL bert.auto_column_names(a.relation, a.number) AS c
WHERE q.error IS NOT NULL;
COMMENT ON VIEW bert.auto_errors IS
	'the rows that could not be embedded automatically, why, and when they are tried again';
COMMENT ON COLUMN bert.auto_errors.relation IS 'the table';
COMMENT ON COLUMN bert.auto_errors.target IS
	'column of the embeddings, or table of the chunks';
COMMENT ON COLUMN bert.auto_errors.key_columns IS 'names of the columns that tell the row';
COMMENT ON COLUMN bert.auto_errors.key IS 'the rows values of them';
COMMENT ON COLUMN bert.auto_errors.attempts IS 'how often it was tried';
COMMENT ON COLUMN bert.auto_errors.sqlstate IS 'SQLSTATE of the last failure';
COMMENT ON COLUMN bert.auto_errors.error IS 'message of the last failure';
COMMENT ON COLUMN bert.auto_errors.queued IS 'when the row was inserted or changed';
COMMENT ON COLUMN bert.auto_errors.next_try IS 'when it is tried again';
GRANT SELECT ON bert.auto_embeds, bert.auto_chunks, bert.auto_errors TO PUBLIC;
