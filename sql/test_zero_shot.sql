-- labels without training: by similarity, and as the reference's zero-shot pipeline
\getenv abs_srcdir PG_ABS_SRCDIR
\set golden :abs_srcdir '/test/golden/models/'
SET client_min_messages = warning;

-- the bundled encoder
SELECT label, score > 0.5 AS sure
FROM bert.zero_shot('The team won the final in overtime.', '{World,Sports,Business}') LIMIT 1;
SELECT round(sum(score)::numeric, 5) AS whole, count(*) FROM bert.zero_shot('', '{a,b,c}');
SELECT label FROM bert.zero_shot('A new phone was shown, with a faster chip.',
	ARRAY['Sports', 'Business', 'Science and technology', 'Sci/Tech', 'arts, music or dance'])
	LIMIT 2;
-- each label alone: what one scores does not depend on the others
SELECT a.score = b.score AS same
FROM bert.zero_shot('The final was won.', '{Sports,World}', multi_label => true) AS a
JOIN bert.zero_shot('The final was won.', '{Sports,Art,War}', multi_label => true) AS b
	USING (label);
-- a label of parts is as good as the best of them; separators at the ends are no parts
SELECT max(score) = min(score) AS by_parts
FROM (SELECT score FROM bert.zero_shot('The final was won.', '{Sports/War}', multi_label => true)
	UNION ALL SELECT max(score)
	FROM bert.zero_shot('The final was won.', '{Sports,War}', multi_label => true)) AS s;
SELECT label, round(score::numeric, 4) AS score
FROM bert.zero_shot('x', ARRAY['/', '']) ORDER BY label;
-- the template is the score's: other words, other numbers; equal ones, the same
SELECT a.score = b.score AS same, a.score <> c.score AS other
FROM bert.zero_shot('Won.', '{Sports,War}') AS a
JOIN bert.zero_shot('Won.', '{Sports,War}', hypothesis_template => 'This is about {}') AS b
	USING (label)
JOIN bert.zero_shot('Won.', '{Sports,War}', hypothesis_template => 'I love {}.') AS c USING (label)
WHERE label = 'Sports';
-- what is wrong is said
SELECT * FROM bert.zero_shot('x', '{}');
SELECT * FROM bert.zero_shot('x', '{a,NULL}');
SELECT * FROM bert.zero_shot('x', '{a}', hypothesis_template => 'no place');
SELECT * FROM bert.zero_shot('x', '{a}', 'sentiment');
SELECT count(*) FROM bert.zero_shot(NULL, '{a}');
SELECT count(*) FROM bert.zero_shot('x', NULL);

-- entailment: order and scores of test/golden/generate_zero_shot.py, whatever the labels' order and
-- case; a classifier that names no entailment is the default of other tasks only
SELECT count(*) FROM bert.import_model('nli', :'golden' || 'classifier');
SET bert.default_model = 'nli';
SELECT label FROM bert.zero_shot('The final was won.', '{Sports,War}') LIMIT 1;
RESET bert.default_model;
SELECT * FROM bert.zero_shot('x', '{a}', 'nli');
CREATE TABLE pipeline (names text[], alone bool, labels text[], scores real[]);
INSERT INTO pipeline VALUES
	('{contradiction,neutral,entailment}', false, '{"a dog","the cat","london and paris"}',
		'{0.3472853,0.3348452,0.3178695}'),
	('{contradiction,neutral,entailment}', false, '{"the cat"}', '{0.3950453}'),
	('{contradiction,neutral,entailment}', true, '{"a dog","the cat","london and paris"}',
		'{0.4172668,0.3950453,0.3825310}'),
	('{contradiction,neutral,entailment}', true, '{"the cat"}', '{0.3950453}'),
	('{ENTAILMENT,NEUTRAL,CONTRADICTION}', false, '{"london and paris","the cat","a dog"}',
		'{0.3396037,0.3393870,0.3210092}'),
	('{ENTAILMENT,NEUTRAL,CONTRADICTION}', false, '{"the cat"}', '{0.6049548}'),
	('{ENTAILMENT,NEUTRAL,CONTRADICTION}', true, '{"london and paris","the cat","a dog"}',
		'{0.6174689,0.6049548,0.5827333}'),
	('{ENTAILMENT,NEUTRAL,CONTRADICTION}', true, '{"the cat"}', '{0.6049548}'),
	('{contradiction,entailment,neutral}', false, '{"london and paris","the cat","a dog"}',
		'{0.3745514,0.3170174,0.3084313}'),
	('{contradiction,entailment,neutral}', false, '{"the cat"}', '{0.2808959}'),
	('{contradiction,entailment,neutral}', true, '{"london and paris","a dog","the cat"}',
		'{0.3156387,0.2866300,0.2808959}'),
	('{contradiction,entailment,neutral}', true, '{"the cat"}', '{0.2808959}');
CREATE FUNCTION wrong(named text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
	PERFORM bert.alter_model('nli', jsonb_build_object('labels', to_jsonb(named)));
	SELECT count(*) INTO n FROM pipeline AS p, LATERAL (SELECT array_agg(z.label) AS labels,
			array_agg(z.score) AS scores FROM bert.zero_shot('John lives in Paris.',
			ARRAY(SELECT l FROM unnest(p.labels) AS l ORDER BY l), 'nli',
			multi_label => p.alone) AS z) AS z
	WHERE p.names = named AND (z.labels <> p.labels OR EXISTS (SELECT
		FROM unnest(p.scores, z.scores) AS s (a, b) WHERE abs(a - b) > 1e-5));
	RETURN n;
END $$;
SELECT names, count(*), wrong(names) FROM pipeline GROUP BY names ORDER BY names;
-- without a contradiction only labels against each other
SELECT bert.alter_model('nli', '{"labels": ["entailment", "x", "y"]}') > 0 AS altered;
SELECT count(*) FROM bert.zero_shot('x', '{a,b}', 'nli');
SELECT count(*) FROM bert.zero_shot('x', '{a,b}', 'nli', multi_label => true);
SELECT bert.alter_model('nli', '{"labels": ["LABEL_0", "LABEL_1", "LABEL_2"]}') > 0 AS altered;
SELECT * FROM bert.zero_shot('x', '{a}', 'nli');
SELECT bert.drop_model('nli');
DROP FUNCTION wrong;
DROP TABLE pipeline;
