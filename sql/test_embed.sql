SET client_min_messages = warning; -- not whether a model was prepared just now
-- embeddings of the bundled encoder: length, direction, agreement of all ways to get them
CREATE FUNCTION pg_temp.dot(a real[], b real[]) RETURNS float8 LANGUAGE sql IMMUTABLE
	AS 'SELECT sum(x::float8 * y) FROM unnest(a, b) AS pair (x, y)';

SELECT cardinality(e) AS dimensions, abs(pg_temp.dot(e, e) - 1) < 1e-5 AS unit_length
FROM bert.embed('A cat sits on the mat.') AS e;
SELECT abs(pg_temp.dot(e, e) - 1) > 0.1 AS not_normalized
FROM bert.embed('A cat sits on the mat.', normalize_embeddings => false) AS e;
SELECT bert.embed(NULL::text) IS NULL AS null_text, cardinality(bert.embed('')) AS empty_text;

SELECT bert.similarity('A cat sits on the mat.', 'A kitten is sitting on a rug.') > 0.5 AS alike,
	bert.similarity('A cat sits on the mat.', 'Interest rates rose again.') < 0.2 AS unlike,
	abs(bert.similarity('same', 'same') - 1) < 1e-5 AS same,
	bert.similarity('x', NULL) IS NULL AS null_text;

-- poolings differ, and an unknown one is refused
SELECT count(DISTINCT bert.embed('A cat sits on the mat.', pooling => p)) AS different
FROM unnest('{mean,cls,max,pooler}'::text[]) AS p;
SELECT bert.embed('x', pooling => 'median');

-- many texts at once: in the order of the input, each as alone; NULL stays NULL
CREATE TEMP TABLE sentence (id int, body text);
INSERT INTO sentence SELECT i,
	CASE WHEN i = 7 THEN NULL WHEN i = 8 THEN '' ELSE repeat('word' || i || ' ', 1 + i * i % 40) END
	FROM generate_series(1, 40) AS i;
SELECT count(*) AS texts, count(many) AS embedded,
	bool_and(pg_temp.dot(many, alone) > 0.99999) AS each_as_alone
FROM (SELECT s.id, m.many, bert.embed(s.body) AS alone
	  FROM (SELECT array_agg(body ORDER BY id) AS bodies FROM sentence) AS a,
		bert.embed(a.bodies) WITH ORDINALITY AS m (many, id)
	  JOIN sentence s USING (id)) AS both_ways;
SELECT count(*) FROM bert.embed('{}'::text[]);
SELECT count(*) FROM bert.embed(NULL::text[]);

-- long input: cut, read in windows, or refused
SELECT pg_temp.dot(bert.embed(repeat('sun ', 2000)), bert.embed(repeat('sun ', 3000)))
	> 0.99999 AS both_cut;
SELECT pg_temp.dot(bert.embed(t), bert.embed(t, overflow => 'window'))
	< 0.999 AS windows_see_the_end
FROM (SELECT repeat('The sun is hot. ', 100) || repeat('The stock market fell. ', 100)) AS x (t);
SELECT bert.embed(repeat('sun ', 2000), overflow => 'error');
SELECT bert.embed('x', overflow => 'ignore');

-- ranking
SELECT document, text
FROM bert.rank('a fast animal',
	ARRAY['The bank was closed.', 'A cheetah runs at great speed.', NULL, 'Tea tastes best hot.'])
	LIMIT 1;
SELECT count(*) FROM bert.rank('x', '{}');

-- by name it is stable, pinned it is immutable: generated columns
SELECT bert.pinned('minilm') ~ '^minilm@[0-9a-f]{16,}$' AS pinned;
DO $$BEGIN
	EXECUTE format('CREATE TEMP TABLE note (body text,'
		' e real[] GENERATED ALWAYS AS (bert.embed_pinned(body, %L)) STORED)',
		bert.pinned('minilm'));
END$$;
INSERT INTO note VALUES ('A cat sits on the mat.'), (NULL);
SELECT body, pg_temp.dot(e, bert.embed(body)) > 0.99999 AS same FROM note;
SELECT bert.embed_pinned('x', 'minilm');
SELECT bert.embed_pinned('x', 'minilm@0000000000000000');

-- parallel workers see the same
CREATE TABLE parallel_text AS SELECT 'text number ' || i AS body FROM generate_series(1, 200) AS i;
ANALYZE parallel_text;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql
	AS 'BEGIN RETURN QUERY EXECUTE ''EXPLAIN (COSTS OFF) '' || query; END';
SELECT count(*) AS parallel_scans
FROM pg_temp.plan_of('SELECT bert.embed(body) FROM parallel_text') AS line
WHERE line LIKE '%Parallel Seq Scan%';
CREATE TEMP TABLE in_parallel AS SELECT body, bert.embed(body) AS e FROM parallel_text;
SET max_parallel_workers_per_gather = 0;
SELECT count(*), bool_and(bert.embed(body) = e) AS same_bits FROM in_parallel;
RESET ALL;
DROP TABLE parallel_text;

-- more than a call may take is refused before it is taken
SET bert.max_memory = '1MB';
SELECT bert.embed(repeat('word ', 250));
RESET bert.max_memory;
SET bert.kernel = 'portabel';
