"""make bench-history: a real git history to tables, and what is asked of it.

REPOSITORY=/path         a git repository, bare or not; this project's own unless given
N=200                    questions of each kind
"""

import os
import random
import re
import shutil
import subprocess
import tempfile
import time

from cluster import Cluster, cpu_seconds, literal, peak_bytes
from report import Report, die, median, number, quantile, say

ENDINGS = r"\.(rs|py|pyi|ts|tsx|mts|cts|js|jsx|mjs|cjs|go|java)$"


def git(repository, *arguments, **options):
    done = subprocess.run(["git", "-c", "safe.directory=*", "-C", repository, *arguments], capture_output=True, **options)
    if done.returncode != 0:
        die(f"git {arguments[0]} failed in {repository}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def pack_of_source(repository):
    """Bytes of git's own pack of the source files in the same history, and of everything in it."""
    listed = git(repository, "rev-list", "--objects", "--branches").decode(errors="replace").splitlines()
    names = {}
    for line in listed:
        object_id, _, path = line.partition(" ")
        names[object_id] = path
    checked = git(repository, "cat-file", "--batch-check=%(objectname) %(objecttype)", input="\n".join(names).encode())
    kinds = dict(line.split(" ") for line in checked.decode().splitlines())
    source, everything = [], []
    for object_id, path in names.items():
        line = f"{object_id} {path}".strip()
        everything.append(line)
        if kinds.get(object_id) != "blob" or re.search(ENDINGS, path):
            source.append(line)

    def packed(lines):
        with tempfile.TemporaryDirectory() as directory:
            git(repository, "pack-objects", "--no-reuse-delta", "-q",
                os.path.join(directory, "pack"), input="\n".join(lines).encode())
            return sum(os.path.getsize(os.path.join(directory, name)) for name in os.listdir(directory)
                       if name.endswith(".pack"))

    return packed(source), packed(everything)


def readable(repository):
    """A bare copy that the server's user may read."""
    directory = tempfile.mkdtemp(prefix="onyx-bench-")
    os.chmod(directory, 0o755)
    copy = os.path.join(directory, "repository.git")
    git("/", "clone", "-q", "--bare", repository, copy)
    subprocess.run(["chmod", "-R", "a+rX", directory], check=True)
    return directory, copy


def times(session, sql, cases):
    took = []
    for values in cases:
        took.append(session.timed(sql.format(**values))[1])
    return took


def main():
    repository = os.environ.get("REPOSITORY") or os.environ["ONYX_ROOT"]
    count = number("N", 200)
    rng = random.Random(7)
    report = Report("bench-history", aloud=True)
    directory, copy = readable(repository)
    try:
        measure(report, copy, count, rng)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    report.finish()


def measure(report, repository, count, rng):
    commits = int(git(repository, "rev-list", "--count", "--branches").decode())
    say(f"{commits} commits")
    source, everything = pack_of_source(repository)
    cluster = Cluster("history")
    session = cluster.database("history")
    session.run("SELECT * FROM onyx.stat_engine")
    engine = int(session.value("SELECT pid FROM onyx.stat_engine"))
    before = cpu_seconds(engine), cpu_seconds(session.pid)
    begun = time.monotonic()
    session.run(f"CALL onyx.ingest_git('r', {literal(repository)})")
    took = time.monotonic() - begun
    used = cpu_seconds(engine) - before[0], cpu_seconds(session.pid) - before[1]
    report.add("ingest, symbols and all", "commits/s", commits / took, None, None, 100,
               f"{took:.1f} s; processor: engine {used[0]:.1f} s, backend {used[1]:.1f} s", judged=commits / took)
    report.add("peak memory", "MB", (peak_bytes(engine) + peak_bytes(session.pid)) / 1e6, None, None, None,
               "engine with its model and backend with shared buffers")
    begun = time.monotonic()
    session.run(f"CALL onyx.ingest_git('r', {literal(repository)})")
    report.add("ingest again, nothing new", "s", time.monotonic() - begun)

    session.run("VACUUM ANALYZE")
    sizes = dict(session.run("""
        SELECT relname, pg_total_relation_size(oid) FROM pg_class
        WHERE relnamespace = 'onyx'::regnamespace AND relkind = 'r'"""))
    sizes = {name: int(size) for name, size in sizes.items()}
    bodies = int(session.value("SELECT sum(length(text)) + sum(length(facts)) FROM onyx.contents"))
    texts = int(session.value("SELECT sum(length(text)) FROM onyx.contents"))
    raw = int(session.value("SELECT sum(size) FROM onyx.contents"))
    tables = ("commits", "commit_parents", "paths", "contents", "file_versions", "symbol_names", "symbol_changes")
    versions = sum(sizes[name] for name in ("contents", "file_versions", "symbol_changes"))
    named = versions + sizes["symbol_names"]
    history = sum(sizes[name] for name in tables)
    report.add("texts", "bytes stored", texts, source, texts / source, None, f"raw {raw}; the peer is what git packs commits, trees and source files into")
    report.add("texts and definitions", "bytes stored", bodies, source, bodies / source, 2, judged=bodies / source, at_least=False)
    report.add("bodies and versions, with indexes", "bytes", versions, everything, versions / everything, 2,
               f"the peer is git's pack with all files; {versions / source:.2f} of the one with source alone",
               judged=versions / everything, at_least=False)
    report.add("the same with names", "bytes", named, everything, named / everything, 2, judged=named / everything, at_least=False)
    report.add("all tables of history, with indexes", "bytes", history, everything, history / everything, None,
               ", ".join(f"{name} {sizes[name]}" for name in tables))
    report.add("what was searched, all versions", "bytes", sizes["search_texts"])

    nodes = [row[0] for row in session.run(
        "SELECT node_id FROM (SELECT DISTINCT node_id FROM onyx.symbol_versions WHERE ordinal IS NOT NULL) n "
        "ORDER BY hashint8(node_id) LIMIT " + str(count))]
    ids = [row[0] for row in session.run("SELECT id FROM onyx.commits ORDER BY id")]
    cases = [{"node": rng.choice(nodes), "at": rng.choice(ids)} for _ in range(count)]
    content = "SELECT length(onyx.content_at({node}, '#{at}'))"
    history = "SELECT count(*) FROM onyx.history({node})"
    blame = "SELECT count(*) FROM onyx.blame({node})"
    times(session, content, cases[:20])
    for name, sql, bar in (("content_at", content, 1), ("history", history, 1), ("blame", blame, None)):
        took = times(session, sql, cases)
        report.add(name, "ms (median)", median(took), None, None, bar, f"95 %: {quantile(took, 0.95):.3g}; {len(cases)} nodes and commits",
                   judged=median(took), at_least=False)
    head = "SELECT count(*), sum(length(qualified_name) + length(signature) + length(doc)) FROM onyx.nodes"
    as_of = "SELECT count(*), sum(length(qualified_name) + length(signature) + length(doc)) FROM onyx.nodes_as_of('r', '#{at}')"
    last = session.value("SELECT commit_id FROM onyx.branches WHERE is_default")
    both = {"head": [], "same": [], "other": []}
    for turn in range(12):
        both["head"].append(session.timed(head)[1])
        both["same"].append(session.timed(as_of.format(at=last))[1])
        both["other"].append(session.timed(as_of.format(at=ids[len(ids) * (turn + 1) // 14]))[1])
    same, peer = median(both["same"]), median(both["head"])
    report.add("nodes_as_of the head", "ms (median)", same, peer, same / peer, 2, "the peer reads onyx.nodes", judged=same / peer, at_least=False)
    report.add("nodes_as_of other commits", "ms (median)", median(both["other"]), None, None, None, "each for the first time")
    session.close()


if __name__ == "__main__":
    main()
