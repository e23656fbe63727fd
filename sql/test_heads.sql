-- every head on a tiny model with random weights: shapes, probabilities that add up, losses,
-- agreement with the raw model
CREATE FUNCTION pg_temp.make(name text, head text, more jsonb DEFAULT '{}') RETURNS boolean
	LANGUAGE sql AS $$
	SELECT bert.create_model(name,
		'{"vocab_size": 24, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
		"intermediate_size": 40, "max_position_embeddings": 64, "type_vocab_size": 2,
		"hidden_act": "gelu", "model_type": "bert"}'::jsonb || more,
		E'[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\nsat\non\nmat\ndog\nran'
			'\nto\na\nbig\nred\nhouse\nand\n.\n,\n##s\n##ing\nwho\nwhere\n', head, 7) > 0
$$;
SELECT pg_temp.make('t_none', 'none');
SELECT pg_temp.make('t_class', 'sequence_classification',
	'{"id2label": {"0": "x", "1": "y", "2": "z"}, "label2id": {"x": 0, "y": 1, "z": 2}}');
SELECT pg_temp.make('t_value', 'sequence_classification',
	'{"problem_type": "regression", "id2label": {"0": "value"}, "label2id": {"value": 0}}');
SELECT pg_temp.make('t_tag', 'token_classification',
	'{"id2label": {"0": "O", "1": "B-PER", "2": "I-PER"},
	"label2id": {"O": 0, "B-PER": 1, "I-PER": 2}}');
SELECT pg_temp.make('t_many', 'sequence_classification',
	'{"problem_type": "multi_label_classification", "id2label": {"0": "x", "1": "y", "2": "z"},
	"label2id": {"x": 0, "y": 1, "z": 2}}');
SELECT pg_temp.make('t_answer', 'question_answering');
SELECT pg_temp.make('t_mask', 'masked_lm');
SELECT pg_temp.make('t_next', 'next_sentence');
SELECT pg_temp.make('t_choice', 'multiple_choice');
SELECT pg_temp.make('t_causal', 'causal_lm', '{"is_decoder": true}');
SELECT pg_temp.make('t_pre', 'pretraining');

SELECT count(*) AS labels, abs(sum(score) - 1) < 1e-5 AS whole
FROM bert.classify_all('the cat sat', model => 't_class');
SELECT bert.regress('the cat sat', model => 't_value') IS NOT NULL AS value;

-- the label alone, and the labels of a multi-label model
SELECT bert.label(t, 't_class', p) = (bert.classify(t, 't_class', p)).label AS as_classify,
	bert.label(t, 't_many', p) = (bert.classify(t, 't_many', p)).label AS as_classify_many,
	bert.label_pinned(t, bert.pinned('t_class'), p) = bert.label(t, 't_class', p) AS pinned
FROM (VALUES ('the cat sat', NULL), ('the cat', 'the dog'), ('', '')) AS v (t, p);
SELECT bert.label(NULL, 't_class') IS NULL AS of_null, bert.labels(NULL, 't_many') IS NULL AS none;
SELECT bool_and(bert.labels(t, 't_many', p, h) = ARRAY(
	SELECT c.label FROM bert.classify_all(t, 't_many', p) AS c WHERE score >= h)) AS as_classify_all
FROM (VALUES ('the cat sat', NULL), ('the cat', 'the dog'), ('', '')) AS v (t, p),
	unnest('{0,0.4,0.49,0.5,0.51,0.6,1}'::real[]) AS h;
SELECT bert.labels('the cat', 't_many') = bert.labels('the cat', 't_many', NULL, NULL) AS half,
	cardinality(bert.labels('the cat', 't_many', threshold => 0)) AS all_of_them,
	bert.labels('the cat', 't_many', threshold => 1) AS none;
SELECT bert.labels('the cat', 't_many', threshold => 1.5);
SELECT bert.labels('the cat', 't_many', threshold => 'NaN');
SELECT bert.labels('the cat', 't_class');
SELECT bert.labels('the cat', 't_value');
SELECT bert.label('the cat', 't_value');
SELECT bert.label(repeat('cat ', 100), 't_class', overflow => 'error');
SELECT bert.labels(repeat('cat ', 100), 't_many', overflow => 'error');
SET bert.default_model = 'classify=t_class, labels=t_many';
SELECT bert.label('the cat') = bert.label('the cat', 't_class') AS label,
	bert.labels('the cat', threshold => 0)
		= bert.labels('the cat', 't_many', threshold => 0) AS labels;
RESET bert.default_model;
SELECT bert.label_pinned('the cat', 't_class');
SELECT bert.label_pinned('the cat');
SELECT count(*) AS tokens, bool_and(label IN ('O', 'B-PER', 'I-PER')) AS labels,
	bool_and(score > 0.33 AND score <= 1) AS best FROM bert.tag('the cats ran', 't_tag');
SELECT bool_and(e.word
	= lower(substr('the cats ran', e.start_pos + 1, e.end_pos - e.start_pos))) IS NOT FALSE AS words
	FROM bert.entities('the cats ran', 't_tag') AS e;
SELECT a.answer = substr('the big dog ran to the red house .', a.start_pos + 1,
	a.end_pos - a.start_pos) AS piece_of_the_context
FROM bert.answer('who ran ?', 'the big dog ran to the red house .', 't_answer') AS a;
SELECT count(*) AS answers, bool_and(score > 0) AS scored
FROM bert.answers('who ran ?', 'the big dog ran to the red house .', 't_answer', top_k => 3);
SELECT count(*) AS fills, bool_and(sequence LIKE 'the%on the mat%') AS sequences
FROM bert.fill_mask('the cat [MASK] on the mat', 't_mask', top_k => 4);
SELECT bert.next_sentence('the cat sat', 'a dog ran', 't_next') BETWEEN 0 AND 1 AS probability;
SELECT count(*) AS choices, abs(sum(score) - 1) < 1e-5 AS whole, min(choice) AS first
FROM bert.choose_all('the cat', ARRAY['sat', 'ran', 'a house'], 't_choice');
SELECT (SELECT choice FROM bert.choose('the cat', c, 't_choice'))
	= (SELECT choice FROM bert.choose_all('the cat', c, 't_choice')
	ORDER BY score DESC LIMIT 1) AS best_of_all
FROM (VALUES (ARRAY['sat', 'ran', 'a house'])) AS v (c);
SELECT bert.generate('the cat', 't_causal', max_new_tokens => 6)
	= bert.generate('the cat', 't_causal', max_new_tokens => 6) AS repeatable;
SELECT bert.generate('the cat', 't_causal', max_new_tokens => 6, temperature => 1, seed => 3)
	= bert.generate('the cat', 't_causal', max_new_tokens => 6, temperature => 1,
	seed => 3) AS repeatable;
SELECT bert.pseudo_perplexity('the cat sat', 't_mask') > 1 AS perplexity;

-- the raw model: shapes
CREATE FUNCTION pg_temp.shape(a real[]) RETURNS text LANGUAGE sql IMMUTABLE
	AS $$ SELECT (SELECT string_agg(array_length(a, i)::text, ' x ' ORDER BY i)
		FROM generate_series(1, array_ndims(a)) AS i) $$;
SELECT model, pg_temp.shape((bert.forward('{2,5,6,7,3}', model => model)).logits) AS one,
	pg_temp.shape((bert.forward('{{2,5,6,7,3},{2,5,10,11,3}}', model => model)).logits) AS two
FROM unnest('{t_class,t_value,t_tag,t_answer,t_mask,t_next,t_causal}'::text[]) AS model;
SELECT pg_temp.shape((bert.forward('{{2,5,3},{2,6,3},{2,7,3}}',
	model => 't_choice')).logits) AS one,
	pg_temp.shape((bert.forward('{{{2,5,3},{2,6,3}},{{2,7,3},{2,8,3}}}',
	model => 't_choice')).logits) AS two;
SELECT pg_temp.shape(logits) AS logits, pg_temp.shape(seq_relationship_logits) AS seq_relationship
FROM bert.forward('{2,5,6,7,3}', model => 't_pre');
SELECT pg_temp.shape(last_hidden_state) AS last_hidden_state,
	pg_temp.shape(pooler_output) AS pooler_output, pg_temp.shape(hidden_states) AS hidden_states,
	pg_temp.shape(attentions) AS attentions, logits IS NULL AS no_logits
FROM bert.forward('{{2,5,6,7,3},{2,5,6,7,3}}', model => 't_none',
	output => '{last_hidden_state,pooler_output,hidden_states,attentions}');

-- losses: cross-entropy of the logits, mean squared error; -100 is ignored
SELECT abs(loss - (ln(exp(logits[1]::float8) + exp(logits[2]::float8) + exp(logits[3]::float8))
	- logits[2])) < 1e-5 AS cross_entropy
FROM bert.forward('{2,5,6,3}', model => 't_class', labels => '{1}');
SELECT abs(loss - (logits[1] - 2.5) ^ 2) < 1e-4 AS squared
FROM bert.forward('{2,5,6,3}', model => 't_value', labels => '{2.5}');
SELECT abs(loss - (ln(exp(logits[2][1]::float8) + exp(logits[2][2]::float8)
	+ exp(logits[2][3]::float8)) - logits[2][2])) < 1e-5 AS one_token_counts
FROM bert.forward('{2,5,6,3}', model => 't_tag', labels => '{-100,1,-100,-100}');
SELECT (bert.forward('{2,5,6,3}', model => 't_class')).loss IS NULL AS no_labels_no_loss;

-- a function is the raw model and a softmax
SELECT abs(c.score - exp(f.logits[2]::float8) / (exp(f.logits[1]::float8) + exp(f.logits[2]::float8)
	+ exp(f.logits[3]::float8))) < 1e-5 AS same
FROM bert.classify_all('the cat sat', model => 't_class') AS c,
	bert.forward('{2,5,6,7,3}', model => 't_class') AS f WHERE c.label = 'y';

-- a masked position is a key that nobody sees
SELECT bool_and(abs(a.x - b.x) < 1e-5) AS same
FROM (SELECT unnest(logits) AS x, generate_series(1, 3) AS i
	FROM bert.forward('{2,5,6,3,9}', attention_mask => '{1,1,1,1,0}', model => 't_class')) AS a
JOIN (SELECT unnest(logits) AS x, generate_series(1, 3) AS i
	FROM bert.forward('{2,5,6,3}', model => 't_class')) AS b USING (i);

-- an evaluation's options
CREATE FUNCTION pg_temp.loss(options jsonb) RETURNS float8 LANGUAGE sql AS $$
	SELECT value FROM bert.evaluate('t_mask', 'masked_lm',
		'SELECT repeat(''the big dog sat on a mat '', 6) AS input', options)
			WHERE metric = 'loss' $$;
SELECT pg_temp.loss('{}') = pg_temp.loss('{"seed": 0, "mask_probability": 0.15}') AS defaults,
	pg_temp.loss('{}') <> pg_temp.loss('{"seed": 1}') AS seed,
	pg_temp.loss('{}') <> pg_temp.loss('{"mask_probability": 0.5}') AS masks,
	pg_temp.loss('{"max_length": 20, "mask_probability": 0.9}')
		<> pg_temp.loss('{"mask_probability": 0.9}') AS max_length;
SELECT pg_temp.loss('{"max_length": 65}');
SELECT pg_temp.loss('{"mask_probability": 2}');
SELECT pg_temp.loss('{"epochs": 1}');
SELECT pg_temp.loss('{"seeds": 1}');
SELECT pg_temp.loss('[]');

-- what is refused
SELECT bert.classify('the cat', model => 't_tag');
SELECT bert.tag('the cat', 't_class');
SELECT bert.fill_mask('the cat sat', 't_mask');
SELECT bert.generate('the cat', 't_mask');
SELECT bert.forward('{2,99,3}', model => 't_class');
SELECT bert.forward('{2,-1,3}', model => 't_class');
SELECT bert.forward('{}', model => 't_class');
SELECT bert.forward('{2,NULL,3}', model => 't_class');
SELECT bert.forward('{2,5,3}', model => 't_class', labels => '{3}');
SELECT bert.forward('{2,5,3}', model => 't_class', labels => '{NaN}');
SELECT bert.forward('{2,5,3}', model => 't_class', output => '{logit}');
SELECT bert.forward('{2,5,3}', model => 't_class', head => 'multiple_choice');
SELECT bert.forward('{2,5,3}', 't_class', '{0,5,0}');
SELECT bert.forward('{2,5,3}', attention_mask => '{1,1}', model => 't_class');
SELECT bert.forward(array_fill(5, ARRAY[65]), model => 't_class');
SELECT bert.choose('the cat', '{}', 't_choice');
SELECT bert.generate('the cat', 't_causal', temperature => -1);
SELECT bert.fill_mask('the [MASK]', 't_mask', top_k => 0);

SELECT count(bert.drop_model(name)) AS dropped FROM bert.models WHERE name LIKE 't\_%';
