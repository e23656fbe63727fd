-- the catalog's view of the extension: every object explained, names that need no quotes, and the
-- model where the contract says

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'bert'
	-- from 18 on types that come by themselves are members, too: of arrays and of relations' rows
	AND NOT (d.classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type AS t
		LEFT JOIN pg_class AS c ON c.oid = t.typrelid
		WHERE t.oid = d.objid AND (t.typcategory = 'A' OR c.relkind <> 'c')));

-- objects, columns of views and attributes of types without a comment
SELECT pg_describe_object(classid, objid, 0) AS without_comment FROM pg_temp.member
WHERE obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)) IS NULL
ORDER BY 1;
SELECT c.relname, a.attname AS without_comment
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relkind IN ('v', 'c') AND c.relnamespace = 'bert'::regnamespace AND NOT a.attisdropped
	AND col_description(c.oid, a.attnum) IS NULL
ORDER BY 1, a.attnum;

-- arguments' names that need quotes in "name => value", and columns' that do in a query
SELECT p.oid::regprocedure AS function, n.name AS needs_quotes
FROM pg_temp.member AS m JOIN pg_proc AS p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass,
	unnest(p.proargnames, p.proargmodes) AS n (name, mode)
	LEFT JOIN pg_get_keywords() AS k ON k.word = n.name
WHERE n.name !~ '^[a-z_][a-z0-9_]*$'
	OR k.catcode = 'R'
		OR (coalesce(n.mode, 'i') IN ('i', 'b', 'v') AND quote_ident(n.name) <> n.name)
ORDER BY 1, 2;
SELECT c.relname, a.attname AS needs_quotes
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
	LEFT JOIN pg_get_keywords() AS k ON k.word = a.attname
WHERE c.relkind IN ('v', 'c', 'r') AND c.relnamespace = 'bert'::regnamespace
	AND NOT a.attisdropped AND (a.attname !~ '^[a-z_][a-z0-9_]*$' OR k.catcode IN ('R', 'T'))
ORDER BY 1, 2;

-- Functions that take a model: inputs, which have no default, then model, then options, which have
-- one. What is left is named: functions on a model, evaluate, whose rows come from a query.
CREATE TEMP VIEW function AS
SELECT p.oid, p.proname, p.proargnames[1:p.pronargs] AS names,
	p.pronargs - p.pronargdefaults AS required,
	p.proargtypes::oid[] AS types, pg_get_function_arguments(p.oid) AS arguments
FROM pg_temp.member AS m JOIN pg_proc AS p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass;
SELECT oid::regprocedure AS not_by_the_contract, names FROM pg_temp.function
WHERE 'model' = ANY (names)
	AND array_position(names, 'model') IS DISTINCT FROM required + 1
	AND NOT (proname LIKE 'list\_%') ORDER BY 1;
SELECT oid::regprocedure AS not_optional, names FROM pg_temp.function
WHERE names && '{pair,pairs,overflow,pooling,normalize_embeddings,prompt_name,threshold}'
	AND NOT ('model' = ANY (names) AND array_position(names, 'model') = required + 1) ORDER BY 1;
SELECT oid::regprocedure AS overflow_is_not_last FROM pg_temp.function
WHERE 'overflow' = ANY (names) AND names[cardinality(names)] <> 'overflow' ORDER BY 1;
SELECT oid::regprocedure AS pair_not_behind_model FROM pg_temp.function
WHERE names && '{pair,pairs}' AND 'model' = ANY (names)
	AND array_position(names, 'model') + 1
		<> coalesce(array_position(names, 'pair'), array_position(names, 'pairs')) ORDER BY 1;

-- pinned forms: the same arguments and defaults, immutable; the others are stable
SELECT p.oid::regprocedure AS pinned, f.oid IS NOT NULL AS as_the_other, c.provolatile AS volatile,
	(SELECT provolatile FROM pg_proc WHERE oid = f.oid) AS other
FROM pg_temp.function AS p JOIN pg_proc AS c USING (oid)
	LEFT JOIN pg_temp.function AS f
		ON f.proname || '_pinned' = p.proname AND f.arguments = p.arguments
WHERE p.proname LIKE '%\_pinned' ORDER BY 1;
