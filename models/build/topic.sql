-- topic: of news, with a title or without.
SELECT bert.finetune('trained_topic', 'minilm', 'sequence_classification',
	'SELECT body AS input, topic AS label FROM train.topic WHERE NOT held_back ORDER BY md5(body)',
	'{"epochs": 1, "batch_size": 16, "learning_rate": 2e-4, "weight_decay": 0.01, "train": "top:3",
	"max_length": 128, "threads": 1, "seed": 1}');
