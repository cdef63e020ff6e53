"""make eval-graph: precision and recall of call edges, against expectations written by hand.

bench/expectations/<language>.tsv has a line for each line of real code that was read:
package, file, line, and what it calls or instantiates, as file:qualified name separated by spaces, or
`-` where it calls nothing of the package. `file:name@line` is the one of several of a name (overloads)
whose definition has that line. All call edges of such a line count, so a line must be read
whole. A constructor that an instantiation runs is not counted beside it.
"""

import collections
import glob
import json
import os
import subprocess

import corpus
from report import Report, die, say

EXPECTATIONS = os.path.join(os.environ["ONYX_ROOT"], "bench", "expectations")
# Packages that only this reads, beside those of the mixed tree.
READ = [corpus.NETWORKX, corpus.WERKZEUG, corpus.COOKIE, corpus.RAFT, corpus.GO_GIT, corpus.EXPRESS, corpus.COMMANDER,
        corpus.QUERY, corpus.STACK]
PRECISION, RECALL, STRATEGY = 0.95, 0.80, 0.80


def main():
    report = Report("eval-graph")
    packages = {f"{p[1]}-{p[2]}": p for p in [*corpus.MIXED, *READ, *corpus.JAVA]}
    for path in sorted(glob.glob(os.path.join(EXPECTATIONS, "*.tsv"))):
        language = os.path.basename(path).removesuffix(".tsv")
        evaluate(report, language, read(path), packages)
    report.finish()


def read(path):
    """package -> (file, line) -> set of targets"""
    expected = collections.defaultdict(dict)
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = line.rstrip("\n").split("\t")
            if len(fields) != 4:
                die(f"{path}:{number} has {len(fields)} fields, not 4: repair it")
            package, name, at, targets = fields
            wanted = set() if targets == "-" else set(targets.split(" "))
            expected[package][(name, int(at))] = wanted
    return expected


def evaluate(report, language, expected, packages):
    right, wrong, missing = collections.Counter(), collections.Counter(), []
    for package, lines in expected.items():
        if package not in packages:
            die(f"bench/corpus.py has no package {package}: add it or leave it out of the expectations")
        found, times = edges(corpus.fetch(packages[package]), language, lines)
        say(f"{package}: {times}")
        for place, wanted in lines.items():
            seen = set()
            for target, (first, last), resolution in found[place]:
                lines_of = {w: int(w.rsplit("@", 1)[1]) for w in wanted if w.startswith(f"{target}@")}
                target = next((w for w, at in lines_of.items() if first <= at <= last), target)
                seen.add(target)
                if target in wanted:
                    right[resolution] += 1
                else:
                    wrong[resolution] += 1
                    say(f"  wrong    {place[0]}:{place[1]} -> {target} [{resolution}]")
            for target in sorted(wanted - seen):
                missing.append(target)
                say(f"  missing  {place[0]}:{place[1]} -> {target}")
    hits, misses = sum(right.values()), sum(wrong.values())
    count = hits + len(missing)
    for what, value, bar in (("precision", share(hits, hits + misses), PRECISION),
                             ("recall", share(hits, count), RECALL)):
        report.add(f"{language} {what}", "share", value, bar=bar, judged=value, note=f"{count} call edges")
    for resolution in sorted(right.keys() | wrong.keys()):
        all_of_it = right[resolution] + wrong[resolution]
        value = share(right[resolution], all_of_it)
        report.add(f"{language} {resolution}", "precision", value, bar=STRATEGY, judged=value, note=f"{all_of_it} edges")


def share(part, whole):
    return part / whole if whole else 1.0


def edges(directory, language, lines):
    """(file, line) -> set of (target, its lines, resolution), and the last line of the times."""
    command = [os.environ["ONYX_RESOLVE_TREE"], directory, language]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = collections.defaultdict(set)
    made = set()
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        if row["kind"] == "instantiates" and "target" in row:
            made.add((row["file"], row["line"], row["column"]))
    for row in rows:
        place = (row["file"], row["line"])
        if row["kind"] not in ("calls", "instantiates") or "target" not in row or place not in lines:
            continue
        if row["kind"] == "calls" and (*place, row["column"]) in made:
            continue
        target = f'{row["target_file"]}:{row["target"]}'.replace(" ", "")
        found[place].add((target, tuple(row["target_lines"]), row["resolution"]))
    return found, done.stderr.strip().splitlines()[-1]
