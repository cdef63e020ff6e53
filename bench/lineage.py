"""make eval-lineage: precision and recall of what became of renamed and moved symbols, against labels written by hand.

bench/lineage/<language>.tsv has sections. Each begins with a line of two states of real code: `@`, where they
are from (two releases of a package, or a commit of a git repository and its parent), which, and `tuned` or
`held`: the algorithm was fitted to the former and never to the latter. Below it are the symbols that were read,
old and new, as file:qualified name (file: for the file itself), or `-` for one that is really new or gone. What
follows by itself, members of a moved class under their own name, mostly has no line; nor has what two readers
could decide in two ways, such as a function that two became.

Commits need the repositories: GIT=DIRECTORY holds clones, as <owner>+<name>/repo or <name>. Without, they are left out.
"""

import collections
import glob
import json
import os
import shutil
import subprocess
import tempfile

import corpus
from report import Report, die, say

LABELS = os.path.join(os.environ["ONYX_ROOT"], "bench", "lineage")
PRECISION, RECALL = 0.90, 0.88
SUFFIXES = (".py", ".js", ".ts", ".tsx", ".go", ".java", ".rs")
GONE = "-"


class Tally:
    """Counts of one set of labels."""

    def __init__(self):
        self.pairs = self.others = self.hits = self.wrong = 0

    def add(self, other):
        for name in ("pairs", "others", "hits", "wrong"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def report(self, report, what):
        note = f"{self.pairs} renamed or moved, {self.others} new or gone"
        precision, recall = share(self.hits, self.hits + self.wrong), share(self.hits, self.pairs)
        report.add(f"{what} precision", "share", precision, bar=PRECISION, judged=precision, note=note)
        report.add(f"{what} recall", "share", recall, bar=RECALL, judged=recall, note=note)


def main():
    report = Report("eval-lineage")
    packages = {f"{corpus.plain(p[1])}-{p[2]}": p for p in corpus.LINEAGE}
    totals = collections.defaultdict(Tally)
    left_out = 0
    halves = os.environ.get("HALVES", "tuned held").split()
    for path in sorted(glob.glob(os.path.join(LABELS, "*.tsv"))):
        language = os.path.basename(path).removesuffix(".tsv")
        tallies = collections.defaultdict(Tally)
        for (source, one, two, half), labels in read(path):
            if half not in halves:
                continue
            say(f"{language}: {one} {two}")
            with tempfile.TemporaryDirectory() as work:
                if source == "packages":
                    old, new = (directory(packages, name) for name in (one, two))
                else:
                    repository = clone(one)
                    if repository is None:
                        left_out += 1
                        continue
                    old, new = checkout(repository, two, work)
                tally = evaluate(labels, traced(old, new))
            kind = "releases" if source == "packages" else "commits"
            for name in (language, f"all {kind}", f"all, {half}", "all"):
                (tallies if name == language else totals)[name].add(tally)
        for name, tally in tallies.items():
            tally.report(report, name)
    for name in sorted(totals, key=len, reverse=True):
        totals[name].report(report, name)
    if left_out:
        say(f"{left_out} commits were left out: GIT=DIRECTORY says where the clones are")
    report.finish()


def share(part, whole):
    return part / whole if whole else 1.0


def read(path):
    """[(section, [(old, new)])]"""
    sections = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            fields = line.rstrip("\n").split("\t")
            if fields[0].startswith("#"):
                continue
            if fields[0] == "@" and len(fields) == 5:
                sections.append((tuple(fields[1:]), []))
            elif len(fields) == 2 and sections:
                sections[-1][1].append(tuple(fields))
            else:
                die(f"{path}:{number} is neither a section nor a label: repair it")
    return sections


def directory(packages, name):
    if name not in packages:
        die(f"bench/corpus.py has no package {name}: add it or leave it out of bench/lineage")
    package = packages[name]
    root = corpus.fetch(package)
    return os.path.join(root, "package") if package[0] == "npm" else root


def clone(name):
    """Where a repository is; none when it is not there."""
    base = os.environ.get("GIT")
    if not base:
        return None
    for place in (name.replace("/", "+") + "/repo", name, name.split("/")[1]):
        if os.path.isdir(os.path.join(base, place)):
            return os.path.join(base, place)
    return None


def git(repository, *arguments):
    command = ["git", "-c", "safe.directory=*", "-C", repository, *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def checkout(repository, commit, work):
    """The source files a commit changed, before and after."""
    listed = git(repository, "diff-tree", "-r", "-z", "--no-commit-id", "--no-renames", "--name-status", commit)
    fields = listed.decode().split("\0")
    old, new = os.path.join(work, "old"), os.path.join(work, "new")
    for status, path in zip(fields[::2], fields[1::2]):
        if not path.endswith(SUFFIXES):
            continue
        for root, state, absent in ((old, f"{commit}^", "A"), (new, commit, "D")):
            if status == absent:
                continue
            target = os.path.join(root, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(git(repository, "show", f"{state}:{path}"))
    return old, new


def traced(old, new):
    """Pairs of old and new symbols as the engine sees them, each not where it was."""
    done = subprocess.run([os.environ["ONYX_LINEAGE_TREES"], old, new], check=True, capture_output=True, text=True)
    rows = set()
    for line in done.stdout.splitlines():
        row = json.loads(line)
        rows.add(tuple(f'{row[side]["file"]}:{row[side]["name"]}' if row[side] else GONE for side in ("old", "new")))
    return rows


def evaluate(labels, rows):
    tally = Tally()
    wrong = set()
    by_old, by_new = collections.defaultdict(set), collections.defaultdict(set)
    for row in rows:
        if GONE not in row:
            by_old[row[0]].add(row)
            by_new[row[1]].add(row)
    for label in labels:
        old, new = label
        found = (by_old[old] if old != GONE else set()) | (by_new[new] if new != GONE else set())
        if GONE in label:
            tally.others += 1
        else:
            tally.pairs += 1
            if label in found:
                tally.hits += 1
            else:
                say(f"  missing  {old} -> {new}")
        wrong |= found - {label}
    for old, new in sorted(wrong):
        say(f"  wrong    {old} -> {new}")
    tally.wrong = len(wrong)
    return tally
