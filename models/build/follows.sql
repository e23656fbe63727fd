-- follows: whether a text follows another.
\ir pairs.sql

SELECT bert.finetune('trained_follows', 'minilm', 'next_sentence',
	'SELECT input, pair, label FROM train.pair WHERE NOT held_back AND id <= 2800 ORDER BY id',
	'{"epochs": 1, "batch_size": 8, "learning_rate": 2e-4, "weight_decay": 0.01, "train": "top:3",
	"max_length": 96, "threads": 1, "seed": 1}');
