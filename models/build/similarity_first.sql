-- similarity_first: how alike two sentences are, 0 to 5, by what people have judged alone. What
-- similarity_second is trained from.
SELECT bert.finetune('trained_similarity_first', 'minilm', 'regression',
	'SELECT a AS input, b AS pair, score AS label FROM train.similarity WHERE NOT held_back
	ORDER BY id',
	'{"epochs": 4, "batch_size": 16, "learning_rate": 1e-4, "weight_decay": 0.01, "train": "top:6",
	"max_length": 128, "threads": 1, "seed": 1}');
