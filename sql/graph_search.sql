-- onyx.search: hits by words and by meaning, and, when asked, what the graph has around them.

CREATE FUNCTION onyx.search_hits_as_of(
    query text, at text, max_results integer DEFAULT 10, repo text DEFAULT NULL, kinds text[] DEFAULT NULL,
    languages text[] DEFAULT NULL, path_pattern text DEFAULT NULL)
RETURNS TABLE (
    rank bigint, node_id bigint, repo_name text, path text, start_line integer, end_line integer,
    kind text, language text, qualified_name text, signature text, score float8,
    lexical_rank bigint, lexical_score float8, semantic_rank bigint, semantic_distance float8)
AS 'MODULE_PATHNAME', 'onyx_search_hits_as_of' LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 COST 100000
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.search_hits_as_of(text, text, integer, text, text[], text[], text) IS
    'What onyx.search_hits answers on a clean ingest of the checkout of a commit (see onyx.commit_at), with stable node ids';

CREATE FUNCTION onyx.symbols_as_of(nodes bigint[], repo text DEFAULT NULL, at text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, repo_name text, path text, start_line integer, end_line integer, kind text,
    language text, name text, qualified_name text, signature text)
AS 'MODULE_PATHNAME', 'onyx_symbols_as_of' LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100 COST 10000
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.symbols_as_of(bigint[], text, text) IS
    'Files and definitions as they were at a commit (see onyx.commit_at), in the order asked; those that were not there are left out';

-- In PL/pgSQL, so that a search at the head does not plan it.
CREATE FUNCTION onyx.search_around_as_of(
    query text, at text, max_results integer, repo text, kinds text[], languages text[], path_pattern text,
    hops integer, edge_kinds text[], min_confidence real)
RETURNS TABLE (
    rank bigint, node_id bigint, repo_name text, path text, start_line integer, end_line integer,
    kind text, language text, qualified_name text, signature text, score float8,
    lexical_rank bigint, lexical_score float8, semantic_rank bigint, semantic_distance float8,
    graph_distance integer, via bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 10 COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH hits AS MATERIALIZED (
        SELECT * FROM onyx.search_hits_as_of(
            $1, $2, greatest($3, 10), $4, $5, $6, $7)
    ), around AS MATERIALIZED (
        SELECT h.node_id AS hit, w.node_id, w.depth,
               h.score * (0.5::float8 OPERATOR(pg_catalog.^) w.depth)
                   / (1 + pg_catalog.ln(count(*) OVER (PARTITION BY h.node_id, w.depth))) AS share
        FROM hits h
        CROSS JOIN LATERAL onyx.neighbors(h.node_id, 'both', $9, NULL, $10, $8, 200, NULL, $2) w
    ), shares AS (
        SELECT a.node_id, sum(a.share) AS share, min(a.depth) AS depth,
               (pg_catalog.array_agg(a.hit ORDER BY a.depth, a.share DESC, a.hit))[1] AS via
        FROM around a GROUP BY a.node_id
    ), scored AS (
        SELECT coalesce(h.node_id, s.node_id) AS id, coalesce(h.score, 0) + coalesce(s.share, 0) AS score,
               h.lexical_rank, h.lexical_score, h.semantic_rank, h.semantic_distance,
               CASE WHEN h.node_id IS NULL THEN s.depth ELSE 0 END AS distance,
               CASE WHEN h.node_id IS NULL THEN s.via END AS via
        FROM hits h FULL JOIN shares s ON s.node_id = h.node_id
    )
    SELECT row_number() OVER (ORDER BY s.score DESC, n.node_id), n.node_id, n.repo_name, n.path, n.start_line,
           n.end_line, n.kind, n.language, n.qualified_name, n.signature, s.score, s.lexical_rank,
           s.lexical_score, s.semantic_rank, s.semantic_distance, s.distance, s.via
    FROM scored s
    JOIN onyx.symbols_as_of((SELECT pg_catalog.array_agg(i.id) FROM scored i), $4, $2) n ON n.node_id = s.id
    WHERE ($5 IS NULL OR n.kind = ANY ($5))
      AND ($6 IS NULL OR n.language = ANY ($6))
      AND ($7 IS NULL OR n.path LIKE $7)
    ORDER BY s.score DESC, n.node_id
    LIMIT $3;
END
$$;
COMMENT ON FUNCTION onyx.search_around_as_of(
    text, text, integer, text, text[], text[], text, integer, text[], real) IS
    'Rows of onyx.search with hops at a commit';

-- A hit passes a share of its score to what it is connected with, less with each hop and less where
-- it has more neighbours, so that neither distance nor a hub gets everywhere.
CREATE FUNCTION onyx.search(
    query text, max_results integer DEFAULT 10, repo text DEFAULT NULL, kinds text[] DEFAULT NULL,
    languages text[] DEFAULT NULL, path_pattern text DEFAULT NULL, hops integer DEFAULT 0,
    edge_kinds text[] DEFAULT '{calls,references,instantiates,inherits,implements,overrides}',
    min_confidence real DEFAULT 0.5, at text DEFAULT NULL)
RETURNS TABLE (
    rank bigint, node_id bigint, repo_name text, path text, start_line integer, end_line integer,
    kind text, language text, qualified_name text, signature text, score float8,
    lexical_rank bigint, lexical_score float8, semantic_rank bigint, semantic_distance float8,
    graph_distance integer, via bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10 COST 100000
BEGIN ATOMIC
    SELECT h.*, 0, NULL::bigint
    FROM onyx.search_hits(query, max_results, repo, kinds, languages, path_pattern) h
    WHERE coalesce(hops, 0) <= 0 AND at IS NULL
    UNION ALL
    SELECT h.*, 0, NULL::bigint
    FROM onyx.search_hits_as_of(query, at, max_results, repo, kinds, languages, path_pattern) h
    WHERE coalesce(hops, 0) <= 0 AND at IS NOT NULL
    UNION ALL
    SELECT a.*
    FROM onyx.search_around_as_of(
        query, at, max_results, repo, kinds, languages, path_pattern, hops, edge_kinds, min_confidence) a
    WHERE coalesce(hops, 0) > 0 AND at IS NOT NULL
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
        WHERE coalesce(hops, 0) > 0 AND at IS NULL
          AND (search.repo IS NULL OR r.name = search.repo)
          AND (search.kinds IS NULL OR n.kind = ANY (search.kinds))
          AND (languages IS NULL OR n.language = ANY (languages))
          AND (path_pattern IS NULL OR f.path LIKE path_pattern)
        ORDER BY s.score DESC, n.id
        LIMIT max_results) e
    WHERE coalesce(hops, 0) > 0 AND at IS NULL;
END;
COMMENT ON FUNCTION onyx.search(text, integer, text, text[], text[], text, integer, text[], real, text) IS
    'Definitions that answer a question: full text and embeddings, fused by reciprocal rank; with hops, also what the graph connects them with, ranked by both; given at, as it was at a commit of the repository (see onyx.commit_at)';
