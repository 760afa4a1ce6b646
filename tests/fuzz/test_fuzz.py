"""Damaged files of every kind that people bring: each is read or refused with a message, and none for ever.

``ALIGNSEC_FUZZ=2000 pytest tests/fuzz`` tries more; a case is told by its number alone (`mutations.case`).
"""

import multiprocessing
import os
import tempfile
import time
import traceback
from collections import Counter
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from alignsec.ground.errors import AlignsecError
from tests.fuzz.mutations import case

SECONDS = 20  # of one file; the slowest takes a fraction of one
START = 120  # of a worker, which imports pandas and its friends


def read(reader: str, path: Path) -> None:
    """Read a file as the program would, and hold what came out to the schema of its table."""
    from alignsec.ground.tables import validate
    from alignsec.leaderboard import export
    from alignsec.robustness.own import read_own
    from alignsec.study import config, sheet

    match reader:
        case "own":
            validate(read_own(path).table, "robustness")
        case "sheet":
            sheet.read(path)
        case "config":
            config.read(path)
        case _:
            parsed = export.parse(path)
            validate(parsed.scores, "scores")
            validate(parsed.benchmarks, "benchmarks")


def serve(pipe: Connection) -> None:
    """In a process of its own: case numbers in, what became of each out."""
    for module in ("charset_normalizer", "jsonschema", "openpyxl", "pyarrow.parquet", "scipy.stats", "yaml"):
        import_module(module)  # before the clock runs
    from alignsec.ground.tables import empty, validate

    validate(empty("scores"), "scores")
    pipe.send("ready")
    with tempfile.TemporaryDirectory() as folder:
        while (number := pipe.recv()) is not None:
            reader, name, content = case(number)
            path = Path(folder) / name
            path.write_bytes(content)
            try:
                read(reader, path)
                pipe.send("read")
            except AlignsecError as error:
                message = str(error)
                pipe.send(
                    "refused" if message.strip() and len(message) < 5000 else f"message: {message[:200]!r}"
                )
            except BaseException:  # noqa: BLE001 -- whatever else comes out is the finding
                pipe.send(traceback.format_exc(limit=-3))


class Worker:
    """A process that reads case after case, ended and started anew where one hangs or kills it."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other,), daemon=True)
        self.process.start()
        other.close()
        if not self.pipe.poll(START) or self.pipe.recv() != "ready":
            raise RuntimeError("the worker did not start")

    def tried(self, number: int) -> str:
        """What became of a case: ``read``, ``refused``, or what went wrong."""
        self.pipe.send(number)
        try:
            if self.pipe.poll(SECONDS):
                return str(self.pipe.recv())
            what = f"no end after {SECONDS} s"
        except EOFError:
            what = "the process died"
        self.end()
        self._start()
        return what

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, int(os.environ.get("ALIGNSEC_FUZZ", "200"))), pytest.param(10_000, 2000, marks=pytest.mark.slow)],
)
def test_no_damaged_file_ends_in_a_traceback_or_never(first: int, count: int) -> None:
    worker = Worker()
    became: Counter[str] = Counter()
    wrong = []
    try:
        for number in range(first, first + count):
            what = worker.tried(number)
            became[what if what in ("read", "refused") else "wrong"] += 1
            if what not in ("read", "refused"):
                wrong.append(f"case {number} ({case(number)[0]}, {case(number)[1]}): {what}")
    finally:
        worker.end()
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:30])
    # a fuzz whose every file is refused, or read, tries nothing
    assert min(became["read"], became["refused"]) > count // 10, became


def test_a_case_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [case(n) for n in range(60)]
    assert len({content for _, _, content in cases}) > 50
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_400)
    assert [case(n) for n in range(60)] == cases
