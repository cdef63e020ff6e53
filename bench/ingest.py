"""make bench-ingest: a real tree of six languages, end to end in SQL, against bare tree-sitter.

ROUNDS=3  rounds, each on a new cluster; figures are medians
"""

import json
import os
import subprocess
import time

import corpus
from cluster import Cluster, cpu_seconds, literal, peak_bytes
from report import Report, die, median, number, say

SECONDS = "seconds->>'total', seconds->>'read', seconds->>'parse', seconds->>'write'"


def bare_parse(tree, paths, threads):
    """Bytes and seconds of tree-sitter alone over the same files."""
    listed = "".join(os.path.join(tree, path) + "\n" for path in paths)
    done = subprocess.run([os.environ["ONYX_BARE_PARSE"], str(threads)], input=listed, capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        die(f"bare_parse failed: {done.stderr[:300]}")
    read, seconds = done.stdout.split()
    return int(read), float(seconds)


def one_round(tree, threads, peer_first, known_paths):
    cluster = Cluster("ingest")
    session = cluster.database("bench")
    engine = int(session.value("SELECT pid FROM onyx.stat_engine"))
    peer = bare_parse(tree, known_paths, threads) if peer_first else None
    used = cpu_seconds(session.pid), cpu_seconds(engine)
    call = f"SELECT files, nodes, skipped, {SECONDS} FROM onyx.ingest_directory('mixed', {literal(tree)})"
    rows, first_ms = session.timed(call)
    used = cpu_seconds(session.pid) - used[0], cpu_seconds(engine) - used[1]
    files, nodes, skipped, *seconds = rows[0]
    figures = {
        "first": first_ms / 1000,
        "files": int(files),
        "nodes": int(nodes),
        "skipped": sum(json.loads(skipped).values()),
        "seconds": [float(s) for s in seconds],
        "cpu": used,
        "embedded": int(session.value("SELECT coalesce(sum(embedded), 0) FROM onyx.stat_embedding")),
    }
    again = [session.timed(call)[1] / 1000 for _ in range(3)]
    figures["again"] = median(again)
    figures["memory"] = peak_bytes(engine) + peak_bytes(session.pid)
    figures["parts"] = peak_bytes(engine), peak_bytes(session.pid)
    figures["pending"] = int(session.value("SELECT coalesce(sum(pending), 0) FROM onyx.stat_embedding"))
    paths = [row[0] for row in session.run("SELECT path FROM onyx.files WHERE language <> 'manifest' ORDER BY path")]
    figures["bytes"] = int(session.value("SELECT sum(size) FROM onyx.files WHERE language <> 'manifest'"))
    languages = session.run("SELECT language, round(sum(size) / 1e6, 1) FROM onyx.files GROUP BY 1 ORDER BY 1")
    figures["languages"] = ", ".join(" ".join(row) for row in languages)
    session.close()
    cluster.remove()
    figures["peer"] = peer or bare_parse(tree, paths, threads)
    if figures["peer"][0] != figures["bytes"]:
        die(f"the peer read {figures['peer'][0]} bytes and the ingest {figures['bytes']}: {tree} has changed meanwhile")
    return figures, paths


def main():
    rounds = number("ROUNDS", 3)
    threads = os.cpu_count()
    tree = corpus.mixed()
    say(f"{rounds} rounds over {tree}, {threads} cores")
    all_rounds, paths = [], None
    for i in range(rounds):
        start = time.monotonic()
        # Who goes first alternates, once it is known which files there are.
        figures, paths = one_round(tree, threads, i % 2 == 1, paths)
        all_rounds.append(figures)
        total, read, parse, write = figures["seconds"]
        mb = figures["bytes"] / 1e6
        say(f"round {i + 1}: {mb / figures['first']:.2f} MB/s (peer {mb / figures['peer'][1]:.2f}), total {total:.1f} s: "
            f"reading {read:.1f}, parsing {parse:.1f} (over threads), writing {write:.1f}; processor: backend "
            f"{figures['cpu'][0]:.1f}, engine {figures['cpu'][1]:.1f}; {figures['embedded']} texts embedded meanwhile; "
            f"again {figures['again']:.2f} s; round took {time.monotonic() - start:.0f} s")
    last = all_rounds[-1]
    mb = last["bytes"] / 1e6
    rate = median([mb / f["first"] for f in all_rounds])
    peer = median([mb / f["peer"][1] for f in all_rounds])
    ratio = median([f["peer"][1] / f["first"] for f in all_rounds])
    faster = median([f["first"] / f["again"] for f in all_rounds])
    memory = max(f["memory"] for f in all_rounds)
    parts = [max(f["parts"][i] for f in all_rounds) / 1e6 for i in (0, 1)]
    stages = [median([f["seconds"][i] for f in all_rounds]) for i in range(4)]
    cpu = [median([f["cpu"][i] for f in all_rounds]) for i in (0, 1)]
    report = Report("bench-ingest")
    report.add("ingest against bare tree-sitter", "MB/s", rate, peer, ratio, 0.4,
               f"{mb:.1f} MB, {last['files']} files, {last['nodes']} nodes, {last['skipped']} skipped; {last['languages']}",
               judged=ratio)
    report.add("ingest, absolute", "MB/s", rate, None, None, 2,
               f"seconds: total {stages[0]:.1f}, reading {stages[1]:.1f} and parsing {stages[2]:.1f} over {threads} threads, "
               f"writing {stages[3]:.1f}; processor: backend {cpu[0]:.1f}, engine {cpu[1]:.1f}", judged=rate)
    report.add("ingest again, nothing changed", "s", median([f["again"] for f in all_rounds]),
               median([f["first"] for f in all_rounds]), faster, 20,
               f"peer is the first ingest; {last['pending']} texts still waited for their embeddings", judged=faster)
    report.add("peak memory, engine and backend", "MB", memory / 1e6, None, None, 1000,
               f"engine {parts[0]:.0f}, backend {parts[1]:.0f} with the shared buffers it touched", judged=memory / 1e6,
               at_least=False)
    report.finish()
