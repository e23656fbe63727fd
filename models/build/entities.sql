-- entities: names. entities_second learns what people have marked once more, alone.
SELECT bert.finetune('trained_entities', 'trained_entities_second', 'token_classification',
	$$SELECT tokens, labels FROM train.entity_copy WHERE copy <= 1
	ORDER BY md5(copy || tokens::text)$$,
	'{"epochs": 1, "batch_size": 16, "learning_rate": 1e-4, "weight_decay": 0.01, "train": "top:6",
	"max_length": 128, "threads": 1, "seed": 3, "precision": "bf16"}');
