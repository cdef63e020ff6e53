"""make bench-embed: onyx.embed() of texts it has not seen, against ONNX Runtime alone; and of cached ones.

N=1000        texts a round
ROUNDS=3      rounds, each with other texts; figures are medians
CACHED=10000  cached texts
"""

import os
import subprocess

import corpus
import texts
from cluster import Cluster, literal
from report import Report, die, median, number, say


def bare_embed(some, threads):
    """For each way to run the model: its tokens a second, and the tokens."""
    command = [os.environ["ONYX_BARE_EMBED"], os.environ["ONYX_ONNXRUNTIME"], os.environ["ONYX_MODEL_DIR"], str(threads)]
    done = subprocess.run(command, input="".join(t + "\0" for t in some), capture_output=True, text=True)
    if done.returncode != 0:
        die(f"bare_embed failed: {done.stderr[:300]}")
    ways = {}
    for line in done.stdout.splitlines():
        name, tokens, seconds = line.split("\t")
        ways[name] = int(tokens) / float(seconds)
    return ways, int(tokens)


def array(some):
    return "ARRAY[" + ",".join(map(literal, some)) + "]"


def store_texts(session, table, some):
    """Texts in a row of their own, so that sending them is not part of what is timed."""
    session.run(f"CREATE TABLE {table} (texts text[])")
    session.run(f"INSERT INTO {table} SELECT {array(some)}")


def embed(session, table):
    """Milliseconds of one call with all texts."""
    rows, took = session.timed(f"SELECT cardinality(onyx.embed(texts)) FROM {table}")
    return int(rows[0][0]), took


def main():
    n, rounds, cached = number("N", 1000), number("ROUNDS", 3), number("CACHED", 10_000)
    threads = os.cpu_count()
    source = corpus.fetch(corpus.DJANGO)
    real = texts.docstrings(source)
    short = texts.definitions(source)
    if len(real) < n * rounds:
        die(f"Django has {len(real)} different docstrings and {rounds} rounds of {n} need {n * rounds}: make N or ROUNDS smaller")
    if len(short) < cached:
        die(f"Django has {len(short)} different definitions, not {cached}: make CACHED smaller")
    cluster = Cluster("embed")
    session = cluster.database("bench")
    session.value("SELECT onyx.embed('a text that loads the model')")
    figure = "SELECT tokens FROM onyx.stat_embedding"

    ours, peers, of_best = [], {}, []
    for i in range(rounds):
        some = real[i * n : (i + 1) * n]
        store_texts(session, f"round_{i}", some)

        def measure_ours():
            before = int(session.value(figure))
            took = embed(session, f"round_{i}")[1]
            tokens = int(session.value(figure)) - before
            return tokens, tokens / took * 1000

        if i % 2 == 0:
            tokens, rate = measure_ours()
            ways, bare_tokens = bare_embed(some, threads)
        else:
            ways, bare_tokens = bare_embed(some, threads)
            tokens, rate = measure_ours()
        if tokens != bare_tokens:
            die(f"onyx.embed saw {tokens} tokens and the peer {bare_tokens}: the peer's MAX_TOKENS is not the model's")
        ours.append((tokens, rate))
        for name, peer in ways.items():
            peers.setdefault(name, []).append(peer)
        say(f"round {i + 1}: {tokens} tokens, ours {rate:.0f}/s; " +
            "; ".join(f"{name} {peer:.0f}/s" for name, peer in ways.items()))
    best = max(peers, key=lambda name: median(peers[name]))
    ratios = {name: median([o[1] / p for o, p in zip(ours, values)]) for name, values in peers.items()}

    report = Report("bench-embed")
    mean = sum(o[0] for o in ours) / (n * rounds)
    for name, values in sorted(peers.items(), key=lambda item: -median(item[1])):
        report.add(f"embed, against bare loop: {name}", "tokens/s", median([o[1] for o in ours]), median(values), ratios[name],
                   0.9 if name == best else None,
                   f"{n} docstrings a call, {mean:.0f} tokens each on average, {threads} threads"
                   + (", the fastest bare loop" if name == best else ""),
                   judged=ratios[name])

    store_texts(session, "short", short[:cached])
    took = embed(session, "short")[1]
    say(f"embedded {cached} short texts in {took / 1000:.0f} s")
    session.close()
    rates = []
    for _ in range(5):
        # The session's own cache would answer the second time.
        with cluster.session("bench") as fresh:
            fresh.value("SELECT onyx.embed('a text that loads the model')")
            count, took = embed(fresh, "short")
            rates.append(count / took * 1000)
    report.add("cached texts, from the store", "texts/s", median(rates), None, None, 20_000,
               f"one call with {cached} texts in a new session, median of 5", judged=median(rates))
    few = min(4000, cached)
    with cluster.session("bench") as fresh:
        store_texts(fresh, "few", short[:few])
        embed(fresh, "few")
        rates = []
        for _ in range(5):
            count, took = embed(fresh, "few")
            rates.append(count / took * 1000)
    report.add("cached texts, from the session", "texts/s", median(rates), None, None, None,
               f"one call with {few} texts the session has embedded before")
    with cluster.session("bench") as fresh:
        one = short[0]
        fresh.value(f"SELECT onyx.embed({literal(one)})")
        times = []
        for text in short[1:201]:
            times.append(fresh.timed(f"SELECT onyx.embed({literal(text)}) IS NULL")[1])
    report.add("cached texts, one a statement", "ms", median(times), None, None, None, "from the store, 200 statements")
    report.finish()
