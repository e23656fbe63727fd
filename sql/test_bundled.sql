-- the tasks that have a bundled model, which answers when none is named
SET client_min_messages = warning;
SELECT name, head, base FROM bert.models WHERE source = 'bundled' ORDER BY name;
SELECT name FROM bert.models WHERE source = 'bundled' AND description IS NULL;
SELECT label FROM bert.classify('What a lovely evening, thank you all!');
SELECT entity, word FROM bert.entities('Angela Merkel met the head of Siemens in Berlin.');
SELECT token, label FROM bert.tag('The old man quickly ate two apples.');
SELECT answer FROM bert.answer('Where was the treaty signed?',
	'After two years of talks the treaty was signed in Vienna in May 1815.');
SELECT answer FROM bert.answers('Who painted it?', 'It was painted by Rembrandt in 1642.',
	top_k => 1);
SELECT bert.next_sentence('She bought a new bicycle last week.', 'It was stolen from her garage.')
	> bert.next_sentence('She bought a new bicycle last week.',
		'The Senate passed the bill on agriculture in 1934.') AS belongs;
SELECT bert.regress('A man is playing a guitar.', pair => 'A man plays the guitar.') > 3.5 AS alike,
	bert.regress('A man is playing a guitar.', pair => 'Stocks fell on Monday.') < 1.5 AS unlike;
SELECT document FROM bert.rank('Who plays music?', '{Stocks fell.,The band is on stage.}') LIMIT 1;
SELECT bert.labels('Angela Merkel met Tim Cook in Berlin.') AS mentions,
	bert.labels('The zipper broke after two days.') AS none;
SELECT sequence FROM bert.fill_mask('I would like a cup of [MASK], please.', top_k => 1);
SELECT bert.pseudo_perplexity('The children go to school every morning.')
	< bert.pseudo_perplexity('The school go children to every morning.') AS usual;
SELECT label FROM bert.classify('The striker scored twice in the second half.', 'topic');
SELECT text FROM bert.choose('Which of these do plants need to grow?',
	'{telephones,sunlight,shoes,music}');

-- the others
SELECT bert.generate('Once upon a time');
