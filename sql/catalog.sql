-- The database's own objects as nodes, and what they depend on as edges. Objects of extensions and of
-- the system are left out unless their schema is named.

CREATE FUNCTION onyx.catalog_schemas(schemas text[]) RETURNS TABLE (oid oid, name name)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.oid, s.nspname
    FROM pg_catalog.pg_namespace s
    WHERE CASE WHEN schemas IS NULL
               THEN s.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'onyx')
                    AND s.nspname NOT LIKE 'pg\_temp\_%' AND s.nspname NOT LIKE 'pg\_toast\_temp\_%'
               ELSE s.nspname = ANY (schemas) END;
END;
COMMENT ON FUNCTION onyx.catalog_schemas(text[]) IS 'Schemas onyx.ingest_catalog reads';

-- classid, objid and objsubid are those of pg_depend.
CREATE FUNCTION onyx.catalog_objects(schemas text[])
RETURNS TABLE (
    classid oid, objid oid, objsubid integer, parent_classid oid, parent_objid oid, kind text, name text,
    qualified_name text, signature text, doc text)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1000
BEGIN ATOMIC
    WITH chosen AS MATERIALIZED (
        SELECT s.oid, s.name FROM onyx.catalog_schemas(schemas) s
    ), owned AS MATERIALIZED (
        -- What an extension brought belongs to it.
        SELECT d.classid, d.objid FROM pg_catalog.pg_depend d WHERE d.deptype = 'e'
    ), relations AS MATERIALIZED (
        SELECT c.oid, c.relname, c.relkind, s.name AS schema, s.oid AS schema_oid
        FROM pg_catalog.pg_class c JOIN chosen s ON s.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
          AND NOT EXISTS (SELECT FROM owned o WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid)
    )
    SELECT 'pg_namespace'::regclass::oid, s.oid, 0, NULL::oid, NULL::oid, 'schema', s.name::text, s.name::text,
           'schema ' || quote_ident(s.name), coalesce(pg_catalog.obj_description(s.oid, 'pg_namespace'), '')
    FROM chosen s
    UNION ALL
    SELECT 'pg_class'::regclass, r.oid, 0, 'pg_namespace'::regclass, r.schema_oid,
           CASE r.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized_view' WHEN 'f' THEN 'foreign_table'
                          WHEN 'S' THEN 'sequence' ELSE 'table' END,
           r.relname, pg_catalog.format('%I.%I', r.schema, r.relname),
           CASE r.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table '
                          WHEN 'S' THEN 'sequence ' ELSE 'table ' END
               || pg_catalog.format('%I.%I', r.schema, r.relname),
           coalesce(pg_catalog.obj_description(r.oid, 'pg_class'), '')
    FROM relations r
    UNION ALL
    SELECT 'pg_class'::regclass, r.oid, a.attnum::integer, 'pg_class'::regclass, r.oid, 'column', a.attname,
           pg_catalog.format('%I.%I.%I', r.schema, r.relname, a.attname),
           pg_catalog.format('%I %s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                             CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END),
           coalesce(pg_catalog.col_description(r.oid, a.attnum), '')
    FROM relations r
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE r.relkind <> 'S'
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, 0, 'pg_namespace'::regclass, s.oid,
           CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
           p.proname,
           pg_catalog.format('%I.%I(%s)', s.name, p.proname, pg_catalog.oidvectortypes(p.proargtypes)),
           pg_catalog.format('%I.%I(%s)%s', s.name, p.proname, pg_catalog.pg_get_function_arguments(p.oid),
                             coalesce(' RETURNS ' || pg_catalog.pg_get_function_result(p.oid), '')),
           coalesce(pg_catalog.obj_description(p.oid, 'pg_proc'), '')
    FROM pg_catalog.pg_proc p JOIN chosen s ON s.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM owned o WHERE o.classid = 'pg_proc'::regclass AND o.objid = p.oid)
    UNION ALL
    SELECT 'pg_trigger'::regclass, t.oid, 0, 'pg_class'::regclass, r.oid, 'trigger', t.tgname,
           pg_catalog.format('%I.%I.%I', r.schema, r.relname, t.tgname), pg_catalog.pg_get_triggerdef(t.oid),
           coalesce(pg_catalog.obj_description(t.oid, 'pg_trigger'), '')
    FROM pg_catalog.pg_trigger t JOIN relations r ON r.oid = t.tgrelid
    WHERE NOT t.tgisinternal;
END;
COMMENT ON FUNCTION onyx.catalog_objects(text[]) IS 'Objects onyx.ingest_catalog makes nodes of, as the catalog has them now';

-- Edges between objects: from what depends to what it depends on.
CREATE FUNCTION onyx.catalog_dependencies(schemas text[])
RETURNS TABLE (
    classid oid, objid oid, objsubid integer, refclassid oid, refobjid oid, refobjsubid integer, kind text,
    resolution text, confidence real)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1000
BEGIN ATOMIC
    WITH objects AS MATERIALIZED (
        SELECT o.* FROM onyx.catalog_objects(schemas) o
    ), bodies AS MATERIALIZED (
        -- Words of string bodies, of the languages people write queries in.
        SELECT p.oid, pg_catalog.array_agg(DISTINCT pg_catalog.lower(w.word[1])) AS words
        FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
        JOIN objects o ON o.classid = 'pg_proc'::regclass AND o.objid = p.oid
        CROSS JOIN LATERAL pg_catalog.regexp_matches(
            pg_catalog.regexp_replace(
                pg_catalog.regexp_replace(p.prosrc, '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g'),
            '[[:alpha:]_][[:alnum:]_$]*', 'g') w (word)
        WHERE p.prosqlbody IS NULL AND p.prokind <> 'a'
        GROUP BY p.oid
    ), named AS (
        SELECT b.oid, o.classid, o.objid, o.objsubid, o.kind
        FROM bodies b
        JOIN objects o ON pg_catalog.lower(o.name) = ANY (b.words)
        WHERE o.kind IN ('table', 'view', 'materialized_view', 'foreign_table')
           OR o.kind IN ('function', 'procedure') AND o.objid <> b.oid
           -- A column only of a table that is named too.
           OR o.kind = 'column' AND EXISTS (
               SELECT FROM objects t WHERE t.classid = o.parent_classid AND t.objid = o.parent_objid AND t.objsubid = 0
                 AND pg_catalog.lower(t.name) = ANY (b.words))
    )
    -- Views: their rule depends on what they read.
    SELECT 'pg_class'::regclass::oid, r.ev_class, 0, d.refclassid, d.refobjid, d.refobjsubid, 'depends_on', 'pg_depend', 1::real
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    WHERE d.refobjid <> r.ev_class
    UNION
    -- Functions with SQL-standard bodies, columns' defaults, triggers' arguments and conditions.
    SELECT d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, d.refobjsubid, 'depends_on', 'pg_depend', 1::real
    FROM pg_catalog.pg_depend d
    WHERE d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_trigger'::regclass)
      AND d.deptype IN ('n', 'a') AND d.refclassid IN ('pg_proc'::regclass, 'pg_class'::regclass)
      -- The table a trigger is on contains it; what it runs it calls.
      AND NOT (d.classid = 'pg_trigger'::regclass
               AND (d.refclassid = 'pg_proc'::regclass
                    OR EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.oid = d.objid AND t.tgrelid = d.refobjid
                                 AND d.refobjsubid = 0)))
      AND NOT (d.classid = d.refclassid AND d.objid = d.refobjid)
    UNION
    SELECT 'pg_class'::regclass, a.adrelid, a.adnum::integer, d.refclassid, d.refobjid, d.refobjsubid, 'depends_on', 'pg_depend', 1::real
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
    WHERE d.deptype = 'n'
    UNION
    SELECT 'pg_trigger'::regclass, t.oid, 0, 'pg_proc'::regclass, t.tgfoid, 0, 'calls', 'pg_trigger', 1::real
    FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal
    UNION
    SELECT 'pg_class'::regclass, c.conrelid, k.here, 'pg_class'::regclass, c.confrelid, k.there, 'references', 'pg_constraint', 1::real
    FROM pg_catalog.pg_constraint c
    CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey)) k (here, there)
    WHERE c.contype = 'f'
    UNION
    SELECT 'pg_class'::regclass, i.inhrelid, 0, 'pg_class'::regclass, i.inhparent, 0, 'inherits', 'pg_inherits', 1::real
    FROM pg_catalog.pg_inherits i
    UNION
    -- What reads a view reads its columns: when the view breaks, so do they.
    SELECT o.classid, o.objid, o.objsubid, o.classid, o.objid, 0, 'depends_on', 'view', 1::real
    FROM objects o JOIN pg_catalog.pg_class c ON c.oid = o.objid AND c.relkind IN ('v', 'm')
    WHERE o.kind = 'column'
    UNION
    SELECT 'pg_proc'::regclass, n.oid, 0, n.classid, n.objid, n.objsubid,
           CASE WHEN n.kind IN ('function', 'procedure') THEN 'calls' ELSE 'depends_on' END, 'name',
           (CASE WHEN n.kind = 'column' THEN 0.5 ELSE 0.7 END)::real
    FROM named n;
END;
COMMENT ON FUNCTION onyx.catalog_dependencies(text[]) IS
    'Edges onyx.ingest_catalog makes: certain ones from the catalog, those of functions whose body is a string by the names in it';

CREATE FUNCTION onyx.ingest_catalog(
    schemas text[] DEFAULT NULL, OUT nodes bigint, OUT nodes_changed bigint, OUT nodes_removed bigint,
    OUT edges bigint, OUT edges_changed bigint, OUT edges_removed bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- One at a time: two would both add what neither sees.
    PERFORM pg_advisory_xact_lock('onyx.nodes'::regclass::oid::integer, 'onyx.links'::regclass::oid::integer);
    PERFORM onyx.require_last_catalog();
    CREATE TEMPORARY TABLE onyx_catalog_objects ON COMMIT DROP AS
        SELECT o.*, NULL::bigint AS id FROM onyx.catalog_objects(schemas) o;
    UPDATE onyx_catalog_objects o SET id = n.id
    FROM onyx.nodes n
    WHERE n.origin = 'catalog' AND n.kind = o.kind AND n.qualified_name = o.qualified_name;
    nodes := (SELECT count(*) FROM onyx_catalog_objects);
    nodes_changed := (SELECT count(*) FROM onyx_catalog_objects o WHERE o.id IS NULL);
    UPDATE onyx_catalog_objects o SET id = nextval('onyx.nodes_id_seq') WHERE o.id IS NULL;
    ANALYZE onyx_catalog_objects;
    INSERT INTO onyx.nodes (id, origin, parent_id, kind, name, qualified_name, signature, doc)
    SELECT o.id, 'catalog', p.id, o.kind, o.name, o.qualified_name, o.signature, o.doc
    FROM onyx_catalog_objects o
    LEFT JOIN onyx_catalog_objects p
        ON p.classid = o.parent_classid AND p.objid = o.parent_objid AND p.objsubid = 0
    WHERE NOT EXISTS (SELECT FROM onyx.nodes n WHERE n.id = o.id);
    WITH changed AS (
        UPDATE onyx.nodes n SET parent_id = p.id, signature = o.signature, doc = o.doc
        FROM onyx_catalog_objects o
        LEFT JOIN onyx_catalog_objects p
            ON p.classid = o.parent_classid AND p.objid = o.parent_objid AND p.objsubid = 0
        WHERE n.id = o.id AND (n.parent_id, n.signature, n.doc) IS DISTINCT FROM (p.id, o.signature, o.doc)
        RETURNING 1
    )
    SELECT nodes_changed + count(*) INTO nodes_changed FROM changed;

    -- What is gone, of the schemas asked for: all that a schema's node contains, and the schema.
    WITH RECURSIVE asked AS (
        SELECT n.id FROM onyx.nodes n
        WHERE n.origin = 'catalog' AND n.kind = 'schema' AND (schemas IS NULL OR n.name = ANY (schemas))
        UNION ALL
        SELECT n.id FROM asked a JOIN onyx.nodes n ON n.parent_id = a.id WHERE n.origin = 'catalog'
    ), gone AS (
        DELETE FROM onyx.nodes n USING asked a
        WHERE n.id = a.id AND NOT EXISTS (SELECT FROM onyx_catalog_objects o WHERE o.id = n.id)
        RETURNING 1
    )
    SELECT count(*) INTO nodes_removed FROM gone;

    CREATE TEMPORARY TABLE onyx_catalog_links ON COMMIT DROP AS
        SELECT DISTINCT ON (s.id, t.id, d.kind) s.id AS source_id, t.id AS target_id, d.kind, d.resolution, d.confidence
        FROM onyx.catalog_dependencies(schemas) d
        JOIN onyx_catalog_objects s ON (s.classid, s.objid, s.objsubid) = (d.classid, d.objid, d.objsubid)
        JOIN onyx_catalog_objects t ON (t.classid, t.objid, t.objsubid) = (d.refclassid, d.refobjid, d.refobjsubid)
        WHERE s.id <> t.id
        ORDER BY s.id, t.id, d.kind, d.confidence DESC;
    edges := (SELECT count(*) FROM onyx_catalog_links);
    WITH gone AS (
        DELETE FROM onyx.links l
        WHERE l.origin = 'catalog'
          AND EXISTS (SELECT FROM onyx_catalog_objects s WHERE s.id = l.source_id)
          AND EXISTS (SELECT FROM onyx_catalog_objects t WHERE t.id = l.target_id)
          AND NOT EXISTS (
              SELECT FROM onyx_catalog_links w
              WHERE (w.source_id, w.target_id, w.kind, w.resolution, w.confidence)
                    = (l.source_id, l.target_id, l.kind, l.resolution, l.confidence))
        RETURNING 1
    )
    SELECT count(*) INTO edges_removed FROM gone;
    WITH made AS (
        INSERT INTO onyx.links (origin, source_id, target_id, kind, resolution, confidence)
        SELECT 'catalog', w.source_id, w.target_id, w.kind, w.resolution, w.confidence
        FROM onyx_catalog_links w
        WHERE NOT EXISTS (
            SELECT FROM onyx.links l
            WHERE l.origin = 'catalog' AND (l.source_id, l.target_id, l.kind) = (w.source_id, w.target_id, w.kind))
        RETURNING 1
    )
    SELECT count(*) INTO edges_changed FROM made;
    DROP TABLE onyx_catalog_objects, onyx_catalog_links;
    PERFORM onyx.link_sql(NULL);
END
$$;
COMMENT ON FUNCTION onyx.ingest_catalog(text[]) IS
    'Makes nodes and edges of the database''s schemas, tables, columns, views, functions and triggers; a second call writes only what changed';
