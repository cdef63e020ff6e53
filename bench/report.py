"""What a benchmark says: a printed table, and the same as bench-out/<target>.jsonl."""

import json
import os
import sys

COLUMNS = ("case", "unit", "ours", "peer", "ratio", "bar", "note")


def say(text):
    print(text, flush=True)


def die(text):
    """Ends with one sentence that says what to do."""
    print(f"\nbench: {text}", file=sys.stderr)
    sys.exit(1)


def number(name, default):
    """A size from the environment, as in N=100."""
    text = os.environ.get(name, "")
    try:
        value = int(text or default)
    except ValueError:
        die(f"{name} must be a whole number, not \"{text}\": give another")
    if value < 1:
        die(f"{name} must be at least 1, not {value}: give another")
    return value


def median(values):
    return quantile(values, 0.5)


def quantile(values, q):
    """By linear interpolation."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class Report:
    """Collects cases. `at_least` tells which side of the bar is the good one: True when `judged`
    must not be below it, False when it must not be above it."""

    def __init__(self, target, aloud=False):
        self.target = target
        # Long ones say each case at once.
        self.aloud = aloud
        self.cases = []
        self.missed = []

    def add(self, case, unit, ours, peer=None, ratio=None, bar=None, note="", judged=None, at_least=True):
        row = (case, unit, rounded(ours), rounded(peer), rounded(ratio), bar, note)
        self.cases.append(dict(zip(COLUMNS, row)))
        if self.aloud:
            say("    " + ", ".join(f"{c} {v}" for c, v in zip(COLUMNS, row) if v not in (None, "")))
        if judged is not None and bar is not None:
            if judged < bar if at_least else judged > bar:
                self.missed.append(case)

    def finish(self):
        rows = [COLUMNS] + [
            tuple("" if case[c] is None else str(case[c]) for c in COLUMNS) for case in self.cases
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
        say("")
        for row in rows:
            cells = [
                cell.rjust(width) if COLUMNS[i] in ("ours", "peer", "ratio", "bar") else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths))
            ]
            say("  ".join(cells).rstrip())
        directory = os.path.join(os.environ["ONYX_ROOT"], "bench-out")
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, f"{self.target}.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            for case in self.cases:
                file.write(json.dumps(case, ensure_ascii=False) + "\n")
        say(f"\nwritten to bench-out/{self.target}.jsonl")
        if self.missed:
            say("below the bar: " + "; ".join(self.missed))


def rounded(value):
    """Three to four digits that mean something."""
    if not isinstance(value, float):
        return value
    if abs(value) >= 1000:
        return round(value)
    return float(f"{value:.3g}")
