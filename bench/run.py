"""Runs one benchmark: python3 run.py bench-ingest. Called by scripts/bench, which sets the environment."""

import importlib
import sys

from report import die

TARGETS = {
    "bench-ingest": "ingest",
    "bench-embed": "embedding",
    "bench-search": "search",
    "bench-history-search": "history_search",
    "bench-graph": "graph",
    "bench-history": "history",
    "bench-edit": "edit",
    "bench-vector": "vector",
    "eval-search": "retrieval",
    "eval-graph": "resolution",
    "eval-lineage": "lineage",
}

if len(sys.argv) != 2 or sys.argv[1] not in TARGETS:
    die(f"unknown benchmark \"{' '.join(sys.argv[1:])}\": there are {', '.join(TARGETS)}")
try:
    importlib.import_module(TARGETS[sys.argv[1]]).main()
except KeyboardInterrupt:
    sys.exit(130)
