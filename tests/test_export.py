"""`npvirt export`: what the store holds, as files that other programs read."""

import csv
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet
import pytest

from app.cli import main
from app.clock import rfc3339
from app.inventory import Domain, DomainSample, Host, HostSample, Pool, PoolSample, Scan
from app.store.compaction import Compactor
from app.store.record import Recorder
from tests.made_once import open_store
from tests.storing import a_host

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
FIRST_MS = 20_500 * DAY_MS
UUID, HOSTILE = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2))
POOL = "00000000-0000-4000-9000-000000000001"
TICKS = 1440 + 60


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a day that is compacted and an hour that is not."""
    directory = tmp_path_factory.mktemp("export") / "var"
    directory.mkdir(mode=0o700)
    store = open_store(directory / "npvirt.sqlite")
    recorder = Recorder(store, a_host(store, "kvm-01"), MINUTE_MS)
    a_host(store, "kvm-02")
    for tick in range(TICKS):
        recorder.record(
            Scan(
                at_ms=FIRST_MS + tick * MINUTE_MS, took_ms=1, ok=True,
                host=Host(uri="qemu:///system"), host_sample=HostSample(memory_total_bytes=64),
                domains={
                    UUID: Domain(UUID, "web", "running", id=1, vcpus=2),
                    HOSTILE: Domain(HOSTILE, "=1+1", "shutoff"),
                },
                domain_samples={UUID: DomainSample(tick * 60 * 10**9, 1 << 30)},
                pools={POOL: Pool(POOL, "images", "running")},
                pool_samples={POOL: PoolSample(100, 40, None)},
            )
        )  # fmt: skip
    compactor = Compactor(store)
    while compactor.step(FIRST_MS + DAY_MS + HOUR_MS):
        pass
    store.close()
    return directory


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    monkeypatch.setenv("NPVIRT_DATA", str(data))

    def export(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["export", *arguments])
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return export


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.parametrize(("tier", "count"), [("1m", 1440), ("10m", 144), ("1h", 24)])
def test_a_tier_is_written_bucket_by_bucket(run: Any, tier: str, count: int) -> None:
    status, text, _ = run("--kind", "domain", "--tier", tier, "--metric", "cpu")
    rows = _rows(text)
    assert status == 0
    assert len(rows) == count
    assert list(rows[0]) == [
        "time",
        "host",
        "key",
        "cpu_ratio_avg",
        "cpu_ratio_min",
        "cpu_ratio_max",
    ]
    assert rows[0]["time"] == rfc3339(FIRST_MS)
    assert (rows[0]["host"], rows[0]["key"]) == ("kvm-01", UUID)
    told = [float(row["cpu_ratio_avg"]) for row in rows[1:]]
    assert told == pytest.approx([0.5] * len(told))


def test_samples_are_written_as_they_were_measured(run: Any) -> None:
    status, text, _ = run("--kind", "domain", "--tier", "recent")
    rows = _rows(text)
    assert status == 0
    assert len(rows) == TICKS
    assert rows[7]["cpu_time_ns"] == str(7 * 60 * 10**9)
    assert rows[7]["memory_usable_bytes"] == ""


def test_days_are_written_with_their_five_figures(run: Any) -> None:
    _, text, _ = run("--kind", "pool", "--tier", "daily")
    (row,) = _rows(text)
    assert row["day"] == rfc3339(FIRST_MS)[:10]
    assert [row[f"capacity_bytes_{figure}"] for figure in ("min", "avg", "max", "p95", "last")] == [
        "100.0"
    ] * 5
    assert row["available_bytes_avg"] == ""


def test_a_stretch_an_object_and_a_host_narrow_it(run: Any) -> None:
    begin, end = rfc3339(FIRST_MS + HOUR_MS), rfc3339(FIRST_MS + 3 * HOUR_MS)
    narrow = ("--from", begin, "--to", end, "--object", UUID.upper(), "--host", "kvm-01")
    _, text, _ = run("--kind", "domain", "--tier", "1h", *narrow)
    assert [row["time"] for row in _rows(text)] == [begin, rfc3339(FIRST_MS + 2 * HOUR_MS)]
    _, text, _ = run("--kind", "domain", "--tier", "1h", "--host", "kvm-02")
    assert _rows(text) == []


def test_parquet_holds_the_same_rows(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "cpu.parquet"
    narrow = (
        "--kind",
        "domain",
        "--tier",
        "10m",
        "--metric",
        "cpu",
        "--metric",
        "memory_used_bytes",
    )
    _, text, _ = run(*narrow)
    status, said, _ = run(*narrow, "--format", "parquet", "-o", str(file), "--json")
    assert status == 0
    assert msgspec.json.decode(said)["rows"] == 144
    read = pyarrow.parquet.read_table(file).to_pylist()
    assert [row["time"] for row in read] == [row["time"] for row in _rows(text)]
    assert read[3]["cpu_ratio_avg"] == pytest.approx(0.5)
    assert read[3]["memory_used_bytes_avg"] is None


def test_nothing_found_is_a_file_without_rows(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "none.parquet"
    assert run("--kind", "volume", "--format", "parquet", "-o", str(file))[0] == 0
    assert pyarrow.parquet.read_table(file).num_rows == 0


@pytest.mark.parametrize("name", ["hosts", "entities", "revisions", "changes", "scans", "audit"])
def test_plain_tables_are_written_whole(run: Any, name: str) -> None:
    status, text, _ = run("--table", name)
    assert status == 0
    assert len(_rows(text)) >= (0 if name in ("audit", "changes") else 2)


def test_no_cell_is_a_formula(run: Any) -> None:
    _, text, _ = run("--table", "changes")
    names = {row["name"] for row in _rows(text)}
    assert "=1+1" not in names


def test_a_file_that_is_there_is_left_alone(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("mine")
    status, _, said = run("--kind", "domain", "-o", str(file))
    assert (status, file.read_text()) == (1, "mine")
    assert "exists already" in said


def test_a_file_that_cannot_be_finished_is_not_there(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.cli.export._csv", broken)
    status, _, said = run("--kind", "domain", "-o", str(tmp_path / "cut.csv"))
    assert status == 1
    assert "No space left on device" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ((), "--kind"),
        (("--kind", "domain", "--table", "hosts"), "--kind"),
        (("--kind", "domain", "--host", "nowhere"), "--host"),
        (("--kind", "domain", "--metric", "temperature"), "--metric"),
        (("--kind", "domain", "--tier", "recent", "--metric", "cpu"), "--metric"),
        (("--kind", "volume", "--tier", "1m"), "--tier"),
        (("--kind", "domain", "--from", "yesterday"), "--from"),
        (("--kind", "domain", "--from", "2000", "--to", "1000"), "--from"),
        (("--kind", "domain", "--format", "parquet"), "--output"),
        (("--kind", "domain", "--json"), "--output"),
        (("--table", "hosts", "--from", "1000"), "--table"),
    ],
)
def test_what_is_not_valid_is_said_and_nothing_written(
    run: Any, arguments: tuple[str, ...], option: str
) -> None:
    status, written, said = run(*arguments)
    assert (status, written) == (2, "")
    assert said.startswith(f"npvirt: {option}: ")


def test_without_pyarrow_it_says_how_to_get_it(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    status, _, said = run("--kind", "domain", "--format", "parquet", "-o", str(tmp_path / "x"))
    assert status == 1
    assert "pip install" in said
