-- answer_first: where in a context a question is answered. Learns from two pieces of 200 to 900
-- characters around each answer, cut at spaces, and from whole contexts.
DROP VIEW IF EXISTS train.answer_piece;
CREATE VIEW train.answer_piece AS
WITH cut AS (
	SELECT *, 200 + (hashtext(question || part) & 1023) % 700 AS room,
		(hashtext(question || context || part) & 1023) / 1023.0 AS share
	FROM train.answer, generate_series(1, 2) AS part WHERE NOT held_back),
edges AS (
	SELECT *, greatest(0, answer_start - (share * room)::int) AS low,
		answer_start + length(answer_text) + ((1 - share) * room)::int AS high
	FROM cut),
words AS (
	SELECT *,
		CASE WHEN low = 0 THEN 0
			ELSE least(low + position(' ' IN substr(context, low + 1)), answer_start) END AS first,
		CASE WHEN high >= length(context) THEN length(context)
			ELSE high + position(' ' IN substr(context || ' ', high + 1)) - 1 END AS behind
	FROM edges)
SELECT part, id, question, substr(context, first + 1, behind - first) AS context, answer_text,
	answer_start - first AS answer_start
FROM words;

SELECT bert.finetune('trained_answer_first', 'minilm', 'question_answering',
	'SELECT question, context, answer_text, answer_start FROM (
		SELECT * FROM train.answer_piece
		UNION ALL
		SELECT 3, id, question, context, answer_text, answer_start FROM train.answer
		WHERE NOT held_back) AS r
	ORDER BY part, id',
	'{"epochs": 1, "batch_size": 8, "learning_rate": 2e-4, "weight_decay": 0.01, "train": "top:5",
	"frozen_dropout": true, "max_length": 320, "threads": 1, "seed": 1, "precision": "bf16"}');
