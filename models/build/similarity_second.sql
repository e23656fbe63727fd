-- similarity_second: how alike two sentences are, 0 to 5. similarity_first and minilm's cosine err
-- on different pairs: the mean of both says of STS-B's training sentences, each with its ten nearest
-- and two others, what this model learns beside the pairs that people have judged. What similarity
-- is trained from.
CREATE TABLE IF NOT EXISTS train.similar (id serial, a text, b text, cosine float8, score float8);
TRUNCATE train.similar RESTART IDENTITY;
WITH near AS (
	SELECT anchor AS a, negative AS b, score FROM bert.mine_negatives(
		'SELECT a AS anchor, b AS positive FROM train.similarity WHERE NOT held_back
		UNION SELECT b, a FROM train.similarity WHERE NOT held_back',
		'minilm', '{"num_negatives": 10}')),
far AS (
	SELECT s.a, t.b FROM train.similarity AS s, train.similarity AS t
	WHERE NOT s.held_back AND NOT t.held_back
		AND t.id IN (1 + (s.id * 7919) % 5749, 1 + (s.id * 104729) % 5749)),
pair AS (
	SELECT a, b, score FROM near
	UNION ALL SELECT a, b, bert.similarity(a, b, 'minilm') FROM far),
-- As many of each cosine: a fifth of it is a step.
spread AS (
	SELECT a, b, max(score) AS cosine, row_number() OVER (
		PARTITION BY floor(greatest(5 * max(score), 0)) ORDER BY md5(a || b)) AS place
	FROM pair AS p
	WHERE NOT EXISTS (SELECT FROM train.similarity AS s WHERE s.a = p.a AND s.b = p.b)
	GROUP BY a, b)
INSERT INTO train.similar (a, b, cosine)
SELECT a, b, cosine FROM spread WHERE place <= 3200 ORDER BY md5(a || ' ' || b);

-- The cosine as a score: the line through the judged pairs.
WITH judged AS (
	SELECT score, bert.similarity(a, b, 'minilm') AS cosine
	FROM train.similarity WHERE NOT held_back),
line AS (
	SELECT regr_slope(score, cosine) AS slope, regr_intercept(score, cosine) AS intercept
	FROM judged)
UPDATE train.similar SET score = least(greatest((slope * cosine + intercept
	+ bert.regress(a, 'trained_similarity_first', b)) / 2, 0), 5) FROM line;

-- What both last steps learn.
CREATE OR REPLACE VIEW train.similar_row AS
SELECT a, b, score FROM train.similar
UNION ALL
SELECT a, b, score FROM train.similarity, generate_series(1, 2) WHERE NOT held_back;

SELECT bert.finetune('trained_similarity_second', 'trained_similarity_first', 'regression',
	$$SELECT a AS input, b AS pair, score AS label FROM train.similar_row
	ORDER BY md5(a || ' ' || b)$$,
	'{"epochs": 1, "batch_size": 16, "learning_rate": 1e-4, "weight_decay": 0.01, "train": "top:6",
	"max_length": 128, "threads": 1, "seed": 1, "precision": "bf16"}');
