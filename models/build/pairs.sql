-- Pairs of pieces of documents, half of which follow each other: of language.
CREATE TABLE IF NOT EXISTS train.pair (id serial, input text, pair text, label bool,
	held_back bool);
TRUNCATE train.pair RESTART IDENTITY;
INSERT INTO train.pair (input, pair, label, held_back)
SELECT p.*, false FROM bert.sentence_pairs(
	'SELECT left(body, 3000) FROM train.document WHERE NOT held_back ORDER BY md5(body)',
	'minilm', 61) AS p;
INSERT INTO train.pair (input, pair, label, held_back)
SELECT p.*, true FROM bert.sentence_pairs(
	'SELECT left(body, 2500) FROM train.document WHERE held_back ORDER BY md5(body)',
	'minilm', 61) AS p;
