-- which model does a task when none is named: bert.default_model; name:precision
\getenv abs_srcdir PG_ABS_SRCDIR
\set golden :abs_srcdir '/test/golden/models/'
SET client_min_messages = warning;
SELECT count(*) AS models
FROM (VALUES ('bare'), ('classifier'), ('regression'), ('tagger'), ('answerer'), ('masked_lm'),
	('pretraining'), ('next_sentence'), ('multiple_choice'), ('causal_lm')) AS v (f),
	LATERAL (SELECT count(*) FROM bert.import_model(f, :'golden' || f)) AS i;

-- one model for all tasks that it can do: for the others the bundled ones
SET bert.default_model = 'classifier';
SELECT bert.classify('the cat') = bert.classify('the cat', 'classifier') AS classify,
	bert.embed('the cat') = bert.embed('the cat', 'classifier') AS embed,
	(SELECT score FROM bert.rank('a', '{b}'))
		= (SELECT score FROM bert.rank('a', '{b}', 'minilm')) AS rank_bundled;
SET bert.default_model = 'regression';
SELECT bert.regress('the cat') = bert.regress('the cat', 'regression') AS regress,
	bert.classify('the cat') = bert.classify('the cat', 'sentiment') AS classify_bundled,
	(SELECT score FROM bert.rank('a', '{b}'))
		= (SELECT score FROM bert.rank('a', '{b}', 'regression')) AS rank;
SET bert.default_model = 'pretraining';
SELECT bert.next_sentence('a', 'b') = bert.next_sentence('a', 'b', 'pretraining') AS next_sentence,
	(SELECT token FROM bert.fill_mask('a [MASK]', top_k => 1))
		= (SELECT token FROM bert.fill_mask('a [MASK]', 'pretraining', 1)) AS fill_mask;
SELECT bert.generate('a');
SET bert.default_model = 'sentiment';
SELECT bert.answer('a', 'b c') = bert.answer('a', 'b c', 'answer') AS answer_bundled;
SELECT bert.generate('a');

-- one for each task, and one for the others
SET bert.default_model = ' embed = bare , classify=classifier,regress=regression, tag=tagger,'
	' entities=tagger, answer=answerer, fill_mask=masked_lm, next_sentence=next_sentence,'
	' choose=multiple_choice, generate=causal_lm, rank=bare';
SELECT bert.embed('the cat') = bert.embed('the cat', 'bare') AS embed,
	bert.tokenize('the cat') = bert.tokenize('the cat', 'bare') AS tokenize,
	bert.classify('the cat') = bert.classify('the cat', 'classifier') AS classify,
	bert.regress('the cat') = bert.regress('the cat', 'regression') AS regress,
	(SELECT array_agg(t) FROM bert.tag('a cat') AS t)
		= (SELECT array_agg(t) FROM bert.tag('a cat', 'tagger') AS t) AS tag,
	(SELECT array_agg(e) FROM bert.entities('a cat') AS e)
		= (SELECT array_agg(e) FROM bert.entities('a cat', 'tagger') AS e) AS entities,
	bert.answer('a', 'b c') = bert.answer('a', 'b c', 'answerer') AS answer,
	(SELECT token FROM bert.fill_mask('a [MASK]', top_k => 1))
		= (SELECT token FROM bert.fill_mask('a [MASK]', 'masked_lm', 1)) AS fill_mask;
SELECT bert.next_sentence('a', 'b') = bert.next_sentence('a', 'b', 'next_sentence') AS next,
	bert.choose('a', '{b,c}') = bert.choose('a', '{b,c}', 'multiple_choice') AS choose,
	bert.generate('a') = bert.generate('a', 'causal_lm') AS generate,
	(SELECT score FROM bert.rank('a', '{b}'))
		= (SELECT score FROM bert.rank('a', '{b}', 'bare')) AS rank;
SET bert.default_model = 'classifier, embed=bare';
SELECT bert.embed('the cat') = bert.embed('the cat', 'bare') AS embed,
	bert.classify('the cat') = bert.classify('the cat', 'classifier') AS classify;
SET bert.default_model = 'tag=tagger';
SELECT bert.embed('the cat') = bert.embed('the cat', 'minilm') AS embed_bundled;

-- within one statement, and with a model of another name
SELECT bert.label('the cat') = bert.label('the cat', 'sentiment') AS bundled,
	set_config('bert.default_model', 'classify=classifier', false) AS set_to,
	bert.label('the cat', 'classifier') IS NOT NULL AS named;
SELECT bert.classify('the cat') = bert.classify('the cat', 'classifier') AS then_the_other;

-- what is wrong with the choice, the error says
SET bert.default_model = 'tag=classifier';
SELECT bert.tag('a');
SET bert.default_model = 'clasifier';
SELECT bert.embed('a');
SET bert.default_model = 'embed=no_such';
SELECT bert.embed('a');
SELECT bert.classify('the cat') = bert.classify('the cat', 'sentiment') AS others_do_not_mind;
CREATE ROLE regress_bert_choice;
SET bert.default_model = 'bare';
SET ROLE regress_bert_choice;
SELECT bert.embed('a');
RESET ROLE;
DROP ROLE regress_bert_choice;
SET bert.default_model = 'clasify=classifier';
SET bert.default_model = 'translate=classifier';
SET bert.default_model = '=classifier';
SET bert.default_model = 'embed=';
SET bert.default_model = 'embed=bare,';
SET bert.default_model = 'embed=bare, embed=classifier';
SET bert.default_model = 'bare, classifier';
SELECT set_config('bert.default_model', 'embed=' || repeat('x', 128), false);
SHOW bert.default_model;
SET bert.default_model = '  ';
SELECT bert.embed('the cat') = bert.embed('the cat', 'minilm') AS empty_means_bundled;
RESET bert.default_model;

-- another precision, without a copy: of a model of one's own, of a bundled one, in the setting
SELECT bert.copy_model('bare', 'copy') > 0 AS copied, bert.set_precision('copy', 'int8');
SELECT bert.embed('the cat', 'bare:int8') = bert.embed('the cat', 'copy') AS as_set,
	bert.embed('the cat', 'bare:int8') <> bert.embed('the cat', 'bare') AS another,
	bert.embed('the cat', 'bare:fp32') = bert.embed('the cat', 'bare') AS its_own,
	bert.embed('the cat', 'copy:fp32') = bert.embed('the cat', 'bare') AS back,
	bert.similarity(bert.embed('the cat', 'bare:bf16'), bert.embed('the cat', 'bare'))
		> 0.999 AS near;
SELECT name, precision FROM bert.models WHERE name LIKE 'bare%' OR name = 'copy' ORDER BY name;
SELECT bert.copy_model('minilm', 'mini') > 0 AS copied, bert.set_precision('mini', 'bf16');
SELECT bert.embed('the cat', 'minilm:bf16') = bert.embed('the cat', 'mini') AS bundled,
	bert.embed('the cat', 'mini:int8') = bert.embed('the cat', 'minilm:int8') AS both_in_a_third;
SET bert.default_model = 'embed=minilm:bf16';
SELECT bert.embed('the cat') = bert.embed('the cat', 'mini') AS by_the_setting;
CREATE TABLE choice (id int PRIMARY KEY, body text, e real[]);
SELECT bert.auto_embed('choice', 'body', 'e');
SELECT model AS kept_by_auto_embed FROM bert.auto_embeds;
DROP TABLE choice;
RESET bert.default_model;
SELECT bert.label('the cat', 'sentiment:int8') = bert.label('the cat', 'sentiment') AS classify;
SELECT bert.embed('the cat', 'bare:int4');
SELECT bert.embed('the cat', 'bare:');
SELECT bert.embed('the cat', 'bear:int8');
SELECT bert.copy_model('bare', 'bare:int8');
SELECT bert.copy_model('bare:int8', 'quick') > 0 AS copied;
SELECT precision FROM bert.models WHERE name = 'quick';

-- a pin holds the precision, whatever the model is set to later
SELECT bert.pinned('bare:int8') AS pin, bert.pinned('bare') AS own_pin \gset
SELECT bert.embed_pinned('the cat', :'pin') = bert.embed('the cat', 'bare:int8') AS pinned,
	bert.pinned('bare:fp32') = :'own_pin' AS own, :'pin' <> :'own_pin' AS another,
	bert.pinned(:'pin') = :'pin' AS of_a_pin;
SELECT bert.set_precision('bare', 'bf16');
SELECT bert.embed_pinned('the cat', :'pin') = bert.embed('the cat', 'copy') AS pinned,
	bert.embed_pinned('the cat', :'own_pin') = bert.embed('the cat', 'bare:fp32') AS own;
SELECT bert.embed_pinned('the cat', bert.pinned('minilm:int8'))
	= bert.embed('the cat', 'minilm:int8') AS bundled;
SELECT bert.drop_model(name) FROM bert.models WHERE source <> 'bundled';
