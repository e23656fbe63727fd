-- The tables that load.py fills. A row's number keeps the order of the file.
CREATE SCHEMA IF NOT EXISTS train;
CREATE TABLE IF NOT EXISTS train.entities (source text, number int, tokens text[], labels text[],
	held_back bool);
CREATE TABLE IF NOT EXISTS train.tag (id serial, tokens text[], labels text[], held_back bool);
CREATE TABLE IF NOT EXISTS train.topic (id serial, body text, topic text, held_back bool);
CREATE TABLE IF NOT EXISTS train.similarity (id serial, a text, b text, score float8,
	held_back bool);
CREATE TABLE IF NOT EXISTS train.sentiment (id serial, body text, label text, held_back bool);
CREATE TABLE IF NOT EXISTS train.answer (id serial, article text, question text, context text,
	answer_text text, answer_start int, answers text[], held_back bool);
CREATE TABLE IF NOT EXISTS train.document (id serial, source text, body text, held_back bool);
CREATE TABLE IF NOT EXISTS train.choice (id serial, source text, prompt text, choices text[],
	label int, held_back bool);
CREATE TABLE IF NOT EXISTS train.question (id serial, question text, sentence text, label bool);
