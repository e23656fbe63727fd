-- sentiment: whether an opinion is positive or negative, as sentiment_first says it.
SELECT bert.finetune('trained_sentiment', 'minilm', 'sequence_classification',
	'SELECT body AS input, label FROM train.opinion ORDER BY md5(body), id',
	'{"epochs": 2, "batch_size": 32, "learning_rate": 1.5e-4, "weight_decay": 0.01, "train": "top:4",
	"max_length": 128, "threads": 1, "seed": 1, "precision": "bf16",
	"teacher": "trained_sentiment_first", "temperature": 2}');
