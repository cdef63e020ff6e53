"""make bench-history-search: onyx.search at a commit against onyx.search at the head, on one repository.

REPO=DIRECTORY   a git repository; by default the project's own, with its history
N=30             questions: first sentences of documentation at the head
ROUNDS=5         rounds over the questions, after one that warms the session
FRESH=no         yes: begin with an empty store, so that the embedding of all texts is timed
"""

import os
import random
import shutil
import subprocess

import corpus
import texts
from cluster import CLUSTERS, Cluster, literal
from report import Report, die, median, number, say
from search import wait_for_embeddings


def git(directory, *arguments):
    command = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "safe.directory=*",
               "-C", directory, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        die(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def history():
    """A bare copy that the server's user can read."""
    target = os.path.join(CLUSTERS, "history.git")
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(CLUSTERS, exist_ok=True)
    source = os.path.realpath(os.environ.get("REPO", os.environ["ONYX_ROOT"]))
    git(CLUSTERS, "clone", "-q", "--bare", source, target)
    corpus.readable(target)
    return target


def questions_of(session):
    """What the documentation at the head says first of some definitions."""
    docs = [row[0] for row in session.run(
        "SELECT replace(replace(doc, E'\\n', ' '), E'\\t', ' ') FROM onyx.nodes WHERE search_text IS NOT NULL AND doc <> '' ORDER BY id")]
    said = sorted({texts.first_sentence(doc) for doc in docs})
    fitting = [text for text in said if 25 <= len(text) <= 80]
    return random.Random(7).sample(fitting, min(number("N", 30), len(fitting)))


def hits(session, question, at, count):
    """Nodes with their semantic ranks, by search at the head or at a commit."""
    at = f", at => {literal(at)}" if at else ""
    rows = session.run(f"SELECT node_id, coalesce(semantic_rank, 0) FROM onyx.search({literal(question)}, {count}, 'history'{at})")
    return {int(row[0]): int(row[1]) for row in rows}


def recall(session, questions, at):
    """How many of the ten nearest are among the candidates of a search of the usual size."""
    found = wanted = 0
    for question in questions:
        nearest = {n for n, rank in hits(session, question, at, 1000000).items() if 1 <= rank <= 10}
        given = {n for n, rank in hits(session, question, at, 40).items() if rank}
        found += len(nearest & given)
        wanted += len(nearest)
    return found / wanted


def main():
    rounds = number("ROUNDS", 5)
    directory = history()
    cluster = Cluster("history", keep=True, fresh=os.environ.get("FRESH", "no") == "yes")
    session = cluster.database("history")
    took = session.timed(f"CALL onyx.ingest_git('history', {literal(directory)})")[1] / 1000
    pending = int(session.value("SELECT coalesce(sum(pending), 0) FROM onyx.stat_embedding"))
    waited, embedded = wait_for_embeddings(session)
    commits, heads, searched = (int(session.value(sql)) for sql in (
        "SELECT count(*) FROM onyx.commits", "SELECT count(search_text) FROM onyx.nodes",
        "SELECT count(*) FROM onyx.search_texts"))
    say(f"{commits} commits in {took:.1f} s, {heads} nodes with a text at the head, {searched} texts in all; "
        f"{pending} waited for their embedding then, {embedded} embedded in {waited:.0f} s")
    for table in ("nodes", "search_texts", "symbol_versions", "file_versions", "contents", "commits", "paths"):
        session.run(f"VACUUM ANALYZE onyx.{table}")
    head = "#" + session.value("SELECT onyx.commit_at('history')")
    line = session.run(
        "WITH RECURSIVE line AS (SELECT c.* FROM onyx.commits c WHERE c.id = onyx.commit_at('history')"
        " UNION ALL SELECT p.* FROM line l JOIN onyx.commits p ON p.id = l.parent_id) SELECT id FROM line ORDER BY id")
    middle = "#" + line[len(line) // 2][0]
    questions = questions_of(session)
    for question in questions:
        session.run(f"SELECT onyx.embed({literal(question)})")
    session.close()

    ways = {"head": "", "at the head's commit": f", at => {literal(head)}", "at the middle commit": f", at => {literal(middle)}"}
    with cluster.session("history") as session:
        times = {name: [] for name in ways}
        first = {}
        for turn in range(rounds + 1):
            for question in questions:
                for name, at in ways.items():
                    sql = f"SELECT * FROM onyx.search({literal(question)}, repo => 'history'{at})"
                    rows, ms = session.timed(sql)
                    if turn == 0:
                        first.setdefault(name, ms)
                    else:
                        times[name].append(ms)
        recalls = {name: recall(session, questions, {"head": None, "at the head's commit": head}.get(name, middle))
                   for name in ways}
    report = Report("bench-history-search")
    base = median(times["head"])
    for name in ways:
        about = f"{len(questions)} questions x {rounds} rounds, interleaved; recall@10 of the semantic half {recalls[name]:.3f}; first in a session {first[name]:.0f} ms"
        ratio = median(times[name]) / base
        report.add(f"search, {name}", "ms (median)", median(times[name]), None if name == "head" else base,
                   None if name == "head" else ratio, None if name == "head" else 2, about,
                   judged=None if name == "head" else ratio, at_least=False)
    report.finish()
