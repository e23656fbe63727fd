-- the bundled sentiment model
SELECT label, score > 0.9 AS sure FROM bert.classify('A warm, funny and surprisingly honest film.');
SELECT label, score > 0.9 AS sure FROM bert.classify('Dull, loud and far too long.');
SELECT label FROM bert.classify_all('Dull, loud and far too long.');
SELECT abs(sum(score) - 1) < 1e-5 AS whole FROM bert.classify_all('Dull, loud and far too long.');
SELECT bert.classify(NULL::text) IS NULL AS null_text,
	(bert.classify('')).label IS NOT NULL AS empty_text;

-- many texts: in their order, each as alone
SELECT ordinality, label
FROM bert.classify(ARRAY['A warm and funny film.', NULL, 'Dull and loud.'])
	WITH ORDINALITY AS c (label, score, ordinality);
SELECT count(label) FROM bert.classify(ARRAY['', '']);
SELECT count(*) FROM bert.classify('{}'::text[]);
SELECT count(*) FROM bert.classify(NULL::text[]);

-- the model is the task's own default, a named one, or the setting's
SELECT (bert.classify('Dull and loud.', model => 'sentiment')).label;
SET bert.default_model = 'sentiment';
SELECT (bert.classify('Dull and loud.')).label,
	cardinality(bert.embed('Dull and loud.')) AS dimensions;
SET bert.default_model = 'minilm';
SELECT (bert.classify('Dull and loud.')).label AS of_the_bundled_one;
RESET bert.default_model;
SELECT bert.classify('x', model => 'minilm');
SELECT bert.regress('x', model => 'sentiment');
SELECT bert.classify('x', model => 'no such model');
SELECT bert.classify(repeat('dull ', 2000), overflow => 'error');
SELECT (bert.classify(repeat('dull ', 2000), overflow => 'window')).label;

-- pinned: immutable, for expression indexes
CREATE TEMP TABLE review (body text);
INSERT INTO review VALUES ('A warm and funny film.'), ('Dull and loud.');
DO $$BEGIN
	EXECUTE format('CREATE INDEX ON review (((bert.classify_pinned(body, %L)).label))',
		bert.pinned('sentiment'));
END$$;
SELECT bert.classify_pinned('x', 'sentiment');

-- what a model of one's own is: a copy shares its blocks, a drop takes only what nobody else has
SELECT bert.copy_model('sentiment', 'mine') > 0 AS copied;
SELECT count(DISTINCT hash) AS blocks FROM bert.block \gset mine_
SELECT bert.copy_model('minilm', 'encoder') > 0 AS copied;
SELECT count(DISTINCT hash) - :mine_blocks AS blocks_more FROM bert.block;
SELECT count(DISTINCT m.block) AS blocks_shared FROM bert.tensors m
	JOIN bert.tensors e ON e.block = m.block AND e.model = 'encoder' WHERE m.model = 'mine';
SELECT m.label = s.label AND m.score = s.score AS same_bits
FROM bert.classify('Dull and loud.', model => 'mine') AS m, bert.classify('Dull and loud.') AS s;
SELECT bert.rename_model('mine', 'ours');
SELECT name, head, source FROM bert.models ORDER BY name;
SELECT bert.drop_model('encoder');
SELECT (bert.classify('Dull and loud.', model => 'ours')).label;
SELECT bert.drop_model('ours');
SELECT bert.drop_model('ours');
SELECT bert.drop_model('sentiment');
SELECT count(*) AS left_behind FROM bert.block;

-- what spoke for a prediction: one row a token; the weights are read once a statement, for one
-- model after the other
SELECT token, start_pos, end_pos, attribution <> 0 AS counted
FROM bert.explain('a terrible film', model => 'sentiment');
SELECT count(*), count(DISTINCT e.attribution) AS attributions
FROM generate_series(1, 3) AS i, bert.explain('a terrible film', model => 'sentiment') AS e;
SELECT bert.copy_model('sentiment', 't_explained') > 0 AS copied;
SELECT bool_and(a.attribution = b.attribution) AS same, count(*)
	FROM (VALUES ('good'), ('bad')) AS v(t),
		bert.explain(t, model => 'sentiment') WITH ORDINALITY AS a(token, s, e, attribution, n)
		JOIN bert.explain('good', model => 't_explained')
			WITH ORDINALITY AS b(token, s, e, attribution, n) USING (n) WHERE t = 'good';
SELECT bert.drop_model('t_explained');
SELECT * FROM bert.explain('x', model => 'minilm');
