"""What a job says of itself, as JSON beside its table: a preflight report, the status of the other jobs.

Written and read here and nowhere else, so that a key has one spelling.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded
from alignsec.ground.tables import write_text
from alignsec.study.layout import Models

OK, EXCLUDED = "ok", "excluded"


class Cost(TypedDict, total=False):
    """What an attack cost: image passes, seconds per stage, on what."""

    forward_images: int
    forward_backward_images: int
    seconds: dict[str, float]
    batch_size: int
    batch_sizes: dict[str, list[int]]
    out_of_memory: int
    peak_memory_mb: int
    resumed_passes: int
    device: str
    attack: str
    torch: str


class Status(TypedDict):
    """How a job ended."""

    model: str
    step: str  # "attack" or "corruptions"; "preflight" of what only shows between models
    status: str  # `OK` or `EXCLUDED`
    reason: str  # a kind of `alignsec.ground.reasons.KINDS` and details; "" where it is ok
    transient: NotRequired[bool]
    images: NotRequired[str]  # checksum of the images it was run on
    cost: NotRequired[Cost]
    warnings: NotRequired[dict[str, float]]
    spread: NotRequired[dict[str, float]]


class Report(TypedDict):
    """What `alignsec.zoo.preflight.preflight` found out about a model, with its units; null where unknown."""

    model: str
    source: str
    spec: str
    status: str
    reason: str
    kind: str
    transient: bool
    flags: list[str]
    reached: str  # the last of "started", "imported", "loaded", "preprocessed", "forward", "gradient"
    mean: list[float] | None
    std: list[float] | None
    input_size: list[int] | None
    classes: int | None
    label_offset: int | None
    deterministic: bool | None
    parameters: int | None
    weights_sha256: str | None
    weight_files: dict[str, str] | None
    geometry: str | None
    round_trip: float | None
    clean_top1: float | None
    clean_n: int | None
    expected_top1: float | None  # published for these weights
    expected_from: str | None  # by whom
    batch_difference: float | None  # of an image's logits alone and in a batch, as a share of their scale
    output: str | None  # which of several tensors the logits are
    forward_seconds: float | None
    gradient_seconds: float | None
    side_effects: list[str]
    seconds: float


class Plan(TypedDict):
    """What `alignsec.analysis.plan.choose` fixed before anything was correlated."""

    margin: float  # smallest correlation of interest
    file_sha256: str | None  # of the plan file
    primary: dict[str, str]  # kind of target -> target
    means: dict[str, list[str]]  # target made here -> the targets averaged
    left_out: dict[str, str]  # target that tells models apart too badly for a mean -> why
    sensitivity: list[str]  # targets estimated beside the primary ones
    control: str | None  # None: of each target, the clean accuracy of its own source
    floors: dict[str, float]  # target or source -> accuracy up to which a model is at the floor
    identities: list[str]  # of published rows, admitted to the primary ones
    adversarially_trained: str  # "without", "with", "only"
    one_per_network: bool
    exclude: dict[str, str]  # model -> why it is in no analysis but that of every row


MEASURED = (
    "mean", "std", "input_size", "classes", "label_offset", "deterministic", "parameters", "weights_sha256",
    "weight_files", "geometry", "round_trip", "clean_top1", "clean_n", "expected_top1", "expected_from",
    "batch_difference", "output", "forward_seconds", "gradient_seconds",
)  # fmt: skip


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, keys in the given order."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    # what third-party code said may hold half a character, which no UTF-8 file can
    write_text(path, text.encode("utf-8", "replace").decode("utf-8") + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises
    ------
    AlignsecError
        There is no such file, or it holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AlignsecError(f"{path}: not a readable record ({error}): delete it and run again") from error
    if not isinstance(found, dict):
        raise AlignsecError(f"{path}: not a record but {type(found).__name__}: delete it and run again")
    return found


def verdict(excluded: Excluded | None) -> dict[str, Any]:
    """`status`, `reason` and `transient` of what ended well, or did not."""
    if excluded is None:
        return {"status": OK, "reason": "", "transient": False}
    return {"status": EXCLUDED, "reason": excluded.reason, "transient": excluded.transient}


def write_status(path: Path, model: str, step: str, excluded: Excluded | None, **more: Any) -> None:
    """Write how a job ended; `more` are further keys of `Status`."""
    write_json(path, {"model": model, "step": step} | verdict(excluded) | more)


def read_status(path: Path) -> Status:
    """How a job ended; `AlignsecError` if the file says nothing."""
    found: Any = read_json(path)
    status: Status = found
    return status


def read_report(path: Path) -> Report:
    """A preflight report; `AlignsecError` if the file is none."""
    found: Any = read_json(path)
    report: Report = found
    return report


def lets_pass(path: Path) -> bool:
    """Whether a preflight report lets its model pass; `FileNotFoundError` where there is none yet."""
    return bool(json.loads(path.read_text(encoding="utf-8"))["status"] == OK)


def read_plan(path: Path) -> Plan:
    """A study's plan; `AlignsecError` if the file is none."""
    found: Any = read_json(path)
    if missing := set(Plan.__required_keys__) - set(found):
        raise AlignsecError(f"{path}: no plan, {min(missing)!r} is missing: delete it and run again")
    plan: Plan = found
    return plan


def excluded_by(report: Report) -> Excluded | None:
    """Why preflight excludes the model; None where it may be attacked."""
    return None if report["status"] == OK else Excluded(report["reason"], transient=report["transient"])


def read_reports(models: Iterable[str], folder: Path) -> dict[str, Report]:
    """The preflight report of each model below `folder`.

    Raises
    ------
    AlignsecError
        A report is missing or is none.
    """
    reports = {}
    for model in models:
        path = Models(folder).preflight(model)
        try:
            reports[model] = read_report(path)
        except AlignsecError as error:
            raise AlignsecError(
                f"{path}: no preflight report of {model!r}: run its preflight ({error})"
            ) from error
    return reports
