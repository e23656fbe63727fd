-- bert.max_memory bounds weights too, and bert.memory_ceiling bounds bert.max_memory.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE FUNCTION pg_temp.make(name text, hidden int) RETURNS boolean LANGUAGE sql AS $$
	SELECT bert.create_model(name, jsonb_build_object('vocab_size', 1000, 'hidden_size', hidden,
		'num_hidden_layers', 2, 'num_attention_heads', 4, 'intermediate_size', 64),
		E'[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n'
			|| (SELECT string_agg('w' || i, E'\n' ORDER BY i) FROM generate_series(6, 1000) AS i),
		'none') > 0 $$;

-- from now on it is in the cache
SELECT bert.embed('a', 'minilm') IS NOT NULL AS prepared;

SET bert.max_memory = '4MB';
SELECT pg_temp.make('t_large', 2048);
SELECT bert.copy_model('minilm', 't_copy');
SELECT pg_temp.make('t_small', 64);
SET bert.max_memory = '1GB';
SELECT bert.copy_model('minilm', 't_copy') > 0 AS copied;

-- a superuser's ceiling, whatever the setting says
SET bert.memory_ceiling = '4MB';
SELECT pg_temp.make('t_large', 2048);
SELECT bert.copy_model('minilm', 't_other');
SELECT bert.prune_heads('t_copy', '{"0": [0]}');
CREATE ROLE regress_bert_memory;
SET ROLE regress_bert_memory;
SET bert.memory_ceiling = 0;
SET bert.max_memory = '1TB';
SELECT bert.embed(array_fill(repeat('a ', 300), ARRAY[200]), 'minilm');
RESET ROLE;
DROP ROLE regress_bert_memory;
RESET bert.memory_ceiling;
SELECT bert.drop_model(name) FROM bert.models WHERE name IN ('t_small', 't_copy');
