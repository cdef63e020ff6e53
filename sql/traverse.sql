-- Traversals, and what is computed from the whole graph. Arguments mean the same everywhere:
-- edge_kinds and node_kinds NULL are all kinds; node_kinds and repo hold for nodes walked to, not for
-- starts; a limit of NULL is none; truncated marks the last row of an answer that a limit cut off,
-- and a NOTICE says so. Each reads what its query's snapshot shows, with the caller's rights.

CREATE FUNCTION onyx.bfs(
    start bigint[], direction text DEFAULT 'out', edge_kinds text[] DEFAULT NULL,
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT 3,
    max_nodes bigint DEFAULT 10000, repo text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, edge_kind text, path bigint[],
    truncated boolean)
AS 'MODULE_PATHNAME', 'onyx_bfs' LANGUAGE c STABLE PARALLEL SAFE COST 1000 ROWS 1000;
COMMENT ON FUNCTION onyx.bfs(bigint[], text, text[], text[], real, integer, bigint, text) IS
    'Nodes reached from the starts, breadth first: the nearest first, within a level by id';

CREATE FUNCTION onyx.bfs(
    start bigint, direction text DEFAULT 'out', edge_kinds text[] DEFAULT NULL,
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT 3,
    max_nodes bigint DEFAULT 10000, repo text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, edge_kind text, path bigint[],
    truncated boolean)
AS 'MODULE_PATHNAME', 'onyx_bfs' LANGUAGE c STABLE PARALLEL SAFE COST 1000 ROWS 1000;
COMMENT ON FUNCTION onyx.bfs(bigint, text, text[], text[], real, integer, bigint, text) IS
    'Nodes reached from the starts, breadth first: the nearest first, within a level by id';

CREATE FUNCTION onyx.dfs(
    start bigint[], direction text DEFAULT 'out', edge_kinds text[] DEFAULT NULL,
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT 100,
    max_nodes bigint DEFAULT 10000, repo text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, edge_kind text, path bigint[],
    truncated boolean)
AS 'MODULE_PATHNAME', 'onyx_dfs' LANGUAGE c STABLE PARALLEL SAFE COST 1000 ROWS 1000;
COMMENT ON FUNCTION onyx.dfs(bigint[], text, text[], text[], real, integer, bigint, text) IS
    'Nodes reached from the starts, depth first in pre-order, neighbours by id; a node shows the depth of the tree it was first met at';

CREATE FUNCTION onyx.dfs(
    start bigint, direction text DEFAULT 'out', edge_kinds text[] DEFAULT NULL,
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT 100,
    max_nodes bigint DEFAULT 10000, repo text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, edge_kind text, path bigint[],
    truncated boolean)
AS 'MODULE_PATHNAME', 'onyx_dfs' LANGUAGE c STABLE PARALLEL SAFE COST 1000 ROWS 1000;
COMMENT ON FUNCTION onyx.dfs(bigint, text, text[], text[], real, integer, bigint, text) IS
    'Nodes reached from the starts, depth first in pre-order, neighbours by id; a node shows the depth of the tree it was first met at';

CREATE FUNCTION onyx.neighbors(
    start bigint[], direction text DEFAULT 'both', edge_kinds text[] DEFAULT NULL,
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT 1,
    max_nodes bigint DEFAULT 10000, repo text DEFAULT NULL, at text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, edge_kind text, path bigint[],
    truncated boolean)
AS 'MODULE_PATHNAME', 'onyx_neighbors' LANGUAGE c STABLE PARALLEL SAFE COST 1000 ROWS 50;
COMMENT ON FUNCTION onyx.neighbors(bigint[], text, text[], text[], real, integer, bigint, text, text) IS
    'Nodes around some, breadth first, without these themselves; given at, in the graph as it was at a commit of their repository (see onyx.commit_at)';

CREATE FUNCTION onyx.neighbors(
    start bigint, direction text DEFAULT 'both', edge_kinds text[] DEFAULT NULL,
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT 1,
    max_nodes bigint DEFAULT 10000, repo text DEFAULT NULL, at text DEFAULT NULL)
RETURNS TABLE (
    node_id bigint, depth integer, predecessor bigint, edge_kind text, path bigint[],
    truncated boolean)
AS 'MODULE_PATHNAME', 'onyx_neighbors' LANGUAGE c STABLE PARALLEL SAFE COST 1000 ROWS 50;
COMMENT ON FUNCTION onyx.neighbors(bigint, text, text[], text[], real, integer, bigint, text, text) IS
    'Nodes around some, breadth first, without these themselves; given at, in the graph as it was at a commit of their repository (see onyx.commit_at)';

CREATE FUNCTION onyx.shortest_path(
    source bigint, target bigint, direction text DEFAULT 'out', edge_kinds text[] DEFAULT NULL,
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT NULL,
    max_nodes bigint DEFAULT 1000000, repo text DEFAULT NULL)
RETURNS TABLE (node_id bigint, depth integer, predecessor bigint, edge_kind text, path bigint[])
AS 'MODULE_PATHNAME', 'onyx_shortest_path' LANGUAGE c STABLE PARALLEL SAFE COST 1000 ROWS 10;
COMMENT ON FUNCTION onyx.shortest_path(bigint, bigint, text, text[], text[], real, integer, bigint, text) IS
    'A path of the fewest edges between two nodes, a row a node; none when there is none';

CREATE FUNCTION onyx.paths(
    source bigint, target bigint, direction text DEFAULT 'out', edge_kinds text[] DEFAULT NULL,
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_depth integer DEFAULT 6,
    max_paths bigint DEFAULT 100, max_nodes bigint DEFAULT 100000, repo text DEFAULT NULL)
RETURNS TABLE (
    path_number integer, length integer, path bigint[], edge_kinds text[], truncated boolean)
AS 'MODULE_PATHNAME', 'onyx_paths' LANGUAGE c STABLE PARALLEL SAFE COST 1000 ROWS 100;
COMMENT ON FUNCTION onyx.paths(bigint, bigint, text, text[], text[], real, integer, bigint, bigint, text) IS
    'Paths between two nodes that meet no node twice, the shortest first';

CREATE FUNCTION onyx.components(
    repo text DEFAULT NULL, edge_kinds text[] DEFAULT NULL, node_kinds text[] DEFAULT NULL,
    min_confidence real DEFAULT 0, strong boolean DEFAULT false, min_size bigint DEFAULT 2,
    max_edges bigint DEFAULT 20000000)
RETURNS TABLE (component integer, size bigint, node_id bigint)
AS 'MODULE_PATHNAME', 'onyx_components' LANGUAGE c STABLE PARALLEL SAFE COST 100000 ROWS 1000;
COMMENT ON FUNCTION onyx.components(text, text[], text[], real, boolean, bigint, bigint) IS
    'Connected components, the largest first; strong ones are nodes that all reach each other';

CREATE FUNCTION onyx.cycles(
    repo text DEFAULT NULL, edge_kinds text[] DEFAULT '{imports,calls,inherits,references,instantiates}',
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, max_length integer DEFAULT 8,
    max_cycles bigint DEFAULT 100, max_edges bigint DEFAULT 20000000)
RETURNS TABLE (cycle_number integer, length integer, path bigint[], truncated boolean)
AS 'MODULE_PATHNAME', 'onyx_cycles' LANGUAGE c STABLE PARALLEL SAFE COST 100000 ROWS 100;
COMMENT ON FUNCTION onyx.cycles(text, text[], text[], real, integer, bigint, bigint) IS
    'Cycles that meet no node twice, each once, from its least node, for each of these the shortest first';

CREATE FUNCTION onyx.rank(
    seeds bigint[] DEFAULT NULL, repo text DEFAULT NULL,
    edge_kinds text[] DEFAULT '{calls,references,instantiates,inherits,implements}',
    node_kinds text[] DEFAULT NULL, min_confidence real DEFAULT 0, damping float8 DEFAULT 0.85,
    max_results bigint DEFAULT 100, max_edges bigint DEFAULT 20000000)
RETURNS TABLE (rank bigint, node_id bigint, score float8)
AS 'MODULE_PATHNAME', 'onyx_rank' LANGUAGE c STABLE PARALLEL SAFE COST 100000 ROWS 100;
COMMENT ON FUNCTION onyx.rank(bigint[], text, text[], text[], real, float8, bigint, bigint) IS
    'Most important nodes by PageRank over references; with seeds, as seen from these';
