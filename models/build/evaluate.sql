-- What the models are worth on rows that they were not trained with. Names of other models than the
-- bundled ones: psql -v entities=trained_entities ...
\pset format aligned
\if :{?entities} \else \set entities entities
\endif
\if :{?pos} \else \set pos pos
\endif
\if :{?similarity} \else \set similarity similarity
\endif
\if :{?answer} \else \set answer answer
\endif
\if :{?follows} \else \set follows follows
\endif
\if :{?sentiment} \else \set sentiment sentiment
\endif
\echo entities: wikigold
SELECT * FROM bert.evaluate(:'entities', 'token_classification', $$SELECT tokens, labels
	FROM train.entities WHERE held_back AND source = 'wikigold' ORDER BY number$$);
\echo 'entities: web text (no miscellaneous names are marked in it: found ones count as wrong)'
SELECT * FROM bert.evaluate(:'entities', 'token_classification', $$SELECT tokens, labels
	FROM train.entities WHERE held_back AND source = 'uner_en_ewt' ORDER BY number$$);
\echo pos
SELECT * FROM bert.evaluate(:'pos', 'token_classification',
	'SELECT tokens, labels FROM train.tag WHERE held_back ORDER BY id');
\echo similarity
SELECT * FROM bert.evaluate(:'similarity', 'regression', 'SELECT a AS input, b AS pair,
	score AS label FROM train.similarity WHERE held_back ORDER BY id');
\echo sentiment
SELECT * FROM bert.evaluate(:'sentiment', 'sequence_classification', 'SELECT body AS input,
	label FROM train.sentiment WHERE held_back ORDER BY id');
\echo answer
SELECT * FROM bert.evaluate(:'answer', 'question_answering', 'SELECT question, context,
	answer_text, answer_start FROM train.answer WHERE held_back ORDER BY id');
\echo follows
SELECT * FROM bert.evaluate(:'follows', 'next_sentence', 'SELECT input, pair, label
	FROM train.pair WHERE held_back ORDER BY id');
