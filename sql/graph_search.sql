-- onyx.search: hits by words and by meaning, and, when asked, what the graph has around them.

-- A hit passes a share of its score to what it is connected with, less with each hop and less where
-- it has more neighbours, so that neither distance nor a hub gets everywhere.
CREATE FUNCTION onyx.search(
    query text, max_results integer DEFAULT 10, repo text DEFAULT NULL, kinds text[] DEFAULT NULL,
    languages text[] DEFAULT NULL, path_pattern text DEFAULT NULL, hops integer DEFAULT 0,
    edge_kinds text[] DEFAULT '{calls,references,instantiates,inherits,implements,overrides}',
    min_confidence real DEFAULT 0.5)
RETURNS TABLE (
    rank bigint, node_id bigint, repo_name text, path text, start_line integer, end_line integer,
    kind text, language text, qualified_name text, signature text, score float8,
    lexical_rank bigint, lexical_score float8, semantic_rank bigint, semantic_distance float8,
    graph_distance integer, via bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10 COST 100000
BEGIN ATOMIC
    SELECT h.*, 0, NULL::bigint
    FROM onyx.search_hits(query, max_results, repo, kinds, languages, path_pattern) h
    WHERE coalesce(hops, 0) <= 0
    UNION ALL
    SELECT e.* FROM (
        WITH hits AS MATERIALIZED (
            SELECT * FROM onyx.search_hits(query, greatest(max_results, 10), repo, kinds, languages, path_pattern)
        ), around AS MATERIALIZED (
            SELECT h.node_id AS hit, w.node_id, w.depth,
                   h.score * (0.5::float8 ^ w.depth)
                       / (1 + ln(count(*) OVER (PARTITION BY h.node_id, w.depth))) AS share
            FROM hits h
            CROSS JOIN LATERAL onyx.neighbors(h.node_id, 'both', edge_kinds, NULL, min_confidence, hops, 200) w
        ), shares AS (
            SELECT a.node_id, sum(a.share) AS share, min(a.depth) AS depth,
                   (array_agg(a.hit ORDER BY a.depth, a.share DESC, a.hit))[1] AS via
            FROM around a GROUP BY a.node_id
        ), scored AS (
            SELECT coalesce(h.node_id, s.node_id) AS id, coalesce(h.score, 0) + coalesce(s.share, 0) AS score,
                   h.lexical_rank, h.lexical_score, h.semantic_rank, h.semantic_distance,
                   CASE WHEN h.node_id IS NULL THEN s.depth ELSE 0 END AS distance,
                   CASE WHEN h.node_id IS NULL THEN s.via END AS via
            FROM hits h FULL JOIN shares s ON s.node_id = h.node_id
        )
        SELECT row_number() OVER (ORDER BY s.score DESC, n.id), n.id, r.name, f.path, n.start_line, n.end_line,
               n.kind, n.language, n.qualified_name, n.signature, s.score, s.lexical_rank, s.lexical_score,
               s.semantic_rank, s.semantic_distance, s.distance, s.via
        FROM scored s
        JOIN onyx.nodes n ON n.id = s.id
        LEFT JOIN onyx.repos r ON r.id = n.repo_id
        LEFT JOIN onyx.files f ON f.id = n.file_id
        WHERE coalesce(hops, 0) > 0
          AND (search.repo IS NULL OR r.name = search.repo)
          AND (search.kinds IS NULL OR n.kind = ANY (search.kinds))
          AND (languages IS NULL OR n.language = ANY (languages))
          AND (path_pattern IS NULL OR f.path LIKE path_pattern)
        ORDER BY s.score DESC, n.id
        LIMIT max_results) e
    WHERE coalesce(hops, 0) > 0;
END;
COMMENT ON FUNCTION onyx.search(text, integer, text, text[], text[], text, integer, text[], real) IS
    'Definitions that answer a question: full text and embeddings, fused by reciprocal rank; with hops, also what the graph connects them with, ranked by both';
