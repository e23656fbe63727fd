-- What tools/demo runs: every task on one table, each with a model that comes along. psql prints
-- each statement before its result.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset border 1
\pset null '-'
\timing off
SET client_min_messages = warning;

CREATE EXTENSION bert;

CREATE TABLE message (
    id        int PRIMARY KEY,
    body      text NOT NULL,
    team      text,
    embedding real[]
);

INSERT INTO message VALUES
    (1, 'The tent kept us perfectly dry through two nights of heavy rain; I love it.', 'praise'),
    (2, 'Zipper broke on the second day. This is the worst jacket I have ever bought.', 'warranty'),
    (3, 'Maria Keller from Hamburg asks whether the boots can be sent to Denmark.', 'delivery'),
    (4, 'These boots are wonderful, my daughter wore them all winter.', 'praise'),
    (5, 'The headlamp dies without warning after an hour; useless on a night hike.', 'warranty'),
    (6, 'Lovely fabric, warm and light, and it dries within minutes.', 'praise'),
    (7, 'My parcel is a week late, and nobody at Siemens in Oslo answers the phone.', 'delivery'),
    (8, 'A wonderful little stove that boils water in three minutes.', 'praise'),
    (9, 'The instructions are a joke and half of the screws do not fit.', 'warranty'),
    (10, 'Best sleeping bag I have ever owned, cosy even below freezing.', 'praise'),
    (11, 'It leaked from the first shower on; our clothes were soaked by morning.', 'warranty'),
    (12, 'A bright, reliable lamp, and it runs for ages on one charge.', 'praise'),
    (13, 'The courier left the box with a neighbour in Oslo, who is on holiday.', 'delivery'),
    (14, 'Please send the replacement poles to my office in Vienna instead.', 'delivery'),
    (15, 'The sole of the left boot came off after three walks.', 'warranty'),
    (16, 'Tracking says delivered, but there is no parcel in front of my door.', 'delivery');

\set ECHO queries

\echo '== The models that come with the extension'
SELECT name, head, array_to_string(labels, ' ') AS labels FROM bert.models ORDER BY name;

\echo '== Classes: what people felt'
SELECT (c).label, round((c).score::numeric, 3) AS score, body
FROM (SELECT bert.classify(body) AS c, body FROM message WHERE id <= 8) AS m;

\echo '== Embeddings: a column of them, and the nearest neighbours of a question'
UPDATE message SET embedding = bert.embed(body);

SELECT round(bert.similarity(embedding, bert.embed('Where is my order?'))::numeric, 3) AS near,
       body
FROM message ORDER BY 1 DESC LIMIT 3;

\echo '== Search: the texts that fit a question, best first'
SELECT round(score::numeric, 3) AS score, text
FROM bert.rank('Which lamp lasts long?', ARRAY(SELECT body FROM message)) LIMIT 3;

\echo '== Classes without training: labels in words of your own'
SELECT z.label, round(z.score::numeric, 2) AS score, body
FROM message, LATERAL (
    SELECT * FROM bert.zero_shot(body, '{delivery,broken product,praise}') LIMIT 1) AS z
WHERE id IN (2, 4, 7, 9, 16);

\echo '== Names'
SELECT id, entity, word, substr(body, start_pos + 1, end_pos - start_pos) AS in_the_text
FROM message, bert.entities(body) WHERE id IN (3, 7, 13) ORDER BY id, start_pos;

\echo '== Parts of speech'
SELECT string_agg(token || '/' || label, ' ' ORDER BY index) AS tagged
FROM message, bert.tag(body) WHERE id = 8;

\echo '== An answer, and where it stands'
SELECT answer, round(score::numeric, 2) AS score, start_pos, body
FROM message, bert.answer('How long does it take to boil water?', body) WHERE id = 8;

\echo '== A missing word'
SELECT token, round(score::numeric, 2) AS score, sequence
FROM bert.fill_mask('Please send the replacement to my [MASK] in Vienna.', top_k => 3);

\echo '== Which kinds of names a text has; which answer fits'
SELECT id, bert.labels(body) AS mentions, body FROM message WHERE id IN (3, 7, 12);
SELECT text FROM bert.choose('My parcel has not arrived.',
    '{Reset your password.,Ask the courier where it is.,Wash it at thirty degrees.}');

\echo '== What belongs together'
SELECT round(bert.next_sentence(body, 'I will never buy from this shop again.')::numeric, 2)
           AS follows,
       round(bert.regress(body, pair => 'The zip of the coat is broken.')::numeric, 1)
           AS similarity_0_to_5,
       body
FROM message WHERE id IN (2, 3);

\echo '== A model of your own, trained on the team that answered. A background worker does it.'
SET client_min_messages = notice;
SELECT bert.finetune('router', 'minilm', 'sequence_classification',
    'SELECT body AS input, team AS label FROM message',
    '{"epochs": 20, "batch_size": 4, "learning_rate": 2e-4, "train": "top:3"}') AS job \gset
SELECT bert.wait_job(:job);
SET client_min_messages = warning;

SELECT epoch::numeric(4, 1), avg(loss)::numeric(5, 3) AS loss
FROM bert.job_metrics WHERE job = :job AND step % 20 = 0 GROUP BY epoch ORDER BY epoch;

SELECT bert.label(body, 'router') AS team, body
FROM (VALUES ('When will my order come?'), ('The strap of my rucksack tore today.'),
             ('Great gloves, thank you!')) AS new (body);

\set ECHO none
\echo 'The report of the training, a page of HTML: SELECT bert.job_report(':job')'
\t on
\a
\o :report
SELECT bert.job_report(:job);
\o
