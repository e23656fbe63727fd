-- learning rates: a schedule as a picture, the ends of each, and what is refused
SELECT step, round(bert.learning_rate('linear', step, 2, 6, 6e-5)::numeric, 7) AS linear,
	round(bert.learning_rate('cosine', step, 2, 6, 6e-5)::numeric, 7) AS cosine,
	round(bert.learning_rate('cosine_with_restarts', step, 2, 6, 6e-5, '{"num_cycles": 2}')::numeric, 7) AS restarts,
	round(bert.learning_rate('polynomial', step, 2, 6, 6e-5, '{"power": 2, "lr_end": 1e-5}')::numeric, 7) AS polynomial,
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
SELECT string_to_array(rtrim(bert.build_vocab($$SELECT unnest(ARRAY['The cats see the cat.', 'THE CAT SEES CATS', NULL])$$, 30), E'\n'), E'\n');
SELECT (string_to_array(rtrim(bert.build_vocab($$SELECT unnest(ARRAY['Ab ab', 'AB'])$$, 20, false), E'\n'), E'\n'))[6:];
SELECT bert.build_vocab('SELECT 1', 5);
SELECT bert.build_vocab('SELECT ''a'', ''b''', 100);
SELECT bert.build_vocab('CREATE TABLE t (x int)', 100);
SELECT bert.build_vocab('SELECT x FROM missing_table', 100);
