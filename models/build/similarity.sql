-- similarity: how alike two sentences are, 0 to 5.
SELECT bert.finetune('trained_similarity', 'minilm', 'regression',
	'SELECT a AS input, b AS pair, score AS label FROM train.similarity WHERE NOT held_back
	ORDER BY id',
	'{"epochs": 2, "batch_size": 16, "learning_rate": 2e-4, "weight_decay": 0.01, "train": "top:3",
	"max_length": 128, "threads": 1, "seed": 1, "eval_query": "SELECT a AS input, b AS pair,
	score AS label FROM train.similarity WHERE held_back AND id % 3 = 0 ORDER BY id"}');
