-- rank: how well a text answers a question, both read together. Learns from questions with their
-- own paragraph and the one that minilm takes for the nearest of the others, each cut to a piece of
-- 150 to 750 characters (around the answer, where there is one), and from QNLI's sentences, but for
-- those of the held-back articles. The only label is there or it is not: one logit.
CREATE TABLE IF NOT EXISTS train.relevance (id serial, input text, pair text, label text[]);
TRUNCATE train.relevance RESTART IDENTITY;
WITH mined AS MATERIALIZED (
	SELECT anchor, negative FROM bert.mine_negatives(
		'SELECT question AS anchor, context AS positive FROM train.answer WHERE NOT held_back',
		'minilm', '{"num_negatives": 1}')),
text AS (
	SELECT question, context AS body, answer_start AS middle, '{relevant}'::text[] AS label
	FROM train.answer WHERE NOT held_back
	UNION ALL
	SELECT anchor, negative, hashtext(anchor || negative) & 511, '{}' FROM mined),
cut AS (
	SELECT *, hashtext(body || question) & 1023 AS h FROM text)
INSERT INTO train.relevance (input, pair, label)
SELECT input, pair, label FROM (
	SELECT question AS input, trim(regexp_replace(substr(body,
		greatest(1, middle - h % 300), h % 300 + 150 + h / 300 * 100), '^\S*\s', '')) AS pair, label
	FROM cut
	UNION ALL
	SELECT question, sentence, CASE WHEN label THEN '{relevant}' ELSE '{}' END::text[]
	FROM train.question AS q
	WHERE NOT EXISTS (SELECT FROM train.answer AS a WHERE a.held_back
		AND (a.question = q.question OR position(q.sentence IN a.context) > 0))) AS r
WHERE length(pair) > 20
ORDER BY md5(input || pair);

SELECT bert.finetune('trained_rank', 'minilm', 'sequence_classification',
	'SELECT input, pair, label FROM train.relevance ORDER BY id',
	'{"epochs": 1, "batch_size": 16, "learning_rate": 3e-4, "weight_decay": 0.01, "train": "top:3",
	"max_length": 192, "threads": 1, "seed": 1}');
