-- tokenize, encode, decode, count_tokens, chunk on two tiny vocabularies, uncased and cased
\getenv abs_srcdir PG_ABS_SRCDIR
SELECT count(*) AS not_fitting
FROM bert.import_model('uncased', :'abs_srcdir' || '/test/golden/models/bare');
SELECT count(*) AS not_fitting
FROM bert.import_model('cased', :'abs_srcdir' || '/test/golden/models/tagger');

SELECT bert.tokenize('The cats lived in  New York!', model => 'uncased');
SELECT bert.tokenize('The cats lived in  New York!', model => 'cased');
SELECT bert.tokenize('a cat', 'uncased', 'the dog');
SELECT bert.tokenize('Zoë ☃ [MASK] a	b', model => 'uncased');
SELECT bert.tokenize('', model => 'uncased'),
	bert.tokenize(NULL, model => 'uncased') IS NULL AS of_null;
SELECT bert.tokenize('Hello embeddings');

SELECT * FROM bert.encode('a cat', 'uncased', 'the dogs');
SELECT * FROM bert.encode('Zoë ☃ works', model => 'uncased', special_tokens => false);
SELECT input_ids, tokens FROM bert.encode('a cat is in paris', model => 'uncased', max_length => 5);
SELECT tokens FROM bert.encode('a cat is in paris', 'uncased', 'the dog', 7);
SELECT cardinality(input_ids) AS cut_to_model
FROM bert.encode(repeat('cat ', 100), model => 'uncased');
SELECT * FROM bert.encode('', model => 'uncased');
SELECT * FROM bert.encode('', model => 'uncased', special_tokens => false);
SELECT bert.encode(NULL, model => 'uncased') IS NULL AS of_null;
SELECT bert.encode('a', model => 'uncased', max_length => 0);
SELECT bert.encode('a', model => 'uncased', max_length => 1);
SELECT bert.encode('a', model => 'uncased', max_length => -5);

SELECT bert.decode((bert.encode('The cats lived in New York!', model => 'uncased')).input_ids,
	'uncased');
SELECT bert.decode((bert.encode('The cats', model => 'uncased')).input_ids, 'uncased', false);
SELECT bert.decode('{}', 'uncased') = '' AS empty, bert.decode(NULL, 'uncased') IS NULL AS of_null;
SELECT bert.decode('{5,NULL}', 'uncased');
SELECT bert.decode('{97}', 'uncased');
SELECT bert.decode('{-1}', 'uncased');

SELECT bert.count_tokens('The cats lived', 'uncased'), bert.count_tokens('', 'uncased'),
	bert.count_tokens(NULL, 'uncased');
SELECT bert.count_tokens(repeat('cat dog ', 131072), 'uncased') AS of_a_megabyte;
SELECT bert.count_tokens(repeat('x', 1048576), 'uncased') AS of_a_long_word;

-- chunks: whole words, never more than max_tokens, every word in one at least, slices of the
-- original
SELECT *
FROM bert.chunk('The cats lived in Paris. John works for the dog, and Mary is in New York!',
	'uncased', 8, 2);
SELECT * FROM bert.chunk('ab ☃ Zoë', 'uncased', 2, 0);
SELECT * FROM bert.chunk('worksss', 'uncased', 2, 0);
SELECT count(*) AS chunks, bool_and(bert.count_tokens(text, 'uncased') <= 50) AS short_enough,
	bool_and(substr(t, start_pos + 1, end_pos - start_pos) = text) AS slices,
	min(start_pos) AS first, max(end_pos) = max(length(t)) AS to_the_end,
		bool_and(start_pos <= before) AS no_gap
FROM (SELECT t, c.*, coalesce(lag(end_pos) OVER (ORDER BY chunk) + 1, 0) AS before
	FROM (SELECT string_agg('the cat ' || i || ' lives in paris', ' ') AS t
		FROM generate_series(1, 500) AS i) AS s, bert.chunk(t, 'uncased', 50, 10) AS c) AS u;
-- they end with a paragraph, else a sentence, else a line, where that leaves enough
SELECT chunk, text, start_pos, end_pos
FROM bert.chunk(E'The cats lived in Paris.\n\nJohn works for "the dog." He is in New York, e.g. the'
	' dog is. The cat\n \n\tlives.  Mary\nlives in\nParis and the dog in New York and the cat in'
	' Paris', 'uncased', 16, 5);
SELECT text FROM bert.chunk('猫は猫。犬は犬！「猫」は犬', 'uncased', 5, 0);
-- a character is not cut, be it of several code points
SELECT bool_and(text NOT LIKE U&'\0301%' AND text NOT LIKE U&'\200D%') AS whole,
	count(*) > 3 AS several, bool_and(bert.count_tokens(text, 'minilm') <= 3) AS short_enough
FROM bert.chunk(repeat(U&'q\0301z\0301k\0301', 8), 'minilm', 3, 0);
SELECT count(*) AS of_empty FROM bert.chunk('', 'uncased');
SELECT count(*) AS of_null FROM bert.chunk(NULL, 'uncased');
SELECT bert.chunk('a', 'uncased', 0);
SELECT bert.chunk('a', 'uncased', 10, 10);
SELECT bert.chunk('a', 'uncased', 10, -1);
-- without max_tokens a chunk is what the model reads at once
SELECT count(*) > 1 AS several,
	max(bert.count_tokens(text, 'uncased')) + 2
	= (SELECT max_length FROM bert.models WHERE name = 'uncased') AS full_length
FROM bert.chunk(repeat('cat ', 200), 'uncased');
SELECT count(*) > 1 AS several FROM bert.chunk(repeat('cat ', 200), 'uncased', overlap => 1000);

-- models that are not there, names that are no names
SELECT bert.tokenize('a', model => 'no such model');
SELECT bert.count_tokens('a', '');
SELECT bert.count_tokens('a', 'x"; DROP TABLE bert.model; --');
SELECT bert.count_tokens('a', repeat('n', 100));
\set VERBOSITY sqlstate
SELECT bert.count_tokens('a', 'no such model');
SELECT bert.chunk('a', 'uncased', 10, 10);
SELECT bert.decode('{5,NULL}', 'uncased');
\set VERBOSITY default

-- every function of the schema says what it is for
SELECT p.oid::regprocedure FROM pg_proc AS p
WHERE pronamespace = 'bert'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;
SELECT p.oid::regprocedure FROM pg_proc AS p
WHERE pronamespace = 'bert'::regnamespace AND proname LIKE '%pinned' AND proname <> 'pinned'
	AND (provolatile <> 'i' OR proparallel <> 's');
SELECT t.oid::regtype FROM pg_type AS t
WHERE typnamespace = 'bert'::regnamespace AND typtype = 'c'
	AND typname IN ('encoding', 'classification', 'token_tag', 'entity', 'qa_span', 'fill',
	'choice', 'model_output') AND obj_description(t.oid, 'pg_type') IS NULL;
SELECT bert.drop_model('uncased'), bert.drop_model('cased');
