"""make eval-search: does a docstring's first sentence find the function it was taken from?

For each package: its source, without its own tests and with all docstrings removed, is ingested; the
questions are the first sentences of the functions' docstrings, the documents all its functions, methods
and properties. Parts
are asked for by the columns lexical_rank and semantic_rank of onyx.search with a limit of 50, whose
parts are cut far below rank 10; hybrid is the rank in onyx.search with its limit of 10.

PACKAGES="networkx django"
N=0         questions for each package; 0 means all
FRESH=no    yes: begin with an empty store
"""

import ast
import hashlib
import os
import shutil

import corpus
import texts
from cluster import literal
from report import Report, die, number, say
from search import kept_cluster, wait_for_embeddings

PACKAGES = {"networkx": corpus.NETWORKX, "django": corpus.DJANGO}
KINDS = "ARRAY['function', 'method', 'constructor', 'property']"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def docstring_of(node):
    """The statement that is the docstring of a node, or None."""
    if not isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)) or not node.body:
        return None
    first = node.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return first if is_text else None


def without_docstrings(content):
    """The same source, every line where it was, with each docstring replaced by nothing much."""
    lines = content.encode().splitlines(keepends=True)
    found = [doc for node in ast.walk(ast.parse(content)) if (doc := docstring_of(node))]
    for doc in sorted(found, key=lambda d: (d.lineno, d.col_offset), reverse=True):
        first, last = doc.lineno - 1, doc.end_lineno - 1
        before, after = lines[first][: doc.col_offset], lines[last][doc.end_col_offset :]
        # A number is an expression too, so that a body of nothing else stays one.
        lines[first : last + 1] = [before + b"0" + after] if first == last else (
            [before + b"0\n"] + [b"\n"] * (last - first - 1) + [after.lstrip(b" \t;")])
    return b"".join(lines).decode()


def hash_of(question):
    return hashlib.sha256("\0".join(map(str, question)).encode()).digest()


def prepare(package, name):
    """The tree without docstrings, and the questions: sentence, path, line of each function."""
    source = corpus.fetch(package)
    tree = os.path.join(corpus.SOURCES, f"{os.path.basename(source)}-without-docstrings")
    shutil.rmtree(tree, ignore_errors=True)
    questions = []
    for full, content in texts.python_files(source):
        path = os.path.relpath(full, source)
        if "tests" in path.split("/"):
            continue
        bare = without_docstrings(content)
        if any(docstring_of(node) for node in ast.walk(ast.parse(bare))):
            die(f"a docstring is left in {path}: please report this")
        target = os.path.join(tree, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as file:
            file.write(bare)
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, FUNCTIONS) and (doc := ast.get_docstring(node)):
                sentence = texts.first_sentence(doc)
                if len(sentence.split()) >= 3:
                    start = min([node.lineno] + [d.lineno for d in node.decorator_list])
                    questions.append((sentence, path, start, node.name))
    corpus.readable(tree)
    say(f"{name}: {len(questions)} functions have a docstring of at least three words")
    return tree, questions


def evaluate(session, tree, name, questions):
    """Mean reciprocal ranks at 10 of the lexical part, the semantic part and both."""
    session.run(f"SELECT * FROM onyx.ingest_directory({literal(name)}, {literal(tree)})")
    took, embedded = wait_for_embeddings(session)
    session.run("VACUUM ANALYZE onyx.nodes")
    documents = int(session.value(
        f"SELECT count(*) FROM onyx.nodes n JOIN onyx.repos r ON r.id = n.repo_id "
        f"WHERE r.name = {literal(name)} AND n.kind = ANY ({KINDS}) AND n.search_text IS NOT NULL"))
    say(f"{name}: {documents} functions are searched; embedded {embedded} texts in {took:.0f} s")
    session.run("CREATE TABLE IF NOT EXISTS public.questions (repo text, question text, node bigint)")
    values = ",".join(f"({literal(s)}, {literal(p)}, {line}, {literal(n)})" for s, p, line, n in questions)
    session.run(
        f"INSERT INTO public.questions SELECT {literal(name)}, q.question, n.id "
        f"FROM (VALUES {values}) q (question, path, line, name) "
        f"JOIN onyx.repos r ON r.name = {literal(name)} "
        f"JOIN onyx.files f ON f.repo_id = r.id AND f.path = q.path "
        f"JOIN onyx.nodes n ON n.file_id = f.id AND n.start_line = q.line AND n.name = q.name AND n.kind = ANY ({KINDS})")
    asked = int(session.value(f"SELECT count(*) FROM public.questions WHERE repo = {literal(name)}"))
    if asked < 0.98 * len(questions):
        die(f"only {asked} of {len(questions)} functions of {name} were found among the nodes: please report this")
    # All questions embedded in one call.
    session.run(f"SELECT cardinality(onyx.embed(array_agg(DISTINCT question))) FROM public.questions WHERE repo = {literal(name)}")
    reciprocal = "coalesce(sum(1.0 / {0}) FILTER (WHERE {0} <= 10), 0) / count(*)"
    rows = session.run(
        f"SELECT {reciprocal.format('l')}, {reciprocal.format('s')}, {reciprocal.format('h')}, "
        f"count(*) FILTER (WHERE l <= 10), count(*) FILTER (WHERE s <= 10), count(*) FILTER (WHERE h <= 10) "
        f"FROM (SELECT (SELECT rank FROM onyx.search(q.question, 10, {literal(name)}, {KINDS}) WHERE node_id = q.node) AS h, "
        f"w.lexical_rank AS l, w.semantic_rank AS s FROM public.questions q "
        f"LEFT JOIN LATERAL onyx.search(q.question, 50, {literal(name)}, {KINDS}) w ON w.node_id = q.node "
        f"WHERE q.repo = {literal(name)}) r")
    return documents, asked, [float(x) for x in rows[0][:3]], [int(x) for x in rows[0][3:]]


def main():
    names = os.environ.get("PACKAGES", "networkx django").split()
    if unknown := set(names) - set(PACKAGES):
        die(f"unknown package \"{unknown.pop()}\": there are {', '.join(PACKAGES)}")
    limit = int(os.environ.get("N") or 0)
    report = Report("eval-search")
    cluster = kept_cluster()
    for name in names:
        tree, questions = prepare(PACKAGES[name], name)
        session = cluster.database(f"eval_{name}")
        if limit:
            questions = sorted(questions, key=hash_of)[:limit]
        documents, asked, (lexical, semantic, hybrid), hits = evaluate(session, tree, name, questions)
        session.close()
        version = PACKAGES[name][2]
        note = f"{name} {version}: {asked} first sentences against {documents} functions without docstrings"
        best = max(lexical, semantic)
        report.add(f"{name}, lexical", "MRR@10", lexical, None, None, None, f"{note}; among the first 10: {hits[0]}")
        report.add(f"{name}, semantic", "MRR@10", semantic, None, None, None, f"among the first 10: {hits[1]}")
        report.add(f"{name}, hybrid", "MRR@10", hybrid, best, hybrid / best, 1,
                   f"peer is the better of its parts alone; among the first 10: {hits[2]}", judged=hybrid / best)
    report.finish()
