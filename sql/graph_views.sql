-- What people ask of the graph, made of traversals: who calls what, what breaks, a map, a context,
-- an export.

CREATE FUNCTION onyx.calls_as_of(
    start bigint[], direction text, edge_kinds text[], node_kinds text[], min_confidence real, max_depth integer,
    max_nodes bigint, repo text, at text)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, path bigint[], kind text, qualified_name text,
    signature text, repo_name text, file_path text, start_line integer, edge_kind text,
    confidence real, lines integer[], truncated boolean)
AS 'MODULE_PATHNAME', 'onyx_calls_as_of' LANGUAGE c STABLE PARALLEL SAFE ROWS 50 COST 100000
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.calls_as_of(bigint[], text, text[], text[], real, integer, bigint, text, text) IS
    'What onyx.callers and onyx.callees answer with, given at';

CREATE FUNCTION onyx.callers(
    start bigint[], edge_kinds text[] DEFAULT '{calls,instantiates}', node_kinds text[] DEFAULT NULL,
    min_confidence real DEFAULT 0, max_depth integer DEFAULT 1, max_nodes bigint DEFAULT 10000,
    repo text DEFAULT NULL, at text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, path bigint[], kind text, qualified_name text,
    signature text, repo_name text, file_path text, start_line integer, edge_kind text,
    confidence real, lines integer[], truncated boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 50 COST 10000
BEGIN ATOMIC
    SELECT w.node_id, w.depth, w.predecessor, w.path, n.kind, n.qualified_name, n.signature, r.name,
           f.path, n.start_line, w.edge_kind, c.confidence, c.lines, w.truncated
    FROM onyx.neighbors(start, 'in', edge_kinds, node_kinds, min_confidence, max_depth, max_nodes, repo) w
    JOIN onyx.nodes n ON n.id = w.node_id
    LEFT JOIN onyx.repos r ON r.id = n.repo_id
    LEFT JOIN onyx.files f ON f.id = n.file_id
    CROSS JOIN LATERAL (
        SELECT max(l.confidence) AS confidence, array_agg(DISTINCT l.line ORDER BY l.line) AS lines
        FROM onyx.links l
        WHERE l.source_id = w.node_id AND l.target_id = w.predecessor AND l.kind = w.edge_kind) c
    WHERE at IS NULL
    UNION ALL
    SELECT * FROM onyx.calls_as_of(
        start, 'in', edge_kinds, node_kinds, min_confidence, max_depth, max_nodes, repo, at)
    WHERE at IS NOT NULL
    ORDER BY depth, node_id;
END;
COMMENT ON FUNCTION onyx.callers(bigint[], text[], text[], real, integer, bigint, text, text) IS
    'Who calls a node, and where: lines are those of the calls, in the caller''s file; given at, as it was at a commit of their repository (see onyx.commit_at)';

CREATE FUNCTION onyx.callers(
    start bigint, edge_kinds text[] DEFAULT '{calls,instantiates}', node_kinds text[] DEFAULT NULL,
    min_confidence real DEFAULT 0, max_depth integer DEFAULT 1, max_nodes bigint DEFAULT 10000,
    repo text DEFAULT NULL, at text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, path bigint[], kind text, qualified_name text,
    signature text, repo_name text, file_path text, start_line integer, edge_kind text,
    confidence real, lines integer[], truncated boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 50 COST 10000
BEGIN ATOMIC
    SELECT * FROM onyx.callers(ARRAY[start], edge_kinds, node_kinds, min_confidence, max_depth, max_nodes, repo, at);
END;
COMMENT ON FUNCTION onyx.callers(bigint, text[], text[], real, integer, bigint, text, text) IS
    'Who calls a node, and where: lines are those of the calls, in the caller''s file; given at, as it was at a commit of their repository (see onyx.commit_at)';

CREATE FUNCTION onyx.callees(
    start bigint[], edge_kinds text[] DEFAULT '{calls,instantiates}', node_kinds text[] DEFAULT NULL,
    min_confidence real DEFAULT 0, max_depth integer DEFAULT 1, max_nodes bigint DEFAULT 10000,
    repo text DEFAULT NULL, at text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, path bigint[], kind text, qualified_name text,
    signature text, repo_name text, file_path text, start_line integer, edge_kind text,
    confidence real, lines integer[], truncated boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 50 COST 10000
BEGIN ATOMIC
    SELECT w.node_id, w.depth, w.predecessor, w.path, n.kind, n.qualified_name, n.signature, r.name,
           f.path, n.start_line, w.edge_kind, c.confidence, c.lines, w.truncated
    FROM onyx.neighbors(start, 'out', edge_kinds, node_kinds, min_confidence, max_depth, max_nodes, repo) w
    JOIN onyx.nodes n ON n.id = w.node_id
    LEFT JOIN onyx.repos r ON r.id = n.repo_id
    LEFT JOIN onyx.files f ON f.id = n.file_id
    CROSS JOIN LATERAL (
        SELECT max(l.confidence) AS confidence, array_agg(DISTINCT l.line ORDER BY l.line) AS lines
        FROM onyx.links l
        WHERE l.source_id = w.predecessor AND l.target_id = w.node_id AND l.kind = w.edge_kind) c
    WHERE at IS NULL
    UNION ALL
    SELECT * FROM onyx.calls_as_of(
        start, 'out', edge_kinds, node_kinds, min_confidence, max_depth, max_nodes, repo, at)
    WHERE at IS NOT NULL
    ORDER BY depth, node_id;
END;
COMMENT ON FUNCTION onyx.callees(bigint[], text[], text[], real, integer, bigint, text, text) IS
    'What a node calls, and where: lines are those of the calls, in the file of predecessor; given at, as it was at a commit of their repository (see onyx.commit_at)';

CREATE FUNCTION onyx.callees(
    start bigint, edge_kinds text[] DEFAULT '{calls,instantiates}', node_kinds text[] DEFAULT NULL,
    min_confidence real DEFAULT 0, max_depth integer DEFAULT 1, max_nodes bigint DEFAULT 10000,
    repo text DEFAULT NULL, at text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, path bigint[], kind text, qualified_name text,
    signature text, repo_name text, file_path text, start_line integer, edge_kind text,
    confidence real, lines integer[], truncated boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 50 COST 10000
BEGIN ATOMIC
    SELECT * FROM onyx.callees(ARRAY[start], edge_kinds, node_kinds, min_confidence, max_depth, max_nodes, repo, at);
END;
COMMENT ON FUNCTION onyx.callees(bigint, text[], text[], real, integer, bigint, text, text) IS
    'What a node calls, and where: lines are those of the calls, in the file of predecessor; given at, as it was at a commit of their repository (see onyx.commit_at)';

CREATE FUNCTION onyx.impact(
    start bigint[],
    edge_kinds text[] DEFAULT '{calls,references,instantiates,inherits,implements,overrides,imports,depends_on}',
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT 10,
    max_nodes bigint DEFAULT 10000, repo text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, path bigint[], kind text, qualified_name text,
    signature text, repo_name text, file_path text, start_line integer, edge_kind text,
    confidence real, lines integer[], truncated boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 50 COST 10000
BEGIN ATOMIC
    WITH changed AS MATERIALIZED (
        SELECT pg_catalog.array_agg(c.node_id) AS nodes
        FROM onyx.bfs(start, 'out', '{contains}', NULL, 0, NULL, NULL) c
    )
    SELECT w.node_id, w.depth, w.predecessor, w.path, n.kind, n.qualified_name, n.signature, r.name,
           f.path, n.start_line, w.edge_kind, c.confidence, c.lines, w.truncated
    FROM changed, onyx.neighbors(changed.nodes, 'in', edge_kinds, node_kinds, min_confidence, max_depth, max_nodes, repo) w
    JOIN onyx.nodes n ON n.id = w.node_id
    LEFT JOIN onyx.repos r ON r.id = n.repo_id
    LEFT JOIN onyx.files f ON f.id = n.file_id
    CROSS JOIN LATERAL (
        SELECT max(l.confidence) AS confidence, array_agg(DISTINCT l.line ORDER BY l.line) AS lines
        FROM onyx.links l
        WHERE l.source_id = w.node_id AND l.target_id = w.predecessor AND l.kind = w.edge_kind) c
    ORDER BY w.depth, w.node_id;
END;
COMMENT ON FUNCTION onyx.impact(bigint[], text[], text[], real, integer, bigint, text) IS
    'What may break when nodes, or anything they contain, change: all that refers to them, and to that, and so on';

CREATE FUNCTION onyx.impact(
    start bigint,
    edge_kinds text[] DEFAULT '{calls,references,instantiates,inherits,implements,overrides,imports,depends_on}',
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT 10,
    max_nodes bigint DEFAULT 10000, repo text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, path bigint[], kind text, qualified_name text,
    signature text, repo_name text, file_path text, start_line integer, edge_kind text,
    confidence real, lines integer[], truncated boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 50 COST 10000
BEGIN ATOMIC
    SELECT * FROM onyx.impact(ARRAY[start], edge_kinds, node_kinds, min_confidence, max_depth, max_nodes, repo);
END;
COMMENT ON FUNCTION onyx.impact(bigint, text[], text[], real, integer, bigint, text) IS
    'What may break when nodes, or anything they contain, change: all that refers to them, and to that, and so on';

CREATE FUNCTION onyx.subgraph(
    start bigint[], direction text DEFAULT 'both', edge_kinds text[] DEFAULT NULL,
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT 2,
    max_nodes bigint DEFAULT 1000, repo text DEFAULT NULL)
RETURNS TABLE (
    edge_id bigint, source_id bigint, target_id bigint, kind text, confidence real, line integer,
    depth integer, truncated boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 COST 10000
BEGIN ATOMIC
    WITH reached AS MATERIALIZED (
        SELECT * FROM onyx.bfs(start, direction, edge_kinds, node_kinds, min_confidence, max_depth,
                               max_nodes, repo)
    ), cut AS MATERIALIZED (
        SELECT coalesce(bool_or(c.truncated), false) AS off FROM reached c
    )
    SELECT e.id, e.source_id, e.target_id, e.kind, e.confidence, e.line, greatest(s.depth, t.depth),
           (SELECT c.off FROM cut c)
    FROM reached s
    CROSS JOIN LATERAL (SELECT * FROM onyx.edges o WHERE o.source_id = s.node_id) e
    JOIN reached t ON t.node_id = e.target_id
    WHERE (edge_kinds IS NULL OR e.kind = ANY (edge_kinds)) AND e.confidence >= min_confidence
    ORDER BY greatest(s.depth, t.depth), e.source_id, e.target_id, e.kind, e.id;
END;
COMMENT ON FUNCTION onyx.subgraph(bigint[], text, text[], text[], real, integer, bigint, text) IS
    'Edges among the nodes around some: depth is that of the farther end, truncated whether nodes were left out';

CREATE FUNCTION onyx.subgraph(
    start bigint, direction text DEFAULT 'both', edge_kinds text[] DEFAULT NULL,
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT 2,
    max_nodes bigint DEFAULT 1000, repo text DEFAULT NULL)
RETURNS TABLE (
    edge_id bigint, source_id bigint, target_id bigint, kind text, confidence real, line integer,
    depth integer, truncated boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 COST 10000
BEGIN ATOMIC
    SELECT * FROM onyx.subgraph(ARRAY[start], direction, edge_kinds, node_kinds, min_confidence,
                                max_depth, max_nodes, repo);
END;
COMMENT ON FUNCTION onyx.subgraph(bigint, text, text[], text[], real, integer, bigint, text) IS
    'Edges among the nodes around one: depth is that of the farther end, truncated whether nodes were left out';

-- What a reader pays for a text. Four bytes a token is what common tokenizers need for code, within
-- a fifth.
CREATE FUNCTION onyx.token_estimate(content text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (pg_catalog.octet_length(content) + 3) / 4;
COMMENT ON FUNCTION onyx.token_estimate(text) IS 'About how many tokens of a language model a text is: a quarter of its bytes';

CREATE FUNCTION onyx.cut_to_tokens(content text, tokens integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN onyx.token_estimate(content) <= tokens THEN content
            -- A character has at most four bytes.
            WHEN pg_catalog.octet_length(content) > pg_catalog.length(content)
            THEN pg_catalog.left(content, greatest(tokens, 0))
            ELSE pg_catalog.left(content, 4 * greatest(tokens, 0)) END;
COMMENT ON FUNCTION onyx.cut_to_tokens(text, integer) IS 'A text''s beginning that fits a number of tokens';

CREATE FUNCTION onyx.repo_map(
    repo text, token_budget integer DEFAULT 2000, seeds bigint[] DEFAULT NULL)
RETURNS TABLE (
    file_path text, start_line integer, kind text, qualified_name text, signature text, node_id bigint,
    score float8, tokens integer)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 COST 100000
BEGIN ATOMIC
    WITH ranked AS (
        SELECT k.rank, k.score, n.id, n.kind, n.qualified_name, n.signature, n.start_line, f.path,
               onyx.token_estimate(n.signature) + 4 AS tokens
        FROM onyx.rank(seeds, repo_map.repo, max_results => NULL) k
        JOIN onyx.nodes n ON n.id = k.node_id
        JOIN onyx.files f ON f.id = n.file_id
        WHERE n.signature <> ''
    ), summed AS (
        -- A file's path is written once.
        SELECT r.*, sum(r.tokens + CASE WHEN r.nth = 1 THEN onyx.token_estimate(r.path) ELSE 0 END)
                        OVER (ORDER BY r.rank) AS all_tokens
        FROM (SELECT r.*, row_number() OVER (PARTITION BY r.path ORDER BY r.rank) AS nth FROM ranked r) r
    )
    SELECT s.path, s.start_line, s.kind, s.qualified_name, s.signature, s.id, s.score, s.tokens
    FROM summed s
    WHERE s.all_tokens <= token_budget
    ORDER BY s.path, s.start_line, s.id;
END;
COMMENT ON FUNCTION onyx.repo_map(text, integer, bigint[]) IS
    'Most important definitions of a repository whose signatures fit a budget of tokens, in source order; with seeds, as seen from these';
