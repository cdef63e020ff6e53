"""make bench-edit: ingesting a repository of about a thousand files again after an edit of one, against its first ingest.

ROUNDS=3  first ingests, each on a new cluster; figures are medians
N=20      edits a round, each of another file
"""

import os
import random
import shutil

import corpus
from cluster import Cluster, cpu_seconds, literal
from report import Report, median, number, quantile, say

STAGES = ("total", "read", "parse", "write", "resolve")


def edit(path, text, number):
    """The file with a function more, and its first function called in it."""
    name = next((line[4:line.index("(")] for line in text.splitlines() if line.startswith("def ") and "(" in line), "len")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{text}\n\ndef onyx_edit_{number}():\n    return {name}\n")


def one_round(source, count, seed):
    cluster = Cluster("edit")
    # Where the server may read it, and nobody else does.
    tree = os.path.join(cluster.directory, "tree")
    shutil.copytree(source, tree)
    corpus.readable(tree)
    os.chmod(cluster.directory, 0o711)
    session = cluster.database("bench")
    engine = int(session.value("SELECT pid FROM onyx.stat_engine"))
    seconds = ", ".join(f"seconds->>'{stage}'" for stage in STAGES)
    call = f"SELECT files, edges, files_changed, {seconds} FROM onyx.ingest_directory('django', {literal(tree)})"
    rows, first = session.timed(call)
    files, edges, changed, *_ = rows[0]
    paths = [row[0] for row in session.run("SELECT path FROM onyx.files WHERE language = 'python' ORDER BY path")]
    figures = {"first": first, "files": int(files), "edges": int(edges), "edits": [], "stages": [], "single": [], "cpu": []}
    for i, path in enumerate(random.Random(seed).sample(paths, count)):
        full = os.path.join(tree, path)
        with open(full, encoding="utf-8") as file:
            text = file.read()
        edit(full, text, i)
        used = cpu_seconds(session.pid), cpu_seconds(engine)
        rows, took = session.timed(call)
        figures["cpu"].append((cpu_seconds(session.pid) - used[0], cpu_seconds(engine) - used[1]))
        figures["edits"].append(took)
        figures["stages"].append([float(value) for value in rows[0][3:]])
        assert rows[0][2] == "1", rows
        # The way back, told of one file.
        content = text.replace("$onyx$", "")
        statement = f"SELECT files FROM onyx.ingest_file('django', {literal(path)}, convert_to($onyx${content}$onyx$, 'UTF8'))"
        figures["single"].append(session.timed(statement)[1])
        with open(full, "w", encoding="utf-8") as file:
            file.write(content)
    figures["differences"] = int(session.value("SELECT count(*) FROM onyx.verify('django')"))
    session.close()
    cluster.remove()
    return figures


def main():
    rounds, count = number("ROUNDS", 3), number("N", 20)
    source = corpus.fetch(corpus.DJANGO)
    say(f"{rounds} rounds of {count} edits in {source}")
    report = Report("bench-edit")
    done = []
    for i in range(rounds):
        figures = one_round(source, count, i)
        done.append(figures)
        stages = [median([stage[k] for stage in figures["stages"]]) * 1000 for k in range(len(STAGES))]
        say(f"round {i + 1}: first {figures['first']:.0f} ms; an edit {median(figures['edits']):.0f} ms ("
            + ", ".join(f"{name} {took:.0f}" for name, took in zip(STAGES, stages))
            + f"), alone {median(figures['single']):.0f} ms; {figures['differences']} differences from a clean resolution")
    last = done[-1]
    first = median([f["first"] for f in done])
    note = f"{last['files']} files, {last['edges']} edges; peer is the first ingest"
    for case, key in (("one edited file, by ingest_directory", "edits"), ("one edited file, by ingest_file", "single")):
        times = [took for f in done for took in f[key]]
        ratio = median([median(f[key]) / f["first"] for f in done])
        report.add(case, "ms", median(times), first, ratio, 0.05, f"{note}; 95 %: {quantile(times, 0.95):.3g}",
                   judged=ratio, at_least=False)
    differences = max(f["differences"] for f in done)
    report.add("differences from a clean resolution after the edits", "rows", differences, None, None, 0, "onyx.verify",
               judged=differences, at_least=False)
    report.finish()
