-- Views.

CREATE VIEW onyx.edges AS
    SELECT parent_id AS src_id, id AS dst_id, 'contains'::text AS kind, repo_id, file_id,
           start_line AS line
    FROM onyx.nodes
    WHERE parent_id IS NOT NULL;
COMMENT ON VIEW onyx.edges IS 'Edges of the code graph';
COMMENT ON COLUMN onyx.edges.src_id IS 'Node the edge starts at';
COMMENT ON COLUMN onyx.edges.dst_id IS 'Node the edge ends at';
COMMENT ON COLUMN onyx.edges.kind IS 'contains: src_id is the parent of dst_id';

CREATE VIEW onyx.stat_engine AS SELECT * FROM onyx.engine_status();
COMMENT ON VIEW onyx.stat_engine IS 'The engine process: one row';

CREATE VIEW onyx.stat_embedding AS SELECT * FROM onyx.embedding_status();
COMMENT ON VIEW onyx.stat_embedding IS 'Embedding queue and work, a row a model, since the engine started';

CREATE VIEW onyx.stat_index AS
    SELECT n.nspname AS schemaname, t.relname AS tablename, c.relname AS indexname, c.oid AS indexrelid, s.*
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'onyx_hnsw'
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
    CROSS JOIN LATERAL onyx.index_status(c.oid) s
    WHERE c.relkind = 'i' AND (c.relpersistence <> 't' OR n.oid = pg_catalog.pg_my_temp_schema());
COMMENT ON VIEW onyx.stat_index IS
    'State of every onyx_hnsw index of this database, and why one that cannot be used cannot';

CREATE VIEW onyx.progress AS SELECT * FROM onyx.progress_status();
COMMENT ON VIEW onyx.progress IS 'Long commands under way';

CREATE VIEW onyx.stat_ingest AS
    SELECT r.name AS repo, f.files, f.bytes, f.lines, n.nodes, e.skipped, e.partial, r.updated_at
    FROM onyx.repos r
    LEFT JOIN (SELECT repo_id, count(*) AS files, sum(size)::bigint AS bytes, sum(lines)::bigint AS lines
               FROM onyx.files GROUP BY repo_id) f ON f.repo_id = r.id
    LEFT JOIN (SELECT repo_id, count(*) AS nodes FROM onyx.nodes GROUP BY repo_id) n ON n.repo_id = r.id
    LEFT JOIN (SELECT repo_id, count(*) FILTER (WHERE skipped) AS skipped,
                      count(*) FILTER (WHERE NOT skipped) AS partial
               FROM onyx.ingest_errors GROUP BY repo_id) e ON e.repo_id = r.id;
COMMENT ON VIEW onyx.stat_ingest IS 'Size of every repository, and what was skipped or parsed in part';
