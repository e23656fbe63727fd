-- The names that the bundled model finds in everyday sentences: to be read, not scored.
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' -> '
SELECT body, (SELECT string_agg(entity || ':' || word, ', ' ORDER BY start_pos)
	FROM bert.entities(body, aggregation => 'first'))
FROM (VALUES
	('Angela Merkel met Tim Cook in Berlin on Tuesday.'),
	('i talked to sarah miller from the oslo office yesterday'),
	('my flight from london to new york was cancelled by british airways'),
	('Dear Mr Thompson, thank you for your letter of 3 March.'),
	('Please forward the invoice to Anna at Siemens before Friday.'),
	('Apple unveils new iPhone at event in Cupertino'),
	('Toyota recalls 50,000 cars in Canada'),
	('Manchester United beat Chelsea 2-1 at Old Trafford'),
	('Storm hits Florida coast, thousands without power'),
	('The Rolling Stones will play in Hamburg next summer.'),
	('We are staying at the Hilton in Prague until Sunday.'),
	('Can you ask Peter whether the contract with IBM is signed?'),
	('She studied physics at the University of Vienna.'),
	('The River Thames flows through London.'),
	('Amazon opens its second office in Dublin.'),
	('I bought these shoes at Walmart and they fell apart.'),
	('The French president visited Warsaw and Kiev.'),
	('Google was founded by Larry Page and Sergey Brin.'),
	('He read War and Peace on the train to Moscow.'),
	('The United Nations sent a report to Switzerland.'),
	('kate and john are moving to texas'),
	('Contact: Maria Lopez, Red Cross, Madrid'),
	('Microsoft hires former Nokia manager'),
	('The Great Wall of China is visible from the hill.'),
	('Mozart was born in Salzburg in 1756.'),
	('The meeting with Deutsche Bank has been moved to Monday.'),
	('My neighbour Ahmed works for Lufthansa.'),
	('Nothing important happened today.'),
	('The new phone has a better camera than the old one.'),
	('Barack Obama spoke at Harvard about climate change.')) AS v (body);
