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

CREATE FUNCTION bert.drop_model(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'bert_drop_model' LANGUAGE C STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.drop_model(text) IS 'drops a model, and the blocks that no other model has';

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
