"""Runs the benchmarks and prints a line per figure: `python -m tests.bench [NAME...]`."""

import importlib
import sys

NAMES = (
    "store", "huge", "changes", "tiers", "series", "compare", "page", "process", "scan", "idle",
    "streams", "event", "acts", "demo", "metrics", "rules", "embed", "embedded", "years",
    "forecast", "capacity",
)  # fmt: skip


def main(names: list[str]) -> int:
    """Run the named benchmarks (default: all); the exit status is 2 for an unknown name."""
    for name in names or NAMES:
        if name not in NAMES:
            print(f"There is no benchmark {name}; there are {', '.join(NAMES)}.", file=sys.stderr)
            return 2
        print(f"== {name}", flush=True)
        for line in importlib.import_module(f"tests.bench.{name}").run():
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
