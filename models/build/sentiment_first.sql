-- sentiment_first: whether an opinion is positive or negative; all layers and the embeddings. What
-- sentiment has as its teacher. 1,097 longer phrases, and all that hold one of them or are part of
-- one, are not learned: with them the recipe of sentiment was chosen.
DROP TABLE IF EXISTS train.opinion_check, train.opinion;
CREATE TABLE train.opinion_check AS
SELECT id, body, label FROM train.sentiment
WHERE NOT held_back AND length(body) > 110 AND id % 7 = 0;
CREATE TABLE train.opinion AS
SELECT id, body, label FROM train.sentiment AS s
WHERE NOT held_back AND NOT EXISTS (SELECT FROM train.opinion_check AS c
	WHERE length(s.body) >= 8 AND (strpos(c.body, s.body) > 0 OR strpos(s.body, c.body) > 0));

SELECT bert.finetune('trained_sentiment_first', 'minilm', 'sequence_classification',
	'SELECT body AS input, label FROM train.opinion ORDER BY md5(body), id',
	'{"epochs": 2, "batch_size": 32, "learning_rate": 1e-4, "weight_decay": 0.01, "train": "all",
	"max_length": 128, "threads": 1, "seed": 1, "precision": "bf16"}');
