"""What attacking every model will cost, before it is paid: image passes from the attack's design, speed as measured.

Assumptions, all of them in the table that is printed:

- Every image pays for one failed AutoAttack at most (the epsilon ladder). Standard: APGD-CE 101 forward and backward
  passes, APGD-T 9 x 101, FAB-T 9 x 100, Square 5,000 forward; rand: two APGD of 100 steps with 20 samples of the
  gradient each. The screen adds 20 forward and backward passes at each epsilon.
- `low`: no image stands at any epsilon, the screen settles all. `high`: every correctly classified image survives.
  An image misclassified clean costs one forward pass; where clean accuracy is unknown, all count as right.
- A model is as much faster here than in its preflight (one CPU thread or as many as it was given) as ResNet-50 with
  random weights is, measured when this runs.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    "model", "parameters", "forward_per_s", "gradient_per_s", "hours_low", "hours_high", "job_hours_high",
    "images_per_shard", "note",
]  # fmt: skip
SCREEN = 20
BATCH = 16
REPEATS = 3


class Passes(NamedTuple):
    """Image passes of one image: forward only, and forward with backward."""

    forward: int
    gradient: int


FAILED = {"standard": Passes(5000, 101 + 9 * 101 + 9 * 100), "rand": Passes(0, 2 * 100 * 20)}


class Speed(NamedTuple):
    """How much faster than one CPU thread a device is, and what it is."""

    forward: float
    gradient: float
    device: str


def measure() -> Speed:
    """Time ResNet-50 (random weights, 224 x 224) on one CPU thread, as preflight does, and on this machine's device.

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


def table(
    sheet: "pd.DataFrame",
    reports: Mapping[str, Mapping[str, Any]],
    speed: Speed,
    *,
    epsilons: int,
    count: int,
    per_shard: int,
    version: str = "standard",
    limit: float = 24.0,
) -> "pd.DataFrame":
    """Hours per model, least and most, one row per model that preflight lets pass.

    Parameters
    ----------
    reports : model -> preflight report
    epsilons, count, per_shard : of the study
    limit : hours that one job may last; a job that could last longer gets a shard size that would not

    Returns
    -------
    DataFrame with `COLUMNS`; hours null where preflight measured no speed
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for model in sheet["model"]:
        report = reports[model]
        if report["status"] != "ok":
            continue
        forward, gradient = report.get("forward_seconds"), report.get("gradient_seconds")
        if not forward or not gradient:
            rows.append(
                (model, report["parameters"], None, None, None, None, None, None, "no speed in its preflight")
            )
            continue
        forward, gradient = forward / speed.forward, gradient / speed.gradient
        failed = FAILED["standard" if report["deterministic"] and version != "rand" else "rand"]
        right = report.get("clean_top1")
        right = 1.0 if right is None else right
        low = forward + right * epsilons * SCREEN * gradient
        high = low + right * (failed.forward * forward + failed.gradient * gradient)
        job = high * min(per_shard, count) / 3600
        fits = per_shard if job <= limit else max(1, int(limit * 3600 / high))
        note = "" if job <= limit else f"one job may last {job:.1f} h: set attack.images_per_shard to {fits}"
        rows.append(
            (model, report["parameters"], 1 / forward, 1 / gradient, low * count / 3600, high * count / 3600, job,
             fits, note)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a written table that have an estimate, as text; none where there is no table."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        return [row for row in csv.DictReader(handle) if row["hours_high"]]


def text(rows: "pd.DataFrame", speed: Speed, models: int, assumptions: Sequence[str] = ()) -> str:
    """The estimate as a person reads it: totals, warnings, assumptions."""
    known = rows.dropna(subset=["hours_high"])
    lines = [
        f"{len(rows)} of {models} models can be attacked; {len(known)} of them have a measured speed",
        f"{known['hours_low'].sum():.1f} to {known['hours_high'].sum():.1f} hours in all on {speed.device} "
        f"({speed.forward:.3g} times preflight's speed forward, {speed.gradient:.3g} times with gradients)",
    ]
    noted = zip(rows["model"], rows["note"], strict=True)
    lines += [f"warning: {model}: {note}" for model, note in noted if note]
    assert __doc__ is not None
    return "\n".join([*lines, *assumptions, "", __doc__.split("\n\n", 1)[1].strip()]) + "\n"
