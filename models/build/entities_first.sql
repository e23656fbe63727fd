-- entities_first: names, by what people have marked alone. What entities is trained from.
-- The sets are small, so each sentence with names is seen four more times with other names of the
-- same kinds: those of the training rows, people's from the first lines of Wikipedia's articles
-- about them, and places that people were born in or moved to. Of the tweets without names (WNUT
-- 2017) one of six is enough. The web text (UNER) has nothing marked that is no person,
-- organisation or place, so what else is written as a name there is not known.
CREATE OR REPLACE VIEW train.entity_row AS
SELECT source, number, tokens, CASE WHEN source <> 'uner_en_ewt' THEN labels ELSE (
	SELECT array_agg(CASE WHEN l <> 'O' OR i = 1 OR t !~ '^[A-Z]' OR t ~ ('^(I|Mr|Mrs|Ms|Dr|'
		'(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|March|April|May|June|July|'
		'August|September|October|November|December)\.?$') THEN l END ORDER BY i)
	FROM unnest(tokens, labels) WITH ORDINALITY AS u (t, l, i)) END AS labels
FROM train.entities
WHERE NOT held_back AND (source <> 'wnut17' OR array_to_string(labels, ' ') LIKE '%B-%'
	OR number % 6 = 0);

DROP TABLE IF EXISTS train.name_pool, train.entity_copy;
CREATE TABLE train.name_pool AS
WITH token AS (
	SELECT number, i, t, l, count(*) FILTER (WHERE l LIKE 'B-%' OR l = 'O')
		OVER (PARTITION BY number ORDER BY i) AS span
	FROM train.entity_row, unnest(tokens, labels) WITH ORDINALITY AS u (t, l, i)),
span AS (
	SELECT substr(max(l), 3) AS kind, string_agg(t, ' ' ORDER BY i) AS name
	FROM token WHERE l <> 'O' GROUP BY number, span),
born AS (
	SELECT 'PER' AS kind, substring(body FROM '^([A-Z][^(,."]{3,30}?) \((?:born|[0-9])') AS name
	FROM train.document
	WHERE source = 'enwiki' AND NOT held_back AND left(body, 300) ~ ' (he|she|He|She) '),
place AS (
	SELECT 'LOC' AS kind, m[1] AS name FROM train.document, regexp_matches(body,
		'(?:born in|located in|city of|town of|moved to|village of|returned to|lives in) '
		'([A-Z][a-z]{2,}(?: [A-Z][a-z]+)?)[,.]', 'g') AS m
	WHERE source = 'enwiki' AND NOT held_back)
SELECT kind, array_agg(name ORDER BY md5(name)) AS names
FROM (SELECT kind, name FROM span
	UNION SELECT kind, name FROM born WHERE name IS NOT NULL
	UNION SELECT kind, name FROM place) AS n
GROUP BY kind;

-- A sentence in which three of four names are others of the same kind.
CREATE OR REPLACE FUNCTION train.rename(INOUT tokens text[], INOUT labels text[], salt text)
LANGUAGE plpgsql AS $$
DECLARE
	t text[] := '{}'; l text[] := '{}'; i int := 1; j int; h int; kind text; word text[];
BEGIN
	WHILE i <= cardinality(tokens) LOOP
		j := i;
		kind := substr(labels[i], 3);
		WHILE j < cardinality(tokens) AND labels[i] <> 'O' AND labels[j + 1] = 'I-' || kind LOOP
			j := j + 1;
		END LOOP;
		word := tokens[i:j];
		h := hashtext(salt || i || array_to_string(tokens, ' ')) & 2147483647;
		IF labels[i] <> 'O' AND h % 4 > 0 THEN
			SELECT string_to_array(names[1 + h / 4 % cardinality(names)], ' ') INTO word
			FROM train.name_pool AS p WHERE p.kind = substr(labels[i], 3);
		END IF;
		t := t || word;
		l := l || labels[i];
		FOR k IN 2 .. cardinality(word) LOOP
			l := l || ('I-' || kind);
		END LOOP;
		i := j + 1;
	END LOOP;
	tokens := t;
	labels := l;
END $$;

CREATE TABLE train.entity_copy AS
SELECT row_number() OVER (ORDER BY md5(c || ' ' || number)) AS id, c AS copy, r.tokens, r.labels
FROM generate_series(1, 4) AS c, train.entity_row,
	train.rename(tokens, labels, 'copy ' || c) AS r
WHERE array_to_string(entity_row.labels, ' ') LIKE '%B-%'
UNION ALL
SELECT 0, 0, tokens, labels FROM train.entity_row;

SELECT bert.finetune('trained_entities_first', 'minilm', 'token_classification',
	'SELECT tokens, labels FROM train.entity_copy ORDER BY copy, id, md5(tokens::text)',
	'{"epochs": 1, "batch_size": 16, "learning_rate": 3e-4, "weight_decay": 0.01, "train": "top:6",
	"max_length": 128, "threads": 1, "seed": 1, "precision": "bf16"}');
