-- The graph and search as they were at a commit: edges, and hits among what was there then.

CREATE FUNCTION onyx.edges_as_of(repo text, at text DEFAULT NULL)
RETURNS TABLE (
    repo_id bigint, path text, source_id bigint, target_id bigint, kind text, line integer, col integer,
    resolution text, confidence real)
AS 'MODULE_PATHNAME', 'onyx_edges_as_of' LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000000 ROWS 100000
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.edges_as_of(text, text) IS
    'Edges of a repository as they were at a commit (see onyx.commit_at): those a clean ingest of that checkout gives, between nodes of onyx.nodes_as_of';

CREATE FUNCTION onyx.edges_as_of(repo text, at timestamptz)
RETURNS TABLE (
    repo_id bigint, path text, source_id bigint, target_id bigint, kind text, line integer, col integer,
    resolution text, confidence real)
LANGUAGE sql STABLE PARALLEL RESTRICTED COST 1000000 ROWS 100000
BEGIN ATOMIC
    SELECT * FROM onyx.edges_as_of(repo, '#' || onyx.commit_at(repo, at));
END;
COMMENT ON FUNCTION onyx.edges_as_of(text, timestamptz) IS
    'Edges of a repository as they were at a time on its default branch';

-- Of all texts there ever were. What nodes and earlier versions have in common is embedded once: vectors are
-- addressed by the text.
CREATE INDEX search_texts_semantic ON onyx.search_texts USING onyx_hnsw (search_text onyx.text_semantic_ops);
