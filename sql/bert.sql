-- The whole current schema of the extension; the Makefile copies it to bert--VERSION.sql.
\echo Use "CREATE EXTENSION bert" to load this file. \quit

-- Types

-- Models

GRANT USAGE ON SCHEMA bert TO PUBLIC;

-- The store. Ordinary roles have no rights on these tables: the functions below check theirs and act as the tables' owner.

CREATE SEQUENCE bert.model_version;
COMMENT ON SEQUENCE bert.model_version IS 'versions of models; a replaced or changed model gets a new one';

CREATE TABLE bert.model (
	name text COLLATE "C" PRIMARY KEY,
	version bigint NOT NULL UNIQUE,
	owner regrole NOT NULL,
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
	created timestamptz NOT NULL
);
COMMENT ON TABLE bert.model IS 'one row per stored model';
COMMENT ON COLUMN bert.model.config IS 'config.json, UTF-8 whatever the database''s encoding';
COMMENT ON COLUMN bert.model.tokenizer IS 'tokenizer_config.json, UTF-8';
COMMENT ON COLUMN bert.model.vocab IS 'the block that holds vocab.txt';
COMMENT ON COLUMN bert.model.pooling IS 'NULL: the model came without sentence-transformers settings';
COMMENT ON COLUMN bert.model.digest IS 'SHA-256 over all that decides what the model computes';

CREATE TABLE bert.tensor (
	version bigint NOT NULL REFERENCES bert.model (version) ON UPDATE CASCADE ON DELETE CASCADE,
	ordinal integer NOT NULL,
	name text COLLATE "C" NOT NULL,
	dtype text NOT NULL,
	shape integer[] NOT NULL,
	block bytea NOT NULL,
	"offset" bigint NOT NULL,
	PRIMARY KEY (version, ordinal)
);
CREATE INDEX tensor_block ON bert.tensor (block);
COMMENT ON TABLE bert.tensor IS 'the tensors of every model and where they lie in its blocks';
COMMENT ON COLUMN bert.tensor."offset" IS 'bytes from the start of the block';

CREATE TABLE bert.head (
	version bigint NOT NULL REFERENCES bert.model (version) ON UPDATE CASCADE ON DELETE CASCADE,
	head text COLLATE "C" NOT NULL,
	PRIMARY KEY (version, head)
);
COMMENT ON TABLE bert.head IS 'the heads that every model can be used with, its own and those that are part of it';

CREATE TABLE bert.block (
	hash bytea NOT NULL,
	chunk integer NOT NULL,
	crc bigint NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (hash, chunk)
);
ALTER TABLE bert.block ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE bert.block IS 'blocks of weights (fp32, little-endian) and vocabularies by the SHA-256 of their bytes, in chunks of 1 MB';
COMMENT ON COLUMN bert.block.crc IS 'CRC-32C of data';

CREATE TABLE bert.model_grant (
	model text COLLATE "C" NOT NULL REFERENCES bert.model (name) ON UPDATE CASCADE ON DELETE CASCADE,
	role regrole NOT NULL,
	PRIMARY KEY (model, role)
);
COMMENT ON TABLE bert.model_grant IS 'roles that may use a model besides its owner; the role "-" stands for all';

REVOKE ALL ON bert.model, bert.tensor, bert.head, bert.block, bert.model_grant, bert.model_version FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('bert.model_version', '');
SELECT pg_catalog.pg_extension_config_dump('bert.model', '');
SELECT pg_catalog.pg_extension_config_dump('bert.tensor', '');
SELECT pg_catalog.pg_extension_config_dump('bert.head', '');
SELECT pg_catalog.pg_extension_config_dump('bert.block', '');
SELECT pg_catalog.pg_extension_config_dump('bert.model_grant', '');

CREATE FUNCTION bert.import_model(name text, directory text, head text DEFAULT NULL, replace boolean DEFAULT false)
	RETURNS TABLE (key text, status text)
	AS 'MODULE_PATHNAME', 'bert_import_directory' LANGUAGE C PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.import_model(text, text, text, boolean) IS 'imports a model folder of the server; needs pg_read_server_files';

CREATE FUNCTION bert.import_model(name text, config jsonb, vocab text, weights bytea, tokenizer_config jsonb DEFAULT NULL,
		head text DEFAULT NULL, replace boolean DEFAULT false)
	RETURNS TABLE (key text, status text)
	AS 'MODULE_PATHNAME', 'bert_import_bytea' LANGUAGE C PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.import_model(text, jsonb, text, bytea, jsonb, text, boolean)
	IS 'imports a model from the contents of config.json, vocab.txt and model.safetensors';

CREATE FUNCTION bert.import_model(name text, config jsonb, vocab text, weights oid, tokenizer_config jsonb DEFAULT NULL,
		head text DEFAULT NULL, replace boolean DEFAULT false)
	RETURNS TABLE (key text, status text)
	AS 'MODULE_PATHNAME', 'bert_import_large_object' LANGUAGE C PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.import_model(text, jsonb, text, oid, jsonb, text, boolean)
	IS 'imports a model whose model.safetensors is a large object';

CREATE FUNCTION bert.create_model(name text, config jsonb, vocab text, head text, seed bigint DEFAULT 0) RETURNS bigint
	AS 'MODULE_PATHNAME', 'bert_create_model' LANGUAGE C PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.create_model(text, jsonb, text, text, bigint)
	IS 'makes a model with random weights, as the reference initialises them, and returns its version';

CREATE FUNCTION bert.export_model(name text, directory text) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_export_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.export_model(text, text)
	IS 'writes a model as a folder of the server that the reference library loads; needs pg_write_server_files';

CREATE FUNCTION bert.copy_model(name text, copy text) RETURNS bigint
	AS 'MODULE_PATHNAME', 'bert_copy_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.copy_model(text, text) IS 'makes a model of one''s own from another, sharing its blocks, and returns its version';

CREATE FUNCTION bert.rename_model(name text, new_name text) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_rename_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.rename_model(text, text) IS 'renames a model';

CREATE FUNCTION bert.drop_model(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_drop_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.drop_model(text) IS 'drops a model, and the blocks that no other model has';

CREATE FUNCTION bert.set_precision(name text, "precision" text) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_set_precision' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.set_precision(text, text) IS 'sets what a model computes with: fp32, bf16 or int8; the stored weights stay fp32';

CREATE FUNCTION bert.prune_heads(name text, heads jsonb) RETURNS bigint
	AS 'MODULE_PATHNAME', 'bert_prune_heads' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.prune_heads(text, jsonb)
	IS 'removes attention heads from a model, for example {"0": [1, 2]}: layer, then heads; returns its new version';

CREATE FUNCTION bert.grant_model(name text, role regrole) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_grant_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.grant_model(text, regrole) IS 'lets a role use a model; the role "-" stands for all';

CREATE FUNCTION bert.revoke_model(name text, role regrole) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_revoke_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.revoke_model(text, regrole) IS 'takes back what bert.grant_model gave';

CREATE FUNCTION bert.pinned(model text) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_pinned' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.pinned(text) IS 'the model''s name with a hash of all that decides what it computes: name@sha256prefix';

CREATE FUNCTION bert.list_models() RETURNS TABLE (name text, version bigint, source text, head text, heads text[], "precision" text,
		parameters bigint, layers integer, hidden_size integer, attention_heads integer, vocab_size integer, max_length integer,
		labels text[], pooling text, size_bytes bigint, owner regrole, base text, base_version bigint, lineage jsonb,
		description text, created timestamptz)
	AS 'MODULE_PATHNAME', 'bert_list_models' LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 10;
COMMENT ON FUNCTION bert.list_models() IS 'what the view bert.models shows';

CREATE VIEW bert.models AS SELECT * FROM bert.list_models();
COMMENT ON VIEW bert.models IS 'the models that the current user may use, the bundled ones included';

CREATE FUNCTION bert.list_tensors() RETURNS TABLE (model text, version bigint, ordinal integer, name text, dtype text, shape integer[],
		elements bigint, part text, block text, "offset" bigint)
	AS 'MODULE_PATHNAME', 'bert_list_tensors' LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 1000;
COMMENT ON FUNCTION bert.list_tensors() IS 'what the view bert.tensors shows';

CREATE VIEW bert.tensors AS SELECT * FROM bert.list_tensors();
COMMENT ON VIEW bert.tensors IS 'the tensors of these models, the block (SHA-256) that holds each, and where in it, in bytes';

CREATE FUNCTION bert.list_cache() RETURNS TABLE (file text, block text, kind text, "precision" text, kernel text, size_bytes bigint,
		mapped boolean)
	AS 'MODULE_PATHNAME', 'bert_list_cache' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 100;
COMMENT ON FUNCTION bert.list_cache() IS 'what the view bert.cache shows';

CREATE VIEW bert.cache AS SELECT * FROM bert.list_cache();
COMMENT ON VIEW bert.cache IS 'the files of prepared blocks on this machine, and whether this session has them mapped';

CREATE FUNCTION bert.list_stats() RETURNS TABLE (model text, calls bigint, texts bigint, tokens bigint, truncations bigint, ms double precision)
	AS 'MODULE_PATHNAME', 'bert_list_stats' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 100 ROWS 10;
COMMENT ON FUNCTION bert.list_stats() IS 'what the view bert.stats shows';

CREATE VIEW bert.stats AS SELECT * FROM bert.list_stats();
COMMENT ON VIEW bert.stats IS 'what the models of this database have done since the server started: calls, texts, tokens, texts cut, milliseconds';

GRANT SELECT ON bert.models, bert.tensors, bert.cache, bert.stats TO PUBLIC;

-- Text

-- Inference

-- Training

CREATE FUNCTION learning_rate(schedule text, step bigint, warmup_steps bigint, total_steps bigint, base_lr float8 DEFAULT 1,
	options jsonb DEFAULT '{}')
	RETURNS float8 AS 'MODULE_PATHNAME', 'bert_learning_rate' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION learning_rate(text, bigint, bigint, bigint, float8, jsonb) IS
	'learning rate of a step (the first is 0) of a schedule: constant, constant_with_warmup, linear, cosine, cosine_with_restarts, polynomial';

CREATE FUNCTION build_vocab(query text, size int, lowercase bool DEFAULT true)
	RETURNS text AS 'MODULE_PATHNAME', 'bert_build_vocab' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION build_vocab(text, int, bool) IS
	'WordPiece vocabulary, one token a line, made from the texts that the query returns in its only column';
-- Jobs

CREATE SEQUENCE bert.job_number;

CREATE TABLE bert.job (
	job bigint PRIMARY KEY,
	name text NOT NULL,
	base text NOT NULL,
	task text NOT NULL,
	query text NOT NULL,
	search_path text NOT NULL,
	options jsonb NOT NULL,
	role regrole NOT NULL,
	state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
	phase text,
	attempts int NOT NULL DEFAULT 0,
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

CREATE TABLE bert.job_metric (
	job bigint NOT NULL REFERENCES bert.job ON DELETE CASCADE,
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
COMMENT ON TABLE bert.job_metric IS 'what fine-tuning jobs reported on their way; see the view bert.job_metrics';

CREATE TABLE bert.job_checkpoint (
	job bigint NOT NULL REFERENCES bert.job ON DELETE CASCADE,
	kind text NOT NULL CHECK (kind IN ('last', 'best')),
	chunk int NOT NULL,
	step bigint NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (job, kind, chunk)
);
ALTER TABLE bert.job_checkpoint ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE bert.job_checkpoint IS 'weights, optimizer state and position of running jobs, in chunks';

ALTER TABLE bert.job ENABLE ROW LEVEL SECURITY;
ALTER TABLE bert.job_metric ENABLE ROW LEVEL SECURITY;
ALTER TABLE bert.job_checkpoint ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bert.job FOR SELECT USING (pg_catalog.pg_has_role(role::oid, 'USAGE'));
CREATE POLICY own ON bert.job_metric FOR SELECT USING (EXISTS (SELECT 1 FROM bert.job AS j WHERE j.job = job_metric.job));
GRANT SELECT ON bert.job, bert.job_metric TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('bert.job', '');
SELECT pg_catalog.pg_extension_config_dump('bert.job_metric', '');
SELECT pg_catalog.pg_extension_config_dump('bert.job_checkpoint', '');
SELECT pg_catalog.pg_extension_config_dump('bert.job_number', '');

CREATE VIEW bert.jobs WITH (security_invoker = true) AS
SELECT job, name, base, task, state, phase, role, step, total_steps, epoch, loss, learning_rate, samples_per_second, tokens_per_second,
	   CASE WHEN state = 'running' AND samples_per_second > 0 AND total_steps > step AND step > 0
			THEN pg_catalog.make_interval(secs => (total_steps - step) * (details ->> 'seconds_per_step')::float8) END AS eta,
	   samples, eval_samples, submitted, started, finished, attempts, worker_pid, query, options, base_version, version, metrics,
	   sqlstate, error
FROM bert.job;
COMMENT ON VIEW bert.jobs IS 'the fine-tuning jobs that you submitted (all, for a superuser), their progress and outcome';

CREATE VIEW bert.job_metrics WITH (security_invoker = true) AS
SELECT job, step, epoch, loss, learning_rate, grad_norm, samples_per_second, at, eval FROM bert.job_metric;
COMMENT ON VIEW bert.job_metrics IS 'loss, learning rate, gradient norm and evaluations of your fine-tuning jobs, by step';
GRANT SELECT ON bert.jobs, bert.job_metrics TO PUBLIC;

CREATE FUNCTION bert.finetune(name text, base text, task text, query text, options jsonb DEFAULT '{}') RETURNS bigint
	AS 'MODULE_PATHNAME', 'bert_finetune' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.finetune(text, text, text, text, jsonb) IS 'submits a fine-tuning job on the rows of a query; returns its number at once';

CREATE FUNCTION bert.wait_job(job bigint, timeout interval DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_wait_job' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.wait_job(bigint, interval) IS 'waits until a job has ended or the time is up, reporting progress as notices; returns its state';

CREATE FUNCTION bert.cancel_job(job bigint) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_cancel_job' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.cancel_job(bigint) IS 'cancels a queued or running job; returns its state';

CREATE FUNCTION bert.resume_job(job bigint) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_resume_job' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.resume_job(bigint) IS 'puts a job that was interrupted, cancelled or failed back into the queue; it goes on from its last checkpoint';

CREATE FUNCTION bert.evaluate(model text, task text, query text) RETURNS TABLE (metric text, value float8)
	AS 'MODULE_PATHNAME', 'bert_evaluate' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.evaluate(text, text, text) IS 'the metrics of a model on the labelled rows of a query';

CREATE FUNCTION bert.job_report(job bigint) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_job_report' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION bert.job_report(bigint) IS 'one self-contained HTML page about a job: curves, schedule, confusion matrix, worst examples, settings, lineage';
