"""What attacking every model will cost: image passes as the judge counts them, speed as measured.

Assumptions:

- `high`: every correctly classified image stands in every ball. With the ladder it goes through one whole
  AutoAttack, and in every other ball through the screen and AutoAttack's first attack; without, through a
  whole AutoAttack in every ball; with `top5` through a full APGD-CE in every ball besides. An image that only
  AutoAttack's last attacks break, at several epsilons, costs more than one that stands.
- `low`: every image falls at once, to the screen or to AutoAttack's first attack.
- An image misclassified clean costs its clean pass; where clean accuracy is unknown, all count as right.
- Hours are those of passes. No job is faster than its steps, the calls of the model one after the other:
  `steps_low` to `steps_high` a batch of images, however few they are, more than half of them Square's. With
  the ladder target classes go side by side where the images leave room, so that there are fewer.
- A model is as much faster here than in its preflight (one CPU thread or as many as it was given) as
  ResNet-50 with random weights is, measured when this runs.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from alignsec.ground.tables import unescaped
from alignsec.study.records import OK, Report, read_reports
from alignsec.study.request import AttackRequest

if TYPE_CHECKING:
    import pandas as pd

    from alignsec.attack.counting import Passes

COLUMNS = [
    "model", "parameters", "forward_per_s", "gradient_per_s", "steps_low", "steps_high", "hours_low",
    "hours_high", "job_hours_high", "images_per_shard", "note",
]  # fmt: skip
BATCH = 16
REPEATS = 3


class Speed(NamedTuple):
    """How much faster than one CPU thread a device is, and what it is."""

    forward: float
    gradient: float
    device: str


def measure() -> Speed:
    """Time ResNet-50 (random weights, 224 px) on one CPU thread, as preflight does, and on the device.

    The device is a GPU where there is one; else the CPU with one thread, so that both are the same.
    """
    import time

    import torch
    from torchvision.models import resnet50

    torch.set_num_threads(1)
    network = resnet50(weights=None).eval().requires_grad_(False)

    def seconds(device: str, batch: int, gradient: bool) -> float:
        model, x = network.to(device), torch.rand(batch, 3, 224, 224, device=device)
        best = float("inf")
        for _ in range(REPEATS + 1):
            if device == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            if gradient:
                wanted = x.clone().requires_grad_(True)
                torch.autograd.grad(model(wanted).sum(), wanted)
            else:
                with torch.no_grad():
                    model(x)
            if device == "cuda":
                torch.cuda.synchronize()
            best = min(best, (time.perf_counter() - start) / batch)
        return best

    if not torch.cuda.is_available():
        return Speed(1.0, 1.0, "cpu, one thread")
    slow = seconds("cpu", 2, False), seconds("cpu", 2, True)
    fast = seconds("cuda", BATCH, False), seconds("cuda", BATCH, True)
    return Speed(slow[0] / fast[0], slow[1] / fast[1], torch.cuda.get_device_name())


@dataclass(frozen=True)
class Extent:
    """How much a study attacks: `count` images, `per_shard` of them in a job that may last `limit` hours."""

    count: int
    per_shard: int
    limit: float = 24.0


class Bounds(NamedTuple):
    """Passes of one image: classified rightly (at least, at most), and misclassified (at most)."""

    least: "Passes"
    most: "Passes"
    misclassified: "Passes"


def bounds(request: AttackRequest, classes: int) -> Bounds:
    """Passes of one image of a model with so many classes, as the judge and the ladder count them."""
    from torch import nn

    from alignsec.attack import ladder
    from alignsec.attack.judge import Judge

    judge = Judge(nn.Identity(), request, "cpu", classes)
    return Bounds(
        ladder.least(judge, request), ladder.most(judge, request), ladder.misclassified(judge, request)
    )


def table(
    sheet: "pd.DataFrame", reports: Mapping[str, Report], speed: Speed, request: AttackRequest, extent: Extent
) -> "pd.DataFrame":
    """Hours per model, least and most, one row per model that preflight lets pass, the largest first.

    A job that could last longer than it may gets a shard size that would not.

    Parameters
    ----------
    reports : model -> preflight report
    request : what the attacks are asked; a stochastic model gets version rand

    Returns
    -------
    DataFrame with `COLUMNS`; hours null where preflight measured no speed
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for model in sheet["model"]:
        report = reports[model]
        if report["status"] != OK:
            continue
        forward, gradient, classes = report["forward_seconds"], report["gradient_seconds"], report["classes"]
        if not forward or not gradient or not classes:
            rows.append(
                (model, report["parameters"], *[None] * (len(COLUMNS) - 3), "no speed in its preflight")
            )
            continue
        forward, gradient = forward / speed.forward, gradient / speed.gradient
        found = bounds(request if report["deterministic"] else request.for_stochastic(), classes)
        seconds = [p.forward * forward + p.gradient * gradient for p in found]
        right = 1.0 if report["clean_top1"] is None else report["clean_top1"]
        low = right * seconds[0] + (1 - right) * forward
        high = right * seconds[1] + (1 - right) * seconds[2]
        job = high * min(extent.per_shard, extent.count) / 3600
        short = job <= extent.limit
        fits = extent.per_shard if short else max(1, int(extent.limit * 3600 / high))
        note = "" if short else f"one job may last {job:.1f} h: set attack.images_per_shard to {fits}"
        hours = low * extent.count / 3600, high * extent.count / 3600, job
        steps = found.least.steps, found.most.steps
        rows.append((model, report["parameters"], 1 / forward, 1 / gradient, *steps, *hours, fits, note))
    made = pd.DataFrame(rows, columns=COLUMNS)
    return made.sort_values("hours_high", ascending=False, kind="stable", ignore_index=True)


def of_study(
    sheet: "pd.DataFrame", folder: Path, request: AttackRequest, extent: Extent
) -> tuple["pd.DataFrame", str]:
    """`table` of the models below `folder` on this machine's device, and how a person reads it."""
    speed, reports = measure(), read_reports(sheet["model"], folder)
    found = table(sheet, reports, speed, request, extent)
    return found, text(found, speed, len(sheet)) + (kept(reports, extent) if request.keep else "")


def kept(reports: Mapping[str, Report], extent: Extent) -> str:
    """What `keep` takes on the disk, in a sentence: one perturbation of every image classified rightly."""
    size = 0.0
    for report in reports.values():
        if report["status"] == OK:
            values = len(report["mean"] or (0, 0, 0)) * math.prod(report["input_size"] or (224, 224))
            right = 1.0 if report["clean_top1"] is None else report["clean_top1"]
            size += 2 * values * right * extent.count
    return (
        f"keep: up to {size / 1e9:.3g} GB of adversarials in float16, before compression (twice that where "
        f"one needs float32), and {4 / 3 * size / 1e9:.3g} GB of ledgers for each time that a nearer one is "
        "found\n"
    )


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a written table that have an estimate, as text; none where there is no table."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        rows = [{k: unescaped(v) for k, v in row.items()} for row in csv.DictReader(handle)]
    return [row for row in rows if row["hours_high"]]


def text(rows: "pd.DataFrame", speed: Speed, models: int) -> str:
    """The estimate as a person reads it: totals, warnings, assumptions."""
    known = rows.dropna(subset=["hours_high"])
    lines = [
        f"{len(rows)} of {models} models can be attacked; {len(known)} of them have a measured speed",
        f"{known['hours_low'].sum():.1f} to {known['hours_high'].sum():.1f} hours in all on {speed.device} "
        f"({speed.forward:.3g} times preflight's speed forward, {speed.gradient:.3g} times with gradients)",
    ]
    lines += [
        f"{hours:8.1f} h at most: {model}"
        for model, hours in zip(known["model"], known["hours_high"], strict=True)
    ]
    noted = zip(rows["model"], rows["note"], strict=True)
    lines += [f"warning: {model}: {note}" for model, note in noted if note]
    return "\n".join([*lines, "", (__doc__ or "").partition("\n\n")[2].strip()]) + "\n"
