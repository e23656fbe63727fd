-- All that the extension owns, one line each, in a fixed order: what two ways of installing it are
-- compared by.
SELECT pg_describe_object(classid, objid, objsubid) AS object,
       CASE classid
           WHEN 'pg_proc'::regclass THEN (SELECT md5(CASE prokind WHEN 'a' THEN proname ELSE pg_get_functiondef(oid) END) || proacl::text FROM pg_proc WHERE oid = objid)
           WHEN 'pg_class'::regclass THEN
               (SELECT relkind || coalesce(relacl::text, '') || coalesce(pg_get_viewdef(oid), '') ||
                       coalesce((SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || attnotnull || attstorage::text, ', ' ORDER BY attnum)
                                 FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped), '')
                FROM pg_class c WHERE oid = objid)
       END AS definition,
       obj_description(objid, classid::regclass::name) AS comment
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'bert')
  AND deptype = 'e'
ORDER BY object COLLATE "C";
