-- weights as torch.save writes them: the same model as with safetensors, from a folder, bytea and a
-- large object; what is no dictionary of tensors is refused by name
\getenv abs_srcdir PG_ABS_SRCDIR
\set safetensors :abs_srcdir '/test/golden/models/activations'
\set archive :abs_srcdir '/test/golden/torch/archive'
\set stream :abs_srcdir '/test/golden/torch/stream'

SELECT count(*) FROM bert.import_model('a_safetensors', :'safetensors');
SELECT count(*) FROM bert.import_model('a_archive', :'archive');
SELECT count(*) FROM bert.import_model('a_stream', :'stream');
SELECT count(*) FROM bert.import_model('a_bytea', pg_read_file(:'archive' || '/config.json')::jsonb,
	pg_read_file(:'archive' || '/vocab.txt'),
	pg_read_binary_file(:'archive' || '/pytorch_model.bin'),
	pg_read_file(:'archive' || '/tokenizer_config.json')::jsonb);
SELECT lo_from_bytea(0, pg_read_binary_file(:'stream' || '/pytorch_model.bin')) AS weights \gset
SELECT count(*) FROM bert.import_model('a_large', pg_read_file(:'stream' || '/config.json')::jsonb,
	pg_read_file(:'stream' || '/vocab.txt'),
	:weights::oid, pg_read_file(:'stream' || '/tokenizer_config.json')::jsonb);
SELECT lo_unlink(:weights);
SELECT count(*), count(DISTINCT split_part(bert.pinned(name), '@', 2)) AS different,
	count(DISTINCT bert.embed('a b c', name)) AS embeddings
FROM bert.models WHERE name LIKE 'a\_%';

-- code in the place of a tensor's parts, a byte that is another one, and no weights at all
CREATE FUNCTION import_changed(folder text, old bytea, new bytea) RETURNS bigint LANGUAGE sql
BEGIN ATOMIC
	WITH weights AS (SELECT pg_read_binary_file(folder || '/pytorch_model.bin') AS bytes)
	SELECT count(*) FROM weights, LATERAL bert.import_model('a_bad',
		pg_read_file(folder || '/config.json')::jsonb, pg_read_file(folder || '/vocab.txt'),
		overlay(bytes PLACING new FROM position(old IN bytes)));
END;
SELECT import_changed(:'stream', E'collections\nOrderedDict', E'subprocesss\ncheck_outpu');
SELECT import_changed(:'archive', 'ctorch', 'ctorcH');
SELECT import_changed(:'archive', 'PK', 'KP');
DROP FUNCTION import_changed;
SELECT bert.drop_model(name) FROM bert.models WHERE name LIKE 'a\_%';
