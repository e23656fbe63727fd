-- language: masked words and next sentences.
\ir pairs.sql

SELECT bert.finetune('trained_language', 'minilm', 'pretraining',
	'SELECT input, pair, label FROM train.pair WHERE NOT held_back AND id <= 45000 ORDER BY id',
	'{"epochs": 1, "batch_size": 16, "learning_rate": 7e-4, "weight_decay": 0.01, "train": "top:4",
	"max_length": 96, "threads": 1, "seed": 1, "dropout": 0, "mask_probability": 0.25,
	"eval_steps": 1000, "eval_query":
	"SELECT input, pair, label FROM train.pair WHERE held_back AND id % 8 = 0 ORDER BY id"}');
