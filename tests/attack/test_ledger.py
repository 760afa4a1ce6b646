"""The ledger: what a killed, torn, refused or full one does, and what an added epsilon keeps."""

import json
import multiprocessing
import os
import resource
import signal
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from alignsec.attack import evaluate_robustness
from alignsec.attack import ledger as book
from alignsec.ground.errors import AlignsecError
from tests.attack.test_engine import linear, passes

EPSILONS = [0.06, 0.1, 0.14]
FORK = multiprocessing.get_context("fork")


class Mortal(nn.Module):
    """Kills its process in the `after`-th call of the model within unit `stage` of the ledger's last plan.

    Every call adds its images to a count that outlives the process (a forward with a gradient counts thrice).
    """

    def __init__(self, model: nn.Module, ledger: Path, count: Path, stage: str | None, after: int) -> None:
        super().__init__()
        self.model = model
        self.ledger, self.count, self.stage, self.after = ledger, count, stage, after
        self.size, self.unit = 0, ""

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.model.state_dict(*args, **kwargs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.model(x)
        with self.count.open("ab") as file:
            file.write(struct.pack("<i", len(x) * (3 if out.requires_grad else 1)))
        if self.stage is not None and self._unit() == self.stage:
            self.after -= 1
            if self.after < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return out

    def _unit(self) -> str:
        size = self.ledger.stat().st_size if self.ledger.exists() else 0
        if size != self.size:
            plans = [r for r in records(self.ledger) if r.get("kind") == "plan"]
            self.size, self.unit = size, f"{plans[-1]['unit']}@{plans[-1]['epsilon']}" if plans else ""
        return self.unit


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line.rpartition(b"\t")[0]) for line in path.read_bytes().splitlines()]


def spent(count: Path) -> int:
    raw = count.read_bytes()
    return sum(struct.unpack(f"<{len(raw) // 4}i", raw))


def run(
    model: nn.Module, x: Any, y: Any, ledger: Path, count: Path, stage: str | None, after: int, out: Path
) -> None:
    torch.set_num_threads(1)
    mortal = Mortal(model, ledger, count, stage, after).eval()
    evaluate_robustness(mortal, x, y, EPSILONS, ledger=ledger, batch_size=3).to_parquet(out)


def child(*arguments: Any) -> int:
    process = FORK.Process(target=run, args=arguments)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def test_twenty_kills_in_every_stage_end_with_the_same_data(digits, tmp_path: Path) -> None:
    model, x, y = digits
    x, y = x[:7], y[:7]
    whole, whole_count = tmp_path / "whole.ledger", tmp_path / "whole.count"
    assert child(model, x, y, whole, whole_count, None, 0, tmp_path / "whole.parquet") == 0
    ran = [f"{r['unit']}@{r['epsilon']}" for r in records(whole) if r.get("kind") == "plan"]
    # one of every kind of unit first, then further ones spread over the run
    kinds = {u.split("@")[0].split(":")[0]: u for u in ran[::-1]}
    assert {"clean", "probe", "screen", "carried", "apgd-ce", "apgd-t", "fab-t", "square"} <= set(kinds)
    further = [u for u in ran if u not in kinds.values()]
    step = len(further) / (20 - len(kinds))
    chosen = set(kinds.values()) | {further[int(i * step)] for i in range(20 - len(kinds))}
    stages = [u for u in ran if u in chosen]
    assert len(stages) == 20
    ledger, count, out = tmp_path / "killed.ledger", tmp_path / "killed.count", tmp_path / "killed.parquet"
    for number, stage in enumerate(stages):
        assert child(model, x, y, ledger, count, stage, number % 2, out) == -signal.SIGKILL, stage
    assert child(model, x, y, ledger, count, None, 0, out) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(tmp_path / "whole.parquet"))
    largest = max(r["forward"] + 3 * r["backward"] for r in records(whole) if r.get("kind") == "done")
    assert spent(count) <= 1.1 * spent(whole_count) + 20 * largest
    print("killed in", ", ".join(stages), "passes", spent(count), "of", spent(whole_count))


def quick(ledger: Path, factors: tuple[float, ...] = (0.5, 1.0), **more: Any) -> pd.DataFrame:
    model, x, y, exact = linear()
    epsilons = [float(np.median(exact)) * f for f in factors]
    return evaluate_robustness(
        model, x, y, epsilons, version="custom", attacks=["apgd-ce", "fab-t"], ledger=ledger, **more
    )


def test_a_finished_ledger_costs_nothing_and_says_the_same(tmp_path: Path) -> None:
    ledger = tmp_path / "deep" / "a.ledger"
    first = quick(ledger)
    size = ledger.stat().st_size
    again = quick(ledger)
    pd.testing.assert_frame_equal(again, first)
    assert ledger.stat().st_size == size
    assert again.attrs["cost"]["forward_images"] == first.attrs["cost"]["forward_images"]


def test_a_torn_last_record_is_dropped_and_done_again(tmp_path: Path) -> None:
    ledger = tmp_path / "a.ledger"
    first = quick(ledger)
    content = ledger.read_bytes()
    lines = content.splitlines(keepends=True)
    for cut in (1, len(lines[-1]) // 2, len(lines[-1]) + len(lines[-2]) // 2):
        ledger.write_bytes(content[:-cut])
        pd.testing.assert_frame_equal(quick(ledger), first)
        # seconds apart, the ledger is whole again
        assert len(records(ledger)) == len(lines)


def test_a_ledger_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    ledger = tmp_path / "a.ledger"
    quick(ledger)
    lines = ledger.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"e", b"f", 1)
    ledger.write_bytes(b"".join(lines))
    with pytest.raises(AlignsecError, match=r"a\.ledger:3: the ledger is damaged"):
        quick(ledger)


@pytest.mark.parametrize(
    ("more", "named"), [({"seed": 1}, "seed: 0 there, 1 here"), ({"norm": "L2"}, "norm")]
)
def test_the_ledger_of_another_job_is_refused_with_the_difference(
    tmp_path: Path, more: dict, named: str
) -> None:
    ledger = tmp_path / "a.ledger"
    quick(ledger)
    with pytest.raises(book.OtherJob, match=named):
        quick(ledger, **more)


def test_other_weights_and_other_images_are_other_jobs(tmp_path: Path) -> None:
    ledger = tmp_path / "a.ledger"
    quick(ledger)
    model, x, y, _ = linear()
    arguments = {"epsilons": [0.1], "version": "custom", "attacks": ["apgd-ce", "fab-t"], "ledger": ledger}
    with pytest.raises(book.OtherJob, match="images"):
        evaluate_robustness(model, x + 1e-3, y, **arguments)
    with torch.no_grad():
        model[1].bias += 1e-3
    with pytest.raises(book.OtherJob, match="weights"):
        evaluate_robustness(model, x, y, **arguments)


def test_an_added_epsilon_keeps_what_was_settled(tmp_path: Path) -> None:
    ledger = tmp_path / "a.ledger"
    first = quick(ledger, (1.0,))
    for factors in ((0.5, 1.0), (0.5, 1.0, 1.5)):
        more = quick(ledger, factors)
        fresh = quick(tmp_path / f"{len(factors)}.ledger", factors)
        np.testing.assert_array_equal(more["robust"], fresh["robust"])
        assert passes(more) - more.attrs["cost"]["resumed_passes"] < 0.7 * passes(fresh)
    epsilon = first["epsilon"].iloc[0]
    kept = more[more["epsilon"] == epsilon]
    np.testing.assert_array_equal(kept["robust"], first["robust"])


def test_a_full_disk_stops_with_a_message_and_a_ledger_that_resumes(tmp_path: Path) -> None:
    whole = quick(tmp_path / "whole.ledger")
    ledger = tmp_path / "a.ledger"
    limit = (tmp_path / "whole.ledger").stat().st_size // 2

    def starved(answer: Any) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            quick(ledger)
        except AlignsecError as error:
            answer.send(str(error))

    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=starved, args=(there,))
    process.start()
    process.join()
    assert here.poll()
    message = here.recv()
    assert "a.ledger: the ledger cannot be written" in message
    assert "make room and run again" in message
    assert ledger.stat().st_size <= limit
    pd.testing.assert_frame_equal(quick(ledger), whole)
