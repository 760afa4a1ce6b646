"""The ladder on images of one pixel: distances are differences of two numbers, a judge finds what is written.

Expected verdicts, distances, orders of work and counts are worked out by hand from docs/attack.md's rules.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from alignsec.attack import ModelError, batches, evaluate, evaluate_robustness, known, units, work
from alignsec.attack.batches import Batch
from alignsec.attack.counting import Counted, Passes
from alignsec.attack.judge import Answer, Rows
from alignsec.attack.ladder import Ladder
from alignsec.attack.progress import Progress
from alignsec.ground.errors import AlignsecError
from alignsec.study.request import AttackRequest

INF = float("inf")


class Bands(nn.Module):
    """Calls a pixel wrong (class 1) inside the bands; the gradient of the margin is `slope` everywhere."""

    def __init__(self, *bands: tuple[float, float], slope: float = 0.0) -> None:
        super().__init__()
        self.bands, self.slope = bands, slope

    def forward(self, x: Tensor) -> Tensor:
        pixel = x.flatten(1)[:, 0]
        inside = torch.zeros_like(pixel, dtype=torch.bool)
        for low, high in self.bands:
            inside |= (pixel.detach() >= low) & (pixel.detach() <= high)
        margin = torch.where(inside, 1.0, -1.0) + self.slope * (pixel - pixel.detach()) + 0 * pixel
        return torch.stack([-margin / 2, margin / 2], 1)


class Ranks(nn.Module):
    """Seven classes; a pixel of k tenths leaves k classes above class 0."""

    def forward(self, x: Tensor) -> Tensor:
        above = torch.arange(1, 7)[None] <= (x.flatten(1)[:, :1].detach() * 10).round()
        return torch.cat([torch.zeros(len(x), 1), above * 2.0 - 1], 1) + 0 * x.flatten(1)[:, :1]


class Scripted:
    """A judge that finds what is written: (unit, image, epsilon) to the adversarial pixel."""

    def __init__(
        self,
        units: Sequence[str] = ("apgd-ce", "square"),
        finds: dict[tuple[str, int, float], float] | None = None,
        highest: dict[int, float] | None = None,
    ) -> None:
        self.units, self.finds, self.highest = list(units), finds or {}, highest
        self.calls: list[tuple[str, list[tuple[str, int, float]]]] = []

    def passes(self, unit: str) -> int:
        return {"apgd-ce": 10, "apgd-t": 30, "fab-t": 40, "square": 100}[unit.partition(":")[0]]

    def asked(self) -> list[tuple[str, dict[int, float]]]:
        """Of each call: images and their balls."""
        return [(name, {image: radius for _, image, radius in rows}) for name, rows in self.calls]

    def attack(self, name: str, rows: Rows) -> Answer:
        images = [m[0] for m in rows.marks]
        ranks = [None] * len(images) if rows.ranks is None else rows.ranks.tolist()
        named = [name if rank is None else f"{name}:{rank}" for rank in ranks]
        radii = [round(float(r), 6) for r in rows.radii]  # as they are written in `finds`
        self.calls.append((name, list(zip(named, images, radii, strict=True))))
        made, none = rows.x.clone(), torch.zeros(len(images), dtype=torch.bool)
        for row, asked in enumerate(zip(named, images, radii, strict=True)):
            if asked in self.finds:
                made[row] = self.finds[asked]
        if self.highest is None or name != "apgd-ce":
            return Answer(made, none)
        return Answer(made, none, torch.tensor([self.highest[i] for i in images])[:, None, None, None])


class Notes:
    """A ledger in memory."""

    def __init__(self, records: Sequence[dict[str, Any]] = ()) -> None:
        self.records = list(records)

    def append(self, record: dict[str, Any]) -> None:
        self.records.append(json.loads(json.dumps(record)))

    def done(self) -> list[tuple[str, Any, list[int]]]:
        return [
            (r["unit"], r["epsilon"], [int(k) for k in r["images"]])
            for r in self.records
            if r["kind"] == "done"
        ]


class Run(Ladder):
    """The ladder with its answers within reach."""

    def table(self) -> pd.DataFrame:
        return self.verdicts.table()

    def warnings(self) -> dict[str, Any]:
        return self.verdicts.warnings(len(self.units.judge.units))


def evaluation(
    model: nn.Module,
    pixels: Sequence[float],
    epsilons: Sequence[float],
    judge: Scripted | None = None,
    notes: Notes | None = None,
    labels: Sequence[int] | None = None,
    **more: Any,
) -> Run:
    x = torch.tensor(pixels)[:, None, None, None]
    y = torch.tensor(labels if labels is not None else [0] * len(pixels))
    request = AttackRequest.of({"epsilons": epsilons, "batch_size": 8, **more})
    images = work.Images(x, y, [bytes([i]) for i in range(len(pixels))], [str(i) for i in range(len(pixels))])
    done = work.Work(Counted(model).eval(), images, request, notes or Notes())
    return Run(units.Units(done, judge or Scripted()), Progress(False, len(x)))


def column(run: Run, name: str) -> dict[float, list[Any]]:
    return {e: part[name].tolist() for e, part in run.table().groupby("epsilon")}


def done(unit: str, epsilon: Any, images: list[int], **more: Any) -> dict[str, Any]:
    """A record of the ledger; of a targeted attack's unit."""
    name, _, rank = unit.partition(":")
    record = {"kind": "done", "unit": name, "epsilon": epsilon, "images": [str(i) for i in images]}
    return record | {"seconds": 0.5} | ({"ranks": [int(rank)] * len(images)} if rank else {}) | more


def failed(unit: str, epsilon: float, images: list[int]) -> dict[str, Any]:
    return {"kind": "failed", "unit": unit, "epsilon": epsilon, "images": [str(i) for i in images]}


def batch(images: list[int], epsilon: float, unit: str = "square") -> Batch:
    return Batch(unit, images, [epsilon] * len(images))


def fact(unit: str, epsilon: float, images: list[int], kind: str = "done", **more: Any) -> dict[str, Any]:
    """What `Known` takes in: images by their numbers."""
    return done(unit, epsilon, images, **more) | {"kind": kind, "images": images}


def clean(images: list[int], **more: Any) -> dict[str, Any]:
    n = len(images)
    given = {"correct": [True] * n, "top5": [True] * n, "clean_votes": [1] * n, "softmax": False}
    return done("clean", None, images, **(given | more))


# ---- facts


def test_a_norm_may_exceed_epsilon_by_float32_rounding_and_no_more() -> None:
    assert known.tolerance(0.5, "Linf") == 1e-6
    assert known.tolerance(3.0, "L2") == pytest.approx(31e-6)
    book = known.Known(3, "Linf")
    book.apply(fact("fab", 0.1, [0, 1], found=[[0, 0.1 + 1e-6], [1, 0.1 + 2e-6]]))
    assert book.broken(0.1).tolist() == [True, False, False]
    assert [book.broken_at(i, 0.1) for i in range(3)] == [True, False, False]
    wide = known.Known(1, "L2")
    wide.apply(fact("fab", 3.0, [0], found=[[0, 3.00003]]))
    assert wide.broken(3.0).all() and wide.broken_at(0, 3.0)


def test_units_and_stages_by_name() -> None:
    assert [known.key(u, 0.1) for u in ("clean", "probe", "screen")] == [
        ("clean", None),
        ("probe", None),
        ("screen", 0.1),
    ]
    assert [known.stage_name(u) for u in ("apgd-t:3", "probe", "screen", "carried", "square")] == [
        "apgd-t", "screen", "screen", "screen", "square",
    ]  # fmt: skip


def test_what_was_tried_is_kept_by_unit_and_epsilon() -> None:
    book = known.Known(3, "Linf")
    book.apply(fact("probe", 0.2, [0, 2]))
    book.apply(fact("screen", 0.2, [1]))
    assert book.tried("probe", None).tolist() == [True, False, True]
    assert book.tried("screen", 0.2).tolist() == [False, True, False]
    assert not book.tried("screen", 0.1).any()
    # FAB, like the probe, looks at no ball
    book.apply(fact("fab-t:3", 0.2, [1]))
    assert book.tried("fab-t:3", 0.1).tolist() == book.tried("fab-t:3", 0.2).tolist() == [False, True, False]
    assert not book.tried("fab-t:2", 0.2).any()
    assert book.distance.tolist() == [INF] * 3 and book.failed.tolist() == [-INF] * 3


def test_the_smallest_find_and_the_largest_failure_stand() -> None:
    book = known.Known(2, "Linf")
    for e in (0.1, 0.3, 0.2):
        book.apply(fact("square", e, [0], "failed"))
    for d in (0.5, 0.4, 0.45):
        book.apply(fact("square", 0.3, [1], found=[[0, d]]))
    assert book.failed.tolist() == [0.3, -INF]
    assert book.distance.tolist() == [INF, 0.4]
    assert book.contradictions == 0
    assert [book.judged_at(e).tolist() for e in (0.1, 0.15, 0.3)] == [
        [True, False],
        [False, False],
        [True, False],
    ]


def test_an_adversarial_inside_a_cleared_ball_lowers_the_failure_to_what_still_stands() -> None:
    book = known.Known(1, "Linf")
    for e in (0.3, 0.2, 0.05):
        book.apply(fact("square", e, [0], "failed"))
    book.apply(fact("carried", 0.25, [0], found=[[0, 0.31]]))
    assert (book.failed[0], book.contradictions) == (0.3, 0)  # outside the ball that was cleared
    book.apply(fact("carried", 0.25, [0], found=[[0, 0.1]]))
    assert (book.failed[0], book.contradictions) == (0.05, 1)
    book.apply(fact("carried", 0.1, [0], found=[[0, 0.08]]))
    assert (book.failed[0], book.contradictions) == (0.05, 1)  # contradicts nothing new
    book.apply(fact("carried", 0.1, [0], found=[[0, 0.01]]))
    assert (book.failed[0], book.contradictions) == (-INF, 2)


def test_the_first_fact_that_settles_an_epsilon_names_its_stage() -> None:
    book = known.Known(1, "Linf")
    book.apply(fact("apgd-t:2", 0.3, [0], found=[[0, 0.25]]))
    book.apply(fact("probe", 0.3, [0], found=[[0, 0.15]]))
    book.apply(fact("square", 0.1, [0], "failed"))
    assert [book.stage(0, e) for e in (0.4, 0.3, 0.2, 0.1, 0.05)] == [
        "smaller-epsilon", "apgd-t", "larger-epsilon", "square", "larger-epsilon",
    ]  # fmt: skip


def test_a_failure_that_an_adversarial_has_disproved_settles_nothing() -> None:
    book = known.Known(1, "Linf")
    book.apply(fact("square", 0.3, [0], "failed"))
    assert book.stage(0, 0.2) == "larger-epsilon"
    book.apply(fact("carried", 0.2, [0], found=[[0, 0.2]]))
    assert [book.stage(0, e) for e in (0.3, 0.2)] == ["smaller-epsilon", "screen"]
    assert book.stage(0, 0.1) == ""  # nothing is known there
    book.apply(fact("square", 0.1, [0], "failed"))
    assert [book.stage(0, e) for e in (0.1, 0.05)] == ["square", "larger-epsilon"]


# ---- the order of work


def test_from_the_largest_ball_down_only_what_stands_is_judged_and_only_once() -> None:
    # no gradient anywhere, wrong from .5 on: image 0 falls to apgd-ce at .4, 1 to square at .4 and 3 nowhere;
    # image 2 is wrong from the start
    judge = Scripted(finds={("apgd-ce", 0, 0.4): 0.5, ("square", 1, 0.4): 0.55, ("apgd-ce", 0, 0.1): 0.55})
    notes = Notes()
    run = evaluation(Bands((0.5, 1)), [0.3, 0.2, 0.7, 0.1], [0.1, 0.25, 0.4], judge, notes)
    run.evaluate()
    # 0 is at .2, so broken from .25 on, and comes again at .1 before square runs on all that stand, each in
    # its ball; the search at .1 goes by its own find outside the ball, and fails. 1 is at .3, so judged again
    # at .25 and carried to .1; 3 is judged at .4 and carried twice
    assert judge.asked() == [
        ("apgd-ce", {0: 0.4, 1: 0.4, 3: 0.4}),
        ("apgd-ce", {0: 0.1}),
        ("square", {0: 0.1, 1: 0.4, 3: 0.4}),
        ("apgd-ce", {1: 0.25}),
        ("square", {1: 0.25}),
    ]
    screens = [d for d in notes.done() if d[0] in ("clean", "probe", "screen", "carried")]
    assert screens == [
        ("clean", None, [0, 1, 2, 3]),
        ("probe", 0.4, [0, 1, 3]),
        ("screen", 0.4, [0, 1, 3]),
        ("screen", 0.1, [0]),
        ("screen", 0.25, [1]),
        ("carried", 0.25, [3]),
        ("carried", 0.1, [1, 3]),
    ]
    assert column(run, "robust") == {
        0.1: [True, True, False, True],
        0.25: [False, True, False, True],
        0.4: [False, False, False, True],
    }
    assert column(run, "stage") == {
        0.1: ["square", "larger-epsilon", "misclassified", "larger-epsilon"],
        0.25: ["larger-epsilon", "square", "misclassified", "larger-epsilon"],
        0.4: ["apgd-ce", "square", "misclassified", "square"],
    }
    distance = run.table()["distance"].to_numpy()[:4]
    np.testing.assert_allclose(distance, [0.2, 0.3, np.nan, np.nan], rtol=0.0101)
    assert run.warnings() == {"zero_gradients": 1.0, "square_after_white_box": 1}


def test_the_screens_share_of_steps_differs_by_where_an_image_is() -> None:
    # ten steps for an image on its way to the judge, five for one that the judge could not break
    run = evaluation(Bands((2, 3)), [0.3], [0.1, 0.2])
    notes = run.work.ledger
    run.evaluate()
    spent = {(r["unit"], r["epsilon"]): r["backward"] for r in notes.records if r["kind"] == "done"}
    # two classes: the probe asks one gradient
    assert (spent["probe", 0.2], spent["screen", 0.2], spent["carried", 0.1]) == (1, 10, 5)


def test_a_judge_that_a_smaller_ball_contradicts_is_counted_and_corrected() -> None:
    # the band lies .04 to .06 away: a first step of .3 leaps over it, a first step of .05 lands in it
    notes = Notes()
    run = evaluation(Bands((0.54, 0.56), slope=1.0), [0.5, 0.1], [0.05, 0.3], Scripted(), notes)
    run.evaluate()
    assert run.warnings() == {"not_monotone": 1}
    assert column(run, "robust") == {0.05: [False, True], 0.3: [False, True]}
    assert column(run, "stage") == {0.05: ["screen", "larger-epsilon"], 0.3: ["smaller-epsilon", "square"]}
    assert column(run, "distance")[0.3][0] == pytest.approx(0.04, rel=0.0101)
    assert ("carried", 0.05, [0, 1]) in notes.done()


def test_without_the_ladder_every_epsilon_is_judged_alone_and_crossings_are_counted() -> None:
    finds = {
        ("apgd-ce", 0, 0.2): 0.5, ("apgd-ce", 0, 0.3): 0.5,  # monotone
        ("apgd-ce", 1, 0.2): 0.5,  # found in the middle ball alone
        ("square", 2, 0.1): 0.5, ("square", 2, 0.2): 0.5,  # in the two smaller ones
    }  # fmt: skip
    judge = Scripted(finds=finds)
    notes = Notes()
    run = evaluation(
        Bands((0.5, 1)), [0.41, 0.42, 0.43, 0.44, 0.9], [0.1, 0.2, 0.3], judge, notes, ladder=False
    )
    run.evaluate()
    assert [c for c in judge.asked() if c[0] == "apgd-ce"] == [
        ("apgd-ce", dict.fromkeys(range(4), e)) for e in (0.3, 0.2, 0.1)
    ]
    assert column(run, "robust") == {
        0.1: [True, True, False, True, False],
        0.2: [False, False, False, True, False],
        0.3: [False, True, True, True, False],
    }
    assert run.warnings() == {"square_after_white_box": 1, "not_monotone": 2}
    # nothing is drawn nearer, so that what the attack found is what is measured
    assert column(run, "distance")[0.2][:3] == pytest.approx([0.09, 0.08, 0.07])
    assert {u for u, _, _ in notes.done()} == {"clean", "apgd-ce", "square"}


def test_square_alone_follows_no_white_box() -> None:
    run = evaluation(Bands((0.5, 1)), [0.4], [0.2], Scripted(["square"], {("square", 0, 0.2): 0.5}))
    run.evaluate()
    assert run.warnings() == {"zero_gradients": 1.0}


def test_zero_gradients_are_a_share_of_the_images_probed() -> None:
    class Half(Bands):
        """A slope above .35 only."""

        def forward(self, x: Tensor) -> Tensor:
            pixel = x.flatten(1)[:, 0]
            return super().forward(x) + torch.stack([0 * pixel, torch.relu(pixel - 0.35) * 1e-3], 1)

    run = evaluation(Half((2, 3)), [0.1, 0.2, 0.3, 0.4, 0.9], [0.01], labels=[0, 0, 0, 0, 1])
    run.evaluate()
    assert run.warnings() == {"zero_gradients": 3 / 4}


def test_an_added_epsilon_asks_only_what_is_not_known() -> None:
    notes = Notes()
    first = evaluation(Bands((0.5, 1)), [0.1, 0.2], [0.2], Scripted(), notes)
    first.evaluate()
    before = len(notes.records)
    judge = Scripted()
    again = evaluation(Bands((0.5, 1)), [0.1, 0.2], [0.1, 0.2], judge, notes)
    again.evaluate()
    # the judge failed at .2: at .2 nothing is done again, at .1 a short screen
    assert judge.calls == []
    assert Notes(notes.records[before:]).done() == [("carried", 0.1, [0, 1])]
    larger = evaluation(Bands((0.5, 1)), [0.1, 0.2], [0.1, 0.3], judge, notes)
    before = len(notes.records)
    larger.evaluate()
    assert judge.asked() == [("apgd-ce", {0: 0.3, 1: 0.3}), ("square", {0: 0.3, 1: 0.3})]
    assert Notes(notes.records[before:]).done()[0] == ("screen", 0.3, [0, 1])
    before = len(notes.records)
    # .2 has been judged itself, however large the ball that was judged since
    evaluation(Bands((0.5, 1)), [0.1, 0.2], [0.2, 0.3], judge, notes).evaluate()
    assert len(notes.records) == before


def test_separate_epsilons_leave_what_is_not_asked_of_alone() -> None:
    notes = Notes([clean([0]), done("square", 0.3, [0], found=[[0, 0.01]])])
    run = evaluation(Bands((0.5, 1)), [0.1], [0.1, 0.2], Scripted(), notes, ladder=False)
    run.evaluate()
    assert column(run, "robust") == {0.1: [True], 0.2: [True]}


# ---- what counts as an adversarial


def test_a_candidate_counts_if_it_is_wrong_legal_and_elsewhere() -> None:
    run = evaluation(Bands((0.5, 3), (-3, 0.05)), [0.4, 0.4, 0.4, 0.4, 0.4, 0.6], [0.2], ladder=False)
    candidates = torch.tensor([0.5, 0.45, 1.01, -0.01, 1.0, 0.6])[:, None, None, None]
    record = run.units.take(batch([0, 1, 2, 3, 4, 5], 0.2), candidates)
    # 1 is right, 2 and 3 are no images, 5 has not moved
    assert [i for i, _ in record["found"]] == [0, 4]
    assert [d for _, d in record["found"]] == pytest.approx([0.1, 0.6])
    told = {"unit": "square", "epsilon": 0.2, "images": [0, 1, 2, 3, 4, 5], "size": 6}
    assert {k: v for k, v in record.items() if k != "found"} == told


@pytest.mark.parametrize(("size", "largest"), [(8, 8), (7, 7), (1, 2)])
def test_a_find_is_drawn_nearer_in_batches_that_fit(size: int, largest: int) -> None:
    class Watched(Bands):
        largest = 0

        def forward(self, x: Tensor) -> Tensor:
            Watched.largest = max(Watched.largest, len(x))
            return super().forward(x)

    # the clean image and its adversarial are looked at together, so of one image two
    run = evaluation(Watched((0.5, 1)), [0.4] * 20, [0.2], batch_size=size)
    record = run.units.take(batch(list(range(20)), 0.2), torch.full((20, 1, 1, 1), 0.55))
    assert [d for _, d in record["found"]] == pytest.approx([0.1] * 20, rel=0.0101)
    assert Watched.largest == largest


def test_the_judge_fails_on_what_stands_in_its_ball_after_the_last_unit() -> None:
    judge = Scripted(finds={("square", 0, 0.2): 0.65, ("square", 1, 0.2): 0.5, ("apgd-ce", 2, 0.2): 0.5})
    for ladder in (False, True):
        notes = Notes()
        evaluation(Bands((0.5, 1)), [0.4, 0.4, 0.4], [0.2], judge, notes, ladder=ladder).evaluate()
        # .25 away is no find in a ball of .2 (the ladder draws it nearer)
        failures = [(r["unit"], r["images"]) for r in notes.records if r["kind"] == "failed"]
        assert failures == ([] if ladder else [("square", ["0"])])


# ---- rows: several balls and target classes in one batch


TARGETS = [f"apgd-t:{r}" for r in (2, 3, 4)]


def test_classes_of_an_image_fill_what_the_images_leave_of_a_batch_and_no_more() -> None:
    sizes = {}
    for size in (1, 3, 4, 6, 12):
        judge = Scripted([*TARGETS, "square"])
        evaluation(Bands((0.5, 1)), [0.1, 0.2], [0.1], judge, batch_size=size).evaluate()
        sizes[size] = [len(rows) for name, rows in judge.calls if name == "apgd-t"]
        assert sorted(r for name, rows in judge.calls for r in rows if name == "apgd-t") == [
            (unit, image, 0.1) for unit in TARGETS for image in (0, 1)
        ]
    assert sizes == {1: [1] * 6, 3: [2, 2, 2], 4: [4, 2], 6: [6], 12: [6]}


def test_after_the_class_that_breaks_an_image_nothing_of_the_batch_counts() -> None:
    finds = {("apgd-t:3", 0, 0.2): 0.45, ("apgd-t:4", 0, 0.2): 0.4, ("apgd-t:4", 1, 0.2): 0.42}
    tables, spent = [], []
    for size in (1, 2, 8):
        notes = Notes()
        run = evaluation(
            Bands((0.4, 1)), [0.3, 0.3], [0.01, 0.2], Scripted([*TARGETS, "square"], finds), notes,
            batch_size=size, screen_precision="float32",
        )  # fmt: skip
        # what is found is not drawn nearer, so that it tells where it came from
        run.units._nearer = lambda *_: None
        run.evaluate()
        tables.append(run.table())
        spent.append([(r["images"], r["ranks"]) for r in notes.records if "ranks" in r])
    assert tables[0]["distance"][:2].tolist() == pytest.approx([0.15, 0.12])
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])
    # 0 is broken by its second class, so that the third was in vain
    assert spent[2][0] == (["0", "0", "1", "1", "1"], [2, 3, 2, 3, 4])


def test_what_fab_found_is_held_until_its_turn_and_never_searched_again() -> None:
    classes = [f"fab-t:{r}" for r in (2, 3, 4)]
    # at .3 the second class breaks it at .2, the third has one at .1, which is for its turn at .15
    finds = {("fab-t:3", 0, 0.3): 0.5, ("fab-t:4", 0, 0.3): 0.4, ("fab-t:4", 0, 0.15): 0.4}
    tables = []
    for size in (1, 8):
        judge, notes = Scripted(["apgd-ce", *classes, "square"], finds), Notes()
        run = evaluation(Bands((0.4, 1)), [0.3], [0.05, 0.15, 0.3], judge, notes, batch_size=size)
        run.units._nearer = lambda *_: None
        run.evaluate()
        tables.append(run.table())
        asked = [unit for name, rows in judge.calls for unit, _, _ in rows if name == "fab-t"]
        assert sorted(asked) == classes
        balls = [radius for name, rows in judge.calls for _, _, radius in rows if name == "apgd-ce"]
        assert balls == [0.3, 0.15, 0.05]
        again = Scripted(["apgd-ce", *classes, "square"], finds)
        pd.testing.assert_frame_equal(
            evaluation(Bands((0.4, 1)), [0.3], [0.05, 0.15, 0.3], again, notes, batch_size=size).table(),
            tables[0],
        )
    pd.testing.assert_frame_equal(*tables)
    assert tables[0]["stage"].tolist() == ["square", "fab-t", "fab-t"]


def test_where_the_judge_has_no_attack_for_so_few_classes_the_screen_decides() -> None:
    run = evaluation(Bands((0.5, 1), slope=1.0), [0.45, 0.1], [0.1], Scripted([]))
    run.evaluate()
    assert column(run, "robust") == {0.1: [False, True]}


def test_l2_measures_all_pixels() -> None:
    run = evaluation(Bands((0.5, 1)), [0.2], [1.0], norm="L2", ladder=False)
    run.work.images = replace(run.work.images, x=torch.full((1, 1, 2, 2), 0.2))
    record = run.units.take(batch([0], 1.0), torch.full((1, 1, 2, 2), 0.5))
    assert record["found"] == [[0, pytest.approx(0.6)]]


def test_what_only_reduced_precision_calls_wrong_is_searched_again() -> None:
    class Coarse(Bands):
        """Under autocast everything is wrong."""

        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            return -logits if torch.is_autocast_enabled("cpu") else logits

    # image 0 is .1 from the band, image 1 is not found at .15 in float32 either
    run = evaluation(Coarse((0.5, 1), slope=1.0), [0.4, 0.1], [0.15], screen_precision="bfloat16")
    record = run.units.screen(5)(batch([0, 1], 0.15, "screen"))
    assert [i for i, _ in record["found"]] == [0]
    assert record["found"][0][1] == pytest.approx(0.1, rel=0.0101)
    exact = evaluation(Bands((0.5, 1), slope=1.0), [0.4, 0.1], [0.15]).units.screen(5)(
        batch([0, 1], 0.15, "screen")
    )
    assert exact["found"] == [[0, pytest.approx(0.1, rel=0.0101)]]


# ---- stochastic models


class Turns(nn.Module):
    """Right in those of ten turns that the pixel's tenths say; one turn a call."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0

    def forward(self, x: Tensor) -> Tensor:
        right = (x.flatten(1)[:, 0] * 10).round() > self.turn % 10
        self.turn += 1
        margin = torch.where(right, -1.0, 1.0)
        return torch.stack([-margin, margin], 1)


def test_ten_votes_are_bits_and_five_right_ones_are_not_enough() -> None:
    run = evaluation(Turns(), [0.5], [0.1], version="rand")
    x = torch.tensor([0.0, 0.3, 0.5, 0.6, 1.0])[:, None, None, None]
    bits = run.units.votes(x, torch.zeros(5, dtype=torch.long))
    assert bits.tolist() == [0, 0b111, 0b11111, 0b111111, 0b1111111111]
    assert run.units.wrong(bits).tolist() == [True, True, True, False, False]
    plain = evaluation(Turns(), [0.5], [0.1])
    assert plain.units.votes(x, torch.zeros(5, dtype=torch.long)).tolist() == [0, 1, 1, 1, 1]
    assert plain.units.wrong(np.array([0, 1, 0])).tolist() == [True, False, True]


def test_votes_are_taken_in_batches_that_fit() -> None:
    run = evaluation(Turns(), [0.5], [0.1], batch_size=2)
    x = torch.full((5, 1, 1, 1), 1.0)
    run.units.votes(x, torch.zeros(5, dtype=torch.long))
    assert run.work.model.model.turn == 3
    assert run.work.model.forward_images == 5


def test_a_stochastic_model_has_its_clean_verdict_by_majority_and_its_finds_noted_as_votes() -> None:
    model = Turns()
    run = evaluation(model, [0.5, 0.6, 0.9], [0.5], version="rand")
    model.turn = 9  # the look at the logits; the votes begin at turn 10
    record = run.units.clean(batch([0, 1, 2], 0.5, "clean"))
    assert record["correct"] == [False, True, True]
    assert record["clean_votes"] == [0b11111, 0b111111, 0b111111111]
    model.turn = 0
    # from .6 to .3 (three right), from .9 to .9 (not moved)
    taken = run.units.take(batch([1, 2], 0.5), torch.tensor([0.3, 0.9])[:, None, None, None])
    assert taken["votes"] == [[0, pytest.approx(0.3), 0b111]]
    assert taken["found"] == [[0, pytest.approx(0.3)]]
    model.turn = 0
    # a majority that is right is no find, and a vote all the same
    kept = run.units.take(batch([2], 0.5), torch.tensor([0.7])[:, None, None, None])
    assert (kept["found"], kept["votes"]) == ([], [[0, pytest.approx(0.2), 0b1111111]])


def test_the_spread_is_the_deviation_of_ten_accuracies_over_the_worst_adversarials() -> None:
    every = 2**10 - 1
    facts = [
        clean([0, 1, 2], correct=[True, True, False], clean_votes=[every, every, 0b11111], top5=[True] * 3),
        # image 0: five right at .1, three right at .2; image 2 is misclassified and stays at its clean votes
        done("apgd-ce", 0.1, [0], votes=[[0, 0.1, 0b11111], [0, 0.05, every]]),
        done("apgd-ce", 0.2, [0, 2], votes=[[0, 0.2, 0b111 << 7], [1, 0.1, 0]]),
    ]
    run = evaluation(Turns(), [0.1, 0.2, 0.3], [0.3, 0.1, 0.05], notes=Notes(facts), version="rand")
    # by hand, of thirds: at .05 five times 3 and five times 2; at .1 five times 3 and five times 1;
    # at .3 image 0 is right in the last three: five times 2, twice 1, three times 2
    wanted = {
        "0.05": np.std([3] * 5 + [2] * 5, ddof=1) / 3,
        "0.1": np.std([3] * 5 + [1] * 5, ddof=1) / 3,
        "0.3": np.std([2] * 5 + [1] * 2 + [2] * 3, ddof=1) / 3,
    }
    assert run.verdicts.spread() == pytest.approx(wanted)
    assert list(run.verdicts.spread()) == ["0.05", "0.1", "0.3"]
    assert run.verdicts.spread()["0.1"] == pytest.approx(0.3513642)  # 2/3 * sqrt(10/36)


# ---- the clean pass


class Says(nn.Module):
    """The logits that are written down, by the pixel in hundredths."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, x: Tensor) -> Tensor:
        return self.rows[(x.flatten(1)[:, 0] * 100).round().long()]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([[0.5, 0.5], [1.0, 0.0]], True),
        ([[0.5, 0.50009], [1.0, 0.0]], True),
        ([[0.5, 0.5002], [1.0, 0.0]], False),  # sums to one within 1e-4
        ([[0.5, 0.5], [1.5, -0.5]], False),
        ([[0.5, 0.4998], [1.0, 0.0]], False),
    ],
)
def test_outputs_that_are_all_shares_of_one_look_like_softmax(rows: list[list[float]], told: bool) -> None:
    run = evaluation(Says(rows), [0.0, 0.01], [0.1])
    assert run.units.clean(batch([0, 1], 0.1, "clean"))["softmax"] is told


def test_one_batch_that_looks_like_softmax_is_enough() -> None:
    notes = Notes([clean([0], softmax=True), clean([1], softmax=False)])
    run = evaluation(Bands((0.5, 1)), [0.1, 0.2], [0.1], notes=notes)
    assert run.warnings() == {"softmax_output": True}
    none = evaluation(Bands((0.5, 1)), [0.1], [0.1], notes=Notes([clean([0])]))
    assert none.warnings() == {}


def test_logits_that_are_not_finite_name_the_first_image() -> None:
    run = evaluation(Says([[0, 1], [0, np.nan], [np.inf, 0]]), [0.0, 0.0, 0.01, 0.02], [0.1])
    with pytest.raises(ModelError, match="logits of image 3 are not finite"):
        run.units.clean(batch([1, 3, 2], 0.1, "clean"))


def test_the_clean_pass_says_what_is_right_and_what_is_among_five() -> None:
    # k classes above the label: right at 0, among five to 4
    run = evaluation(Ranks(), [0.0, 0.1, 0.4, 0.5], [0.05], Scripted(["square"]))
    run.evaluate()
    table = run.table()
    assert table["correct"].tolist() == [True, False, False, False]
    assert table["correct_top5"].tolist() == [True, True, True, False]


@pytest.mark.parametrize(("classes", "label", "inside"), [(6, 1, True), (6, 0, False), (4, 0, True)])
def test_the_five_largest_of_six_are_among_five_and_all_of_four(
    classes: int, label: int, inside: bool
) -> None:
    # logits rise with the class
    logits = torch.arange(float(classes))[None]
    assert units.among_top5(logits, torch.tensor([label])).tolist() == [inside]


# ---- top-5 under attack


def test_top5_is_asked_once_of_every_image_whose_clean_one_is_among_five() -> None:
    # image 0 right, 1 among five, 2 not; the judge's first unit shows 0 a point with five classes above
    judge = Scripted(["apgd-ce", "square"], highest={0: 0.5, 1: 0.4})
    notes = Notes()
    run = evaluation(Ranks(), [0.0, 0.2, 0.6], [0.1, 0.3], judge, notes, top5=True)
    run.evaluate()
    assert column(run, "top5") == {0.1: [False, True, False], 0.3: [False, True, False]}
    asked = [d for d in notes.done() if d[0] == "top5"]
    # at .3 the judge has shown image 0 already; at .1 nothing was judged
    assert asked == [("top5", 0.3, [1]), ("top5", 0.1, [0, 1])]
    # once more costs nothing
    before = len(notes.records)
    evaluation(Ranks(), [0.0, 0.2, 0.6], [0.1, 0.3], judge, notes, top5=True).evaluate()
    assert len(notes.records) == before


# ---- batches, memory, resumption


def test_the_batch_size_is_what_is_given_or_sixty_four_on_a_cpu_and_no_ledgers_matter() -> None:
    assert evaluation(Bands(), [0.1], [0.1], batch_size=5).work.batch_size == 5
    small = Notes([{"kind": "batch size", "size": 3, "reason": "out of memory"}])
    assert evaluation(Bands(), [0.1], [0.1], notes=small, batch_size=None).work.batch_size == 64
    assert evaluation(Bands(), [0.1], [0.1], notes=small, batch_size=5).work.batch_size == 5
    assert len(small.records) == 1


@pytest.mark.parametrize(
    ("each", "limit", "size"),
    [(0.0, 1000, 1000), (1.0, 1000, 1), (0.05, 1000, 16), (0.05, 9, 9), (0.01, 1000, 256), (0.0, 1, 1)],
)
def test_the_efficient_batch_is_where_a_larger_one_makes_an_image_hardly_cheaper(
    each: float, limit: int, size: int
) -> None:
    now, tried = [0.0], []

    def attempt(count: int) -> None:
        # a step costs 1 whatever is in it, and `each` an image; the first of all is slow
        now[0] += 1 + each * count + (0 if tried else 50)
        tried.append(count)

    assert batches.efficient(attempt, limit, lambda: now[0]) == size
    assert max(tried) <= limit


class OnGpu:
    """Images of which nobody asks more than their number and their place."""

    device = SimpleNamespace(type="cuda")

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count


@pytest.mark.parametrize(
    ("images", "fits", "limit", "size"),
    [(30, 60, 60, 30), (5000, 1024, 1024, 512), (30, 7, 60, 3), (30, 1, 60, 1)],
)
def test_on_a_gpu_half_of_what_a_bare_pass_holds_of_twice_the_images_is_one_batch(
    monkeypatch: pytest.MonkeyPatch, images: int, fits: int, limit: int, size: int
) -> None:
    asked = []
    monkeypatch.setattr(work.batches, "largest", lambda attempt, most: asked.append(most) or fits)
    run = evaluation(Bands(), [0.1], [0.1], batch_size=None)
    run.work.images = replace(run.work.images, x=OnGpu(images))
    assert (run.work.batch_size, asked) == (size, [limit])


def limited(most: int, seen: list[int], error: type[Exception] = torch.OutOfMemoryError) -> work.Unit:
    def work(part: Batch) -> dict[str, Any]:
        seen.append(len(part))
        if len(part) > most:
            raise error("too many\nimages")
        return units.Units._told(part)

    return work


def test_a_batch_that_does_not_fit_is_halved_with_all_that_follow() -> None:
    notes, seen = Notes(), []
    run = evaluation(Bands(), [0.1] * 12, [0.1], notes=notes, batch_size=8)
    run.work.run(batch(list(range(12)), 0.1), limited(2, seen))
    # twelve in two batches of 6; 6, then halved to 3 (four batches), to 1 (twelve)
    assert seen == [6, 3] + [1] * 12
    sizes = [(r["size"], r["reason"]) for r in notes.records if r["kind"] == "batch size"]
    assert sizes == [(3, "too many"), (1, "too many")]
    assert (run.work.batch_size, run.work.efficient, run.work.halvings) == (1, 1, 2)
    assert sorted(i for _, _, b in notes.done() for i in b) == list(range(12))


def test_what_was_done_before_memory_ran_out_is_not_done_again() -> None:
    notes, seen = Notes(), []
    run = evaluation(Bands(), [0.1] * 8, [0.1], notes=notes, batch_size=4)

    def work(part: Batch) -> dict[str, Any]:
        seen.append(part.images)
        if len(seen) == 2:
            raise MemoryError
        return units.Units._told(part)

    run.work.run(batch(list(range(8)), 0.1), work)
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [6, 7]]
    # an error without a text is known by its name
    assert [r["reason"] for r in notes.records if r["kind"] == "batch size"] == ["MemoryError"]


def test_a_screens_large_batches_are_halved_to_what_eight_fitting_ones_hold() -> None:
    notes, seen = Notes(), []
    run = evaluation(Bands(), [0.1] * 40, [0.1], notes=notes, batch_size=2)
    run.work.run(batch(list(range(40)), 0.1, "screen"), limited(10, seen), 8)
    # forty in three batches of at most 16, each of which is cut to what eight batches of 1 hold
    assert seen == [14, 7, 7, 7, 6, 7, 6]
    assert run.work.batch_size == 1


@pytest.mark.parametrize(("images", "sizes"), [(32, [16, 16]), (33, [11, 11, 11])])
def test_a_screening_job_takes_eight_batches_of_images(images: int, sizes: list[int]) -> None:
    notes = Notes()
    evaluation(Bands((2, 3)), [0.3] * images, [0.1], notes=notes, batch_size=2).evaluate()
    assert [len(b) for u, _, b in notes.done() if u == "screen"] == sizes
    assert {len(b) for u, _, b in notes.done() if u in ("probe", "square")} <= {1, 2}


def test_one_image_that_does_not_fit_ends_the_run_and_an_error_of_ours_is_none_of_the_models() -> None:
    run = evaluation(Bands(), [0.1] * 2, [0.1], batch_size=1)
    with pytest.raises(torch.OutOfMemoryError):
        run.work.run(batch([0, 1], 0.1), limited(0, []))
    with pytest.raises(RuntimeError, match="too many") as told:
        run.work.run(batch([0, 1], 0.1), limited(0, [], RuntimeError))
    assert not isinstance(told.value, ModelError)


def test_version_rand_finishes_the_plan_that_was_left_before_anything_new() -> None:
    options: dict[str, Any] = {"version": "rand", "batch_size": 2}
    pixels = [0.1, 0.2, 0.3, 0.4, 0.15]
    whole, judge = Notes(), Scripted(["apgd-ce", "square"])
    evaluation(Bands((0.5, 1)), pixels, [0.1, 0.2], judge, whole, **options).evaluate()
    called = judge.calls
    assert [len(rows) for _, rows in called] == [2, 2, 1] * 2
    for kept in range(1, len(whole.records)):
        notes, judge = Notes(whole.records[:kept]), Scripted(["apgd-ce", "square"])
        evaluation(Bands((0.5, 1)), pixels, [0.1, 0.2], judge, notes, **options).evaluate()
        before = sum(r["kind"] == "done" and r["unit"] != "clean" for r in whole.records[:kept])
        assert judge.calls == called[before:]
    # the others' draws belong to images: they plan nothing
    notes = Notes()
    evaluation(Bands((0.5, 1)), pixels, [0.1], Scripted(), notes).evaluate()
    assert {r["kind"] for r in notes.records} == {"done", "failed"}


def test_passes_are_counted_to_the_batch_that_spent_them_and_add_up() -> None:
    notes = Notes()
    run = evaluation(Bands((0.5, 1)), [0.1] * 3, [0.1], notes=notes)

    def work(part: Batch) -> dict[str, Any]:
        x = run.work.images.x[part.images].clone().requires_grad_(True)
        torch.autograd.grad(run.work.model(x).sum(), x)
        run.work.model(run.work.images.x[part.images])
        return units.Units._told(part)

    run.work.run(batch([0, 1], 0.1), work)
    run.work.run(batch([2], 0.1), work)
    assert [(r["forward"], r["backward"]) for r in notes.records if r["kind"] == "done"] == [(2, 2), (1, 1)]
    assert run.verdicts.spent == Passes(3, 3)
    assert (run.work.replayed, run.verdicts.sizes["square"]) == (Passes(), {1, 2})
    again = evaluation(Bands((0.5, 1)), [0.1] * 3, [0.1], notes=notes)
    # a gradient counts three passes
    assert again.work.replayed.equivalents == 3 + 3 * 3
    assert again.verdicts.seconds["square"] == pytest.approx(run.verdicts.seconds["square"])


def test_seconds_and_sizes_are_those_of_stages() -> None:
    notes = Notes(
        [clean([0, 1]), done("fab-t:2", 0.1, [0]), done("fab-t:3", 0.1, [0, 1]), done("probe", 0.1, [1])]
    )
    run = evaluation(Bands(), [0.1] * 2, [0.1], notes=notes)
    assert run.verdicts.seconds == {"clean": 0.5, "fab-t": 1.0, "screen": 0.5}
    assert run.verdicts.sizes == {"clean": {2}, "fab-t": {1, 2}, "screen": {1}}


# ---- kept adversarials


def packed(value: float, kind: str = "float32") -> str:
    return base64.b64encode(np.array([value], dtype=kind).tobytes()).decode()


def test_the_nearest_adversarial_of_each_image_is_kept() -> None:
    notes = Notes(
        [
            clean([0, 1]),
            done("square", 0.1, [0], kept=[[0, 0.2, "float32", packed(0.2)]]),
            done("square", 0.1, [0], kept=[[0, 0.3, "float32", packed(0.3)]]),
            done("square", 0.1, [0], kept=[[0, 0.125, "float16", packed(0.125, "float16")]]),
        ]
    )
    run = evaluation(Bands((0.5, 1)), [0.4, 0.4], [0.1], notes=notes, keep=True, ladder=False)
    assert list(run.verdicts.kept) == [0]
    distance, delta = run.verdicts.kept[0]
    assert (distance, delta.dtype.name, delta.shape, float(delta[0, 0, 0])) == (
        0.125,
        "float16",
        (1, 1, 1),
        0.125,
    )
    candidates = torch.tensor([0.55, 0.5])[:, None, None, None]
    # .15 is no nearer than .125; image 1 has none yet
    assert [k[0] for k in run.units.take(batch([0, 1], 0.1), candidates)["kept"]] == [1]
    assert [
        k[0]
        for k in run.units.take(batch([0, 1], 0.1), torch.tensor([0.51, 0.4])[:, None, None, None])["kept"]
    ] == [0]


def test_a_perturbation_is_rounded_towards_nought_where_that_is_still_adversarial() -> None:
    run = evaluation(Bands((0.4999, 1)), [0.1], [0.5], keep=True)
    label = torch.tensor(0)
    # .4 is between two float16, .39990234 and .40014648
    kind, text = run.units.compressed(torch.full((1, 1, 1), 0.1), torch.full((1, 1, 1), 0.5), label)
    assert kind == "float16"
    assert np.frombuffer(base64.b64decode(text), np.float16)[0] == np.float16(0.39990234)
    kind, text = run.units.compressed(torch.full((1, 1, 1), 0.9), torch.full((1, 1, 1), 0.5), label)
    assert np.frombuffer(base64.b64decode(text), np.float16)[0] == np.float16(-0.39990234)
    # wrong from .5 on: .49990 would not do
    exact = evaluation(Bands((0.5, 1)), [0.1], [0.5], keep=True)
    kind, text = exact.units.compressed(torch.full((1, 1, 1), 0.1), torch.full((1, 1, 1), 0.5), label)
    assert kind == "float32"
    assert np.frombuffer(base64.b64decode(text), np.float32)[0] == pytest.approx(0.4, abs=1e-7)


def test_kept_perturbations_are_written_by_their_precision_in_the_order_of_images(tmp_path: Path) -> None:
    kept = {
        4: (0.3, np.full((1, 1, 1), 0.3, np.float16)),
        1: (0.1, np.full((1, 1, 1), 0.1, np.float16)),
        2: (0.2, np.full((1, 1, 1), 0.2, np.float32)),
    }
    evaluate.write_kept(tmp_path / "a.npz", kept)
    saved = np.load(tmp_path / "a.npz")
    assert saved["image"].tolist() == [1, 4] and saved["exact_image"].tolist() == [2]
    assert saved["distance"].tolist() == [0.1, 0.3] and saved["exact_distance"].tolist() == [0.2]
    assert saved["delta"].shape == (2, 1, 1, 1) and saved["exact_delta"].dtype == np.float32
    assert saved["delta"].ravel().tolist() == [float(np.float16(0.1)), float(np.float16(0.3))]
    evaluate.write_kept(tmp_path / "b.npz", {})
    assert [len(np.load(tmp_path / "b.npz")[k]) for k in ("image", "delta", "exact_delta")] == [0, 0, 0]


# ---- settings of torch and of the model


def test_parameters_are_frozen_inside_and_as_they_were_afterwards() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    with pytest.raises(KeyError), evaluate.frozen(layer):
        assert not layer.weight.requires_grad and not layer.bias.requires_grad
        raise KeyError
    assert layer.weight.requires_grad and not layer.bias.requires_grad


# ---- progress


class Bar:
    def __init__(self, show: bool) -> None:
        self.show, self.said, self.closed = show, [], False

    def update(self, *said: Any) -> None:
        self.said.append(said)

    def close(self) -> None:
        self.closed = True


def test_progress_says_what_is_left_for_the_images_that_stand() -> None:
    notes = Notes(
        [
            clean([0, 1, 2, 3, 4], correct=[True, True, True, True, False]),
            done("screen", 0.3, [0], found=[[0, 0.05]]),  # broken everywhere
            done("screen", 0.3, [1], found=[[0, 0.2]]),  # open at .1 only
            failed("square", 0.3, [2]),  # judged
            done("apgd-ce", 0.3, [3]),
        ]
    )
    run = evaluation(Bands(), [0.1] * 5, [0.1, 0.3], Scripted(["apgd-ce", "fab-t:2", "square"]), notes)
    run.bar = Bar(True)
    run.work.model.forward_images = 7
    run.show(batch([3], 0.3, "apgd-ce"))
    # a whole judge is 10 + 40 + 100. Open are 1, at .1 and before its first unit, and 3, at .3 after it
    assert run.bar.said == [("apgd-ce", 7, 150 + 140, 3, {0.1: 3, 0.3: 2})]
    run.bar = Bar(False)
    run.show(batch([3], 0.3))
    assert run.bar.said == []
    run.evaluate()
    assert run.bar.closed


# ---- the whole, with the reference's own attacks


class Line(nn.Module):
    """Wrong from .5 on, with a margin that is linear, so every distance is .5 less the pixel."""

    def forward(self, x: Tensor) -> Tensor:
        gap = x.flatten(1)[:, 0] - 0.5
        return torch.stack([-gap, gap], 1)


def test_what_an_attack_cost_stands_beside_its_table(tmp_path: Path) -> None:
    x = torch.tensor([0.45, 0.2, 0.6])[:, None, None, None]
    options = {"version": "custom", "attacks": ["apgd-ce"], "device": "cpu", "ledger": tmp_path / "a.ledger"}
    table = evaluate_robustness(Line().eval(), x, torch.zeros(3, dtype=torch.long), [0.1, 0.2], **options)
    assert list(table.columns) == [
        "image", "label", "epsilon", "correct", "correct_top5", "robust", "stage", "distance",
    ]  # fmt: skip
    assert table["image"].tolist() == [0, 1, 2] * 2
    assert table["epsilon"].tolist() == [0.1] * 3 + [0.2] * 3
    assert table["robust"].tolist() == [False, True, False] * 2
    assert table["stage"].tolist() == [
        "larger-epsilon", "larger-epsilon", "misclassified", "screen", "apgd-ce", "misclassified",
    ]  # fmt: skip
    # the probe solves a linear model with an overshoot of 2 %, and image 1's find lies outside both balls
    np.testing.assert_allclose(table["distance"], [0.05, 0.3, np.nan] * 2, rtol=0.0201)
    assert "spread" not in table.attrs
    cost = table.attrs["cost"]
    assert set(cost["seconds"]) == set(cost["batch_sizes"]) == {"clean", "screen", "apgd-ce"}
    assert cost["batch_sizes"] == {"clean": [3], "screen": [1, 2], "apgd-ce": [1]}
    assert (cost["batch_size"], cost["out_of_memory"], cost["resumed_passes"]) == (64, 0, 0)
    assert (
        cost["device"] == "cpu" and cost["attack"].endswith(" custom") and cost["torch"] == torch.__version__
    )
    # one gradient each of two images in the probe, ten and five steps of the screen, 101 of APGD (100 steps
    # and a start)
    assert cost["forward_backward_images"] >= 2 + 10 + 5 + 100
    assert 20 < cost["peak_memory_mb"] < 100_000
    again = evaluate_robustness(Line().eval(), x, torch.zeros(3, dtype=torch.long), [0.1, 0.2], **options)
    pd.testing.assert_frame_equal(again, table)
    spent = cost["forward_images"] + 3 * cost["forward_backward_images"]
    assert again.attrs["cost"]["resumed_passes"] == spent


def test_draws_follow_the_seed_and_the_ledger_knows_its_settings(tmp_path: Path) -> None:
    x = torch.tensor([0.45])[:, None, None, None]
    path = tmp_path / "a.ledger"
    evaluate_robustness(
        Line().eval(), x, [0], [0.1], version="custom", attacks=["fab"], ledger=path, seed=7, device="cpu"
    )
    head = json.loads(path.read_bytes().splitlines()[0].rpartition(b"\t")[0])
    wanted = {
        "norm": "Linf",
        "version": "custom",
        "attacks": ["fab"],
        "seed": 7,
        "ladder": True,
    }
    assert {k: head["identity"][k] for k in wanted} == wanted
    assert head["told"]["torch"] == torch.__version__ and len(head["logits"]) == 1


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_no_images_is_refused_and_of_one_is_not(size: int) -> None:
    x, y = torch.tensor([0.45])[:, None, None, None], [0]
    options = {"version": "custom", "attacks": ["fab"], "device": "cpu"}
    with pytest.raises(AlignsecError, match=f"batch_size {size}"):
        evaluate_robustness(Line().eval(), x, y, [0.1], batch_size=size, **options)
    table = evaluate_robustness(Line().eval(), x, y, [0.1], batch_size=1, **options)
    assert table.attrs["cost"]["batch_size"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm": "L1"}, "norm 'L1' is not one of Linf, L2"),
        ({"screen_precision": "float16"}, "screen_precision 'float16'"),
        ({"version": "rand", "top5": True}, "top5 is not defined for version rand"),
    ],
)
def test_what_is_not_defined_is_refused_before_any_pass(change: dict[str, Any], message: str) -> None:
    model = Turns().eval()
    with pytest.raises(AlignsecError, match=message):
        evaluate_robustness(model, torch.zeros(1, 1, 1, 1), [0], [0.1], device="cpu", **change)
    assert model.turn == 0


def test_a_model_that_always_says_the_same_has_no_spread_under_version_rand() -> None:
    x = torch.tensor([0.45, 0.2])[:, None, None, None]
    table = evaluate_robustness(Line().eval(), x, [0, 0], [0.1], version="rand", device="cpu")
    assert table["robust"].tolist() == [False, True]
    assert table.attrs["spread"] == {"0.1": 0}
    # of two classes there is no DLR loss, and no screen looks at a stochastic model
    assert set(table.attrs["cost"]["seconds"]) == {"clean", "apgd-ce"}


def test_of_two_classes_the_label_is_always_among_five() -> None:
    x = torch.tensor([0.45, 0.2])[:, None, None, None]
    table = evaluate_robustness(
        Line().eval(), x, [0, 0], [0.1, 0.2], version="custom", attacks=["apgd-ce"], top5=True, device="cpu"
    )
    assert table["top5"].all() and table.index.tolist() == [0, 1, 2, 3]
