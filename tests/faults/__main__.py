"""Runs the proofs: `python -m tests.faults [--long [--minutes N]] [--tick S] [--lanes N]
[--plant NAME] [PROOF...]`.

One line each: attempts, checks made, faults really injected, length. Proofs run side by side, each
in a process of its own. The exit status is 1 when a promise was broken or could not be tried (or,
with --plant, when what was planted was not found), 2 for unknown names.
"""

import argparse
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.faults.proof import TICK_S, BrokenPromise, Proof, is_found, run
from tests.faults.proofs import PROOFS


def main(arguments: list[str]) -> int:
    """Run the named proofs (default: all)."""
    asked = _parser().parse_args(arguments)
    known = {proof.name: proof for proof in PROOFS}
    names = asked.proofs or list(known)
    for name in names:
        if name not in known:
            print(f"There is no proof {name}; there are {', '.join(known)}.", file=sys.stderr)
            return 2
        if asked.plant and asked.plant not in (*known[name].plants, "all"):
            may = ", ".join(known[name].plants)
            print(f"{name} cannot plant {asked.plant}; it can {may}.", file=sys.stderr)
            return 2
    if len(names) > 1:
        return _side_by_side(names, asked)
    proof = known[names[0]]
    kept = _planted(proof, asked.plant) if asked.plant else _proved(proof, asked)
    return 0 if kept else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the long column, as in make soak")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end each after so many (default: never)"
    )
    parser.add_argument(
        "--tick", type=float, default=TICK_S, metavar="S",
        help=f"seconds of a tick of the fleet (default: {TICK_S:g})",
    )  # fmt: skip
    parser.add_argument("--lanes", type=int, default=3, help="so many side by side (default: 3)")
    parser.add_argument(
        "--plant", metavar="NAME", help="plant this fault (or all) in npvirt: it must be found"
    )
    parser.add_argument("proofs", nargs="*", metavar="PROOF", help="default: every one")
    return parser


def _side_by_side(names: list[str], asked: argparse.Namespace) -> int:
    options = [*(["--long"] * asked.long), "--minutes", str(asked.minutes)]
    options += ["--tick", str(asked.tick)]
    options += ["--plant", asked.plant] * bool(asked.plant)

    def one(name: str) -> int:
        command = [sys.executable, "-m", "tests.faults", *options, name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, end="", flush=True)
        return done.returncode

    with ThreadPoolExecutor(asked.lanes) as lanes:
        return max(lanes.map(one, names))


def _proved(proof: Proof, asked: argparse.Namespace) -> bool:
    lacking = proof.lacking()
    if lacking is not None:
        print(f"{proof.name}: NOT PROVED: {lacking}", flush=True)
        return False
    try:
        tally = run(proof, "long" if asked.long else "ci", minutes=asked.minutes, tick_s=asked.tick)
    except BrokenPromise as broken:
        print(f"{proof.name}: BROKEN ({proof.promise}): {broken}", flush=True)
        return False
    print(f"{proof.name}: kept; {tally.line}", flush=True)
    return True


def _planted(proof: Proof, plant: str) -> bool:
    found = True
    for name in proof.plants if plant == "all" else (plant,):
        try:
            print(f"{proof.name}: planted {name}, seen: {is_found(proof, name)}", flush=True)
        except BrokenPromise as missed:
            print(f"{proof.name}: MISSED: {missed}", flush=True)
            found = False
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
