-- answer: where in a context a question is answered. answer_first once more with whole contexts
-- alone, which is what it is for.
SELECT bert.finetune('trained_answer', 'trained_answer_first', 'question_answering',
	'SELECT question, context, answer_text, answer_start FROM train.answer
	WHERE NOT held_back ORDER BY id',
	'{"epochs": 1, "batch_size": 8, "learning_rate": 5e-5, "weight_decay": 0.01, "train": "top:5",
	"frozen_dropout": true, "max_length": 320, "threads": 1, "seed": 1, "precision": "bf16"}');
