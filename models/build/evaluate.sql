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
\if :{?language} \else \set language language
\endif
\if :{?topic} \else \set topic topic
\endif
\if :{?mentions} \else \set mentions mentions
\endif
\if :{?choose} \else \set choose choose
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
\echo language: masked words of pairs of texts, and whether the second follows
SELECT * FROM bert.evaluate(:'language', 'pretraining', 'SELECT input, pair, label
	FROM train.pair WHERE held_back ORDER BY id');
\echo topic
SELECT * FROM bert.evaluate(:'topic', 'sequence_classification', 'SELECT body AS input,
	topic AS label FROM train.topic WHERE held_back ORDER BY id');
\echo mentions: Wikigold, web text
SELECT source, m.* FROM (VALUES ('wikigold'), ('uner_en_ewt')) AS s (source),
	bert.evaluate(:'mentions', 'sequence_classification', format('SELECT input, label
	FROM train.mention WHERE held_back AND source = %L ORDER BY number', source)) AS m;
\echo choose: HellaSwag, CODAH, ARC
SELECT source, m.* FROM (VALUES ('hellaswag'), ('codah'), ('arc')) AS s (source),
	bert.evaluate(:'choose', 'multiple_choice', format('SELECT prompt, choices, label
	FROM train.choice WHERE held_back AND source = %L ORDER BY id', source)) AS m;
-- No cross-encoder comes along: psql -v rank=trained_rank measures one.
\if :{?rank}
\echo 'rank: 382 questions of held-back articles, the right one among the ten nearest paragraphs'
CREATE TEMP TABLE paragraph AS
	SELECT row_number() OVER (ORDER BY min(id)) AS id, context, bert.embed(context) AS e
	FROM train.answer WHERE held_back GROUP BY context;
CREATE TEMP TABLE asked AS
	SELECT a.id, question, p.id AS wanted, bert.embed_query(question) AS e
	FROM train.answer AS a JOIN paragraph AS p USING (context) WHERE held_back AND a.id % 3 = 0;
CREATE TEMP TABLE nearest AS
	SELECT a.id, question, wanted, array_agg(p.id ORDER BY p.place) AS ids,
		array_agg(p.context ORDER BY p.place) AS contexts
	FROM asked AS a, LATERAL (SELECT p.id, p.context,
		row_number() OVER (ORDER BY bert.similarity(p.e, a.e) DESC) AS place FROM paragraph AS p
		ORDER BY place LIMIT 10) AS p GROUP BY a.id, question, wanted;
WITH ranked AS (
	SELECT n.id, min(place) FILTER (WHERE ids[document] = wanted) AS place
	FROM nearest AS n, bert.rank(question, contexts, :'rank')
		WITH ORDINALITY AS r (document, score, text, place)
	GROUP BY n.id)
SELECT count(*) AS questions,
	avg(coalesce(1.0 / array_position(ids, wanted), 0))::numeric(4, 3) AS encoder_mrr,
	avg(coalesce(1.0 / place, 0))::numeric(4, 3) AS reranked_mrr,
	avg((array_position(ids, wanted) IS NOT DISTINCT FROM 1)::int)::numeric(4, 3) AS encoder_first,
	avg((place IS NOT DISTINCT FROM 1)::int)::numeric(4, 3) AS reranked_first
FROM nearest JOIN ranked USING (id);
\endif
