-- learning rates: a schedule as a picture, the ends of each, and what is refused
SELECT step, round(bert.learning_rate('linear', step, 2, 6, 6e-5)::numeric, 7) AS linear,
	round(bert.learning_rate('cosine', step, 2, 6, 6e-5)::numeric, 7) AS cosine,
	round(bert.learning_rate('cosine_with_restarts', step, 2, 6, 6e-5,
		'{"num_cycles": 2}')::numeric, 7) AS restarts,
	round(bert.learning_rate('polynomial', step, 2, 6, 6e-5,
		'{"power": 2, "lr_end": 1e-5}')::numeric, 7) AS polynomial,
	round(bert.learning_rate('constant_with_warmup', step, 2, 6, 6e-5)::numeric, 7) AS warmup,
	round(bert.learning_rate('constant', step, 2, 6, 6e-5)::numeric, 7) AS constant
FROM generate_series(0, 7) AS step;
SELECT bert.learning_rate('linear', 5, 0, 10), bert.learning_rate('linear', NULL, 0, 10);
SELECT bert.learning_rate('liner', 0, 0, 10);
SELECT bert.learning_rate('linear', -1, 0, 10);
SELECT bert.learning_rate('linear', 0, -1, 10);
SELECT bert.learning_rate('linear', 0, 0, 10, 'NaN');
SELECT bert.learning_rate('polynomial', 0, 0, 10, 1e-8);
SELECT bert.learning_rate('cosine', 0, 0, 10, 1, '{"cycles": 2}');
SELECT bert.learning_rate('cosine', 0, 0, 10, 1, '{"num_cycles": "2"}');
SELECT bert.learning_rate('cosine', 0, 0, 10, 1, '{"num_cycles": -2}');
SELECT bert.learning_rate('cosine', 0, 0, 10, 1, '[]');

-- a vocabulary from a query
SELECT string_to_array(rtrim(bert.build_vocab($$SELECT unnest(ARRAY['The cats see the cat.',
	'THE CAT SEES CATS', NULL])$$, 30), E'\n'), E'\n');
SELECT (string_to_array(rtrim(bert.build_vocab($$SELECT unnest(ARRAY['Ab ab', 'AB'])$$, 20, false),
	E'\n'), E'\n'))[6:];
SELECT bert.build_vocab('SELECT 1', 5);
SELECT bert.build_vocab('SELECT ''a'', ''b''', 100);
SELECT bert.build_vocab('CREATE TABLE t (x int)', 100);
SELECT bert.build_vocab('SELECT x FROM missing_table', 100);

-- pairs for pre-training from documents
SELECT * FROM bert.sentence_pairs($$SELECT
	unnest(ARRAY['The first one. It has three sentences! Has it? "Yes." said a.m. nobody',
	E'A second document\nwith lines.\n\n  And more of them.  ', NULL, '', '   '])$$,
		max_tokens => 20, seed => 3);
SELECT count(*) FILTER (WHERE label) BETWEEN 80 AND 120 AS half,
	count(*) FILTER (WHERE label AND split_part(input, ' ', 1)
	<> split_part(pair, ' ', 1)) AS strangers,
	count(*) FILTER (WHERE NOT label AND split_part(input, ' ', 1)
		= split_part(pair, ' ', 1)) AS relatives,
		bool_and(bert.count_tokens(input) + bert.count_tokens(pair) <= 24) AS short
FROM (SELECT * FROM
	bert.sentence_pairs(
		'SELECT repeat(format(''%s is one. '', i), 8) FROM generate_series(10, 80) AS i',
		max_tokens => 20) LIMIT 200) AS p;
SELECT * FROM bert.sentence_pairs('SELECT NULL::text');
SELECT * FROM bert.sentence_pairs('SELECT ''a'', 2');
SELECT * FROM bert.sentence_pairs('CREATE TABLE t (x int)');
SELECT * FROM bert.sentence_pairs('SELECT ''a. B.''', max_tokens => 1);
SELECT * FROM bert.sentence_pairs('SELECT ''a. B.''', model => 'nosuch');
