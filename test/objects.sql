-- All that the extension owns, one line each, in a fixed order: what two ways of installing it are
-- compared by.
SELECT pg_describe_object(classid, objid, objsubid) AS object,
       CASE classid
           WHEN 'pg_proc'::regclass THEN
               (SELECT md5(CASE prokind WHEN 'a' THEN proname ELSE pg_get_functiondef(oid) END) ||
                       coalesce(proacl::text, '')
                FROM pg_proc WHERE oid = objid)
           WHEN 'pg_class'::regclass THEN
               (SELECT concat_ws(' ', relkind, relacl, reloptions, relrowsecurity,
                                 CASE WHEN relkind = 'v' THEN md5(pg_get_viewdef(oid)) END,
                                 (SELECT string_agg(pg_get_constraintdef(k.oid), ', '
                                                    ORDER BY conname)
                                  FROM pg_constraint k WHERE conrelid = c.oid),
                                 (SELECT string_agg(pg_get_indexdef(indexrelid), ', '
                                                    ORDER BY indexrelid::regclass::text)
                                  FROM pg_index WHERE indrelid = c.oid),
                                 (SELECT string_agg(pg_get_triggerdef(t.oid), ', ' ORDER BY tgname)
                                  FROM pg_trigger t WHERE tgrelid = c.oid AND NOT tgisinternal),
                                 (SELECT string_agg(concat_ws(' ', polname, polcmd,
                                                              polroles::regrole[],
                                                              pg_get_expr(polqual, polrelid),
                                                              pg_get_expr(polwithcheck, polrelid)),
                                                    ', ' ORDER BY polname)
                                  FROM pg_policy WHERE polrelid = c.oid))
                FROM pg_class c WHERE oid = objid)
       END AS definition,
       CASE classid
           WHEN 'pg_class'::regclass THEN
               (SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod),
                                            attnotnull, attstorage, pg_get_expr(adbin, adrelid),
                                            col_description(attrelid, attnum)),
                                  ', ' ORDER BY attnum)
                FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                WHERE attrelid = objid AND attnum > 0 AND NOT attisdropped)
       END AS columns,
       obj_description(objid, classid::regclass::name) AS comment
FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'bert')
  AND deptype = 'e'
ORDER BY pg_describe_object(classid, objid, objsubid) COLLATE "C";
