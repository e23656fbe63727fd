-- similarity: how alike two sentences are, 0 to 5: similarity_second learns its rows twice more, in
-- another order.
SELECT bert.finetune('trained_similarity', 'trained_similarity_second', 'regression',
	$$SELECT a AS input, b AS pair, score AS label FROM train.similar_row
	ORDER BY md5(b || ' ' || a)$$,
	'{"epochs": 2, "batch_size": 16, "learning_rate": 1e-4, "weight_decay": 0.01, "train": "top:6",
	"max_length": 128, "threads": 1, "seed": 2, "precision": "bf16"}');
