-- language: masked words and next sentences.
\ir pairs.sql

SELECT bert.finetune('trained_language', 'minilm', 'pretraining',
	'SELECT input, pair, label FROM train.pair WHERE NOT held_back AND id <= 8000 ORDER BY id',
	'{"epochs": 1, "batch_size": 4, "learning_rate": 5e-4, "weight_decay": 0.01, "train": "top:3",
	"max_length": 96, "threads": 1, "seed": 1, "dropout": 0, "mask_probability": 0.3,
	"eval_steps": 500, "eval_query": "SELECT input, pair, label FROM train.pair
	WHERE held_back AND id % 20 = 0 ORDER BY id"}');
