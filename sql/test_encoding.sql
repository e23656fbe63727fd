-- databases that are not UTF-8: texts are converted, positions are the database's characters,
-- invalid bytes are refused
\getenv abs_srcdir PG_ABS_SRCDIR
SELECT current_database() AS home \gset
SET client_min_messages = warning;
CREATE DATABASE bert_latin1 TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C';
CREATE DATABASE bert_euc_jp TEMPLATE template0 ENCODING 'EUC_JP' LOCALE 'C';
CREATE DATABASE bert_sql_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C';

\c bert_latin1
\encoding UTF8
CREATE EXTENSION bert;
SELECT count(*) AS not_fitting
FROM bert.import_model('m', :'abs_srcdir' || '/test/golden/models/bare');
SELECT tokens, starts, ends FROM bert.encode('Zoë était à Paris', model => 'm');
SELECT text, start_pos, end_pos,
	text = substr('Zoë était à Paris', start_pos + 1, end_pos - start_pos) AS slice
FROM bert.chunk('Zoë était à Paris', 'm', 4, 0);
SELECT bert.decode((bert.encode('Zoë', model => 'm')).input_ids, 'm');

\c bert_euc_jp
\encoding UTF8
CREATE EXTENSION bert;
SELECT count(*) AS not_fitting
FROM bert.import_model('m', :'abs_srcdir' || '/test/golden/models/bare');
SELECT tokens, starts, ends FROM bert.encode('東京 cat です', model => 'm');
SELECT text, start_pos, end_pos,
	text = substr('東京 cat です', start_pos + 1, end_pos - start_pos) AS slice
FROM bert.chunk('東京 cat です', 'm', 3, 0);

\c bert_sql_ascii
\encoding SQL_ASCII
CREATE EXTENSION bert;
SELECT count(*) AS not_fitting
FROM bert.import_model('m', :'abs_srcdir' || '/test/golden/models/bare');
-- characters are bytes here
SELECT tokens, starts, ends FROM bert.encode(E'Zo\xc3\xab cat', model => 'm');
SELECT text = substr(E'Zo\xc3\xab cat', start_pos + 1, end_pos - start_pos) AS slice
FROM bert.chunk(E'Zo\xc3\xab cat', 'm', 2, 0);
\set VERBOSITY sqlstate
SELECT bert.tokenize(E'cat \xff', model => 'm');
SELECT bert.embed(E'\xc3', 'm');
SELECT bert.embed('a', E'\xff\xfe');

\c :home
DROP DATABASE bert_latin1;
DROP DATABASE bert_euc_jp;
DROP DATABASE bert_sql_ascii;
