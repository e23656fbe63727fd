-- topic: of news. Every fourth row of the training set.
SELECT bert.finetune('trained_topic', 'minilm', 'sequence_classification',
	'SELECT body AS input, topic AS label FROM train.topic WHERE NOT held_back AND id % 4 = 0
	ORDER BY id',
	'{"epochs": 1, "batch_size": 8, "learning_rate": 2e-4, "weight_decay": 0.01, "train": "top:3",
	"max_length": 96, "threads": 1, "seed": 1}');
