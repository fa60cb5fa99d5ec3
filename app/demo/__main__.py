"""Makes a demonstration: `python -m app.demo DIRECTORY HOSTS DOMAINS DAYS SEED FRESH`.

What `npvirt demo` runs before it serves, as a process of its own, so that the server's master
stays small.
"""

import sys
from pathlib import Path

from app import clock
from app.demo.place import age_days, ensure
from app.demo.plan import Plan
from app.errors import NpvirtError


def main() -> None:
    """Make it, or find that it is there."""
    directory = Path(sys.argv[1])
    hosts, domains, days, seed, fresh = map(int, sys.argv[2:7])
    plan = Plan(clock.now_ms(), hosts, domains, days, seed)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        mark = ensure(directory, plan, say, fresh=bool(fresh))
    except NpvirtError as error:
        print(f"npvirt: {error}", file=sys.stderr)
        sys.exit(1)
    if age_days(mark) > 0:
        say(f"The demonstration’s past ended {age_days(mark)} days ago; --fresh makes it anew.")


if __name__ == "__main__":
    main()
