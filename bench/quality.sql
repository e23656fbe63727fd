-- Run by bench/quality.
\pset footer off
CREATE EXTENSION bert;

CREATE TABLE pair (id int GENERATED ALWAYS AS IDENTITY, a text, b text, gold float8);
\set copy '\\copy pair (a, b, gold) FROM ' :work '/stsb.csv CSV'
:copy
CREATE TABLE review (id int GENERATED ALWAYS AS IDENTITY, body text, label int);
-- Tab-separated and never quoted: no character of the text means anything.
\set format 'WITH (FORMAT csv, DELIMITER E''\\t'', QUOTE E''\\x01'', HEADER)'
\set copy '\\copy review (body, label) FROM ' :work '/sst2.tsv ' :format
:copy

CREATE TABLE encoder (ordinal int, name text);
INSERT INTO encoder VALUES (0, 'minilm');
CREATE TABLE classifier (ordinal int, name text);
INSERT INTO classifier VALUES (0, 'sentiment');

\if :published
	\o /dev/null
	SELECT count(*)
	FROM (VALUES (1, 'fp32'), (2, 'bf16'), (3, 'int8')) AS p (ordinal, precision),
		bert.import_model(precision, :'work' || '/model');
	SELECT FROM (VALUES ('bf16'), ('int8')) AS p (precision),
		bert.set_precision(precision, precision);
	\o
	INSERT INTO encoder VALUES (1, 'fp32'), (2, 'bf16'), (3, 'int8');
\endif
\o /dev/null
SELECT FROM (VALUES ('fp32'), ('bf16'), ('int8')) AS p (precision),
	bert.copy_model('sentiment', 'sentiment_' || precision);
SELECT FROM (VALUES ('fp32'), ('bf16'), ('int8')) AS p (precision),
	bert.set_precision('sentiment_' || precision, precision);
\o
INSERT INTO classifier VALUES (1, 'sentiment_fp32'), (2, 'sentiment_bf16'), (3, 'sentiment_int8');

CREATE FUNCTION inner_product(x real[], y real[]) RETURNS float8
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	AS 'SELECT sum(i::float8 * j) FROM unnest(x, y) AS pair (i, j)';

CREATE TABLE embedded AS
	SELECT e.ordinal, e.name, p.id, p.gold, bert.embed(p.a, e.name) AS a,
		bert.embed(p.b, e.name) AS b
	FROM encoder e, pair p;

\echo 'STS-B: Spearman of the cosine of two sentences and the gold score'
WITH scored AS (SELECT ordinal, name, id, gold, inner_product(a, b) AS similarity FROM embedded),
ranked AS (
	SELECT ordinal, name,
		   rank() OVER (PARTITION BY name ORDER BY gold) +
			   (count(*) OVER (PARTITION BY name, gold) - 1) / 2.0 AS gold_rank,
		   rank() OVER (PARTITION BY name ORDER BY similarity) +
			   (count(*) OVER (PARTITION BY name, similarity) - 1) / 2.0 AS rank
	FROM scored)
SELECT name AS model, count(*) AS pairs,
	   round(corr(gold_rank::float8, rank::float8)::numeric, 5) AS spearman
FROM ranked GROUP BY ordinal, name ORDER BY ordinal;

\if :published
	\echo 'Cosine of an embedding with its fp32 one'
	SELECT e.name AS model, 2 * count(*) AS sentences,
		   round(avg((inner_product(e.a, r.a) + inner_product(e.b, r.b)) / 2)::numeric, 6) AS mean,
		   round(min(least(inner_product(e.a, r.a), inner_product(e.b, r.b)))::numeric, 6) AS least
	FROM embedded e JOIN embedded r ON r.id = e.id AND r.name = 'fp32'
	GROUP BY e.ordinal, e.name ORDER BY e.ordinal;
\endif

\echo 'SST-2: accuracy'
SELECT name AS model, count(*) AS sentences,
	   round(avg(((bert.classify(btrim(body), name)).label =
		   CASE label WHEN 1 THEN 'positive' ELSE 'negative' END)::int), 4) AS accuracy
FROM classifier, review GROUP BY ordinal, name ORDER BY ordinal;
