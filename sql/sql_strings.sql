-- Tables and columns that strings of SQL in source code name: what parsing read of them, and the edges to the
-- catalog's nodes that follow from it. Ingestion keeps the former; ingestion and onyx.ingest_catalog, whichever
-- comes later, the latter.

CREATE TABLE onyx.sql_references (
    file_id          bigint NOT NULL REFERENCES onyx.files ON DELETE CASCADE,
    ordinal          integer,
    line             integer NOT NULL,
    col              integer NOT NULL,
    schema_name      text,
    table_name       text NOT NULL,
    columns          text[] NOT NULL,
    possible_columns text[] NOT NULL
);
COMMENT ON TABLE onyx.sql_references IS 'Tables that strings of SQL in source code name, whether the catalog has them or not';
COMMENT ON COLUMN onyx.sql_references.ordinal IS 'Number of the definition the string stands in, as in nodes; NULL: in none';
COMMENT ON COLUMN onyx.sql_references.line IS 'Line of the table''s name, from 1';
COMMENT ON COLUMN onyx.sql_references.col IS 'Column of the table''s name, from 1, in bytes';
COMMENT ON COLUMN onyx.sql_references.schema_name IS 'Its schema; NULL when that is not named';
COMMENT ON COLUMN onyx.sql_references.columns IS 'Names that are columns of the table if they are any';
COMMENT ON COLUMN onyx.sql_references.possible_columns IS 'Names that may be columns of the table or of another of the statement';
CREATE INDEX sql_references_file_id ON onyx.sql_references (file_id);

CREATE FUNCTION onyx.sql_links(files bigint[])
RETURNS TABLE (
    repo_id bigint, file_id bigint, source_id bigint, target_id bigint, line integer, col integer,
    resolution text, confidence real)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
BEGIN ATOMIC
    WITH tables AS MATERIALIZED (
        SELECT t.id, t.name, s.name AS schema_name, count(*) OVER (PARTITION BY t.name) AS of_the_name
        FROM onyx.nodes t JOIN onyx.nodes s ON s.id = t.parent_id
        WHERE t.origin = 'catalog' AND t.kind IN ('table', 'view', 'materialized_view', 'foreign_table')
    ), found AS MATERIALIZED (
        SELECT f.repo_id, r.file_id, n.id AS source_id, t.id AS table_id, r.line, r.col, r.columns,
               r.possible_columns, r.schema_name IS NOT NULL AS is_qualified
        FROM onyx.sql_references r
        JOIN onyx.files f ON f.id = r.file_id
        JOIN onyx.nodes n ON n.file_id = r.file_id AND n.origin = 'source'
            AND (n.ordinal = r.ordinal OR r.ordinal IS NULL AND n.ordinal IS NULL)
        -- Without its schema only when no other has a table of the name: a wrong edge is worse than none.
        JOIN tables t ON t.name = r.table_name
            AND (t.schema_name = r.schema_name OR r.schema_name IS NULL AND t.of_the_name = 1)
        WHERE files IS NULL OR r.file_id = ANY (files)
    )
    SELECT f.repo_id, f.file_id, f.source_id, f.table_id, f.line, f.col, 'sql_table'::text,
           (CASE WHEN f.is_qualified THEN 0.95 ELSE 0.9 END)::real
    FROM found f
    UNION
    SELECT f.repo_id, f.file_id, f.source_id, c.id, f.line, f.col, 'sql_column',
           (CASE WHEN c.name = ANY (f.columns) THEN 0.85 ELSE 0.6 END)::real
    FROM found f JOIN onyx.nodes c ON c.parent_id = f.table_id
    WHERE c.origin = 'catalog' AND c.kind = 'column' AND c.name = ANY (f.columns || f.possible_columns);
END;
COMMENT ON FUNCTION onyx.sql_links(bigint[]) IS
    'Edges from source code to the catalog''s nodes that follow from onyx.sql_references, of files or of all';

CREATE FUNCTION onyx.require_last_catalog() RETURNS void
AS 'MODULE_PATHNAME', 'require_last_catalog_wrapper' LANGUAGE c VOLATILE
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.require_last_catalog() IS
    'Raises serialization_failure in a transaction that keeps its snapshot when source or catalog changed since; ingestion calls it';

CREATE FUNCTION onyx.link_sql(files bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF files IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM onyx.sql_references r WHERE r.file_id = ANY (files))
           AND NOT EXISTS (SELECT FROM onyx.links l WHERE l.file_id = ANY (files) AND l.origin = 'catalog') THEN
            RETURN;
        END IF;
        -- Goes with itself and not with onyx.ingest_catalog, which has this lock alone.
        PERFORM pg_advisory_xact_lock_shared('onyx.nodes'::regclass::oid::integer, 'onyx.links'::regclass::oid::integer);
        PERFORM onyx.require_last_catalog();
    END IF;
    WITH wanted AS MATERIALIZED (
        SELECT w.* FROM onyx.sql_links(files) w
    ), gone AS (
        DELETE FROM onyx.links l
        WHERE l.origin = 'catalog' AND l.file_id IS NOT NULL AND (files IS NULL OR l.file_id = ANY (files))
          AND NOT EXISTS (
              SELECT FROM wanted w
              WHERE (w.file_id, w.source_id, w.target_id, w.line, w.col, w.resolution, w.confidence)
                    = (l.file_id, l.source_id, l.target_id, l.line, l.col, l.resolution, l.confidence))
    )
    INSERT INTO onyx.links (repo_id, file_id, source_id, target_id, line, col, confidence, kind, origin, resolution)
    SELECT w.repo_id, w.file_id, w.source_id, w.target_id, w.line, w.col, w.confidence, 'references', 'catalog',
           w.resolution
    FROM wanted w
    WHERE NOT EXISTS (
        SELECT FROM onyx.links l
        WHERE l.origin = 'catalog'
          AND (l.file_id, l.source_id, l.target_id, l.line, l.col, l.resolution, l.confidence)
              = (w.file_id, w.source_id, w.target_id, w.line, w.col, w.resolution, w.confidence));
END
$$;
COMMENT ON FUNCTION onyx.link_sql(bigint[]) IS
    'Brings the edges from strings of SQL to the catalog''s nodes up to date, of files or of all; ingestion calls it';

SELECT pg_catalog.pg_extension_config_dump('onyx.sql_references', '');
