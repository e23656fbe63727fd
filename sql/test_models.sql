-- models: import, what the views say, copies, precision, pruning, pinned names, and what is refused
\getenv abs_srcdir PG_ABS_SRCDIR
\set golden :abs_srcdir '/test/golden/models/'
\set bare :golden bare
\set classifier :golden classifier
\set masked :golden masked_lm
\set folder :abs_srcdir '/test/golden'

SELECT * FROM bert.import_model('t_classes', :'classifier');
SELECT * FROM bert.import_model('t_masked', :'masked');
SELECT name, source, head, heads, precision, parameters, layers, hidden_size, attention_heads,
	vocab_size, max_length, labels, base
	FROM bert.models WHERE name LIKE 't\_%' ORDER BY name;
SELECT ordinal, name, shape, part FROM bert.tensors
WHERE model = 't_classes' AND part IN ('embeddings', 'head') ORDER BY ordinal;

-- another head: what the file lacks is initialized, what it has more is reported
SELECT * FROM bert.import_model('t_spans', :'bare', 'question_answering') ORDER BY key;
SELECT * FROM bert.import_model('t_pairs', :'golden' || 'bare_no_pooler', 'next_sentence')
ORDER BY key;
SELECT * FROM bert.import_model('t_bad', :'classifier', 'question_answering');
SELECT key, status FROM bert.import_model('t_bare', :'classifier', 'none') ORDER BY key;
SELECT bert.import_model('t_bad', :'classifier', 'classifier');

-- replace
SELECT count(*) FROM bert.import_model('t_bare', :'bare');
SELECT count(*) FROM bert.import_model('t_bare', :'bare', replace => true);
SELECT version > (SELECT min(version) FROM bert.models WHERE source = 'imported') AS newer
FROM bert.models WHERE name = 't_bare';

-- from arguments: the same model
SELECT count(*) FROM bert.import_model('t_bytea', pg_read_file(:'masked' || '/config.json')::jsonb,
	pg_read_file(:'masked' || '/vocab.txt'),
	pg_read_binary_file(:'masked' || '/model.safetensors'),
		pg_read_file(:'masked' || '/tokenizer_config.json')::jsonb);
SELECT lo_from_bytea(0, pg_read_binary_file(:'masked' || '/model.safetensors')) AS weights \gset
SELECT count(*) FROM bert.import_model('t_large', pg_read_file(:'masked' || '/config.json')::jsonb,
	pg_read_file(:'masked' || '/vocab.txt'),
	:weights::oid, pg_read_file(:'masked' || '/tokenizer_config.json')::jsonb);
SELECT lo_unlink(:weights);
SELECT count(DISTINCT split_part(bert.pinned(name), '@', 2)) FROM bert.models
WHERE name IN ('t_masked', 't_bytea', 't_large');
SELECT * FROM bert.import_model('t_bad', '{}', 'x', '\x00'::bytea);
SELECT * FROM bert.import_model('t_bad', '{}', 'x', 0::oid);
SELECT * FROM bert.import_model('t_bad', NULL, 'x', '\x00'::bytea);

-- new ones: the seed decides
SELECT bert.create_model('t_new',
	'{"vocab_size": 6, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
	"intermediate_size": 8}',
	E'[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n', 'masked_lm', 1) > 0 AS made;
SELECT bert.copy_model('t_new', 't_new1') > 0 AS copied;
-- a slip in the configuration is told
SELECT bert.create_model('t_slip',
	'{"vocab_size": 6, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
	"intermediate_size": 8, "layer_norm_epsilon": 1e-5, "torch_dtype": "float32"}',
	E'[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n', 'none') > 0 AS made;
SELECT bert.prune_heads('t_slip', '{"first": [0]}');
SELECT bert.drop_model('t_slip');
SELECT bert.drop_model('t_new');
SELECT bert.create_model('t_new',
	'{"vocab_size": 6, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
	"intermediate_size": 8}',
	E'[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n', 'masked_lm', 1) > 0 AS made;
SELECT split_part(bert.pinned('t_new'), '@', 2)
	= split_part(bert.pinned('t_new1'), '@', 2) AS same_seed;
SELECT bert.create_model('t_bad',
	'{"vocab_size": 5, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
	"intermediate_size": 8}',
	E'[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n', 'masked_lm');
SELECT bert.create_model('t_bad', '{"hidden_size": 9}', E'[PAD]\n[UNK]\n', 'none');
SELECT bert.create_model('t_bad', '{}', E'[PAD]\n[UNK]\n', 'nothing');
SELECT bert.create_model(NULL, '{}', 'x', 'none');

-- copies, precision, pinned names
SELECT bert.copy_model('t_masked', 't_copy') > 0 AS copied, bert.copy_model('t_masked', 't_masked');
SELECT bert.copy_model('t_masked', 't_copy') > 0 AS copied;
SELECT split_part(bert.pinned('t_masked'), '@', 2)
	= split_part(bert.pinned('t_copy'), '@', 2) AS same_content;
SELECT bert.pinned('t_copy') AS pinned \gset
SELECT bert.set_precision('t_copy', 'int8');
SELECT bert.pinned('t_copy') <> :'pinned' AS another,
	split_part(bert.pinned(:'pinned'), '@', 2) = split_part(:'pinned', '@', 2) AS by_content;
SELECT bert.set_precision('t_copy', 'int4');
-- the fastest that loses little: nothing but fp32 loses nothing
SET client_min_messages = warning;
SELECT bert.set_precision('t_copy', 'auto', 0);
SELECT precision FROM bert.models WHERE name = 't_copy';
SELECT bert.set_precision('t_copy', 'auto', 1);
SELECT precision IN ('fp32', 'bf16', 'int8') AS one FROM bert.models WHERE name = 't_copy';
SELECT bert.set_precision('t_copy', 'int8');
RESET client_min_messages;
SELECT bert.set_precision('t_copy', 'auto', 2);
SELECT bert.set_precision('t_copy', 'auto', 'NaN');
SELECT bert.pinned('t_copy@0123456789abcdef');
SELECT count(DISTINCT block) FROM bert.tensors
WHERE model IN ('t_masked', 't_copy', 't_bytea', 't_large');

-- pruning
SELECT bert.prune_heads('t_copy', '{"0": [1, 0, 1]}') > 0 AS pruned;
SELECT shape FROM bert.tensors
WHERE model = 't_copy' AND name = 'bert.encoder.layer.0.attention.self.query.weight';
SELECT source, base, lineage, precision FROM bert.models WHERE name = 't_copy';
SELECT bert.prune_heads('t_copy', '{"0": [99]}');
SELECT bert.prune_heads('t_copy', '{"0": 1}');
SELECT bert.prune_heads('t_copy', '[0]');
SELECT bert.prune_heads('t_copy', '{"zero": [0]}');

-- names
SELECT bert.rename_model('t_copy', 't_renamed');
SELECT bert.rename_model('t_renamed', 't_masked');
SELECT bert.rename_model('t_renamed', 'minilm');
SELECT bert.rename_model('t_renamed', 'a@b');
SELECT bert.drop_model('minilm');
SELECT bert.drop_model('t_nothing');
-- what may have been meant
SELECT bert.drop_model('t_masekd');
SELECT bert.embed('a', 'MiniLM');
SELECT bert.import_model('minilm', :'bare');
\set VERBOSITY sqlstate
SELECT bert.import_model('t_bad', :'golden' || 'nothing');
SELECT bert.import_model('t_bad', :'folder');
\set VERBOSITY default

-- bundled ones are there for everybody
SELECT name, source, head, layers, hidden_size, max_length, labels, owner FROM bert.models
WHERE name IN ('minilm', 'sentiment') ORDER BY name;
SELECT bert.copy_model('minilm', 't_mini') > 0 AS copied;
SELECT split_part(bert.pinned('t_mini'), '@', 2)
	= split_part(bert.pinned('minilm'), '@', 2) AS same_content;

-- grants
CREATE ROLE regress_bert_user;
SELECT bert.grant_model('t_bare', 'regress_bert_user');
SET ROLE regress_bert_user;
SELECT name FROM bert.models WHERE source <> 'bundled';
SELECT bert.drop_model('t_bare');
SELECT bert.pinned('t_masked');
-- a model that one may not use is not named
SELECT bert.pinned('t_masekd');
SELECT count(*) FROM bert.import_model('t_dir', :'bare');
SELECT bert.export_model('t_bare', '/tmp/never');
RESET ROLE;
SELECT bert.revoke_model('t_bare', 'regress_bert_user');
SELECT bert.grant_model('t_bare', 'regress_nobody');
SELECT bert.grant_model('t_bare', 'public');
SET ROLE regress_bert_user;
SELECT name FROM bert.models WHERE source <> 'bundled';
RESET ROLE;
SELECT bert.revoke_model('t_bare', 'public');
SELECT bert.revoke_model('t_bare', 'public');
DROP ROLE regress_bert_user;

-- nothing stays
SELECT bert.drop_model(name) FROM bert.models WHERE name LIKE 't\_%';
SELECT (SELECT count(*) FROM bert.model) AS models, (SELECT count(*) FROM bert.tensor) AS tensors,
	(SELECT count(*) FROM bert.block) AS blocks;
