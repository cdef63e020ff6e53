"""make bench-vector: onyx_hnsw against pgvector's hnsw, on the same vectors in the same server.

SETS="words embeddings"   which vectors: words' own of 100 numbers, words embedded into 384
N=200000                  rows of the words' own vectors
N384=50000                embedded rows
STEPS="build narrow"      only some: build, queries, narrow, inserts, restart, vacuum (words), budget (embeddings, with
                          queries); pgvector's VACUUM of 200,000 words takes longer than all others together
SECONDS_EACH=5            length of each throughput measurement
ASKED=300                 queries whose answers are compared with the exact ones
"""

import os
import statistics
import time

import vectors
from cluster import BIN, CLUSTERS, Cluster, as_server
from report import Report, die, number, say

EFS = [10, 15, 20, 30, 40, 60, 80, 100, 120, 160, 200, 240, 320, 400, 560, 800, 1000]
LIMIT = 10
CATEGORIES = 500
NARROW_ROUNDS = 5
STEPS = ["build", "queries", "narrow", "inserts", "restart", "vacuum", "budget"]


class Side:
    """One of the two indexes: the same rows in a table of its own."""

    def __init__(self, name, method, operators, setting):
        self.name, self.method, self.operators, self.setting = name, method, operators, setting
        self.table = f"t_{name}"

    def set_ef(self, ef):
        return f"SET {self.setting} = {ef}"


SIDES = [Side("ours", "onyx_hnsw", "", "onyx.ef_search"), Side("peer", "hnsw", "", "hnsw.ef_search")]


class Bench:
    def __init__(self, data, count, operator, opclass, report, seconds, asked):
        self.data, self.count, self.operator, self.opclass = data, count, operator, opclass
        self.report, self.seconds, self.asked = report, seconds, asked
        self.raw = count * data.dimensions * 4
        self.cluster = Cluster("vector", {
            "shared_buffers": "2GB", "maintenance_work_mem": "1GB", "max_parallel_maintenance_workers": "2",
            "max_parallel_workers_per_gather": "0", "autovacuum": "off", "max_wal_size": "8GB", "checkpoint_timeout": "1h",
        })
        self.session = self.cluster.database("bench")
        self.files = []
        self.load()

    def add(self, case, unit, ours, peer, bar=None, at_least=True, note=""):
        ratio = ours / peer if peer else None
        judged = ratio if bar is not None else None
        self.report.add(f"{self.data.name}: {case}", unit, ours, peer, ratio, bar, note, judged=judged, at_least=at_least)

    def load(self):
        data, q = self.data, vectors.QUERIES
        parts = [("q", 0, q), ("rows", q, q + self.count), ("extra", q + self.count, q + self.count + vectors.EXTRA)]
        for table, first, end in parts:
            path = os.path.join(CLUSTERS, f"{table}.copy")
            data.write_copy(path, first, end)
            self.session.run(f"CREATE TABLE {table} (id int, v vector({data.dimensions}))")
            self.session.run(f"\\copy {table} FROM '{path}' WITH (FORMAT binary)")
            os.remove(path)
        self.session.run("CREATE INDEX ON q (id)")
        self.session.run("CREATE INDEX ON extra (id)")
        for side in SIDES:
            self.session.run(f"CREATE TABLE {side.table} (id int, cat int, v vector({data.dimensions}))")
            self.session.run(f"INSERT INTO {side.table} SELECT id, id % {CATEGORIES}, v FROM rows")
        self.session.run(f"CREATE SEQUENCE added START {self.count}")
        self.session.run("VACUUM ANALYZE")
        self.session.run("CHECKPOINT")

    # Measurements, in this order.

    def build(self):
        took, store = {}, self.stat("store_bytes")
        resident = self.stat("resident_bytes")
        for side in SIDES:
            took[side.name] = self.session.timed(
                f"CREATE INDEX {side.table}_v ON {side.table} USING {side.method} (v {self.opclass}) "
                "WITH (m = 16, ef_construction = 64)")[1] / 1000
            self.session.run("CHECKPOINT")
        self.add("build", "s", took["ours"], took["peer"], 0.5, at_least=False, note="m = 16, ef_construction = 64")
        raw, most = self.raw, 1.2 if self.data.dimensions > 200 else 1.5
        disk = self.stat("store_bytes") - store
        peer = int(self.session.value("SELECT pg_relation_size('t_peer_v')"))
        self.compare_raw("bytes on disk", disk, peer, most)
        self.built = self.bytes_a_row()
        note = f"the engine's resident memory grew by {(self.stat('resident_bytes') - resident) / raw:.2f} x raw"
        self.compare_raw("engine memory", self.stat("index_bytes"), None, 1.5, note)

    def compare_raw(self, case, ours, peer, bar, note=""):
        """Against the bytes of the numbers themselves."""
        ratio = ours / self.raw
        self.report.add(f"{self.data.name}: {case}", "MB", ours / 1e6, peer / 1e6 if peer else None, ratio, bar,
                        f"ratio to raw {self.raw / 1e6:.0f} MB. {note}".strip(), judged=ratio, at_least=False)

    def stat(self, column):
        return int(self.session.value(f"SELECT {column} FROM onyx.stat_engine"))

    def truth(self):
        self.session.run("SET enable_indexscan = off")
        self.session.run(f"CREATE TABLE truth AS SELECT q.id, array(SELECT r.id FROM rows r ORDER BY r.v {self.operator} q.v "
                         f"LIMIT {LIMIT}) AS ids FROM q WHERE q.id < {self.asked}")
        self.session.run("SET enable_indexscan = on")

    def recall(self, side, ef, truth="truth", where="true"):
        self.session.run(side.set_ef(ef))
        self.session.run("SET enable_seqscan = off")
        value = self.session.value(
            f"SELECT sum(cardinality(ARRAY(SELECT unnest(ids) INTERSECT SELECT unnest(found))))::float8 / sum(cardinality(ids)) FROM "
            f"(SELECT ids, array(SELECT t.id FROM {side.table} t WHERE {where} ORDER BY t.v {self.operator} q.v LIMIT {LIMIT}) AS found "
            f"FROM {truth} JOIN q USING (id)) x")
        self.session.run("RESET enable_seqscan")
        return float(value)

    def ef_for(self, side, least):
        for ef in EFS:
            found = self.recall(side, ef)
            if found >= least:
                return ef, found
        return ef, found

    def throughput(self, statement, clients, prepare=(), seconds=None, transactions=None, top=vectors.QUERIES - 1):
        """Transactions a second of pgbench."""
        path = os.path.join(self.cluster.directory, "script.sql")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"\\set id random(0, {top})\n{statement};\n")
        os.chmod(path, 0o644)
        length = ["-t", str(transactions)] if transactions else ["-T", str(seconds or self.seconds)]
        options = " ".join(f"-c {setting}" for setting in prepare)
        done = as_server([f"{BIN}/pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)), *length,
                          "-h", self.cluster.directory, "-U", "postgres", "-f", path, "bench"],
                         capture_output=True, text=True, env=dict(os.environ, PGOPTIONS=options))
        for line in done.stdout.splitlines():
            if line.startswith("tps = "):
                return float(line.split()[2])
        die(f"pgbench failed: {done.stderr[-300:]}")

    def nearest(self, side, where="true"):
        return (f"SELECT id FROM {side.table} WHERE {where} ORDER BY v {self.operator} (SELECT v FROM q WHERE id = :id) "
                f"LIMIT {LIMIT}")

    def queries(self):
        self.truth()
        for least in (0.95, 0.99):
            at = {side.name: self.ef_for(side, least) for side in SIDES}
            for clients in (1, 2):
                tps = {}
                for side in SIDES:
                    tps[side.name] = self.throughput(
                        self.nearest(side), clients, [f"{side.setting}={at[side.name][0]}", "enable_seqscan=off"])
                note = ", ".join(f"{name}: ef {ef}, recall {found:.3f}" for name, (ef, found) in at.items())
                self.add(f"queries at recall {least}, {clients} client{'s' * (clients > 1)}", "1/s", tps["ours"], tps["peer"], 3, note=note)
            if least == 0.95:
                self.chosen = {name: ef for name, (ef, _) in at.items()}

    def narrow(self):
        """A filter of 1 in 500, by the index. The two in turn: medians of a few rounds."""
        where = "cat = 7"
        self.session.run("CREATE TABLE narrow_truth AS SELECT q.id, array(SELECT r.id FROM rows r WHERE r.id % "
                         f"{CATEGORIES} = 7 ORDER BY r.v {self.operator} q.v LIMIT {LIMIT}) AS ids FROM q WHERE q.id < 50")
        tps, notes = {side.name: [] for side in SIDES}, []
        for side in SIDES:
            self.session.run("SET hnsw.iterative_scan = strict_order")
            recall = self.recall(side, 40, "narrow_truth", where)
            notes.append(f"{side.name}: recall {recall:.3f}")
        for _ in range(NARROW_ROUNDS):
            for side in SIDES:
                tps[side.name].append(self.throughput(
                    self.nearest(side, where), 1, [f"{side.setting}=40", "enable_seqscan=off", "hnsw.iterative_scan=strict_order"]))
        ratios = [ours / peer for ours, peer in zip(tps["ours"], tps["peer"])]
        notes.append(f"{NARROW_ROUNDS} rounds, {min(ratios):.2f} to {max(ratios):.2f}")
        tps = {name: statistics.median(rounds) for name, rounds in tps.items()}
        self.add("filter of 1/500 by the index", "1/s", tps["ours"], tps["peer"], 2, note=", ".join(notes) + "; the peer stops at 20,000 tuples")

    def inserts(self):
        for clients in (1, 8):
            tps = {}
            for side in SIDES:
                tps[side.name] = self.throughput(
                    f"INSERT INTO {side.table} SELECT nextval('added'), 0, v FROM extra WHERE id = :id", clients,
                    ["enable_seqscan=off"], top=vectors.EXTRA - 1)
            self.add(f"INSERT + COMMIT, {clients} client{'s' * (clients > 1)}", "1/s", tps["ours"], tps["peer"], 1)
        took = {}
        for side in SIDES:
            self.session.run("CHECKPOINT")
            took[side.name] = self.session.timed(
                f"INSERT INTO {side.table} SELECT {self.count} + id, 0, v FROM extra WHERE id < 10000")[1] / 1000
        self.add("bulk INSERT of 10,000", "rows/s", 10_000 / took["ours"], 10_000 / took["peer"], 2)
        for side in SIDES:
            self.session.run(f"DELETE FROM {side.table} WHERE id >= {self.count}")

    def wait_ready(self):
        """Until every index can answer, at most a minute. What they say then."""
        began = time.monotonic()
        states = "SELECT string_agg(concat_ws(' ', state, reason), '; ') FROM onyx.stat_index WHERE tablename IN ('t_ours', 'rows')"
        while time.monotonic() < began + 60:
            found = self.session.value(states)
            if found.replace(";", "").split() and set(found.replace(";", "").split()) == {"ready"}:
                break
            time.sleep(0.02)
        return found

    def restart(self):
        """The first query after a restart, and how long until the graph answers."""
        first = {}
        for side in SIDES:
            self.session.close()
            self.cluster.stop()
            self.cluster.start()
            began = time.monotonic()
            self.session = self.cluster.session("bench")
            self.session.run("SET enable_seqscan = off")
            self.session.run(self.nearest(side).replace(":id", "1"))
            first[side.name] = time.monotonic() - began
            if side.name == "ours":
                self.wait_ready()
                ready = time.monotonic() - began
        self.report.add(f"{self.data.name}: first query after a restart", "s", first["ours"], first["peer"], None, 1,
                        f"connecting included; the graph answers {ready:.2f} s after the server is up", judged=first["ours"], at_least=False)

    def bytes_a_row(self):
        return float(self.session.value("SELECT memory_bytes::float8 / entries FROM onyx.stat_index WHERE tablename = 't_ours'"))

    def vacuum(self):
        took, notes = {}, []
        self.wait_ready()
        for side in SIDES:
            self.session.run(f"DELETE FROM {side.table} WHERE id % 2 = 0")
            self.session.run("CHECKPOINT")
            took[side.name] = self.session.timed(f"VACUUM {side.table}")[1] / 1000
            if side.name == "ours":
                began = time.monotonic()
                # The last eighth may stay: a repair is not worth it for them.
                left, many, last = -1, True, began
                while (many and time.monotonic() < began + 300) or time.monotonic() < last + 2:
                    time.sleep(0.1)
                    row = self.session.run("SELECT sum(tombstones), sum(entries) FROM onyx.stat_index")[0]
                    now, many = int(row[0]), int(row[0]) * 8 > int(row[0]) + int(row[1])
                    if now != left:
                        left, last = now, time.monotonic()
                notes.append(f"the graph is repaired {last - began:.1f} s later, but for {left} points")
        self.session.run("SET enable_indexscan = off")
        self.session.run(f"CREATE TABLE half_truth AS SELECT q.id, array(SELECT r.id FROM rows r WHERE r.id % 2 = 1 "
                         f"ORDER BY r.v {self.operator} q.v LIMIT {LIMIT}) AS ids FROM q WHERE q.id < {self.asked}")
        self.session.run("SET enable_indexscan = on")
        notes += [f"recall {s.name} {self.recall(s, self.chosen[s.name], 'half_truth'):.3f}" for s in SIDES]
        self.add("VACUUM after deleting half", "s", took["ours"], took["peer"], 0.5, at_least=False, note="; ".join(notes))
        # Everything, and the same again: what was given back is used again.
        self.session.run("DELETE FROM t_ours")
        self.session.run("VACUUM t_ours")
        self.session.run(f"INSERT INTO t_ours SELECT id, id % {CATEGORIES}, v FROM rows")
        ratio = self.bytes_a_row() / self.built
        self.report.add(f"{self.data.name}: memory after delete all, vacuum, insert again", "x", ratio, None, ratio, 1.05,
                        "bytes a row against those after the build", judged=ratio, at_least=False)

    def budget(self):
        """Two such indexes and half the memory of their numbers."""
        limit = max(64, self.raw >> 20)
        self.session.run(f"CREATE INDEX t_ours_second ON rows USING onyx_hnsw (v {self.opclass})")
        free = self.throughput(self.nearest(SIDES[0]), 1, [f"onyx.ef_search={self.chosen['ours']}", "enable_seqscan=off"])
        self.session.run(f"ALTER SYSTEM SET onyx.memory_limit = '{limit}MB'")
        self.session.close()
        self.cluster.stop()
        self.cluster.start()
        self.session = self.cluster.session("bench")
        states = self.wait_ready()
        recall = self.recall(SIDES[0], self.chosen["ours"])
        tight = self.throughput(self.nearest(SIDES[0]), 1, [f"onyx.ef_search={self.chosen['ours']}", "enable_seqscan=off"])
        ratio = self.stat("index_bytes") / (2 * self.raw)
        self.report.add(f"{self.data.name}: latency with half the memory", "ms", 1000 / tight, 1000 / free, free / tight, 3,
                        f"recall {recall:.3f}; engine memory {ratio:.2f} x raw of two indexes under {limit} MB: {states}",
                        judged=free / tight, at_least=False)


def main():
    report = Report("bench-vector", aloud=True)
    sets = os.environ.get("SETS", "words embeddings").split()
    seconds, asked = number("SECONDS_EACH", 5), number("ASKED", 300)
    wanted = os.environ.get("STEPS", " ".join(STEPS)).split()
    if unknown := set(wanted) - set(STEPS):
        die(f"unknown step \"{min(unknown)}\": STEPS has {' '.join(STEPS)}")
    if "budget" in wanted and "queries" not in wanted:
        die("the step budget needs what the step queries finds: name both")
    for name in sets:
        if name == "words":
            count = number("N", 200_000)
            bench = Bench(vectors.words(count), count, "<#>", "vector_ip_ops", report, seconds, asked)
        elif name == "embeddings":
            count = number("N384", 50_000)
            bench = Bench(vectors.sentences(count), count, "<=>", "vector_cosine_ops", report, seconds, asked)
        else:
            die(f"unknown set \"{name}\": SETS has words and embeddings")
        say(f"{bench.data.name}: {count} rows")
        steps = [bench.build, bench.queries, bench.narrow, bench.inserts, bench.restart]
        steps += [bench.budget] if name == "embeddings" else [bench.vacuum]
        for step in steps:
            if step.__name__ in wanted:
                say(f"  {step.__name__}")
                step()
        bench.session.close()
        bench.cluster.remove()
    report.finish()
