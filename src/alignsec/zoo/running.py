"""A model on images, in a process of its own: how the attack and the corruptions jobs begin and end."""

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from alignsec.ground import isolation
from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded, tells_fault, theirs
from alignsec.ground.tables import empty, write
from alignsec.study.records import Report, excluded_by, read_report, write_status

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from alignsec.zoo.pixel_model import PixelModel


@dataclass(frozen=True)
class ModelRow:
    """A model as a job needs it: its row of the sheet, weights made here, its preflight report."""

    name: str
    source: str
    spec: str
    weights: Path | None
    preflight: Path


@dataclass(frozen=True)
class Job:
    """What every job that runs a model is told.

    Parameters
    ----------
    out : table to write, empty where the model is excluded
    status : how it ended (`alignsec.study.records.Status`)
    cache : folder for pixels that models share
    threads : of the CPU
    attempts_left : how often it is run again if it fails now
    """

    model: ModelRow
    out: Path
    status: Path
    cache: Path | None = None
    threads: int = 1
    attempts_left: int = 0

    def plain(self) -> dict[str, Any]:
        """The fields as JSON can hold them, the model's beside the others."""
        fields = vars(self.model) | {k: v for k, v in vars(self).items() if k != "model"}
        return {k: isolation.plain(v) for k, v in fields.items()}


def row_of(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a job from those of `Job.plain`, once `isolation.call` has brought them over."""
    names = ModelRow.__dataclass_fields__
    others = {k: v for k, v in plain.items() if k not in names}
    return {"model": ModelRow(**{k: plain[k] for k in names}), **others}


def supervised(function: Callable[..., None], job: Job, kind: str, memory: int | None = None) -> None:
    """Run a job in a process of its own; its crash is the model's exclusion, as any other reason.

    Parameters
    ----------
    function : takes the fields of ``job.plain()``
    kind : of the table, and the step of the status
    memory : resident bytes; None: 85 % of the machine's

    Raises
    ------
    AlignsecError
        The device failed, and there are attempts left: nothing is written, the ledger is kept.
    """
    excluded = excluded_by(read_report(job.model.preflight))
    if excluded is None:
        # its output goes through a pipe, so it must be told that there is a terminal for its bar
        terminal = {"ALIGNSEC_TERMINAL": "1"} if sys.stderr.isatty() else {}
        excluded = _end_of(isolation.call(function, job.plain(), memory=memory, environment=terminal))
        # a batch system's attempts are its own
        left = int(os.environ.get("ALIGNSEC_ATTEMPTS_LEFT", job.attempts_left))
        if excluded is not None and excluded.kind == "device fault" and left > 0:
            raise AlignsecError(
                f"{job.model.name}: {excluded.reason}: the next attempt goes on from what is settled "
                f"({left} left)"
            )
    if excluded is not None:
        # the process could not say so itself
        write(empty(kind), job.out, kind)
        write_status(job.status, job.model.name, kind, excluded)


def _end_of(outcome: isolation.Outcome) -> Excluded | None:
    """Why the job has no result; a process that a failing device took with it is no crash of the model's."""
    if outcome.excluded is None or outcome.excluded.kind != "crashed":
        return outcome.excluded
    if "device_fault" in outcome.partial:
        return Excluded(outcome.partial["device_fault"])
    if line := next((line for line in outcome.last.splitlines() if tells_fault(line)), None):
        device, host = outcome.partial.get("device", "cpu"), socket.gethostname()
        return Excluded(f"device fault: {line.strip()[:200]} (device {device}, host {host})")
    return outcome.excluded


class Prepared(NamedTuple):
    """A model, its images (N, C, H, W) float32 in [0, 1] and labels (N,), and its preflight report."""

    model: "PixelModel"
    pixels: "npt.NDArray[Any]"
    labels: "npt.NDArray[Any]"
    report: Report


def prepare(row: ModelRow, manifest: "pd.DataFrame", cache: Path | None = None) -> Prepared:
    """Load the model of a row and the images of a manifest as it sees them.

    Raises
    ------
    Excluded
        Preflight or loading says so, or the model's own preprocessing fails or gives no pixels.
    """
    from alignsec import zoo
    from alignsec.images.pixels import load as load_pixels
    from alignsec.zoo.examine import check_fit
    from alignsec.zoo.sources import is_imagenet

    report = read_report(row.preflight)
    if excluded := excluded_by(report):
        raise excluded
    model = zoo.load(row.source, row.spec, row.weights)
    if report["classes"]:
        model.widths = (report["classes"],)
    if is_imagenet(row.source) and report["classes"] == 1001:
        model.label_offset, model.classes = report["label_offset"] or 0, 1000
    place = cache / model.geometry if cache is not None and model.geometry else None
    pixels, labels = load_pixels(manifest, model.preprocess, place)
    check_fit(model, pixels)
    return Prepared(model, pixels, labels, report)


def moved(model: "PixelModel", place: str) -> "PixelModel":
    """The model on a device; `Excluded` if its own code fails there."""
    with theirs("module error"):
        return model.to(place)
