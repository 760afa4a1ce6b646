"""Whatever the judge finds, in whatever ball: verdicts do not go by batches, company, order or kills."""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignsec.attack import units, work
from alignsec.attack.counting import Counted
from alignsec.attack.progress import Progress
from alignsec.study.request import AttackRequest
from tests.attack.test_ladder import Bands, Notes, Run, Scripted

UNITS = ["apgd-ce", "apgd-t:2", "apgd-t:3", "apgd-t:4", "fab-t:2", "fab-t:3", "fab-t:4", "square"]
RADII = [0.05, 0.1, 0.15, 0.2, 0.3]
BOUNDARY = 0.5


class Killed(Exception):
    """The end of a process."""


class Short(Notes):
    """A ledger whose process is killed after so many records."""

    def __init__(self, records: Sequence[dict[str, Any]], left: int) -> None:
        super().__init__(records)
        self.left = left

    def append(self, record: dict[str, Any]) -> None:
        if not self.left:
            raise Killed
        self.left -= 1
        super().append(record)


def written(
    pixels: Sequence[float], radii: Sequence[float], seed: int
) -> dict[tuple[str, int, float], float]:
    """What the judge finds: of images whose ball holds an adversarial, in one of three searches."""
    generator = np.random.default_rng(seed)
    finds: dict[tuple[str, int, float], float] = {}
    for unit in UNITS:
        for image, pixel in enumerate(pixels):
            # FAB looks at no ball, and may find what lies outside
            anywhere = float(generator.uniform(BOUNDARY, min(1.0, pixel + 0.4)))
            of_fab = generator.random() < 1 / 3
            for radius in radii:
                inside = pixel + radius >= BOUNDARY and generator.random() < 1 / 3
                if unit.startswith("fab-t"):
                    if of_fab:
                        finds[unit, image, radius] = anywhere
                elif inside:
                    finds[unit, image, radius] = float(generator.uniform(BOUNDARY, pixel + radius))
    return finds


def attacked(
    pixels: Sequence[float],
    radii: Sequence[float],
    finds: dict[tuple[str, int, float], float],
    order: Sequence[int],
    size: int,
    notes: Notes,
) -> tuple[pd.DataFrame, Scripted]:
    """The table, by images in their first order, and the judge that was asked."""
    x = torch.tensor([pixels[i] for i in order])[:, None, None, None]
    images = work.Images(
        x, torch.zeros(len(x), dtype=torch.long), [bytes([i]) for i in order], [str(i) for i in order]
    )
    request = AttackRequest.of({"epsilons": radii, "batch_size": size})
    judge = Scripted(UNITS, finds)
    # no gradient: what is found is the judge's
    done = work.Work(Counted(Bands((BOUNDARY, 2))).eval(), images, request, notes)
    run = Run(units.Units(done, judge), Progress(False, len(x)))
    run.evaluate()
    table = run.table()
    table["image"] = np.array(order)[table["image"]]
    return table.sort_values(["epsilon", "image"], ignore_index=True), judge


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pixels=st.lists(st.sampled_from([0.1, 0.22, 0.31, 0.37, 0.42, 0.47, 0.6]), min_size=1, max_size=6),
    radii=st.lists(st.sampled_from(RADII), min_size=1, max_size=5, unique=True),
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 30),
)
def test_verdicts_are_an_images_own(pixels: list[float], radii: list[float], seed: int, size: int) -> None:
    radii = sorted(radii)
    finds, everything = written(pixels, radii, seed), list(range(len(pixels)))
    whole, judge = attacked(pixels, radii, finds, everything, 64, Notes())
    # every verdict is a fact: an adversarial in the ball, or a judge that failed in it or in a larger one
    distance = whole.drop_duplicates("image")["distance"].to_numpy()
    for row in whole.itertuples():
        assert row.correct == (pixels[row.image] < BOUNDARY)
        assert row.robust == (row.correct and not distance[row.image] <= row.epsilon + 1e-6)
    wide = whole.pivot(index="image", columns="epsilon", values="robust").to_numpy().astype(int)
    assert (np.diff(wide, axis=1) <= 0).all()
    # FAB is asked once of an image and a class, whatever its balls
    asked = [(unit, image) for name, rows in judge.calls if name == "fab-t" for unit, image, _ in rows]
    assert len(asked) == len(set(asked))
    order = np.random.default_rng(seed).permutation(len(pixels)).tolist()
    mixed, _ = attacked(pixels, radii, finds, order, size, Notes())
    pd.testing.assert_frame_equal(mixed, whole, rtol=0, atol=1e-6)
    shards = [
        attacked(pixels, radii, finds, part, size, Notes())[0] for part in (order[::2], order[1::2]) if part
    ]
    joined = pd.concat(shards).sort_values(["epsilon", "image"], ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole, rtol=0, atol=1e-6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pixels=st.lists(st.sampled_from([0.1, 0.22, 0.31, 0.37, 0.42, 0.47, 0.6]), min_size=2, max_size=5),
    seed=st.integers(0, 2**32 - 1),
    lives=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 20)), max_size=6),
)
def test_a_run_that_is_killed_anywhere_goes_on_to_the_same_table(
    pixels: list[float], seed: int, lives: list[tuple[int, int]]
) -> None:
    """On a machine of another batch size each time, and first without some of the images."""
    finds, everything = written(pixels, RADII, seed), list(range(len(pixels)))
    whole, _ = attacked(pixels, RADII, finds, everything, 64, Notes())
    records: list[dict[str, Any]] = []
    for number, (left, size) in enumerate(lives):
        notes = Short(records, left)
        with contextlib.suppress(Killed):
            attacked(pixels, RADII, finds, everything[: max(1, len(pixels) - 2 + number)], size, notes)
        records = notes.records
    again, _ = attacked(pixels, RADII, finds, everything, 64, notes := Notes(records))
    pd.testing.assert_frame_equal(again, whole, rtol=0, atol=1e-6)
    before = len(notes.records)
    attacked(pixels, RADII, finds, everything[::-1], 3, notes)
    assert len(notes.records) == before
