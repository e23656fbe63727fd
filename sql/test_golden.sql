-- bert.forward of every fixture in test/golden: shapes, logits, states and losses as the reference
-- library computed them
\getenv abs_srcdir PG_ABS_SRCDIR
SET client_min_messages = warning;
SELECT set_config('golden.directory', :'abs_srcdir' || '/test/golden', false) IS NOT NULL AS found;

CREATE FUNCTION golden_tensor(data bytea, tensor text, OUT shape int[], OUT vals float8[])
	LANGUAGE plpgsql AS $$
DECLARE
	header_length int := get_byte(data, 0) + 256 * get_byte(data, 1) + 65536 * get_byte(data, 2);
	entry json := convert_from(substr(data, 9, header_length), 'UTF8')::json -> tensor;
	base int := 8 + header_length + (entry -> 'data_offsets' ->> 0)::int;
	n int := ((entry -> 'data_offsets' ->> 1)::int - (entry -> 'data_offsets' ->> 0)::int) / 4;
BEGIN
	IF entry IS NULL THEN
		RETURN;
	END IF;
	shape := ARRAY(SELECT x::int FROM json_array_elements_text(entry -> 'shape') AS x);
	vals := ARRAY(
		SELECT CASE WHEN b3 & 127 = 0 AND b2 < 128 THEN 0
			ELSE (CASE WHEN b3 < 128 THEN 1 ELSE -1 END)
				* (1 + ((b2 & 127) * 65536 + b1 * 256 + b0) / 8388608.0::float8)
				* power(2.0::float8, ((b3 & 127) * 2 + b2 / 128) - 127) END
		FROM (SELECT i, get_byte(data, base + 4 * i) AS b0, get_byte(data, base + 4 * i + 1) AS b1,
			get_byte(data, base + 4 * i + 2) AS b2, get_byte(data, base + 4 * i + 3) AS b3
			FROM generate_series(0, n - 1) AS i) AS bytes
		ORDER BY i);
END $$;

-- an array's text, its last dimensions wrapped first
CREATE FUNCTION golden_text(shape int[], vals float8[]) RETURNS text LANGUAGE plpgsql STRICT AS $$
DECLARE
	parts text[] := vals::text[];
BEGIN
	FOR d IN REVERSE cardinality(shape) .. 1 LOOP
		parts := ARRAY(SELECT '{' || string_agg(p, ',' ORDER BY i) || '}'
			FROM unnest(parts) WITH ORDINALITY AS u (p, i) GROUP BY (i - 1) / shape[d]
			ORDER BY (i - 1) / shape[d]);
	END LOOP;
	RETURN parts[1];
END $$;

CREATE FUNCTION golden_argument(data bytea, tensor text) RETURNS text LANGUAGE sql AS $$
	SELECT golden_text(shape, vals) FROM golden_tensor(data, tensor)
$$;

-- the largest difference, relative to the scale of what is expected; NULL where there is nothing to
-- compare, infinity for another shape
CREATE FUNCTION golden_difference(data bytea, tensor text, computed real[]) RETURNS float8
	LANGUAGE plpgsql AS $$
DECLARE
	expected record;
BEGIN
	SELECT * INTO expected FROM golden_tensor(data, tensor);
	IF expected.shape IS NULL THEN
		RETURN NULL;
	END IF;
	IF array_dims(computed) IS DISTINCT FROM (SELECT string_agg(format('[1:%s]', x), '' ORDER BY i)
		FROM unnest(expected.shape) WITH ORDINALITY AS u (x, i)) THEN
		RAISE WARNING '% has the dimensions %', tensor, array_dims(computed);
		RETURN 'infinity';
	END IF;
	RETURN (SELECT max(abs(a - b)) / greatest(max(abs(b)), 1)
		FROM unnest(computed::float8[], expected.vals) AS u (a, b));
END $$;

CREATE TABLE golden (name text, head text, logits float8, states float8, loss float8);

CREATE FUNCTION golden_case(name text, folder text, config text, head text) RETURNS golden
	LANGUAGE plpgsql AS $$
DECLARE
	directory text := current_setting('golden.directory');
	data bytea := pg_read_binary_file(directory || '/cases/' || name || '.safetensors');
	states text[] := CASE WHEN (golden_tensor(data, 'hidden_states')).shape IS NULL THEN '{}'
		ELSE '{hidden_states}'::text[] END;
	labels text := golden_argument(data, 'labels');
	m bert.model_output;
	result golden;
	expected float8;
BEGIN
	PERFORM bert.import_model('golden',
		pg_read_file(directory || '/models/' || folder || '/' || config)::jsonb,
		pg_read_file(directory || '/models/' || folder || '/vocab.txt'),
			pg_read_binary_file(directory || '/models/' || folder || '/model.safetensors'),
		tokenizer_config
			=> pg_read_file(directory || '/models/' || folder || '/tokenizer_config.json')::jsonb,
			head => head, replace => true);
	IF head = 'pretraining' THEN	-- the next-sentence label after each row's labels
		labels := (SELECT golden_text(ARRAY[n_rows, length + 1], ARRAY(
				SELECT CASE WHEN j < length THEN t.vals[i * length + j + 1] ELSE n.vals[i + 1] END
				FROM generate_series(0, n_rows - 1) AS i, generate_series(0, length) AS j
					ORDER BY i, j))
			FROM golden_tensor(data, 'labels') AS t,
				golden_tensor(data, 'next_sentence_label') AS n,
				LATERAL (SELECT t.shape[1] AS n_rows, t.shape[2] AS length) AS sizes);
	ELSIF head = 'question_answering' THEN
		labels := (SELECT golden_text(ARRAY[s.shape[1], 2],
			ARRAY(SELECT x FROM unnest(s.vals, e.vals) WITH ORDINALITY AS u (a, b, i),
			LATERAL (VALUES (1, a), (2, b)) AS v (k, x) ORDER BY i, k))
			FROM golden_tensor(data, 'start_positions') AS s,
				golden_tensor(data, 'end_positions') AS e);
	END IF;
	m := bert.forward(golden_argument(data, 'input_ids')::int[], 'golden',
		golden_argument(data, 'token_type_ids')::int[],
		golden_argument(data, 'attention_mask')::int[],
		labels::float8[], NULL,
			states || CASE WHEN head = 'none'
			AND (golden_tensor(data, 'pooler_output')).shape IS NOT NULL
			THEN '{logits,pooler_output}' ELSE '{logits}'::text[] END,
		golden_argument(data, 'encoder_hidden_states')::real[],
			golden_argument(data, 'encoder_attention_mask')::int[]);
	result.name := name;
	result.head := head;
	result.logits := greatest(golden_difference(data, 'logits', m.logits),
		golden_difference(data, 'seq_relationship_logits', m.seq_relationship_logits));
	result.states := greatest(golden_difference(data, 'hidden_states', m.hidden_states),
		golden_difference(data, 'pooler_output', m.pooler_output));
	expected := (golden_tensor(data, 'loss')).vals[1];
	IF (golden_tensor(data, 'loss_is_nan')).shape IS NOT NULL THEN
		expected := 'NaN';
	END IF;
	result.loss := CASE WHEN expected = 'NaN' THEN CASE WHEN m.loss = 'NaN' THEN 0
		ELSE 'infinity'::float8 END ELSE abs(m.loss - expected) END;
	RETURN result;
END $$;

INSERT INTO golden
SELECT c.* FROM unnest(ARRAY['cases-5.txt', 'cases-4.txt']) AS list,
	string_to_table(pg_read_file(current_setting('golden.directory') || '/' || list),
	E'\n') AS line,
	LATERAL string_to_array(line, ' ') AS p, LATERAL golden_case(p[1], p[2], p[3], p[4]) AS c
WHERE line <> '' AND line NOT LIKE '#%';

SELECT head, count(*) AS cases, count(*) FILTER (WHERE logits < 1e-4) AS logits,
	count(logits) AS of_logits, count(*) FILTER (WHERE states < 1e-4) AS states,
	count(states) AS of_states,
	count(*) FILTER (WHERE loss < 1e-5) AS losses, count(loss) AS of_losses
FROM golden GROUP BY head ORDER BY head COLLATE "C";
SELECT * FROM golden WHERE logits >= 1e-4 OR states >= 1e-4 OR loss >= 1e-5;

-- without a batch dimension nothing has one; what is not named is NULL
SELECT bert.drop_model('golden');
CREATE FUNCTION golden_import(name text, folder text, head text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*)
	FROM bert.import_model(name, current_setting('golden.directory') || '/models/' || folder, head)
$$;
SELECT count(golden_import(f, f, h)) AS imported
FROM (VALUES ('bare', 'none'), ('classifier', 'sequence_classification'),
	('multiple_choice', 'multiple_choice'),
	('tagger', 'token_classification'), ('answerer', 'question_answering'),
		('pretraining', 'pretraining'), ('causal_lm', 'causal_lm'),
		('pruned', 'sequence_classification')) AS v (f, h);
SELECT array_dims(logits) AS logits, array_dims(last_hidden_state) AS last,
	array_dims(pooler_output) AS pooler, array_dims(hidden_states) AS hidden,
	array_dims(attentions) AS attentions, loss
FROM bert.forward('{5,6,7}', model => 'bare',
	output => '{logits,last_hidden_state,pooler_output,hidden_states,attentions}');
SELECT array_dims(logits) AS logits, array_dims(last_hidden_state) AS last,
	array_dims(pooler_output) AS pooler, loss > 0 AS loss
FROM bert.forward('{5,6,7}', labels => '{2}', model => 'classifier',
	output => '{logits,pooler_output}');
SELECT array_dims(logits) AS logits, loss > 0 AS loss
FROM bert.forward('{{5,6,7},{5,6,8}}', labels => '{1}', model => 'multiple_choice');
SELECT array_dims(logits) AS logits, loss > 0 AS loss
FROM bert.forward('{5,6,7}', labels => '{1,-100,2}', model => 'tagger');
SELECT array_dims(logits) AS logits, loss > 0 AS loss
FROM bert.forward('{5,6,7}', labels => '{1,2}', model => 'answerer');
SELECT array_dims(logits) AS logits, array_dims(seq_relationship_logits) AS next, loss > 0 AS loss
FROM bert.forward('{5,6,7}', labels => '{5,-100,7,1}', model => 'pretraining');
SELECT array_dims(attentions) AS attentions, count(*) AS cells, count(a) AS kept
FROM bert.forward('{{5,6},{7,8}}', model => 'pruned', output => '{attentions}') AS f,
	unnest(attentions) AS a GROUP BY 1;
SELECT array_dims(logits) AS logits
FROM bert.forward('{5,6,7}', model => 'pretraining', head => 'masked_lm');
SELECT bert.forward(NULL, model => 'bare') IS NULL AS no_input;

-- what is refused
SELECT bert.forward('{}', model => 'bare');
SELECT bert.forward('{5,NULL}', model => 'bare');
SELECT bert.forward('{{{5,6}}}', model => 'bare');
SELECT bert.forward('{5,97}', model => 'bare');
SELECT bert.forward('{5,-1}', model => 'bare');
SELECT bert.forward('{5,6}', 'bare', '{0,3}');
SELECT bert.forward('{5,6}', 'bare', '{0}');
SELECT bert.forward('{5,6}', attention_mask => '{{1,1}}', model => 'bare');
SELECT bert.forward('{5,6}', attention_mask => '{1,2}', model => 'bare');
SELECT bert.forward(array_fill(5, ARRAY[41]), model => 'bare');
SELECT bert.forward('{5,6}', labels => '{1}', model => 'bare');
SELECT bert.forward('{5,6}', labels => '{1,2}', model => 'classifier');
SELECT bert.forward('{5,6}', labels => '{3}', model => 'classifier');
SELECT bert.forward('{5,6}', labels => '{0.5}', model => 'classifier');
SELECT bert.forward('{5,6}', labels => '{NaN}', model => 'classifier');
SELECT bert.forward('{{5,6},{5,6}}', labels => '{1}', model => 'multiple_choice',
	head => 'multiple_choices');
SELECT bert.forward('{5,6}', model => 'bare', head => 'masked_lm');
SELECT bert.forward('{5,6}', model => 'bare', output => '{logits,scores}');
SELECT bert.forward('{5,6}', model => 'tagger', output => '{pooler_output}');
SELECT bert.forward('{5,6}', model => 'bare', encoder_attention_mask => '{1}');
SELECT bert.forward('{5,6}', model => 'bare', encoder_hidden_states => '{{1,2}}');
SELECT count(bert.drop_model(name)) AS dropped FROM bert.models WHERE source <> 'bundled';
