-- entities_first2: names. entities_first again with another seed.
SELECT bert.finetune('trained_entities_first2', 'minilm', 'token_classification',
	'SELECT tokens, labels FROM train.entity_copy ORDER BY copy, id, md5(tokens::text)',
	'{"epochs": 1, "batch_size": 16, "learning_rate": 3e-4, "weight_decay": 0.01, "train": "top:6",
	"max_length": 128, "threads": 1, "seed": 21, "precision": "bf16"}');
