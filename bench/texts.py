"""Real texts out of Python source: docstrings, definitions, first sentences."""

import ast
import hashlib
import os
import re


def python_files(directory):
    """Paths and contents, sorted."""
    for path, directories, names in sorted(os.walk(directory)):
        directories.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                full = os.path.join(path, name)
                with open(full, encoding="utf-8") as file:
                    yield full, file.read()


def docstrings(directory):
    """Different docstrings of modules, classes and functions, in an order of no meaning."""
    found = set()
    for _, content in python_files(directory):
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node)
                if text and "\0" not in text:
                    found.add(text)
    return shuffled(found)


def definitions(directory):
    """Different one-line texts, each a definition with its place, in an order of no meaning."""
    found = set()
    for full, content in python_files(directory):
        place = os.path.relpath(full, directory).removesuffix(".py").replace("/", " ").replace("_", " ")
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                found.add(f"{node.name.replace('_', ' ').strip()} line {node.lineno} in {place}")
    return shuffled(found)


def shuffled(texts):
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())


def first_sentence(doc):
    """Up to the first full stop that ends a word, of the first paragraph, on one line."""
    paragraph = " ".join(doc.strip().split("\n\n")[0].split())
    end = re.search(r"(?<!e\.g)(?<!i\.e)(?<!etc)[.!?](?=\s|$)", paragraph)
    return paragraph[: end.end()] if end else paragraph
