-- entities_second: names. entities_first and two more that differ from it in nothing but the seed
-- read sentences of Wikipedia and of the English treebank, and what two of them say counts. They
-- see no capitals; the sentences have them, the treebank also marks proper nouns, and an article's
-- first sentence tells what its title is. Where these agree, a word's label is taken; where they do
-- not, it is NULL, and the word is read and not learned.

-- What an article is about: the last noun before "who", "of", "in" and the like in its first
-- sentence.
DROP TABLE IF EXISTS train.title;
CREATE TABLE train.title AS
WITH first AS (
	SELECT id,
		substring(body FROM '^(?:The )?([A-Z0-9][^(,."]{1,60}?)(?: \(|,? (?:is|was|are|were) )')
			AS title,
		substring(left(body, 400) FROM '(?:is|was|are|were) (?:an? |the |one of |two )?([^.]{3,160})')
			AS what,
		left(body, 150) ~ '\([^)]*(?:born|[0-9]{4} ?[–-] ?[^)]*[0-9]{4})' AS lived,
		left(body, 600) ~ ' (he|she|He|She|his|her|His|Her) ' AS person
	FROM train.document WHERE source = 'enwiki' AND NOT held_back),
noun AS (
	SELECT *, substring(lower(substring(what FROM '^(.*?)(?:[,;(].*| (?:who|that|which|in|of|for|'
		'from|by|on|at|located|based|situated|and|with|near|created|written|directed|released|'
		'published|held|to|featuring|playing|under|as|founded|established|serving|set|whose|where)'
		'\M.*|$)')) FROM '(\w+)$') AS noun
	FROM first WHERE title IS NOT NULL AND what IS NOT NULL)
SELECT id, string_to_array(title, ' ') AS title, CASE
	WHEN person AND (lived OR noun ~ '(er|or|ist|ian|man|woman|actress|coach|judge|king|queen|priest|'
		'bishop|poet|pilot|model|host|chef|architect|soldier|star|dj)$' AND noun !~ '(river|chapter|'
		'tower|computer|newspaper|center|order|number|theater|sector|motor|minor|floor|thriller)$')
		THEN 'PER'
	WHEN lived THEN NULL
	WHEN noun ~ '^(village|town|city|municipality|river|lake|mountain|locality|district|suburb|'
		'islands?|county|commune|settlement|neighbou?rhood|region|province|park|stream|peak|hill|'
		'valley|bay|township|area|creek|cape|glacier|desert|forest|hamlet|borough|reservoir|canyon|'
		'street|road|highway|airport|bridge|station|country|barangay|parish|ward|beach|ridge|pass|'
		'plateau|capital|mine|castle|building|house|cemetery|square|territory|tributary)$' THEN 'LOC'
	WHEN noun ~ '^(company|band|group|team|club|school|university|college|organi[sz]ation|party|'
		'agency|corporation|association|institute|ministry|department|label|bank|airline|federation|'
		'society|hospital|foundation|duo|trio|orchestra|manufacturer|publisher|brewery|charity|'
		'network|firm|union|council|brand|startup|academy|museum|commission|committee|alliance|'
		'movement|court|church|league|retailer|chain|authority|bureau|institution|squadron|regiment|'
		'division|choir|quartet|conglomerate)$' THEN 'ORG'
	WHEN noun ~ '^(album|song|film|novel|book|series|show|game|ep|single|play|opera|magazine|'
		'newspaper|championships?|tournament|event|festival|programme|program|sitcom|drama|'
		'documentary|musical|comedy|anime|manga|awards?|language|software|cup|journal|episode|'
		'mixtape|soundtrack|website|podcast|war|battle|race|competition|app|videogame|thriller|'
		'telenovela)$' THEN 'MISC' END AS kind
FROM noun;

-- Up to fourteen sentences of each article and all of the treebank, cut into words; whether a word is
-- written as a name ('perhaps': a capital that tells little).
DROP TABLE IF EXISTS train.name_sentence;
CREATE TABLE train.name_sentence AS
WITH sentence AS (
	SELECT document.id AS document, s.body, s.place,
		row_number() OVER (PARTITION BY document.id ORDER BY s.place > 1, md5(s.body)) AS choice
	FROM train.document,
		regexp_split_to_table(document.body, '(?<=[a-z0-9)"][.!?]) (?=[A-Z"])')
			WITH ORDINALITY AS s (body, place)
	WHERE source = 'enwiki' AND NOT held_back AND length(s.body) BETWEEN 50 AND 300
		AND s.body ~ '[.]$' AND s.body ~ '[a-z,] [A-Z][a-z]'),
cut AS (
	SELECT document, place, array_agg(m[1] ORDER BY n) AS tokens
	FROM sentence, regexp_matches(regexp_replace(body, '(''s|’s)\M', ' \1', 'g'),
		'((?:[A-Z]\.)+|[''’]s\M|[^[:space:][:punct:]–—“”‘’…«»]+'
		'(?:[-&''’.][^[:space:][:punct:]–—“”‘’…«»]+)*|[^[:space:]])', 'g')
		WITH ORDINALITY AS t (m, n)
	WHERE choice <= 14 GROUP BY document, place),
words AS (
	SELECT document, tokens, NULL::text[] AS tags FROM cut
	UNION ALL
	SELECT NULL, tokens, labels FROM train.tag
	WHERE NOT held_back AND cardinality(tokens) BETWEEN 3 AND 80)
SELECT row_number() OVER (ORDER BY md5(tokens::text)) AS id, document, tokens,
	array_to_string(tokens, ' ') AS body,
	(SELECT array_agg(CASE
		WHEN t ~* ('^(mon|tues|wednes|thurs|fri|satur|sun)day$|^(january|february|march|april|may|'
			'june|july|august|september|october|november|december|i|mr|mrs|ms|dr|prof)\.?$')
			THEN 'no'
		WHEN tags IS NULL AND t !~ '[A-Z]' THEN 'no'
		WHEN tags IS NULL THEN CASE WHEN n = 1 THEN 'perhaps' ELSE 'yes' END
		WHEN tags[n] = 'PROPN' THEN 'yes'
		WHEN tags[n] IN ('ADJ', 'NOUN') AND t ~ '^[A-Z]' AND n > 1 THEN 'perhaps'
		ELSE 'no' END ORDER BY n) FROM unnest(tokens) WITH ORDINALITY AS u (t, n)) AS written
FROM words WHERE length(array_to_string(tokens, ' ')) <= 600;

-- What names of several words are that end with one of these.
DROP TABLE IF EXISTS train.last_word;
CREATE TABLE train.last_word AS SELECT kind, '^(' || words || ')$' AS words FROM (VALUES
	('ORG', 'University|College|School|Institute|Institution|Academy|Company|Corporation|Corp|Inc|'
		'Ltd|Group|Bank|Party|Union|Association|Federation|Society|Foundation|Trust|Council|'
		'Committee|Commission|Ministry|Department|Agency|Bureau|Board|Authority|Court|Senate|'
		'Parliament|Congress|Assembly|Army|Navy|Force|Forces|Guard|Guards|Regiment|Division|Brigade|'
		'Battalion|Squadron|Corps|Police|League|Club|FC|United|Orchestra|Choir|Band|Records|'
		'Entertainment|Pictures|Studios|Productions|Press|Books|Times|Post|Herald|Tribune|News|'
		'Church|Network|Airlines|Airways|Industries|Systems|Technologies|Services|Partners|'
		'Laboratory|Laboratories|Museum|Hospital|Alliance|Movement|Front|Team|Office'),
	('LOC', 'River|Lake|Mountain|Mountains|Island|Islands|Bay|Creek|Valley|County|District|'
		'Province|Region|City|Town|Township|Village|Park|Forest|Street|Road|Avenue|Highway|Bridge|'
		'Airport|Station|Square|Hill|Hills|Peak|Beach|Coast|Ocean|Sea|Desert|Peninsula|Republic|'
		'Kingdom|States|Empire|Cemetery|Castle|Palace|Hotel|Stadium|Arena|Theatre|Theater|Carolina|'
		'Dakota|Virginia|Zealand|Africa|America|Asia|Europe|York|Jersey|Mexico|Hampshire'),
	('MISC', 'War|Wars|Battle|Award|Awards|Prize|Medal|Cup|Championship|Championships|Olympics|'
		'Games|Festival|Treaty|Act|Constitution|Series|Trophy|Tour|Tournament|Open|Bowl|Revolution|'
		'Bible|Code|Day|Year|Grammy|Oscar|Order|Show|Song|Symphony|Classic|Derby|Marathon'))
	AS w (kind, words);

-- What a model says of each word: a kind, 'O', or '?' where it is not sure; which words are one name.
CREATE OR REPLACE FUNCTION train.told(tokens text[], told bert.entity[], OUT what text[],
	OUT span int[]) LANGUAGE plpgsql AS $$
DECLARE
	place int := 0; e bert.entity;
BEGIN
	what := array_fill('O'::text, ARRAY[cardinality(tokens)]);
	span := array_fill(0, ARRAY[cardinality(tokens)]);
	FOR i IN 1 .. cardinality(tokens) LOOP
		FOR j IN 1 .. coalesce(cardinality(told), 0) LOOP
			e := told[j];
			IF place < e.end_pos AND place + length(tokens[i]) > e.start_pos THEN
				what[i] := CASE WHEN e.score >= 0.6 THEN e.entity ELSE '?' END;
				span[i] := j;
			END IF;
		END LOOP;
		place := place + length(tokens[i]) + 1;
	END LOOP;
END $$;

-- What two of three say.
CREATE OR REPLACE FUNCTION train.vote(one record, two record, three record, OUT what text[],
	OUT span int[]) LANGUAGE plpgsql AS $$
DECLARE
	n int := cardinality(one.what);
BEGIN
	what := array_fill('?'::text, ARRAY[n]);
	span := array_fill(0, ARRAY[n]);
	FOR i IN 1 .. n LOOP
		IF one.what[i] IN (two.what[i], three.what[i]) THEN
			what[i] := one.what[i];
		ELSIF two.what[i] = three.what[i] THEN
			what[i] := two.what[i];
		END IF;
		-- Of the name that the word before belongs to, if one of those says so who say what it is.
		span[i] := CASE WHEN what[i] = 'O' THEN 0
			WHEN what[i] = what[i - 1] AND (
				one.what[i] = what[i] AND one.span[i] = one.span[i - 1]
				OR two.what[i] = what[i] AND two.span[i] = two.span[i - 1]
				OR three.what[i] = what[i] AND three.span[i] = three.span[i - 1])
			THEN span[i - 1]
			ELSE i END;
	END LOOP;
END $$;

-- The labels of a sentence's words. what, span: what the models say. by_last: what a name of several
-- words is follows from its last one; an encyclopedia names things so, people on the web do not.
CREATE OR REPLACE FUNCTION train.agree(tokens text[], written text[], what text[], span int[],
	title text[], kind text, by_last bool) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	n int := cardinality(tokens);
	labels text[] := '{}';
	common text := '^(A|The|In|On|At|He|She|It|They|This|That|His|Her|Their|Its|After|During|From|'
		'While|When|As|By|For|With|And|But|Some|Many|One|Two|Both|All|No|Since|Until|Although|'
		'However|Other|These|Those|There|To|Of|Under|Like|Then|Former)$';
	spans int := n; size int := cardinality(title); last text; i int; j int;
BEGIN
	-- What is not written as a name is one only between the words of a name. What is written as one
	-- and not told is not known.
	FOR i IN 1 .. n LOOP
		IF span[i] = 0 THEN
			IF written[i] = 'yes' THEN
				what[i] := '?';
			END IF;
		ELSIF written[i] = 'no' AND NOT (i > 1 AND what[i - 1] <> 'O' AND span[i - 1] = span[i]
			AND EXISTS (SELECT FROM generate_series(i + 1, n) AS next
				WHERE span[next] = span[i] AND written[next] <> 'no')) THEN
			what[i] := CASE WHEN tokens[i] ~ '^[0-9]+$' THEN '?' ELSE 'O' END;
			span[i] := 0;
		END IF;
	END LOOP;
	-- Neighbours that are written as names: the last of them may say what they are. Else, if they
	-- are told as several kinds, they are not known, but for what follows an adjective ("Irish
	-- Sea").
	i := 1;
	WHILE i <= n LOOP
		j := i;
		WHILE j < n AND written[i] <> 'no' AND written[j + 1] <> 'no' LOOP
			j := j + 1;
		END LOOP;
		IF i = 1 AND j > 1 AND tokens[1] ~ common THEN
			i := 2;
		END IF;
		last := CASE WHEN by_last AND j > i AND what[j] <> 'PER' THEN
			(SELECT w.kind FROM train.last_word AS w WHERE tokens[j] ~ w.words) END;
		IF last IS NOT NULL THEN -- with what follows of the same name: "Union of Workers"
			spans := spans + 1;
			FOR k IN j + 1 .. n LOOP
				EXIT WHEN span[j] = 0 OR span[k] <> span[j] OR what[k] <> last;
				span[k] := spans;
			END LOOP;
		ELSIF EXISTS (SELECT FROM generate_series(i + 1, j) AS k WHERE what[k] <> what[k - 1]
			AND what[k - 1] <> 'MISC' AND NOT (k = 2 AND what[1] = 'O')) THEN
			last := '?';
		END IF;
		FOR k IN i .. j LOOP
			EXIT WHEN last IS NULL;
			IF last <> '?' OR what[k] <> 'O' OR written[k] = 'yes' THEN
				what[k] := last;
				span[k] := spans;
			END IF;
		END LOOP;
		i := j + 1;
	END LOOP;
	-- The title of the article, and of people the last name alone.
	i := 1;
	WHILE kind IS NOT NULL AND i <= n LOOP
		j := i;
		IF tokens[i : i + size - 1] = title THEN
			j := i + size - 1;
		ELSIF kind <> 'PER' OR tokens[i] <> title[size] OR length(tokens[i]) < 3
			OR span[i] > 0 AND what[i] = 'PER' THEN
			i := i + 1;
			CONTINUE;
		END IF;
		spans := spans + 1;
		FOR k IN i .. j LOOP
			what[k] := kind;
			span[k] := spans;
		END LOOP;
		i := j + 1;
	END LOOP;
	FOR i IN 1 .. n LOOP
		labels := labels || CASE what[i] WHEN 'O' THEN 'O' WHEN '?' THEN NULL
			WHEN what[i - 1] THEN CASE WHEN span[i] = span[i - 1] THEN 'I-' ELSE 'B-' END || what[i]
			ELSE 'B-' || what[i] END;
	END LOOP;
	RETURN labels;
END $$;

DROP TABLE IF EXISTS train.name_told, train.name_row;
CREATE TABLE train.name_told (model text, id bigint, told bert.entity[]);
DO $$
DECLARE
	model text;
BEGIN
	FOREACH model IN ARRAY '{first, first2, first3}'::text[] LOOP
		INSERT INTO train.name_told
		SELECT model, id, array_agg(told ORDER BY (told).start_pos)
		FROM (SELECT id, bert.entities(body, 'trained_entities_' || model || ':int8', 'first') AS told
			FROM train.name_sentence) AS e GROUP BY id;
	END LOOP;
END $$;

CREATE TABLE train.name_row AS
WITH told AS (
	SELECT s.id, train.told(s.tokens, one.told) AS one, train.told(s.tokens, two.told) AS two,
		train.told(s.tokens, three.told) AS three
	FROM train.name_sentence AS s
		LEFT JOIN train.name_told AS one ON one.id = s.id AND one.model = 'first'
		LEFT JOIN train.name_told AS two ON two.id = s.id AND two.model = 'first2'
		LEFT JOIN train.name_told AS three ON three.id = s.id AND three.model = 'first3'),
vote AS (
	SELECT id, v.what, v.span FROM told, train.vote(one, two, three) AS v)
SELECT s.id, s.document, s.tokens,
	train.agree(s.tokens, s.written, what, span, t.title, t.kind, s.document IS NOT NULL) AS labels
FROM train.name_sentence AS s JOIN vote USING (id) LEFT JOIN train.title AS t ON t.id = s.document;

-- Sentences with few unknown words, four of five of Wikipedia's, beside what people have marked.
CREATE OR REPLACE VIEW train.name_learned AS
SELECT tokens, labels FROM train.name_row
WHERE (document IS NULL OR id % 5 < 4) AND cardinality(tokens) <= 60
	AND 4 * cardinality(array_positions(labels, NULL)) < cardinality(labels)
UNION ALL
SELECT tokens, labels FROM train.entity_copy WHERE copy <= 2;

SELECT bert.finetune('trained_entities_second', 'trained_entities_first', 'token_classification',
	'SELECT tokens, labels FROM train.name_learned ORDER BY md5(tokens::text)',
	'{"epochs": 2, "batch_size": 32, "learning_rate": 4e-4, "weight_decay": 0.01, "train": "top:6",
	"max_length": 128, "threads": 1, "seed": 2, "precision": "bf16"}');
