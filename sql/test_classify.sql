SET client_min_messages = warning; -- not whether a model was prepared just now
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
SELECT name, head, source FROM bert.models
WHERE name IN ('encoder', 'minilm', 'ours', 'sentiment') ORDER BY name;
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

-- best first is by the logit: scores of large ones are rounded to the same number
SELECT count(*)
FROM (VALUES ('far', '{"num_labels": 1}'::jsonb, 'sequence_classification'),
	('many', '{"num_labels": 9}', 'sequence_classification'),
	('several', '{"num_labels": 9, "problem_type": "multi_label_classification"}',
		'sequence_classification'),
	('chooser', '{}', 'multiple_choice'), ('filler', '{}', 'masked_lm')) AS m (name, config, head),
	bert.create_model('t_' || name, config || '{"vocab_size": 14, "hidden_size": 16,
		"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
		"max_position_embeddings": 32, "initializer_range": 20}',
		E'[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\ne\nf\ng\nh\ni\n', head, 5);
CREATE TEMP TABLE word AS
	SELECT w, n FROM unnest(string_to_array('a,b,c,d,e,f,g,h,i,a b,c d,e f,g h', ','))
		WITH ORDINALITY AS v (w, n);
SELECT count(DISTINCT score) < 13 AS tied,
	array_agg(text ORDER BY ordinality) = (SELECT array_agg(w ORDER BY
		bert.regress('a', model => 't_far', pair => w) DESC, n) FROM word) AS by_logit
FROM bert.rank('a', (SELECT array_agg(w ORDER BY n) FROM word), model => 't_far')
	WITH ORDINALITY;
SELECT m, count(DISTINCT c.score) < 9 AS tied,
	array_agg(c.label ORDER BY c.ordinality) = (SELECT array_agg('LABEL_' || i - 1 ORDER BY l DESC)
		FROM unnest((bert.forward(e.input_ids, model => m)).logits)
			WITH ORDINALITY AS u (l, i)) AS by_logit,
	(bert.classify('a b', model => m)).label = min(c.label) FILTER (WHERE c.ordinality = 1) AS best
FROM unnest(ARRAY['t_many', 't_several']) AS m, bert.encode('a b', model => m) AS e,
	bert.classify_all('a b', model => m) WITH ORDINALITY AS c GROUP BY m, e.input_ids ORDER BY m;
SELECT count(DISTINCT score) < 13 AS tied,
	array_agg(text ORDER BY ordinality) = (SELECT array_agg(w ORDER BY (SELECT logits[1]
		FROM bert.encode('a', model => 't_chooser', pair => w) AS e,
			bert.forward(ARRAY[e.input_ids], token_type_ids => ARRAY[e.token_type_ids],
				model => 't_chooser')) DESC, n) FROM word) AS by_logit
FROM bert.choose_all('a', (SELECT array_agg(w ORDER BY n) FROM word), model => 't_chooser')
	WITH ORDINALITY;
SELECT count(DISTINCT score) < 14 AS tied,
	array_agg(token_id ORDER BY ordinality) = (SELECT array_agg(i - 1 ORDER BY logits[3][i] DESC)
		FROM bert.forward(ARRAY[2, 5, 4, 3], model => 't_filler'), generate_series(1, 14) AS i)
		AS by_logit
FROM bert.fill_mask('a [MASK]', model => 't_filler', top_k => 14) WITH ORDINALITY;
SELECT count(bert.drop_model('t_' || m))
FROM unnest(ARRAY['far', 'many', 'several', 'chooser', 'filler']) AS m;
