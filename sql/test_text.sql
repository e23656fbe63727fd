-- tokens, ids and offsets with the bundled encoder's vocabulary; the values are the reference tokenizer's
SELECT bert.tokenize('Hello, World! unaffable');
SELECT * FROM bert.encode('Héllo wörld');
SELECT input_ids, token_type_ids, attention_mask FROM bert.encode('how are you', 'fine');
SELECT input_ids FROM bert.encode('one two three four five six', max_length => 5);
SELECT input_ids FROM bert.encode('one two', special_tokens => false);

-- offsets are in characters of the text as it was given
SELECT token, substr(input, start_pos + 1, end_pos - start_pos) AS piece
FROM (VALUES ('naïve ☕ 中文 — e-mail')) AS t (input), bert.encode(input) AS e,
	unnest(e.tokens, e.starts, e.ends) AS u (token, start_pos, end_pos);

-- round trips
SELECT bert.decode(input_ids), bert.decode(input_ids, skip_special_tokens => false) FROM bert.encode('The quick brown fox!');
SELECT bert.count_tokens('The quick brown fox!') AS counted, cardinality((bert.encode('The quick brown fox!')).input_ids) AS encoded;

-- empty and NULL
SELECT bert.tokenize(''), bert.count_tokens(''), (bert.encode('')).input_ids, bert.decode('{}') = '' AS nothing;
SELECT bert.tokenize(NULL) IS NULL AS tokenize, bert.encode(NULL) IS NULL AS encode, bert.decode(NULL) IS NULL AS decode,
	bert.count_tokens(NULL) IS NULL AS count_tokens;
SELECT count(*) FROM bert.chunk(NULL);

-- a word over 100 characters is unknown
SELECT bert.tokenize(repeat('a', 100)) = '{[UNK]}' AS hundred, bert.tokenize(repeat('a', 101)) AS more;

-- chunks cover the text, overlap as asked and are never longer than asked
SELECT chunk, start_pos, end_pos, text FROM bert.chunk('one two three four five six seven eight nine ten', max_tokens => 6, overlap => 2);
SELECT bool_and(text = substr(t.body, start_pos + 1, end_pos - start_pos)) AS pieces_of_the_text, bool_and(bert.count_tokens(text) <= 32) AS short_enough,
	min(start_pos) = 0 AS from_the_start, max(end_pos) = max(length(t.body)) AS to_the_end
FROM (SELECT string_agg('word' || i || ' naïve', ' ') AS body FROM generate_series(1, 300) AS i) AS t, bert.chunk(t.body, max_tokens => 30, overlap => 5);

-- a megabyte of text is read once, whatever it holds
SELECT bert.count_tokens(repeat('word ', 200000)) = 200000 AS counted, cardinality((bert.encode(repeat('word ', 200000))).input_ids) AS encoded;

-- what is refused
SELECT bert.encode('x', max_length => 0);
SELECT bert.encode('x', max_length => -1);
SELECT bert.decode('{-1}');
SELECT bert.decode('{1000000}');
SELECT * FROM bert.chunk('x', max_tokens => 0);
SELECT * FROM bert.chunk('x', max_tokens => 8, overlap => 8);
SELECT bert.tokenize('x', model => 'no such model');
SELECT bert.tokenize('x', model => 'x"; DROP TABLE bert.model; --');
SELECT bert.tokenize('x', model => '');
