-- Search: by words, by meaning, and both fused. The index is looked up by name each time: a concurrent
-- rebuild gives it another OID.

CREATE INDEX nodes_semantic ON onyx.nodes USING onyx_hnsw (search_text onyx.text_semantic_ops);

CREATE FUNCTION onyx.query_lexemes(query text) RETURNS text[]
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN pg_catalog.tsvector_to_array(pg_catalog.to_tsvector('onyx.code', onyx.words(query)));
COMMENT ON FUNCTION onyx.query_lexemes(text) IS 'Stemmed words of a question, as nodes.lexemes has them';

CREATE FUNCTION onyx.any_lexeme(lexemes text[]) RETURNS tsquery
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT pg_catalog.string_agg(pg_catalog.quote_literal(l), ' | ')::tsquery
        FROM pg_catalog.unnest(lexemes) l);
COMMENT ON FUNCTION onyx.any_lexeme(text[]) IS 'Query for documents with at least one of the lexemes';

CREATE FUNCTION onyx.bm25(
    ids bigint[], documents tsvector[], query text[], corpus float8, max_rows integer)
RETURNS TABLE (id bigint, score float8)
AS 'MODULE_PATHNAME', 'bm25_wrapper' LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 50 COST 1000;
COMMENT ON FUNCTION onyx.bm25(bigint[], tsvector[], text[], float8, integer) IS
    'Best documents by Okapi BM25 (k1 1.2, b 0.75): documents are all those with any of the query''s lexemes, corpus is how many there are in all';

CREATE FUNCTION onyx.semantic_available(index regclass) RETURNS boolean
AS 'MODULE_PATHNAME', 'semantic_available_wrapper' LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION onyx.semantic_available(regclass) IS
    'Whether an index on texts can answer under onyx.model; warns with the reason when it cannot';

CREATE FUNCTION onyx.search_hits(
    query text, max_results integer DEFAULT 10, repo text DEFAULT NULL, kinds text[] DEFAULT NULL,
    languages text[] DEFAULT NULL, path_pattern text DEFAULT NULL)
RETURNS TABLE (
    rank bigint, node_id bigint, repo_name text, path text, start_line integer, end_line integer,
    kind text, language text, qualified_name text, signature text, score float8,
    lexical_rank bigint, lexical_score float8, semantic_rank bigint, semantic_distance float8)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10 COST 100000
BEGIN ATOMIC
    WITH words AS MATERIALIZED (
        SELECT onyx.query_lexemes(query) AS lexemes
    ), candidates AS (
        SELECT n.id, n.lexemes
        FROM onyx.nodes n
        WHERE n.lexemes @@ (SELECT onyx.any_lexeme(w.lexemes) FROM words w)
          AND (search_hits.repo IS NULL
               OR n.repo_id = (SELECT r.id FROM onyx.repos r WHERE r.name = search_hits.repo))
          AND (kinds IS NULL OR n.kind = ANY (kinds))
          AND (languages IS NULL OR n.language = ANY (languages))
          AND (path_pattern IS NULL
               OR EXISTS (SELECT FROM onyx.files f WHERE f.id = n.file_id AND f.path LIKE path_pattern))
    ), lexical AS (
        SELECT b.id, b.score, row_number() OVER (ORDER BY b.score DESC, b.id) AS rank
        FROM onyx.bm25(
            (SELECT pg_catalog.array_agg(c.id) FROM candidates c),
            (SELECT pg_catalog.array_agg(c.lexemes) FROM candidates c),
            (SELECT w.lexemes FROM words w),
            (SELECT greatest(c.reltuples, 1)::float8 FROM pg_catalog.pg_class c
             WHERE c.oid = 'onyx.nodes'::regclass),
            greatest(max_results * 4, 40)) b
    ), nearest AS (
        SELECT n.id
        FROM onyx.nodes n
        WHERE onyx.semantic_available(pg_catalog.to_regclass('onyx.nodes_semantic'))
          AND query ~ '[^[:space:]]' AND n.search_text IS NOT NULL
          AND (search_hits.repo IS NULL
               OR n.repo_id = (SELECT r.id FROM onyx.repos r WHERE r.name = search_hits.repo))
          AND (kinds IS NULL OR n.kind = ANY (kinds))
          AND (languages IS NULL OR n.language = ANY (languages))
          AND (path_pattern IS NULL
               OR EXISTS (SELECT FROM onyx.files f WHERE f.id = n.file_id AND f.path LIKE path_pattern))
        ORDER BY n.search_text OPERATOR(onyx.<=>) query
        LIMIT greatest(max_results * 4, 40)
    ), semantic AS (
        SELECT s.id, row_number() OVER () AS rank FROM nearest s
    ), fused AS (
        SELECT coalesce(l.id, s.id) AS id, l.rank AS lexical_rank, l.score AS lexical_score,
               s.rank AS semantic_rank,
               coalesce(1.0::float8 / (5 + l.rank), 0) + coalesce(1.0::float8 / (5 + s.rank), 0) AS score
        FROM lexical l FULL JOIN semantic s ON s.id = l.id
        ORDER BY score DESC, id
        LIMIT max_results
    )
    SELECT row_number() OVER (ORDER BY f.score DESC, f.id), n.id, r.name, fi.path, n.start_line,
           n.end_line, n.kind, n.language, n.qualified_name, n.signature, f.score, f.lexical_rank,
           f.lexical_score, f.semantic_rank,
           CASE WHEN f.semantic_rank IS NOT NULL
                THEN n.search_text OPERATOR(onyx.<=>) query END
    FROM fused f
    JOIN onyx.nodes n ON n.id = f.id
    JOIN onyx.repos r ON r.id = n.repo_id
    LEFT JOIN onyx.files fi ON fi.id = n.file_id
    ORDER BY f.score DESC, f.id;
END;
COMMENT ON FUNCTION onyx.search_hits(text, integer, text, text[], text[], text) IS
    'Definitions that answer a question by themselves: full text (BM25) and embeddings, fused by reciprocal rank (k 5)';

CREATE FUNCTION onyx.similar(node bigint, max_results integer DEFAULT 10)
RETURNS TABLE (
    node_id bigint, repo_name text, path text, start_line integer, end_line integer, kind text,
    qualified_name text, signature text, distance float8)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10 COST 100000
BEGIN ATOMIC
    SELECT n.id, r.name, f.path, n.start_line, n.end_line, n.kind, n.qualified_name, n.signature,
           n.search_text OPERATOR(onyx.<=>) (SELECT o.search_text FROM onyx.nodes o WHERE o.id = node)
    FROM (SELECT * FROM onyx.nodes m
          WHERE m.id <> node AND onyx.semantic_available(pg_catalog.to_regclass('onyx.nodes_semantic'))
            AND m.search_text IS NOT NULL
            AND EXISTS (SELECT FROM onyx.nodes o WHERE o.id = node AND o.search_text IS NOT NULL)
          ORDER BY m.search_text OPERATOR(onyx.<=>)
                   (SELECT o.search_text FROM onyx.nodes o WHERE o.id = node)
          LIMIT max_results) n
    JOIN onyx.repos r ON r.id = n.repo_id
    LEFT JOIN onyx.files f ON f.id = n.file_id
    ORDER BY 9;
END;
COMMENT ON FUNCTION onyx.similar(bigint, integer) IS 'Definitions nearest in meaning to one';
