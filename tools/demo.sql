-- What tools/demo runs: embeds and classifies a table of sentences.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset border 1
\timing off

CREATE EXTENSION bert;

CREATE TABLE review (
    id        int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body      text NOT NULL,
    embedding real[]
);

INSERT INTO review (body) VALUES
    ('The tent kept us perfectly dry through two nights of heavy rain; I love it.'),
    ('Zipper broke on the second day, and the shop never answered my mails.'),
    ('Battery lasts about three hours, which is nowhere near what the box promises.'),
    ('These boots are wonderful, my daughter wore them all winter.'),
    ('The headlamp dies without warning after an hour; useless on a night hike.'),
    ('Lovely fabric, warm and light, and it dries within minutes.'),
    ('Arrived a week late with a torn parcel and one pole missing.'),
    ('A wonderful little stove that boils water in three minutes.'),
    ('The instructions are a joke and half of the screws do not fit.'),
    ('Best sleeping bag I have ever owned, cosy even below freezing.'),
    ('It leaked from the first shower on; our clothes were soaked by morning.'),
    ('A bright, reliable lamp, and it runs for ages on one charge.');

\echo 'The models that come with the extension:'
SELECT name, head, source FROM bert.models ORDER BY name;

\echo 'A sentence as the model sees it:'
SELECT bert.tokenize(body) AS tokens FROM review WHERE id = 5;

\echo 'Embedding the table: UPDATE review SET embedding = bert.embed(body)'
UPDATE review SET embedding = bert.embed(body);
SELECT count(*) AS sentences, min(cardinality(embedding)) AS dimensions,
    sum(bert.count_tokens(body)) AS tokens FROM review;

-- Embeddings have length 1, so their inner product is the cosine.
CREATE FUNCTION cosine(a real[], b real[]) RETURNS float8
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT sum(x::float8 * y) FROM unnest(a, b) AS pair(x, y)';

\echo 'Nearest to "How long does the lamp run on one charge?":'
SELECT round(cosine(embedding, query)::numeric, 3) AS similarity, body
FROM review, bert.embed('How long does the lamp run on one charge?') AS query
ORDER BY 1 DESC LIMIT 3;

\echo 'Nearest to "waterproof in bad weather":'
SELECT round(cosine(embedding, query)::numeric, 3) AS similarity, body
FROM review, bert.embed('waterproof in bad weather') AS query
ORDER BY 1 DESC LIMIT 3;

\echo 'What they felt: bert.classify(body)'
SELECT label, round(score::numeric, 3) AS score, body
FROM review, bert.classify(body)
ORDER BY label DESC, score DESC;
