-- entities: names. entities_second once more with what people have marked by the same rules: all of
-- Wikigold, twice, and the web text. Tweets are marked by others. So where a name begins, where it
-- ends and what kind it is come out as people would say.
CREATE OR REPLACE VIEW train.entity_exact AS
SELECT tokens, labels FROM train.entity_row WHERE source <> 'wnut17'
UNION ALL
SELECT tokens, labels FROM train.entity_row WHERE source = 'wikigold';

SELECT bert.finetune('trained_entities', 'trained_entities_second', 'token_classification',
	'SELECT tokens, labels FROM train.entity_exact ORDER BY md5(tokens::text)',
	'{"epochs": 1, "batch_size": 16, "learning_rate": 1e-4, "weight_decay": 0.01, "train": "top:6",
	"max_length": 128, "threads": 1, "seed": 5, "precision": "bf16"}');
