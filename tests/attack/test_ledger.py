"""The ledger: what a killed, torn, refused or full one does, and what an added epsilon keeps."""

import errno
import json
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from alignsec.attack import evaluate_robustness, units
from alignsec.attack import ledger as book
from alignsec.ground.errors import AlignsecError
from tests.attack.test_engine import COLUMNS, linear, passes

EPSILONS = [0.06, 0.1, 0.14]
CHEAP: dict[str, Any] = {"version": "custom", "attacks": ["apgd-ce", "fab-t"], "batch_size": 64}
FORK = multiprocessing.get_context("fork")


class Mortal(nn.Module):
    """Kills its process in the `after`-th call of the model after so many records of the ledger.

    Every call adds its images to a count that outlives the process (a forward with a gradient counts thrice).
    """

    def __init__(self, model: nn.Module, ledger: Path, count: Path, records: int | None, after: int) -> None:
        super().__init__()
        self.model = model
        self.ledger, self.count, self.records, self.after = ledger, count, records, after
        self.size, self.held = 0, 0

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.model.state_dict(*args, **kwargs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.model(x)
        with self.count.open("ab") as file:
            file.write(struct.pack("<i", len(x) * (3 if out.requires_grad else 1)))
        if self.records is not None and self._held() >= self.records:
            self.after -= 1
            if self.after < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return out

    def _held(self) -> int:
        size = self.ledger.stat().st_size if self.ledger.exists() else 0
        if size != self.size:
            self.size, self.held = size, len(done(self.ledger))
        return self.held


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line.rpartition(b"\t")[0]) for line in path.read_bytes().splitlines()]


def done(path: Path) -> list[dict[str, Any]]:
    return [r for r in records(path) if r.get("kind") == "done" and "seconds" in r]


def spent(count: Path) -> int:
    raw = count.read_bytes()
    return sum(struct.unpack(f"<{len(raw) // 4}i", raw))


def run(
    model: nn.Module, x: Any, y: Any, ledger: Path, count: Path, held: int | None, after: int, out: Path
) -> None:
    torch.set_num_threads(1)
    mortal = Mortal(model, ledger, count, held, after).eval()
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
    ran = [r["unit"] for r in done(whole)]
    # one batch of every kind of unit first, then further ones spread over the run
    kinds = {unit: at for at, unit in reversed(list(enumerate(ran)))}
    assert {"clean", "probe", "screen", "carried", "apgd-ce", "apgd-t", "fab-t", "square"} == set(kinds)
    generator = np.random.default_rng(7)
    further = generator.choice(
        [i for i in range(len(ran)) if i not in kinds.values()], 20 - len(kinds), False
    )
    killed = sorted([*kinds.values(), *further.tolist()])
    ledger, count, out = tmp_path / "killed.ledger", tmp_path / "killed.count", tmp_path / "killed.parquet"
    for number, held in enumerate(killed):
        assert child(model, x, y, ledger, count, held, number % 2, out) == -signal.SIGKILL, held
        assert len(done(ledger) if held else []) == held
    assert child(model, x, y, ledger, count, None, 0, out) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(tmp_path / "whole.parquet"))
    largest = max(r["forward"] + 3 * r["backward"] for r in done(whole))
    # and one look at two images in each run
    assert spent(count) <= 1.1 * spent(whole_count) + 20 * (largest + 2)
    print("killed in", ", ".join(ran[i] for i in killed), "passes", spent(count), "of", spent(whole_count))


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
        # the ledger is whole again, and says who went on
        assert [r.get("kind") for r in records(ledger)].count("writer") == 1
        assert len(records(ledger)) == len(lines) + 1


def test_a_damaged_line_is_passed_over_its_work_done_again_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "a.ledger"
    first = quick(ledger)
    lines = ledger.read_bytes().splitlines(keepends=True)
    clean = next(i for i, r in enumerate(records(ledger)) if r.get("unit") == "clean")
    spent_there = passes_of(records(ledger)[clean])
    lines[clean] = lines[clean].replace(b"e", b"f", 1)
    ledger.write_bytes(b"".join(lines))
    capsys.readouterr()
    again = quick(ledger)
    pd.testing.assert_frame_equal(again, first)
    assert "a.ledger: 1 damaged line(s): that work is done again" in capsys.readouterr().err
    assert again.attrs["cost"]["damaged_records"] == 1
    assert passes(again) - again.attrs["cost"]["resumed_passes"] == spent_there > 0


def passes_of(record: dict[str, Any]) -> int:
    return record.get("forward", 0) + 3 * record.get("backward", 0)


def test_a_ledger_whose_head_is_damaged_is_set_aside_and_begun_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "a.ledger"
    first = quick(ledger)
    damaged = b"x" + ledger.read_bytes()[1:]
    ledger.write_bytes(damaged)
    pd.testing.assert_frame_equal(quick(ledger), first)
    assert "set aside as a.ledger.damaged" in capsys.readouterr().err
    assert (tmp_path / "a.ledger.damaged").read_bytes() == damaged
    # a kill in the middle of the head leaves nothing that could be lost
    ledger.write_bytes(ledger.read_bytes()[:40])
    (tmp_path / "a.ledger.damaged").unlink()
    pd.testing.assert_frame_equal(quick(ledger), first)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.ledger"]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"seed": 1}, "seed: 0 there, 1 here"),
        ({"norm": "L2"}, "norm"),
        ({"ladder": False}, "ladder: True there"),
    ],
)
def test_the_ledger_of_another_job_is_refused_with_the_difference(
    tmp_path: Path, more: dict, named: str
) -> None:
    ledger = tmp_path / "a.ledger"
    quick(ledger)
    with pytest.raises(book.OtherJob, match=named):
        quick(ledger, **more)


OPTIONS = {"epsilons": [0.1], "version": "custom", "attacks": ["apgd-ce", "fab-t"]}


def test_other_weights_and_the_same_behind_another_forward_are_other_jobs(tmp_path: Path) -> None:
    ledger = tmp_path / "a.ledger"
    quick(ledger)
    model, x, y, _ = linear()

    class Turned(nn.Sequential):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images.flip(3))

    turned = Turned(*model).eval()
    assert list(turned.state_dict()) == list(model.state_dict())
    with pytest.raises(book.OtherJob, match=r"logits of image [0-9a-f]+:\d: \[.*\] there, \[.*\] here"):
        evaluate_robustness(turned, x, turned(x).argmax(1), **OPTIONS | {"ledger": ledger})
    with pytest.raises(book.OtherJob, match="no logits of any of these images"):
        evaluate_robustness(model, x * 0.99, y, **OPTIONS | {"ledger": ledger})
    with torch.no_grad():
        model[1].bias += 1e-3
    with pytest.raises(book.OtherJob, match="weights"):
        evaluate_robustness(model, x, y, **OPTIONS | {"ledger": ledger})


def test_logits_may_differ_by_what_another_device_makes_of_them(tmp_path: Path) -> None:
    model, x, y, _ = linear()

    class Shifted(nn.Sequential):
        by = 0.0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = super().forward(images)
            spread = logits.amax(1) - logits.amin(1)
            return torch.cat([logits[:, :1] + (self.by * spread)[:, None], logits[:, 1:]], 1)

    shifted = Shifted(*model).eval()
    options = OPTIONS | {"ledger": tmp_path / "a.ledger"}
    first = evaluate_robustness(shifted, x, y, **options)
    shifted.by = 0.9e-3
    assert evaluate_robustness(shifted, x, y, **options).attrs["cost"]["resumed_passes"] == passes(first)
    shifted.by = 1.1e-3
    with pytest.raises(book.OtherJob, match="logits"):
        evaluate_robustness(shifted, x, y, **options)


def test_facts_go_by_image_and_label_so_that_more_images_cost_their_own_work(digits, tmp_path: Path) -> None:
    model, x, y = digits
    options = {"epsilons": [0.1, 0.2], **CHEAP}
    fresh = evaluate_robustness(model, x, y, **options)
    part = evaluate_robustness(model, x[2:10], y[2:10], ledger=tmp_path / "a.ledger", **options)
    grown = evaluate_robustness(model, x, y, ledger=tmp_path / "a.ledger", **options)
    pd.testing.assert_frame_equal(grown[COLUMNS], fresh[COLUMNS])
    rest = torch.tensor([0, 1, 10, 11])
    alone = evaluate_robustness(model, x[rest], y[rest], **options)
    assert passes(grown) - passes(part) == passes(alone)
    # in another order, without some, at another batch size: nothing is left to do
    fewer = torch.tensor([5, 11, 3, 0])
    again = evaluate_robustness(
        model, x[fewer], y[fewer], ledger=tmp_path / "a.ledger", **options | {"batch_size": 2}
    )
    assert passes(again) == again.attrs["cost"]["resumed_passes"] == passes(grown)
    again["image"] = fewer.numpy()[again["image"]]
    wanted = fresh[fresh["image"].isin(fewer.tolist())].reset_index(drop=True)
    again = again.sort_values(["epsilon", "image"], ignore_index=True)
    pd.testing.assert_frame_equal(again[COLUMNS], wanted[COLUMNS])
    # under another label an image is another one
    y = y.clone()
    y[3] = (y[3] + 1) % 10
    other = evaluate_robustness(model, x, y, ledger=tmp_path / "a.ledger", **options)
    assert not other.loc[other["image"] == 3, "correct"].any()


def test_an_image_that_comes_twice_is_two(tmp_path: Path) -> None:
    model, x, y, exact = linear()
    options = {"epsilons": [float(np.median(exact))], "ledger": tmp_path / "a.ledger", **CHEAP}
    twice = evaluate_robustness(model, torch.cat([x, x]), torch.cat([y, y]), **options)
    one, other = twice[twice["image"] < len(x)], twice[twice["image"] >= len(x)]
    np.testing.assert_array_equal(one["robust"], other["robust"])
    assert passes(evaluate_robustness(model, x, y, **options)) == passes(twice)


def test_what_was_not_kept_is_found_again_at_the_price_of_its_last_search(digits, tmp_path: Path) -> None:
    model, x, y = digits
    options = {"epsilons": [0.05, 0.1, 0.2], **CHEAP}
    ledger, kept = tmp_path / "a.ledger", tmp_path / "kept.npz"
    first = evaluate_robustness(model, x, y, ledger=ledger, **options)
    again = evaluate_robustness(model, x, y, ledger=ledger, keep=kept, **options)
    pd.testing.assert_frame_equal(again[COLUMNS], first[COLUMNS])
    assert 0 < passes(again) - passes(first) < 0.2 * passes(first)
    straight = tmp_path / "straight.npz"
    evaluate_robustness(model, x, y, keep=straight, **options)
    with np.load(kept) as mine, np.load(straight) as wanted:
        assert len(wanted["image"]) > 3
        for name in wanted.files:
            np.testing.assert_allclose(mine[name], wanted[name], atol=1e-6)
    once_more = evaluate_robustness(model, x, y, ledger=ledger, keep=kept, **options)
    assert passes(once_more) == passes(again)


def test_a_second_writer_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    ledger = tmp_path / "a.ledger"
    held = book.Ledger(ledger, {"a": 1})
    held.append({"kind": "done"})

    def second(answer: Any) -> None:
        try:
            book.Ledger(ledger, {"a": 1})
        except book.InUse as error:
            answer.send(str(error))

    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=second, args=(there,))
    process.start()
    process.join()
    assert here.poll()
    assert f"process {os.getpid()} on {socket.gethostname()} writes to this ledger" in here.recv()
    held.append({"kind": "done"})
    held.close()
    assert len(book.read(ledger)) == 2
    # a writer that was killed holds nothing
    again = book.Ledger(ledger, {"a": 1})
    assert len(again.records) == 2
    again.close()
    assert [f.name for f in tmp_path.iterdir()] == ["a.ledger"]


def test_where_there_are_no_locks_that_is_said_and_records_tell_their_writers_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(book.fcntl, "flock", refused)
    one, other = (book.Ledger(tmp_path / "a.ledger", {}) for _ in range(2))
    assert "no lock (No locks available)" in capsys.readouterr().err
    for number in range(3):
        one.append({"kind": "done", "one": number})
        other.append({"kind": "done", "other": number})
    one.close()
    other.close()
    found = book.read(tmp_path / "a.ledger")
    assert len(found) == 6 and len({(r["w"], r["n"]) for r in found}) == 6


def test_copies_that_went_on_apart_are_merged(tmp_path: Path) -> None:
    here, there = tmp_path / "here.ledger", tmp_path / "there.ledger"
    quick(here, (1.0,))
    shutil.copy(here, there)
    quick(here, (0.5, 1.0))
    quick(there, (1.0, 1.5))
    before = len(book.read(here)), len(book.read(there))
    assert book.merge([there, here], here) == len(book.read(here)) > max(before)
    both = quick(here, (0.5, 1.0, 1.5))
    fresh = quick(tmp_path / "fresh.ledger", (0.5, 1.0, 1.5))
    np.testing.assert_array_equal(both["robust"], fresh["robust"])
    size = here.stat().st_size
    assert book.merge([here, there], here) == len(book.read(here))
    quick(here, (0.5, 1.0)), quick(here, (1.0, 1.5))
    assert here.stat().st_size == size
    # one whose head is damaged has nothing to give, and another job's is refused
    there.write_bytes(b"x" + there.read_bytes()[1:])
    book.merge([there, here], here)
    assert here.stat().st_size == size
    quick(other := tmp_path / "other.ledger", seed=3)
    with pytest.raises(book.OtherJob, match="seed"):
        book.merge([other, here], here)
    with pytest.raises(AlignsecError, match=r"there\.ledger: no ledger that could be read"):
        book.merge([there], here)


def test_a_failure_in_a_weaker_precision_settles_nothing_for_a_stronger_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, y, exact = linear()
    options = {"epsilons": [float(np.median(exact))], "ledger": tmp_path / "a.ledger", **CHEAP}
    # as on a GPU
    monkeypatch.setattr(units.Units, "precision", lambda self: self.request.precision)
    reduced = {**options, "precision": "tf32"}
    first = evaluate_robustness(model, x, y, **reduced)
    assert {r["precision"] for r in book.read(tmp_path / "a.ledger") if r["kind"] == "failed"} == {"tf32"}
    assert passes(evaluate_robustness(model, x, y, **reduced)) == passes(first)
    exactly = evaluate_robustness(model, x, y, **options)
    assert exactly.attrs["cost"]["resumed_passes"] == passes(first)
    # every image that stands goes through the judge again, none through the screen
    units_of = [r["unit"] for r in done(tmp_path / "a.ledger")]
    assert units_of.count("apgd-ce") == 2 and units_of.count("screen") == 1
    assert passes(evaluate_robustness(model, x, y, **reduced)) == passes(exactly)


@pytest.mark.parametrize(
    "damages", [40, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_a_thousand_damages_all_resume_and_redo_no_more_than_they_took(tmp_path: Path, damages: int) -> None:
    """Flipped bytes, cuts and blocks that stand there twice, behind the head."""
    model, x, y, exact = linear()
    ledger, other = tmp_path / "a.ledger", tmp_path / "b.ledger"
    options = {"epsilons": [float(np.median(exact)) * f for f in (0.5, 1.0)], "version": "custom",
               "attacks": ["fab-t"], "batch_size": 3, "device": "cpu"}  # fmt: skip
    x, y = x[:6], y[:6]
    first = evaluate_robustness(model, x, y, ledger=ledger, **options)
    content = ledger.read_bytes()
    head = content.index(b"\n") + 1
    generator = np.random.default_rng(11)
    for number in range(damages):
        at, length = (int(v) for v in generator.integers([head, 1], [len(content), 400]))
        damaged = [
            content[:at] + bytes([content[at] ^ (1 << number % 8)]) + content[at + 1 :],
            content[:at] + content[at + length :],
            content[:at],
            content[: at + length] + content[at:],
        ][number % 4]
        other.write_bytes(damaged)
        intact = sum(passes_of(r) for r in book.read(other))
        again = evaluate_robustness(model, x, y, ledger=other, **options)
        # a stage may be another: what is done again comes later
        pd.testing.assert_frame_equal(again.drop(columns="stage"), first.drop(columns="stage"), rtol=0.01)
        assert again.attrs["cost"]["resumed_passes"] == intact
        assert passes(again) <= passes(first), number
        other.unlink()


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
