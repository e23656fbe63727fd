-- The words that the bundled model puts into everyday sentences: to be read, not scored.
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' -> '
SELECT body, (SELECT string_agg(trim(token), ', ' ORDER BY score DESC)
	FROM bert.fill_mask(body, top_k => 5))
FROM (VALUES
	('Paris is the [MASK] of France.'),
	('She opened the [MASK] and went into the house.'),
	('The cat sat on the [MASK].'),
	('He was born in London in [MASK].'),
	('The president of the United [MASK] gave a speech.'),
	('I would like a cup of [MASK], please.'),
	('The children go to [MASK] every morning.'),
	('He played [MASK] for the national team.'),
	('The river flows into the [MASK].'),
	('Two plus two is [MASK].'),
	('The film was directed by a young [MASK].'),
	('They were married and had two [MASK].'),
	('The book was published in New [MASK].'),
	('It was very cold, so he put on his [MASK].'),
	('The doctor went to the [MASK] to see his patients.'),
	('In the evening the sun [MASK].'),
	('She is a professor at the [MASK] of Oxford.'),
	('The train leaves the [MASK] at noon.'),
	('Please close the [MASK], it is cold outside.'),
	('The war ended in [MASK].')) AS s (body);
