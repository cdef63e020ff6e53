"""make bench-search: onyx.search on Django, warm.

ROUNDS=5   rounds over the questions, after one that warms the session
FRESH=no   yes: begin with an empty store, so that the embedding of all nodes is timed
"""

import os

import corpus
import texts
from cluster import Cluster, literal
from report import Report, median, number, quantile, say

QUESTIONS = """
where is a cookie parsed
create a superuser from the command line
hash a password with a salt
check that a csrf token is valid
render a template to a string
resolve a url path to a view
reverse a url from its name and arguments
open a connection to the database
roll back a transaction to a savepoint
run pending migrations
detect changes of models for a migration
write a migration file
squash several migrations into one
compile a query to sql
join two tables of a query
escape a quote in sql
prefetch related objects
delete objects and what depends on them
save a model instance
validate the fields of a form
clean an email address
widget that shows a date picker
parse a multipart upload
store an uploaded file on disk
send an email with an attachment
cache the response of a view
make a cache key from a request
log in a user
permission check for an object
read the session from the database
serialize a queryset to json
load fixtures into the database
translate a string lazily
compile message files
choose the language of a request
format a number with thousands separators
convert a datetime to the current time zone
paginate a list of objects
generate a sitemap
syndication feed of the latest entries
middleware that sets security headers
redirect to the login page
compress a response with gzip
serve static files in development
reload the server when a file changes
run the test suite in parallel
compare two html documents in a test
geometry that contains a point
spatial index of a geographic column
slugify a title
""".strip().splitlines()


def kept_cluster():
    """Keeps its store between runs: embedding ten thousand texts takes minutes."""
    return Cluster("kept", keep=True, fresh=os.environ.get("FRESH", "no") == "yes")


def wait_for_embeddings(session):
    """Seconds waited, and how many texts were embedded."""
    before = int(session.value("SELECT coalesce(sum(embedded), 0) FROM onyx.stat_embedding"))
    took = session.timed("SELECT onyx.wait_for_embeddings()")[1] / 1000
    return took, int(session.value("SELECT coalesce(sum(embedded), 0) FROM onyx.stat_embedding")) - before


def search(session, question):
    """All columns: the planner leaves out the work for those nobody asks for."""
    return session.timed(f"SELECT * FROM onyx.search({literal(question)})")


def main():
    rounds = number("ROUNDS", 5)
    source = corpus.fetch(corpus.DJANGO)
    cluster = kept_cluster()
    session = cluster.database("search")
    session.run(f"SELECT * FROM onyx.ingest_directory('django', {literal(source)})")
    took, embedded = wait_for_embeddings(session)
    nodes = int(session.value("SELECT count(*) FROM onyx.nodes"))
    searched = int(session.value("SELECT count(search_text) FROM onyx.nodes"))
    say(f"{nodes} nodes, {searched} with a text; embedded {embedded} texts in {took:.0f} s")
    session.run("VACUUM ANALYZE onyx.nodes")
    for question in QUESTIONS:
        session.run(f"SELECT onyx.embed({literal(question)})")
    session.close()

    # A session of its own: what the one above remembers must not help. Its first round warms it.
    session = cluster.session("search")
    first = [search(session, question)[1] for question in QUESTIONS]
    warm = [search(session, question)[1] for _ in range(rounds) for question in QUESTIONS]
    session.close()

    # New texts: sentences of the documentation, with words that make sure nobody asked them before.
    # Every other one is only embedded, for the time of an inference.
    said = sorted({texts.first_sentence(d) for d in texts.docstrings(source)} - {""}, key=len)
    middle = [t for t in said if 30 <= len(t) <= 60][:100]
    stamp = os.urandom(4).hex()
    asking, embedding = [], []
    with cluster.session("search") as session:
        for question in QUESTIONS:
            search(session, question)
        for i, sentence in enumerate(middle):
            text = f"{sentence} {stamp}"
            if i % 2:
                asking.append(search(session, text)[1])
            else:
                embedding.append(session.timed(f"SELECT onyx.embed({literal(text)}) IS NULL")[1])
        plan = session.run(f"EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF) SELECT * FROM onyx.search({literal(QUESTIONS[0])})")
    uses = [name for name in ("nodes_semantic", "nodes_lexemes") if any(name in row[0] for row in plan)]
    if os.environ.get("EXPLAIN") == "yes":
        say("\n".join(row[0] for row in plan))

    report = Report("bench-search")
    about = f"{searched} of {nodes} nodes of Django 5.1.4 have a text; "
    report.add("search, warm", "ms (median)", median(warm), None, None, 5,
               about + f"{len(QUESTIONS)} questions x {rounds} rounds; indexes in the plan: {', '.join(uses) or 'none'}",
               judged=median(warm), at_least=False)
    report.add("search, warm", "ms (95 %)", quantile(warm, 0.95), None, None, None, f"the slowest {max(warm):.1f}")
    report.add("search, first time in a session", "ms (median)", median(first), None, None, None,
               f"questions that other sessions asked before; 95 %: {quantile(first, 0.95):.1f}")
    report.add("search, new question", "ms (median)", median(asking), median(embedding), None, None,
               f"peer is one inference, onyx.embed of another new text: the search adds {median(asking) - median(embedding):.1f} ms")
    report.add("embedding all nodes", "texts/s", embedded / took if embedded else None, None, None, None,
               f"{embedded} texts in {took:.0f} s" if embedded else "all were in the store already; FRESH=yes begins anew")
    report.finish()
