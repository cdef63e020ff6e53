"""make bench-graph: traversals against the best recursive CTE for the same answer, in the same session.

EDGES="100000 1000000"   synthetic graphs: power-law in and out, five edges a node
N=40                     random starts
REPO="mixed django"      real graphs, as ingested: nine packages of six languages, and Django alone; REPO= leaves them out
"""

import os
import random

import corpus
from cluster import Cluster, cpu_milliseconds, literal
from report import Report, die, median, number, quantile, say

# Sources are drawn with power 1.3, targets with power 2.5 and then spread over all ids, as in a graph of calls: a
# few functions call much, very few are called by everybody.
GRAPH = """
SELECT setseed(0.42);
INSERT INTO onyx.repos (id, name) VALUES (1, 'synthetic');
INSERT INTO onyx.nodes (id, repo_id, kind, name, qualified_name, signature, doc)
SELECT i, 1, CASE WHEN i % 10 < 7 THEN 'function' WHEN i % 10 < 9 THEN 'method' ELSE 'class' END,
       'f' || i, 'm.f' || i, 'def f' || i || '()', ''
FROM generate_series(0, {nodes} - 1) i;
INSERT INTO onyx.links (repo_id, file_id, source_id, target_id, kind, line, col, confidence, resolution)
SELECT 1, s / 50, s, t, k, 1, 1, c, 'path'
FROM (SELECT floor({nodes} * power(random(), 1.3))::bigint AS s,
             (floor({nodes} * power(random(), 2.5))::bigint * 7919) % {nodes} AS t,
             CASE WHEN random() < 0.6 THEN 'calls' ELSE 'references' END AS k, 0.5 + random() / 2 AS c
      FROM generate_series(1, {edges})) x
ORDER BY s
"""

# Two ways people write it. UNION keeps a node once a depth; arrays keep a level at a time. Each also with the
# predecessor and the path that onyx.bfs gives.
CTE = {
    "union": """
WITH RECURSIVE b (id, depth) AS (
    SELECT {start}::bigint, 0
    UNION SELECT l.target_id, b.depth + 1 FROM b JOIN onyx.links l ON l.source_id = b.id WHERE b.depth < {depth})
SELECT count(*), sum(depth) FROM (SELECT id, min(depth) AS depth FROM b GROUP BY id) q""",
    "levels": """
WITH RECURSIVE b (depth, level, seen) AS (
    SELECT 0, ARRAY[{start}::bigint], ARRAY[{start}::bigint]
    UNION ALL
    SELECT b.depth + 1, n.level, b.seen || n.level
    FROM b CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT l.target_id) AS level FROM unnest(b.level) u JOIN onyx.links l ON l.source_id = u
        WHERE NOT EXISTS (SELECT FROM unnest(b.seen) s WHERE s = l.target_id)) n
    WHERE b.depth < {depth} AND n.level IS NOT NULL)
SELECT count(*), sum(depth) FROM b, unnest(level)""",
}
SAME = {
    # The rows with the path: a node once a depth and predecessor, the first of each node, then ways back.
    "union": """
WITH RECURSIVE b (id, depth, predecessor, kind) AS (
    SELECT {start}::bigint, 0, NULL::bigint, NULL::text
    UNION SELECT l.target_id, b.depth + 1, l.source_id, l.kind
    FROM (SELECT DISTINCT id, depth FROM b) b JOIN onyx.links l ON l.source_id = b.id WHERE b.depth < {depth}),
tree AS MATERIALIZED (SELECT DISTINCT ON (id) * FROM b ORDER BY id, depth, predecessor, kind),
rows AS (
    SELECT id, depth, predecessor, kind, ARRAY[id] AS path FROM tree WHERE depth = 0
    UNION ALL SELECT t.id, t.depth, t.predecessor, t.kind, r.path || t.id
    FROM rows r JOIN tree t ON t.predecessor = r.id AND t.depth = r.depth + 1)
{wanted} FROM rows""",
    "levels": """
WITH RECURSIVE b (depth, level, seen, predecessors, kinds) AS (
    SELECT 0, ARRAY[{start}::bigint], ARRAY[{start}::bigint], ARRAY[NULL::bigint], ARRAY[NULL::text]
    UNION ALL
    SELECT b.depth + 1, n.level, b.seen || n.level, n.predecessors, n.kinds
    FROM b CROSS JOIN LATERAL (
        SELECT array_agg(q.target_id) AS level, array_agg(q.source_id) AS predecessors, array_agg(q.kind) AS kinds
        FROM (SELECT DISTINCT ON (l.target_id) l.target_id, l.source_id, l.kind
              FROM unnest(b.level) u JOIN onyx.links l ON l.source_id = u
              WHERE NOT EXISTS (SELECT FROM unnest(b.seen) s WHERE s = l.target_id)
              ORDER BY l.target_id, l.source_id, l.kind) q) n
    WHERE b.depth < {depth} AND n.level IS NOT NULL),
tree AS MATERIALIZED (
    SELECT u.id, b.depth, u.predecessor, u.kind
    FROM b CROSS JOIN LATERAL unnest(b.level, b.predecessors, b.kinds) u (id, predecessor, kind)),
rows AS (
    SELECT id, depth, predecessor, kind, ARRAY[id] AS path FROM tree WHERE depth = 0
    UNION ALL SELECT t.id, t.depth, t.predecessor, t.kind, r.path || t.id
    FROM rows r JOIN tree t ON t.predecessor = r.id)
{wanted} FROM rows""",
}
# Every column of a row is asked for, of both.
ALL = "SELECT count(*), sum(depth), count(predecessor), sum(length(kind)), sum(cardinality(path))"
SAME = {name: sql.replace("{wanted}", ALL) for name, sql in SAME.items()}
# The first level with the target ends it: the executor fetches rows of a CTE only as far as LIMIT needs.
SHORTEST = {
    "union": """
WITH RECURSIVE b (id, depth) AS (
    SELECT {start}::bigint, 0
    UNION SELECT l.target_id, b.depth + 1 FROM b JOIN onyx.links l ON l.source_id = b.id WHERE b.depth < 12)
SELECT depth FROM b WHERE id = {target} LIMIT 1""",
    "levels": """
WITH RECURSIVE b (depth, level, seen) AS (
    SELECT 0, ARRAY[{start}::bigint], ARRAY[{start}::bigint]
    UNION ALL
    SELECT b.depth + 1, n.level, b.seen || n.level
    FROM b CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT l.target_id) AS level FROM unnest(b.level) u JOIN onyx.links l ON l.source_id = u
        WHERE NOT EXISTS (SELECT FROM unnest(b.seen) s WHERE s = l.target_id)) n
    WHERE b.depth < 12 AND n.level IS NOT NULL)
SELECT depth FROM b WHERE {target} = ANY (level) LIMIT 1""",
}


def compare(report, session, case, ours, peers, cases, bar, note, at_least=True, most=None):
    """Times one statement of ours and the peers' on all cases, in turn; the peer is the best one at the median. The note
    has the server's processor time too, which other load on the machine changes little."""
    times = {name: [] for name in [*peers, "ours"]}
    work = {name: [] for name in [*peers, "ours"]}
    for values in cases:
        expected = None
        for name, sql in [*peers.items(), ("ours", ours)]:
            statement = sql.format(**values)
            session.run(statement)
            before = cpu_milliseconds(session.pid)
            rows, took = session.timed(statement)
            work[name].append(cpu_milliseconds(session.pid) - before)
            times[name].append(took)
            if expected is not None and rows != expected:
                die(f"{case}: {name} answers {rows}, not {expected}: one of them is wrong ({statement})")
            expected = rows
    best = min(peers, key=lambda name: median(times[name]))
    mine, theirs = median(times["ours"]), median(times[best])
    ratio = theirs / mine
    others = ", ".join(f"{name} {median(times[name]):.3g}" for name in peers if name != best)
    least = min(peers, key=lambda name: median(work[name]))
    mine_work, least_work = median(work["ours"]), median(work[least])
    said = (f"peer: {best}" + (f" ({others} ms)" if others else "") + f"; ours 95 %: {quantile(times['ours'], 0.95):.3g}; "
            f"processor: {mine_work:.3g}, {least} {least_work:.3g} ms, {least_work / mine_work:.1f} times; {note}")
    report.add(case, "ms (median)", mine, theirs, ratio, bar, said, judged=ratio)
    if most is not None:
        report.add(case, "ms (median)", mine, None, None, most, "ours alone", judged=mine, at_least=False)
    say(f"{case}: ours {mine:.3g} ms, {best} {theirs:.3g} ms, {ratio:.1f} times; "
        f"processor time {mine_work:.3g} ms, {least} {least_work:.3g} ms, {least_work / mine_work:.1f} times")


def measure(report, session, name, edges, starts, kinds, three_hops):
    args = f"'out', {kinds}, max_nodes => NULL, max_depth => {{depth}}"
    ids = f"SELECT count(*), sum(depth) FROM onyx.bfs({{start}}, {args})"
    rows = f"{ALL.replace('kind', 'edge_kind')} FROM onyx.bfs({{start}}, {args})"
    about = f"{edges} edges, {len(starts)} starts"
    # As the first traversals of a session are, before it keeps the graph.
    session.run("SET onyx.graph_cache_size = 0")
    for depth in (3, 6):
        cases = [{"start": start, "depth": depth} for start in starts]
        compare(report, session, f"{name}: bfs, {depth} deep, from the indexes, same rows", rows, SAME, cases, 1, about)
        compare(report, session, f"{name}: bfs, {depth} deep, from the indexes, ids and depths alone", ids, CTE, cases, 1,
                about)
    session.run("RESET onyx.graph_cache_size")
    took = 0
    for start in starts * 3:
        took = max(took, session.timed(ids.format(start=start, depth=6))[1])
    report.add(f"{name}: the call that reads the graph into memory", "ms", took, None, None, None, "once a session and change")
    for depth in (2, 3, 4, 6):
        cases = [{"start": start, "depth": depth} for start in starts]
        bar = 10 if depth >= 4 else 1
        # The bar is for the same answer, whole. Beside it the leanest: nodes and depths of both.
        compare(report, session, f"{name}: bfs, {depth} deep, same rows", rows, SAME, cases, bar, about,
                most=three_hops if depth == 3 else None)
        compare(report, session, f"{name}: bfs, {depth} deep, ids and depths alone", ids, CTE, cases, 1, about)
    around = f"SELECT count(*), sum(depth) + 0 FROM onyx.neighbors({{start}}, {args})"
    peers = {k: v.replace("count(*), sum(depth)", "nullif(count(*), 0) - 1, sum(depth)") for k, v in CTE.items()}
    compare(report, session, f"{name}: 2-hop neighbours", around, peers,
            [{"start": s, "depth": 2} for s in starts], 1, about)
    pairs = [{"start": a, "target": b} for a, b in zip(starts, starts[1:] + starts[:1])]
    compare(report, session, f"{name}: shortest path",
            f"SELECT depth FROM onyx.shortest_path({{start}}, {{target}}, 'out', {kinds}, max_depth => 12) ORDER BY depth DESC LIMIT 1",
            SHORTEST, pairs[:10], 1, f"{about}, 10 pairs")


def real(report, cluster, name, tree, count):
    """A graph as ingestion makes it."""
    session = cluster.database(name)
    session.run(f"SELECT * FROM onyx.ingest_directory('{name}', {literal(tree)})")
    edges = int(session.value("SELECT count(*) FROM onyx.links"))
    session.run("VACUUM ANALYZE onyx.nodes")
    session.run("VACUUM ANALYZE onyx.links")
    rng = random.Random(7)
    sources = [int(row[0]) for row in session.run(
        "SELECT DISTINCT source_id FROM onyx.links WHERE kind = 'calls' ORDER BY 1")]
    kinds = session.value("SELECT quote_literal(array_agg(DISTINCT kind)::text) FROM onyx.links")
    plain, kinds = kinds, kinds.replace("{", "{{").replace("}", "}}")
    # The bar for three hops is that of a graph of 100,000 edges or more.
    three_hops = 1 if edges >= 100000 else None
    measure(report, session, name, edges, rng.sample(sources, min(count, len(sources))), kinds, three_hops)
    # Most functions reach a handful of others, where any query takes as long as asking does.
    wide = [int(row[0]) for row in session.run(
        f"SELECT s FROM unnest(ARRAY{rng.sample(sources, min(1000, len(sources)))}::bigint[]) s "
        f"WHERE (SELECT count(*) FROM onyx.bfs(s, 'out', {plain}, max_depth => 4)) >= 100 LIMIT {count}")]
    if wide:
        measure(report, session, f"{name}, from nodes that reach 100", edges, wide, kinds, None)
    session.close()


def main():
    sizes = [int(text) for text in os.environ.get("EDGES", "100000 1000000").split()]
    count = number("N", 40)
    # Levels of a peer must not spill where ours do not.
    cluster = Cluster("graph", {"shared_buffers": "512MB", "work_mem": "64MB", "autovacuum": "off", "jit": "off"})
    report = Report("bench-graph")
    for edges in sizes:
        nodes = edges // 5
        session = cluster.database(f"graph{edges}")
        session.run("BEGIN")
        for statement in GRAPH.format(nodes=nodes, edges=edges).split(";"):
            session.run(statement)
        session.run("COMMIT")
        session.run("VACUUM ANALYZE onyx.nodes")
        session.run("VACUUM ANALYZE onyx.links")
        rng = random.Random(7)
        sources = [int(row[0]) for row in session.run("SELECT DISTINCT source_id FROM onyx.links ORDER BY 1")]
        starts = rng.sample(sources, min(count, len(sources)))
        measure(report, session, f"{edges // 1000}k", edges, starts, "NULL", 1 if edges <= 100000 else None)
        for what, sql in (("components", "SELECT count(*) FROM onyx.components()"),
                          ("rank", "SELECT count(*) FROM onyx.rank(edge_kinds => NULL)")):
            session.run(sql)
            report.add(f"{edges // 1000}k: {what}", "ms", session.timed(sql)[1], None, None, None, "whole graph")
        session.close()
    trees = {"mixed": corpus.mixed, "django": lambda: corpus.fetch(corpus.DJANGO)}
    for name in os.environ.get("REPO", "mixed django").split():
        if name not in trees:
            die(f"there is no graph \"{name}\": REPO may have {' and '.join(trees)}")
        real(report, cluster, name, trees[name](), count)
    report.finish()
