-- choose: which of some endings or answers goes on best. Two fifths of HellaSwag's training rows,
-- whose endings are long, and all of CODAH's and ARC's.
SELECT bert.finetune('trained_choose', 'minilm', 'multiple_choice',
	$$SELECT prompt, choices, label FROM train.choice
	WHERE NOT held_back AND (source <> 'hellaswag' OR id % 5 < 2) ORDER BY md5(prompt)$$,
	'{"epochs": 1, "batch_size": 8, "learning_rate": 2e-4, "weight_decay": 0.01, "train": "top:3",
	"max_length": 128, "threads": 1, "seed": 1}');
