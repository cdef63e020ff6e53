#!/usr/bin/env python3
"""Writes minilm.json: what Python's onnxruntime makes of a fixed list of texts.

Usage: ONYX_MODEL_DIR=<directory of model.onnx and tokenizer.json> python3 embed_reference.py

Needs onnxruntime, tokenizers and numpy. Every text runs alone, tokenised whole, cut to
MAX_TOKENS, mean-pooled over its tokens and scaled to unit length.
"""

import hashlib
import json
import os
import pathlib

import numpy
import onnxruntime
import tokenizers

MAX_TOKENS = 256
DIMENSIONS = 384

TEXTS = [
    "",
    " ",
    "a",
    "where is a cookie parsed?",
    "Where is a cookie parsed?",
    "function parse_cookie parse cookie http.cookies.parse_cookie Lib/http/cookies.py",
    "def parse(self, text: str, *, strict: bool = False) -> dict[str, str]:",
    "fn push(&mut self, value: T) -> Result<(), CapacityError<T>> { self.try_push(value) }",
    "SELECT id, name FROM onyx.nodes WHERE kind = 'function' ORDER BY embedding <=> $1 LIMIT 5;",
    "if (a !== b && c?.d[0] ?? e) { return `${f}\\n`; } // @ts-ignore",
    "Größe der Straße in Zürich; naïve façade, señor Ångström.",
    "Где разбирается файл cookie?",
    "クッキーはどこで解析されますか。",
    "数据库中的代码图。",
    "👩‍👩‍👧‍👦 family emoji 🚀, combining é and zero​width",
    "tabs\tand\nnew\r\nlines \x0c form feed",
    "nul\x00byte and replacement �",
    "x" * 99,
    "x" * 101 + " a word longer than the tokenizer takes",
    " " * 6000 + "white space longer than the part that is looked at first",
    "The quick brown fox jumps over the lazy dog. " * 12,
    "Longer than the model reads: " + "one two three four five six seven eight nine ten. " * 200,
    "mixed длинный 长文本 text with identifiersLikeThis and snake_case_names; " * 40,
    "0x1f 3.14159 1e-10 192.168.0.1 2026-11-22T14:33:00Z #ff00aa",
]


def embed(session, tokenizer, text):
    ids = numpy.array([tokenizer.encode(text).ids], dtype=numpy.int64)
    inputs = {
        "input_ids": ids,
        "attention_mask": numpy.ones_like(ids),
        "token_type_ids": numpy.zeros_like(ids),
    }
    (hidden,) = session.run(["last_hidden_state"], inputs)
    vector = hidden[0].astype(numpy.float64).mean(axis=0)
    return vector / numpy.linalg.norm(vector)


def main():
    directory = pathlib.Path(os.environ["ONYX_MODEL_DIR"])
    tokenizer = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    session = onnxruntime.InferenceSession(
        str(directory / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    digest = hashlib.sha256((directory / "model.onnx").read_bytes()).hexdigest()
    rows = []
    for text in TEXTS:
        vector = [round(float(x), 7) for x in embed(session, tokenizer, text)]
        assert len(vector) == DIMENSIONS
        rows.append(json.dumps({"text": text, "vector": vector}, separators=(",", ":")))
    out = pathlib.Path(__file__).with_name("minilm.json")
    head = {
        "model_sha256": digest,
        "onnxruntime": onnxruntime.__version__,
        "max_tokens": MAX_TOKENS,
        "dimensions": DIMENSIONS,
    }
    body = json.dumps(head)[:-1] + ', "rows": [\n' + ",\n".join(rows) + "\n]}\n"
    out.write_text(body)
    print(f"{len(rows)} vectors written to {out.name}")


if __name__ == "__main__":
    main()
