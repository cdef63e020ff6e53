-- Views.

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
