-- mentions: which kinds of names a text has.
CREATE OR REPLACE VIEW train.mention AS
SELECT source, number, held_back, array_to_string(tokens, ' ') AS input,
	(SELECT coalesce(array_agg(DISTINCT kind), '{}') FROM unnest(labels) AS l
		JOIN (VALUES ('PER', 'person'), ('ORG', 'organization'), ('LOC', 'location'),
			('MISC', 'other name')) AS k (code, kind) ON substr(l, 3) = code) AS label
FROM train.entities;

SELECT bert.finetune('trained_mentions', 'minilm', 'sequence_classification',
	'SELECT input, label FROM train.mention WHERE NOT held_back ORDER BY md5(input)',
	'{"epochs": 3, "batch_size": 16, "learning_rate": 3e-4, "weight_decay": 0.01, "train": "top:2",
	"max_length": 128, "threads": 1, "seed": 1}');
