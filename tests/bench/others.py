"""Two stores of series that many run, for the comparison: Prometheus and RRDtool, both as Debian
packages them. Each is made, read and ended here; nothing of them stays.
"""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.prometheus_support import Prometheus

HOW = "apt-get install --no-install-recommends"
# One update of RRDtool's tells so many samples: its lines must stay short.
_AT_ONCE = 20

# The name of a series, its labels, and when (seconds) it had which value.
Series = tuple[str, str, Iterable[tuple[float, float | int]]]


def absent(*programs: str) -> list[str]:
    """Those of the programs that are not installed."""
    return [name for name in programs if shutil.which(name) is None]


def bytes_under(directory: Path) -> int:
    """What the files of a directory hold together."""
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


# --- Prometheus ----------------------------------------------------------------------------


def make_blocks(directory: Path, series: Iterable[Series]) -> int:
    """Have Prometheus import series into blocks as long as it makes any; the bytes they take."""
    text = directory.with_suffix(".om")
    with text.open("w", encoding="ascii") as file:
        for name, labels, samples in series:
            for at_s, value in samples:
                file.write(f"{name}{{{labels}}} {value!r} {at_s:.3f}\n")
        file.write("# EOF\n")
    # A few long blocks, to which it would put two hours together in time: the best case.
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet",
         "--max-block-duration=744h", str(text), str(directory)],
        check=True, capture_output=True,
    )  # fmt: skip
    text.unlink()
    return bytes_under(directory)


def serving(blocks: Path) -> Prometheus:
    """A server over blocks that are there."""
    configuration = blocks.with_suffix(".yml")
    configuration.write_text("{}\n", encoding="ascii")
    return Prometheus(configuration, blocks, "--storage.tsdb.retention.time=20y")


def points_of(body: bytes) -> list[int]:
    """How many points each series of a range query's answer has."""
    return [len(one["values"]) for one in json.loads(body)["data"]["result"]]


# --- RRDtool -------------------------------------------------------------------------------


def make_rrd(
    file: Path,
    types: Mapping[str, str],
    times_s: Sequence[int],
    rows: Iterable[Sequence[int]],
    steps: int,
    figures: Sequence[str],
) -> int:
    """A round robin database of exactly as many buckets of `steps` minutes as the samples fill,
    filled with them; the bytes it takes. `types` names the sources with RRDtool's word for each.
    """
    count = len(times_s) // steps
    sources = [f"DS:{name[:19]}:{type_}:180:U:U" for name, type_ in types.items()]
    archives = [f"RRA:{figure}:0.5:{steps}:{count}" for figure in figures]
    created = ["create", str(file), f"--start={times_s[0] - 60}", "--step=60", *sources, *archives]
    told = [
        f"{at_s}:{':'.join(map(str, values))}" for at_s, values in zip(times_s, rows, strict=True)
    ]
    lines = [" ".join(created)]
    for place in range(0, len(told), _AT_ONCE):
        lines.append(f"update {file} {' '.join(told[place : place + _AT_ONCE])}")
    answer = subprocess.run(
        ["rrdtool", "-"], input="\n".join(lines) + "\n", check=True, capture_output=True, text=True
    )
    assert "ERROR" not in answer.stdout, answer.stdout[:500]
    return file.stat().st_size
