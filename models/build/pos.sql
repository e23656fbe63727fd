-- pos: universal parts of speech.
SELECT bert.finetune('trained_pos', 'minilm', 'token_classification',
	'SELECT tokens, labels FROM train.tag WHERE NOT held_back ORDER BY id',
	'{"epochs": 2, "batch_size": 16, "learning_rate": 3e-4, "weight_decay": 0.01, "train": "top:3",
	"max_length": 160, "threads": 1, "seed": 1,
	"eval_query": "SELECT tokens, labels FROM train.tag WHERE held_back ORDER BY id"}');
