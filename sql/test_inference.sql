-- what each task's function gives, on tiny models with random weights: shapes, order, positions,
-- what is refused
\getenv abs_srcdir PG_ABS_SRCDIR
SET client_min_messages = warning;
SELECT count(*) AS imported
FROM (VALUES ('bare'), ('bare_no_pooler'), ('classifier'), ('regression'), ('tagger'), ('answerer'),
	('masked_lm'), ('pretraining'), ('next_sentence'), ('multiple_choice'), ('causal_lm')) AS v (f),
	LATERAL (SELECT count(*)
		FROM bert.import_model(f, :'abs_srcdir' || '/test/golden/models/' || f)) AS i;
CREATE FUNCTION cosine(a real[], b real[]) RETURNS float8
	LANGUAGE sql AS $$ SELECT sum(x::float8 * y) / sqrt(sum(x::float8 * x) * sum(y::float8 * y))
	FROM unnest(a, b) AS u (x, y) $$;
CREATE FUNCTION distance(a real[], b real[]) RETURNS float8
	LANGUAGE sql AS $$ SELECT max(abs(x::float8 - y)) FROM unnest(a, b) AS u (x, y) $$;

-- embed
SELECT array_dims(e) AS dims, abs(cosine(e, e) - 1) < 1e-6 AS finite,
	abs(sqrt((SELECT sum(x * x) FROM unnest(e) AS x)) - 1) < 1e-5 AS unit
FROM bert.embed('the cat', 'bare') AS e;
SELECT array_dims(bert.embed('the cat sat')), array_dims(bert.embed('', 'bare')) AS of_empty,
	bert.embed(NULL::text, 'bare') IS NULL AS of_null;
SELECT p, distance(bert.embed('the cat', 'bare', p, false), f.e) < 1e-5 AS as_forward
FROM bert.forward((bert.encode('the cat', model => 'bare')).input_ids, model => 'bare',
	output => '{last_hidden_state,pooler_output}') AS m,
	LATERAL (VALUES ('mean',
		(SELECT array_agg(a ORDER BY c)
		FROM (SELECT c, avg(last_hidden_state[r][c])::real AS a
		FROM generate_series(1, 4) AS r, generate_series(1, 24) AS c GROUP BY c) AS s)),
		('max', (SELECT array_agg(a ORDER BY c)
			FROM (SELECT c, max(last_hidden_state[r][c]) AS a
			FROM generate_series(1, 4) AS r, generate_series(1, 24) AS c GROUP BY c) AS s)),
		('cls', (SELECT array_agg(last_hidden_state[1][c] ORDER BY c)
			FROM generate_series(1, 24) AS c)), ('pooler', pooler_output)) AS f (p, e);
SELECT count(*) AS rows, count(e) AS embeddings,
	bool_and(e IS NULL OR distance(e, bert.embed(t, 'bare')) < 1e-5) AS same
FROM (SELECT CASE WHEN i % 7 <> 0 THEN repeat('cat ', i % 23) || i END AS t, i
	FROM generate_series(1, 300) AS i) AS s
	JOIN LATERAL unnest(ARRAY[1]) AS one ON true
	JOIN (SELECT e, n
		FROM bert.embed((SELECT array_agg(CASE WHEN i % 7 <> 0 THEN repeat('cat ', i % 23) || i END
		ORDER BY i) FROM generate_series(1, 300) AS i), 'bare')
		WITH ORDINALITY AS b (e, n)) AS b ON b.n = s.i;
SELECT count(*) AS of_empty_array FROM bert.embed('{}'::text[], 'bare');
SELECT count(*) AS of_null_array FROM bert.embed(NULL::text[], 'bare');

-- longer than the model: cut, averaged, refused
SELECT distance(bert.embed(repeat('cat ', 100), 'bare'), bert.embed(repeat('cat ', 38), 'bare'))
	< 1e-6 AS cut;
SELECT distance(bert.embed(rtrim(repeat('cat ', 38) || repeat('dog ', 38)), 'bare', NULL, false,
	overflow => 'window'),
	(SELECT array_agg(((x + y) / 2)::real ORDER BY i)
		FROM unnest(bert.embed(repeat('cat ', 38), 'bare', NULL, false),
		bert.embed(repeat('dog ', 38), 'bare', NULL, false)) WITH ORDINALITY AS u (x, y, i)))
		< 1e-5 AS averaged;
SELECT bert.embed(repeat('cat ', 100), 'bare', overflow => 'error');
SELECT distance(bert.embed('cat', 'bare', overflow => 'error'), bert.embed('cat', 'bare'))
	= 0 AS short_enough;
SELECT bert.embed('cat', 'bare', overflow => 'wrap');
SELECT bert.embed('cat', 'bare', 'median');
SELECT bert.embed('cat', 'bare_no_pooler', 'pooler');
SELECT bert.embed('cat', 'missing');
SELECT array_dims(bert.embed(repeat('cat dog ', 131072), 'bare')) AS of_a_megabyte;
SELECT array_dims(bert.embed(repeat('cat dog ', 13107), 'bare', overflow => 'window')) AS windows;
SELECT sum(truncations) > 0 AS counted FROM bert.stats WHERE model = 'bare';
SELECT abs(bert.similarity('a cat', 'the dog', 'bare')
	- cosine(bert.embed('a cat', 'bare'), bert.embed('the dog', 'bare'))) < 1e-5 AS cosine,
	abs(bert.similarity('a cat', 'a cat', 'bare') - 1) < 1e-5 AS itself,
	bert.similarity(NULL, 'a', 'bare') IS NULL
		AND bert.similarity('a', NULL, 'bare') IS NULL AS of_null;
SELECT bert.similarity('A man is playing a guitar.', 'Someone plays the guitar.') > 0.8 AS close,
	bert.similarity('A man is playing a guitar.', 'The stock market fell.') < 0.3 AS far;

-- similarity of stored embeddings: the cosine, whatever their lengths and sizes
SELECT n, bool_and(abs(bert.similarity(a, b) - cosine(a, b)) < 1e-5) AS cosine
FROM unnest('{1,2,7,8,9,31,33,384,1000}'::int[]) AS n, generate_series(1, 3) AS turn,
	LATERAL (SELECT array_agg(sin(i * turn * 0.7)::real ORDER BY i) AS a,
		array_agg(cos(i * i + turn)::real ORDER BY i) AS b FROM generate_series(1, n) AS i) AS s
GROUP BY n ORDER BY n;
SELECT abs(bert.similarity(bert.embed('a cat', 'bare'), bert.embed('the dog', 'bare'))
	- bert.similarity('a cat', 'the dog', 'bare')) < 1e-5 AS as_of_texts;
SELECT bert.similarity('{3,4}'::real[], '{6,8}') AS same,
	bert.similarity('{1,0}', '{0,2}'::real[]) AS right_angle,
	bert.similarity('{1,2}'::real[], '{-1,-2}') AS opposite,
	bert.similarity('{1e30,1e30}'::real[], '{1e30,1e30}') AS huge,
	bert.similarity('{1e-30,0}'::real[], '{1e-30,0}') AS tiny,
	bert.similarity('{0,0}'::real[], '{1,2}') AS no_direction,
	bert.similarity('{NaN,0}'::real[], '{1,2}') AS nan,
	bert.similarity(NULL::real[], '{1,2}') IS NULL AS of_null;
SELECT bert.similarity('[0:1]={3,4}'::real[], '{3,4}') AS other_subscripts;
SELECT bert.similarity('{1,2}'::real[], '{1,2,3}');
SELECT bert.similarity('{1,NULL}'::real[], '{1,2}');
SELECT bert.similarity('{1,2}'::real[], '{{1,2},{3,4}}');
SELECT bert.similarity('{}'::real[], '{}');

-- pinned names
SELECT bert.embed_pinned('cat', bert.pinned('bare')) = bert.embed('cat', 'bare') AS embed,
	bert.classify_pinned('cat', model => bert.pinned('classifier'))
	= bert.classify('cat', model => 'classifier') AS classify,
	bert.regress_pinned('cat', model => bert.pinned('regression'))
		= bert.regress('cat', model => 'regression') AS regress,
	(SELECT array_agg(e) FROM bert.embed_pinned(ARRAY['a', 'b'], bert.pinned('bare')) AS e)
		= (SELECT array_agg(e) FROM bert.embed(ARRAY['a', 'b'], 'bare') AS e) AS many;
SELECT bert.embed_pinned('cat', 'bare');
SELECT bert.embed_pinned('cat');
SELECT bert.classify_pinned('cat', model => 'classifier');
SELECT bert.embed_pinned('cat', 'bare@0000000000000000');

-- classify, regress, rank
SELECT (c).label IN ('negative', 'neutral', 'positive') AS label,
	(c).score BETWEEN 0.33 AND 1 AS score FROM bert.classify('the cat', model => 'classifier') AS c;
SELECT count(*) AS labels, abs(sum(score) - 1) < 1e-5 AS sum,
	array_agg(score) = array_agg(score ORDER BY score DESC) AS best_first,
	(array_agg(label))[1] = (bert.classify('the cat', 'classifier', 'a dog')).label AS same
FROM bert.classify_all('the cat', 'classifier', 'a dog');
SELECT n, c IS NULL AS is_null, c = bert.classify(t, model => 'classifier') AS same
FROM bert.classify(ARRAY['the cat', NULL, '', 'paris'], 'classifier')
	WITH ORDINALITY AS c (label, score, n),
	LATERAL (SELECT (c.label, c.score)::bert.classification AS c,
		(ARRAY['the cat', NULL, '', 'paris'])[n] AS t) AS s ORDER BY n;
SELECT n, c = bert.classify((ARRAY['the cat', NULL, 'paris'])[n], 'classifier',
	(ARRAY['a dog', 'a dog', NULL])[n]) AS same
FROM bert.classify(ARRAY['the cat', NULL, 'paris'], 'classifier', ARRAY['a dog', 'a dog', NULL])
	WITH ORDINALITY AS r (label, score, n),
	LATERAL (SELECT (r.label, r.score)::bert.classification AS c) AS s ORDER BY n;
SELECT bert.classify(ARRAY['the cat', 'paris'], 'classifier', ARRAY['a dog']);
SELECT (bert.classify('I loved this film.')).label AS good,
	(bert.classify('A dull, stupid mess.')).label AS bad,
	bert.classify(NULL::text) IS NULL AS of_null;
SELECT bert.classify('a', model => 'regression');
SELECT bert.classify('a', model => 'bare');
SELECT bert.regress('a', model => 'classifier');
SELECT bert.classify(repeat('cat ', 50), 'classifier', repeat('dog ', 50), 'error');
SELECT bert.classify(repeat('cat ', 50), 'classifier', repeat('dog ', 50), 'window');
SELECT abs(bert.regress('the cat', 'regression', 'a dog') - (f.logits)[1]) < 1e-5 AS as_forward
FROM bert.encode('the cat', 'regression', 'a dog') AS e,
	bert.forward(e.input_ids, 'regression', e.token_type_ids) AS f;
SELECT array_agg(document) @> ARRAY[1, 2, 3] AS all,
	array_agg(score) = array_agg(score ORDER BY score DESC) AS best_first,
	bool_and(abs(score - 1 / (1 + exp(-bert.regress('cat', 'regression', text)))) < 1e-5) AS sigmoid
FROM bert.rank('cat', ARRAY['a cat', 'paris', 'dog'], 'regression');
SELECT document, text, score IS NULL AS no_score
FROM bert.rank('Where is the cat?',
	ARRAY['Stocks fell on Monday.', NULL, 'The cat sits on the mat.']);
SELECT count(*) AS none FROM bert.rank('cat', '{}', 'bare');
SELECT bert.rank('cat', ARRAY['a'], 'classifier');

-- tag and entities; long texts in windows, every token once
SELECT index, token, start_pos, end_pos, label ~ '^(O|[BI]-(PER|LOC))$' AS label,
	score BETWEEN 0.2 AND 1 AS score FROM bert.tag('John ☃ lives', 'tagger');
SELECT count(*) AS tokens, count(DISTINCT start_pos) AS places,
	bool_and(substr(t, start_pos + 1, end_pos - start_pos) = 'cat') AS slices
FROM (SELECT rtrim(repeat('cat ', 500)) AS t) AS s, bert.tag(t, 'tagger');
SELECT a, count(*) > 0 AS some,
	bool_and(entity ~ CASE WHEN a = 'none' THEN '^[BI]-' ELSE '^(PER|LOC)$' END) AS names,
	bool_and(a = 'none' OR lower(substr(t, start_pos + 1, end_pos - start_pos)) <> '') AS slices
FROM (SELECT 'John lives in Paris and Mary works for New York' AS t) AS s,
	unnest(ARRAY['none', 'simple', 'first', 'average', 'max']) AS a, bert.entities(t, 'tagger', a)
	GROUP BY a ORDER BY a;
SELECT count(*) AS of_empty FROM bert.entities('', 'tagger');
SELECT count(*) AS of_null FROM bert.tag(NULL, 'tagger');
SELECT bert.entities('a', 'tagger', 'median');
SELECT bert.tag('a', 'bare');

-- answer and answers
SELECT (a).answer = substr(c, (a).start_pos + 1, (a).end_pos - (a).start_pos) AS slice,
	(a).score BETWEEN 0 AND 1 AS score
FROM (SELECT 'Mary ☃ lives in Paris and works in New York' AS c) AS s,
	LATERAL bert.answer('Where is Mary', c, 'answerer') AS a;
SELECT count(*) AS answers, array_agg(score) = array_agg(score ORDER BY score DESC) AS best_first,
	count(DISTINCT (start_pos, end_pos)) AS spans, bool_and(end_pos > start_pos) AS not_empty
FROM bert.answers('Where is Mary', repeat('Mary is in Paris and John is in New York. ', 10),
	'answerer', 7, 3, 5);
SELECT count(*) AS with_null, count(*) FILTER (WHERE answer = '') AS null_answers
FROM bert.answers('Where is Mary', 'Mary is in Paris', 'answerer', 1000, null_answer => true);
SELECT bert.answer('Who', '', 'answerer') IS NULL AS empty_context,
	bert.answer(NULL, 'a', 'answerer') IS NULL AS of_null;
SELECT bert.answers('Who', 'a', 'answerer', 0);
SELECT bert.answers('Who', 'a', 'answerer', max_answer_tokens => 0);
SELECT bert.answers('Who', 'a', 'answerer', stride => -1);
SELECT bert.answer(repeat('who ', 50), 'a', 'answerer');
SELECT bert.answer('Who', 'a', 'classifier');

-- fill_mask, pseudo_perplexity, next_sentence
SELECT count(*) AS fills, bool_and(position(replace(token, '##', '') in sequence) > 0) AS filled,
	array_agg(score) = array_agg(score ORDER BY score DESC) AS best_first
FROM bert.fill_mask('John lives in [MASK].', 'masked_lm', 3);
SELECT count(*) AS two_masks FROM bert.fill_mask('[MASK] lives in [MASK].', 'pretraining', 4);
SELECT count(*) AS whole_vocabulary, abs(sum(score) - 1) < 1e-4 AS sum
FROM bert.fill_mask('a [MASK]', 'masked_lm', 100000);
SELECT bert.fill_mask('no mask here', 'masked_lm');
SELECT bert.fill_mask('[MASK]', 'masked_lm', 0);
SELECT bert.fill_mask('[MASK] ' || repeat('cat ', 100), 'masked_lm');
SELECT bert.fill_mask('[MASK]', 'bare');
SELECT p > 1 AS short, bert.pseudo_perplexity(repeat('the cat ', 60), 'masked_lm') > 1 AS long,
	bert.pseudo_perplexity('', 'masked_lm') AS empty,
	bert.pseudo_perplexity(NULL, 'masked_lm') IS NULL AS of_null
FROM bert.pseudo_perplexity('the cat lives', 'masked_lm') AS p;
SELECT p BETWEEN 0 AND 1 AS next,
	abs(p - 1 / (1 + exp(f.logits[2] - f.logits[1]))) < 1e-5 AS softmax,
	bert.next_sentence('a', 'b', 'pretraining') BETWEEN 0 AND 1 AS pretraining,
	bert.next_sentence(NULL, 'b', 'next_sentence') IS NULL AS of_null
FROM bert.next_sentence('a cat', 'the dog', 'next_sentence') AS p,
	bert.encode('a cat', 'next_sentence', 'the dog') AS e,
	bert.forward(e.input_ids, 'next_sentence', e.token_type_ids) AS f;
SELECT bert.next_sentence('a', 'b', 'masked_lm');

-- choose
SELECT count(*) AS choices, abs(sum(score) - 1) < 1e-5 AS sum,
	array_agg(score) = array_agg(score ORDER BY score DESC) AS best_first,
	bool_and(text = (ARRAY['a cat', 'paris', ''])[choice]) AS texts,
	(array_agg(choice))[1]
		= (bert.choose('the', ARRAY['a cat', 'paris', ''], 'multiple_choice')).choice AS same
		FROM bert.choose_all('the', ARRAY['a cat', 'paris', ''], 'multiple_choice');
SELECT bert.choose('the', '{}', 'multiple_choice');
SELECT bert.choose('the', ARRAY['a', NULL], 'multiple_choice');
SELECT bert.choose(NULL, ARRAY['a'], 'multiple_choice') IS NULL AS of_null;
SELECT bert.choose('the', ARRAY['a'], 'classifier');

-- generate
SELECT bert.generate('the cat', 'causal_lm', 8)
	= bert.generate('the cat', 'causal_lm', 8) AS greedy,
	bert.generate('the cat', 'causal_lm', 8, 1.5, seed => 7)
		= bert.generate('the cat', 'causal_lm', 8, 1.5, seed => 7) AS seeded,
	(SELECT count(DISTINCT bert.generate('the cat', 'causal_lm', 8, 1.5, seed => s)) > 5
		FROM generate_series(1, 20) AS s) AS various,
	bert.generate('the cat', 'causal_lm', 8, 0.7, top_k => 1)
		= bert.generate('the cat', 'causal_lm', 8) AS only_the_best,
		bert.generate(NULL, 'causal_lm') IS NULL AS of_null;
SELECT bert.generate('a', 'causal_lm', 0);
SELECT bert.generate('a', 'causal_lm', temperature => -1);
SELECT bert.generate('a', 'causal_lm', temperature => 'NaN');
SELECT bert.generate('a', 'causal_lm', top_p => 0);
SELECT bert.generate('a', 'causal_lm', top_k => -1);
SELECT bert.generate(repeat('cat ', 60), 'causal_lm');
SELECT bert.generate('a', 'masked_lm');

-- memory over the limit is refused before it is taken
SET bert.max_memory = '2MB';
SELECT array_dims((bert.forward(array_fill(5, ARRAY[200, 40]), model => 'bare',
	output => '{attentions,hidden_states}')).attentions);
RESET bert.max_memory;
\set VERBOSITY sqlstate
SELECT bert.embed('cat', 'missing');
SELECT bert.embed('cat', 'bare', 'median');
SELECT bert.embed(repeat('cat ', 100), 'bare', overflow => 'error');
SELECT bert.classify('a', model => 'bare');
\set VERBOSITY default

-- parallel workers give the same
CREATE TABLE texts AS SELECT i, 'the cat ' || i AS t FROM generate_series(1, 200) AS i;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT count(*) AS texts, count(DISTINCT e) AS embeddings, bool_and(cardinality(e) = 24) AS whole
FROM (SELECT bert.embed(t, 'bare') AS e FROM texts) AS s;
DROP TABLE texts;
SELECT count(bert.drop_model(name)) AS dropped FROM bert.models WHERE source <> 'bundled';
