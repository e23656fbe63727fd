SET client_min_messages = warning; -- not whether a model was prepared just now
SELECT bert.embed('a') IS NOT NULL AS prepared;
RESET client_min_messages;
-- bert.embed_column: what it fills, what it leaves, what it refuses
CREATE TABLE note (id int PRIMARY KEY, junk int, body text, e real[]);
ALTER TABLE note DROP COLUMN junk;
INSERT INTO note SELECT i, CASE i % 10 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'note number ' || i END
	FROM generate_series(1, 60) AS i;
CALL bert.embed_column('note', 'body', 'e', filter => 'id <= 20', workers => 1);
SELECT count(*) AS notes, count(body) AS texts, count(e) AS embedded FROM note;
CALL bert.embed_column('note', 'body', 'e', batch_rows => 7);
SELECT count(e) AS embedded, bool_and(e = bert.embed(body)) AS same_as_embed FROM note
WHERE body IS NOT NULL;
SELECT count(e) AS of_null FROM note WHERE body IS NULL;
-- nothing left to do: filled ones are not touched
CREATE TEMP TABLE before AS SELECT id, ctid AS place FROM note;
CALL bert.embed_column('note', 'body', 'e');
SELECT count(*) AS moved FROM note JOIN before USING (id) WHERE note.ctid <> place;
SELECT * FROM bert.progress;

-- several columns by a template
CREATE TABLE letter (id int PRIMARY KEY, title text, body text, e real[]);
INSERT INTO letter VALUES (1, 'a', 'b'), (2, NULL, 'b'), (3, 'a', NULL);
CALL bert.embed_column('letter', 'body', 'e', template => '{{{title}}}: {body}');
SELECT id, e = bert.embed('{a}: b') AS whole, e = bert.embed('{}: b') AS without_title FROM letter
ORDER BY id;
CALL bert.embed_column('letter', 'body', 'e', template => '{title}');
CALL bert.embed_column('letter', 'body', 'e', template => '{body}: {e}');
CALL bert.embed_column('letter', 'body', 'e', template => '{body}: {titel}');
CALL bert.embed_column('letter', 'body', 'e', template => '{body');
DROP TABLE letter;

-- the condition is one expression of the caller's, and no more
CALL bert.embed_column('note', 'body', 'e', filter => 'true); DROP TABLE note; --');
CALL bert.embed_column('note', 'body', 'e', filter => 'true) OR (true');
CALL bert.embed_column('note', 'body', 'e', filter => 'true FROM pg_authid');
CALL bert.embed_column('note', 'body', 'e', filter => 'true; DROP TABLE note');
CALL bert.embed_column('note', 'body', 'e', filter => '');
CALL bert.embed_column('note', 'body', 'e', filter => 'nosuch > 1');
CALL bert.embed_column('note', 'body', 'e', filter => 'id');
CALL bert.embed_column('note', 'body', 'e', filter => 'id = $1');
CALL bert.embed_column('note', 'body', 'e', filter => 'count(*) > 1');
UPDATE note SET e = NULL WHERE id IN (2, 3, 4);
CALL bert.embed_column('note', 'body', 'e',
	filter
	=>
	'note.id IN (SELECT max(id) FROM public.note AS n WHERE n.e IS NULL AND body IS NOT NULL)'
	' -- the last');
SELECT array_agg(id ORDER BY id) AS still_null FROM note WHERE e IS NULL AND body IS NOT NULL;

-- tables without a key, empty, partitioned, inherited, temporary; other text types
CREATE TABLE plain (body varchar(40), e double precision[]);
CALL bert.embed_column('plain', 'body', 'e');
INSERT INTO plain SELECT 'the same' FROM generate_series(1, 3);
CALL bert.embed_column('plain', 'body', 'e');
SELECT count(DISTINCT e), count(e), min(cardinality(e)) FROM plain;
CREATE TABLE part (k int, body text, e real[]) PARTITION BY LIST (k);
CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part2 (e real[], k int, body text);
ALTER TABLE part ATTACH PARTITION part2 FOR VALUES IN (2);
INSERT INTO part SELECT 1 + i % 2, 'part ' || i FROM generate_series(1, 30) AS i;
CALL bert.embed_column('part', 'body', 'e', batch_rows => 4, filter => 'k IN (1, 2)');
SELECT tableoid::regclass AS place, count(e), bool_and(e = bert.embed(body)) AS right FROM part
GROUP BY 1 ORDER BY 1;
CREATE TABLE parent (body text, e real[]);
CREATE TABLE child (extra int) INHERITS (parent);
INSERT INTO parent VALUES ('of the parent');
INSERT INTO child VALUES ('of the child');
CALL bert.embed_column('parent', 'body', 'e');
SELECT count(e) FROM parent;
CREATE TEMP TABLE passing (body char(12), e real[]);
INSERT INTO passing VALUES ('a cat'), ('a dog');
CALL bert.embed_column('passing', 'body', 'e');
SELECT count(e) FROM passing;

-- names of all kinds
CREATE SCHEMA "x""; DROP";
CREATE TABLE "x""; DROP"."täble ""; --" ("bödy'" text, "Ê "" e" real[],
	"a23456789012345678901234567890123456789012345678901234567890123" int);
INSERT INTO "x""; DROP"."täble ""; --" VALUES ('odd names', NULL, 1);
CALL bert.embed_column('"x""; DROP"."täble ""; --"', 'bödy''', 'Ê " e',
	filter => 'a23456789012345678901234567890123456789012345678901234567890123 = 1');
SELECT count("Ê "" e") FROM "x""; DROP"."täble ""; --";

-- what is refused, before anything is done
CREATE VIEW seen AS SELECT * FROM note;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM note;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE far (body text, e real[]) SERVER nowhere;
CREATE FOREIGN TABLE part3 PARTITION OF part FOR VALUES IN (3) SERVER nowhere;
CREATE TABLE generated (body text, e real[] GENERATED ALWAYS AS (ARRAY[1]) STORED,
	title text GENERATED ALWAYS AS (upper(body)) STORED, f real[], n int, name text);
CALL bert.embed_column('seen', 'body', 'e');
CALL bert.embed_column('kept', 'body', 'e');
CALL bert.embed_column('far', 'body', 'e');
CALL bert.embed_column('part', 'body', 'e');
CALL bert.embed_column('pg_class', 'relname', 'relacl');
CALL bert.embed_column('bert.job_number', 'a', 'b');
CALL bert.embed_column('nosuch', 'body', 'e');
CALL bert.embed_column(0, 'body', 'e');
CALL bert.embed_column(NULL, 'body', 'e');
CALL bert.embed_column('note', NULL, 'e');
CALL bert.embed_column('note', 'bod', 'e');
CALL bert.embed_column('note', 'body', 'junk');
CALL bert.embed_column('note', 'body', 'ctid');
CALL bert.embed_column('note', 'id', 'e');
CALL bert.embed_column('note', 'body', 'body');
CALL bert.embed_column('note', 'body', 'id');
CALL bert.embed_column('generated', 'body', 'e');
CALL bert.embed_column('note', 'body', 'e', 'nosuch');
CALL bert.embed_column('note', 'body', 'e', workers => 0);
CALL bert.embed_column('note', 'body', 'e', workers => 65);
CALL bert.embed_column('note', 'body', 'e', batch_rows => 0);
BEGIN;
CALL bert.embed_column('note', 'body', 'e');
ROLLBACK;
CREATE FUNCTION inside() RETURNS void
	LANGUAGE plpgsql AS $$BEGIN CALL bert.embed_column('note', 'body', 'e'); END$$;
SELECT inside();
BEGIN READ ONLY;
CALL bert.embed_column('note', 'body', 'e');
ROLLBACK;
SET default_transaction_read_only = on;
CALL bert.embed_column('note', 'body', 'e');
RESET default_transaction_read_only;
CREATE RULE rewritten AS ON UPDATE TO plain DO INSTEAD NOTHING;
CALL bert.embed_column('plain', 'body', 'e');

-- a generated column may be the source; a DO block without EXCEPTION commits as well
INSERT INTO generated (body) VALUES ('loud');
DO $$BEGIN CALL bert.embed_column('generated', 'title', 'f'); END$$;
SELECT f = bert.embed('LOUD') AS right FROM generated;

-- at repeatable read by default it works nevertheless
SET default_transaction_isolation = 'repeatable read';
UPDATE note SET e = NULL;
CALL bert.embed_column('note', 'body', 'e', batch_rows => 10);
RESET default_transaction_isolation;

-- triggers: one that changes its mind, one that keeps a row as it is, one that fails
CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	IF NEW.id = 5 THEN RETURN NULL; END IF;
	IF NEW.id = 36 AND current_setting('bert_test.fail', true) = 'on'
		THEN RAISE EXCEPTION 'row % is holy', NEW.id USING HINT = 'Leave it.'; END IF;
	RETURN NEW; END$$;
CREATE TRIGGER judge BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION judge();
UPDATE note SET e = NULL WHERE id <> 5;
ALTER TABLE note DISABLE TRIGGER judge;
UPDATE note SET e = NULL WHERE id = 5;
ALTER TABLE note ENABLE TRIGGER judge;
CLUSTER note USING note_pkey; -- batches in this order, whatever plans have run before
SET bert_test.fail = 'on';
-- how many rows are committed hangs on how fast the first batches were
\set SHOW_CONTEXT never
CALL bert.embed_column('note', 'body', 'e', batch_rows => 10, workers => 1);
\set SHOW_CONTEXT errors
SELECT count(e) > 0 AS committed_before FROM note WHERE id <= 36;
SET bert_test.fail = 'off';
SET client_min_messages = warning;
CALL bert.embed_column('note', 'body', 'e', workers => 1);
RESET client_min_messages;
SELECT array_agg(id ORDER BY id) AS still_null FROM note WHERE e IS NULL AND body IS NOT NULL;
DROP TRIGGER judge ON note;

-- privileges: columns are enough, and needed
CREATE ROLE bert_test_reader;
GRANT USAGE ON SCHEMA public TO bert_test_reader;
SET ROLE bert_test_reader;
CALL bert.embed_column('note', 'body', 'e');
RESET ROLE;
GRANT SELECT (body, e) ON note TO bert_test_reader;
SET ROLE bert_test_reader;
CALL bert.embed_column('note', 'body', 'e');
RESET ROLE;
GRANT UPDATE (e) ON note TO bert_test_reader;
SET ROLE bert_test_reader;
CALL bert.embed_column('note', 'body', 'e');
SELECT count(e) AS all_of_them FROM note WHERE body IS NOT NULL;
CALL bert.embed_column('note', 'body', 'e', filter => 'id = 1');
CALL bert.embed_column('note', 'body', 'e', filter => 'EXISTS (SELECT FROM plain)');
RESET ROLE;
-- row security: rows that cannot be written are not computed
ALTER TABLE note ENABLE ROW LEVEL SECURITY;
CREATE POLICY reads ON note FOR SELECT TO bert_test_reader USING (true);
CREATE POLICY writes ON note FOR UPDATE TO bert_test_reader USING (id > 50);
UPDATE note SET e = NULL;
SET ROLE bert_test_reader;
CALL bert.embed_column('note', 'body', 'e');
RESET ROLE;
SELECT min(id), count(*) FROM note WHERE e IS NOT NULL;

DROP SCHEMA "x""; DROP" CASCADE;
DROP FOREIGN DATA WRAPPER nothing CASCADE;
DROP FUNCTION inside, judge;
DROP TABLE note, plain, part, parent, generated CASCADE;
REVOKE USAGE ON SCHEMA public FROM bert_test_reader;
DROP ROLE bert_test_reader;
