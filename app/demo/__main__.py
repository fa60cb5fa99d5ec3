"""Makes a demonstration: `python -m app.demo make DIRECTORY HOSTS DOMAINS DAYS SEED FRESH`.

And adds the older part of its past: `python -m app.demo complete DIRECTORY`.

What `npvirt demo` runs before it serves, and beside, as processes of their own, so that the
server stays small and quick.
"""

import os
import sys
from pathlib import Path

from app import clock
from app.demo.place import age_days, complete, ensure
from app.demo.plan import Plan
from app.errors import NpvirtError

_NICE = 10


def main() -> None:
    """Do what the command line says; exit status 1 and a sentence when that is not possible."""
    what, directory = sys.argv[1], Path(sys.argv[2])
    try:
        if what == "complete":
            _complete(directory)
        else:
            _make(directory, *map(int, sys.argv[3:8]))
    except NpvirtError as error:
        print(f"npvirt: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _make(directory: Path, hosts: int, domains: int, days: int, seed: int, fresh: int) -> None:
    mark = ensure(
        directory, Plan(clock.now_ms(), hosts, domains, days, seed), _say, fresh=bool(fresh)
    )
    if age_days(mark) > 0:
        _say(f"The demonstration’s past ended {age_days(mark)} days ago; --fresh makes it anew.")


def _complete(directory: Path) -> None:
    """As long as the process that asked for it goes on, and giving way to it."""
    asker = os.getppid()
    os.nice(_NICE)
    complete(directory, lambda: os.getppid() == asker)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
