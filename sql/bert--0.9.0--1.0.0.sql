-- From 0.9.0 to 1.0.0.
\echo Use "ALTER EXTENSION bert UPDATE" to load this file. \quit

SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);

-- embeddings of constants: once a query
CREATE FUNCTION bert.computed_once(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'bert_computed_once' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.computed_once(internal) IS
	'has the planner compute the embedding of a constant text once a query, before its rows';
ALTER FUNCTION bert.embed_sparse(text, text, text) SUPPORT bert.computed_once;
ALTER FUNCTION bert.embed(text, text, text, bool, text, text, int, text) SUPPORT bert.computed_once;
ALTER FUNCTION bert.embed_query(text, text, int) SUPPORT bert.computed_once;
ALTER FUNCTION bert.embed_document(text, text, int) SUPPORT bert.computed_once;

-- texts of a scan: computed together
CREATE FUNCTION bert.computed_together(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'bert_computed_together' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION bert.computed_together(internal) IS
	'has the library loaded when a query is planned whose texts it computes together';
ALTER FUNCTION bert.embed_pinned(text, text, text, bool, text, text, int, text) SUPPORT bert.computed_together;
ALTER FUNCTION bert.similarity(text, text, text) SUPPORT bert.computed_together;
ALTER FUNCTION bert.classify(text, text, text, text) SUPPORT bert.computed_together;
ALTER FUNCTION bert.classify_pinned(text, text, text, text) SUPPORT bert.computed_together;
ALTER FUNCTION bert.label(text, text, text, text) SUPPORT bert.computed_together;
ALTER FUNCTION bert.label_pinned(text, text, text, text) SUPPORT bert.computed_together;
ALTER FUNCTION bert.labels(text, text, text, real, text) SUPPORT bert.computed_together;
ALTER FUNCTION bert.regress(text, text, text, text) SUPPORT bert.computed_together;
ALTER FUNCTION bert.regress_pinned(text, text, text, text) SUPPORT bert.computed_together;
ALTER FUNCTION bert.next_sentence(text, text, text) SUPPORT bert.computed_together;

-- all calls that take long, not those of bert.embed_column alone
DROP VIEW bert.progress;
DROP FUNCTION bert.list_progress();
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

-- texts of several columns by a template
DROP PROCEDURE bert.embed_column(regclass, name, name, text, int, int, text, text, int);
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

DROP FUNCTION bert.auto_embed(regclass, name, name, text, text, int);
CREATE FUNCTION bert.auto_embed(relation regclass, source name, target name,
		model text DEFAULT NULL, prompt_name text DEFAULT NULL, dimensions int DEFAULT NULL,
		template text DEFAULT NULL)
	RETURNS void
	AS 'MODULE_PATHNAME', 'bert_auto_embed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION bert.auto_embed(regclass, name, name, text, text, int, text) IS
	'has the target column filled with the source column''s embedding shortly after each insert or'
	' update commits; with the model''s prompt for documents, or the one named; only the first'
	' dimensions; of the template''s columns, the source among them';

CREATE FUNCTION bert.auto_embed_template(relation oid, number bigint, template text) RETURNS text
	AS 'MODULE_PATHNAME', 'bert_auto_embed_template' LANGUAGE C VOLATILE STRICT
	PARALLEL RESTRICTED;
COMMENT ON FUNCTION bert.auto_embed_template(oid, bigint, text) IS
	'the template that the view bert.auto_embeds shows, with the names of now';

CREATE OR REPLACE VIEW bert.auto_embeds WITH (security_invoker = true) AS
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
COMMENT ON COLUMN bert.auto_embeds.template IS
	'what the text of a row is; NULL: the source';
CREATE OR REPLACE VIEW bert.auto_chunks WITH (security_invoker = true) AS
SELECT a.relation::regclass, c.source, a.chunks::regclass AS target, a.model, a.max_tokens,
	a.overlap, c.template, bert.auto_embed_role(a.number) AS role, a.started,
	(SELECT count(*) FROM bert.auto_queue AS q
		WHERE q.number = a.number AND q.error IS NULL) AS queued,
	(SELECT count(*) FROM bert.auto_queue AS q
		WHERE q.number = a.number AND q.error IS NOT NULL) AS failed,
	a.sqlstate, a.error, a.failed AS failed_at, nullif(a.next_try, '-infinity') AS next_try
FROM bert.auto_column AS a, LATERAL bert.auto_chunk_names(a.relation, a.number, a.template) AS c
WHERE a.chunks IS NOT NULL AND c.source IS NOT NULL;
-- a table that is gone would be dumped as a number, and mean another one where that is restored
SELECT pg_catalog.pg_extension_config_dump('bert.auto_column',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = relation) AND'
	' (chunks IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = chunks))');
