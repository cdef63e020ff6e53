-- onyx.context: what a reader of some nodes needs, as far as a budget goes.

-- The one place that knows where a node's text is. Objects of the database, users' nodes and directories have none.
CREATE FUNCTION onyx.node_text(node bigint) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 2000
RETURN (
    SELECT CASE
        WHEN t.source IS NULL THEN pg_catalog.concat_ws(
            E'\n', nullif(n.doc, ''), coalesce(nullif(n.signature, ''), n.qualified_name))
        -- Python's documentation is in the source; elsewhere it stands before it.
        WHEN pg_catalog.strpos(t.source, pg_catalog.split_part(n.doc, E'\n', 1)) > 0 THEN t.source
        ELSE pg_catalog.concat_ws(E'\n', n.doc, t.source) END
    FROM onyx.nodes n
    CROSS JOIN LATERAL (
        SELECT CASE WHEN n.origin = 'source' AND n.file_id IS NOT NULL
                         AND EXISTS (SELECT FROM onyx.branches b WHERE b.repo_id = n.repo_id AND b.is_default)
               THEN onyx.content_at(n.id) END AS source) t
    WHERE n.id = node);
COMMENT ON FUNCTION onyx.node_text(bigint) IS
    'A node''s source text at the head, with the documentation before it; documentation and signature of what has no source';

-- Texts get what the rest leaves, at least three quarters of the budget, in equal parts; what short ones leave goes to
-- the long ones.
CREATE FUNCTION onyx.context(nodes bigint[], token_budget integer DEFAULT 4000)
RETURNS TABLE (
    part text, node_id bigint, kind text, qualified_name text, repo_name text, file_path text,
    start_line integer, end_line integer, content text, tokens integer)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 COST 100000
BEGIN ATOMIC
    WITH parts (priority, part, id, distance, confidence) AS (
        SELECT 1, 'body', b.id, b.place, 1::real FROM pg_catalog.unnest(nodes) WITH ORDINALITY b (id, place)
        UNION ALL
        SELECT 2, 'container', p.node_id, p.depth, 1::real
        FROM onyx.neighbors(nodes, 'in', '{contains}', max_depth => 1) p
        UNION ALL
        SELECT 3, 'type', t.node_id, t.depth, t.confidence
        FROM onyx.callees(nodes, '{references,instantiates,inherits,implements}',
                          '{class,struct,union,record,interface,trait,enum,type_alias,annotation}') t
        UNION ALL
        SELECT 4, 'callee', c.node_id, c.depth, c.confidence FROM onyx.callees(nodes, '{calls}') c
        UNION ALL
        SELECT 5, 'caller', c.node_id, c.depth, c.confidence FROM onyx.callers(nodes) c
        UNION ALL
        SELECT 6, 'member', m.node_id, m.depth, 1::real
        FROM onyx.neighbors(nodes, 'out', '{contains}', max_depth => 1, max_nodes => 200) m
    ), once AS (
        SELECT DISTINCT ON (p.id) p.* FROM parts p ORDER BY p.id, p.priority, p.distance
    ), whole AS MATERIALIZED (
        SELECT o.*, n.kind, n.qualified_name, n.repo_id, n.file_id, n.start_line, n.end_line,
               CASE WHEN o.part = 'body' THEN onyx.node_text(n.id)
                    ELSE coalesce(nullif(n.signature, ''), n.qualified_name) END AS content
        FROM once o JOIN onyx.nodes n ON n.id = o.id
        WHERE n.kind NOT IN ('repository', 'directory')
    ), sizes AS (
        SELECT w.id, w.part = 'body' AS is_body, onyx.token_estimate(w.content) AS tokens FROM whole w
    ), shares AS (
        SELECT (token_budget - least(coalesce(sum(z.tokens) FILTER (WHERE NOT z.is_body), 0), token_budget / 4))
                   / nullif(count(*) FILTER (WHERE z.is_body), 0) AS share
        FROM sizes z
    ), caps AS (
        SELECT pg_catalog.floor(h.share + coalesce(sum(h.share - z.tokens) FILTER (WHERE z.tokens < h.share), 0)
                   / nullif(count(*) FILTER (WHERE z.tokens > h.share), 0))::integer AS cap
        FROM sizes z CROSS JOIN shares h
        WHERE z.is_body
        GROUP BY h.share
    ), written AS (
        SELECT w.priority, w.part, w.id, w.distance, w.confidence, w.kind, w.qualified_name, w.repo_id, w.file_id,
               w.start_line, w.end_line,
               CASE WHEN w.part = 'body' THEN onyx.cut_to_tokens(w.content, coalesce(c.cap, token_budget))
                    ELSE w.content END AS content
        FROM whole w LEFT JOIN caps c ON true
    ), summed AS (
        SELECT w.*, onyx.token_estimate(w.content) AS tokens,
               sum(onyx.token_estimate(w.content)) OVER (
                   ORDER BY w.priority, w.distance, w.confidence DESC, w.id) AS all_tokens
        FROM written w
    )
    SELECT s.part, s.id, s.kind, s.qualified_name, r.name, f.path, s.start_line, s.end_line, s.content, s.tokens
    FROM summed s
    LEFT JOIN onyx.repos r ON r.id = s.repo_id
    LEFT JOIN onyx.files f ON f.id = s.file_id
    WHERE s.all_tokens <= token_budget
    ORDER BY s.priority, s.distance, s.confidence DESC, s.id;
END;
COMMENT ON FUNCTION onyx.context(bigint[], integer) IS
    'What a reader of some nodes needs within a budget of tokens: their texts, then signatures of container, types, callees, callers, members';

CREATE FUNCTION onyx.context(node bigint, token_budget integer DEFAULT 4000)
RETURNS TABLE (
    part text, node_id bigint, kind text, qualified_name text, repo_name text, file_path text,
    start_line integer, end_line integer, content text, tokens integer)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 20 COST 100000
BEGIN ATOMIC
    SELECT * FROM onyx.context(ARRAY[node], token_budget);
END;
COMMENT ON FUNCTION onyx.context(bigint, integer) IS
    'What a reader of a node needs within a budget of tokens: its text, then container, types, callees, callers, members';

CREATE FUNCTION onyx.context(query text, token_budget integer DEFAULT 4000, max_results integer DEFAULT 3)
RETURNS TABLE (
    part text, node_id bigint, kind text, qualified_name text, repo_name text, file_path text,
    start_line integer, end_line integer, content text, tokens integer)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 20 COST 100000
BEGIN ATOMIC
    SELECT * FROM onyx.context(
        (SELECT pg_catalog.array_agg(s.node_id ORDER BY s.rank) FROM onyx.search(query, max_results) s),
        token_budget);
END;
COMMENT ON FUNCTION onyx.context(text, integer, integer) IS
    'The same for the best answers to a question';
