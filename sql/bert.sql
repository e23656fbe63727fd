-- The whole current schema of the extension; the Makefile copies it to bert--VERSION.sql.
\echo Use "CREATE EXTENSION bert" to load this file. \quit

-- Types

-- Models

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
