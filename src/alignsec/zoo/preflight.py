"""Can this model be attacked, and if not why: answered on a CPU before any GPU time is spent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground import isolation
from alignsec.ground.reasons import Excluded, kind_of
from alignsec.study.catalogue import SOURCES
from alignsec.study.layout import Models
from alignsec.study.records import MEASURED, Report, verdict, write_json
from alignsec.study.sheet import accuracy
from alignsec.zoo.examine import check_fit as check_fit
from alignsec.zoo.examine import examine
from alignsec.zoo.loading import WEIGHT_SUFFIXES

if TYPE_CHECKING:
    import pandas as pd

PRINTED = 4 << 20  # bytes; a plugin that prints more has a side effect, the bar of a long download has not
# What nearly every plugin imports.
PRELOAD = (
    "torch",
    "torchvision",
    "brainscore_vision.model_helpers.activations.pytorch",
    "brainscore_vision.model_helpers.brain_transformation",
    examine.__module__,
    SOURCES["brainscore"].module,
)


@dataclass(frozen=True)
class Limits:
    """What a model may take and do in preflight.

    Parameters
    ----------
    timeout : seconds of its process; None: any
    memory : resident bytes of its process; None: 85 % of the machine's
    offline : refuse connections to other machines
    retries : further attempts after a transient failure, where the model may be online
    threads : of its process
    exclude_flags : flags (`alignsec.ground.reasons.FLAGS`) that exclude
    side_effects : ``exclude`` or ``allow`` a plugin that prints over 4 MiB, writes other files than weights
        where it stands, or leaves another default dtype or device
    """

    timeout: float | None = None
    memory: int | None = None
    offline: bool = False
    retries: int = 1
    threads: int = 1
    exclude_flags: Sequence[str] = ()
    side_effects: str = "exclude"


def preflight(
    name: str,
    source: str,
    spec: str,
    weights: Path | None = None,
    images: Path | None = None,
    *,
    seed: int = 0,
    limits: Limits = Limits(),
    expected: float | None = None,
    preload: Sequence[str] = (),
) -> Report:
    """Load the model in a process of its own, without a GPU, and try it.

    Parameters
    ----------
    images : table of kind ``images``: a sample to measure clean accuracy and a background class on
    expected : clean top-1 accuracy published for these weights, of the sheet; None: what the source knows
    preload : modules to import once for many calls (`alignsec.ground.isolation.call`)

    Returns
    -------
    What was found out, null where unknown: `mean, std` per channel in [0, 1] pixel units, `input_size`
    (height, width), `weights_sha256` of the state dict, `weight_files` (name to SHA-256), `round_trip` in
    pixel units, `forward_seconds, gradient_seconds` for an image, of a forward pass and of one with its
    gradient, on these threads.

    Raises
    ------
    AlignsecError
        The spec is not of its source's form, or an image of the sample is gone.
    """
    if source == "brainscore" and (absent := _absent(spec)):
        # seen without running anything: three seconds of imports less
        return _report(name, source, spec, {}, absent)
    task = {
        "source": source,
        "spec": spec,
        "weights": isolation.plain(weights),
        "images": isolation.plain(images),
        "seed": seed,
        "threads": limits.threads,
        "expected": expected,
    }
    outcome = _examined(task, limits, preload)
    found = outcome.partial | (outcome.value or {})
    effects = _side_effects(outcome, found.pop("changed", []))
    found |= {"seconds": outcome.seconds, "side_effects": effects}
    failed = outcome.excluded
    if failed is None and effects and limits.side_effects == "exclude":
        failed = Excluded(f"side effects: {'; '.join(effects)}")
    flagged = [f for f in found.get("flags", []) if f in limits.exclude_flags]
    if failed is None and flagged:
        failed = Excluded(f"flagged: {', '.join(flagged)}")
    return _report(name, source, spec, found, failed)


def _examined(task: Mapping[str, Any], limits: Limits, preload: Sequence[str]) -> isolation.Outcome:
    """`examine` in a process of its own, again after a transient failure."""
    for attempts_left in range(max(0, limits.retries), -1, -1):
        outcome = isolation.call(
            examine,
            task,
            timeout=limits.timeout,
            memory=limits.memory,
            offline=limits.offline,
            environment={"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": str(limits.threads)},
            preload=preload,
        )
        failed = outcome.excluded
        if failed is None or not failed.transient or not attempts_left:
            break
        if limits.offline and kind_of(failed.reason) == "weights unavailable":
            break
    return outcome


def _report(name: str, source: str, spec: str, found: Mapping[str, Any], excluded: Excluded | None) -> Report:
    report: Any = {
        "model": name,
        "source": source,
        "spec": spec,
        "status": "",
        "reason": "",
        "kind": "" if excluded is None else kind_of(excluded.reason),
        "transient": False,
        "flags": [],
        "reached": "started",
        **dict.fromkeys(MEASURED),
        "side_effects": [],
        "seconds": 0.0,
    }
    made: Report = report | dict(found) | verdict(excluded)
    return made


def sweep(
    sheet: "pd.DataFrame",
    folder: Path,
    jobs: int = 1,
    *,
    images: Path | None = None,
    seed: int = 0,
    limits: Limits = Limits(),
) -> Iterator[tuple[str, Report]]:
    """Preflight of every model of a sheet that has no report below `folder` yet, as the reports come.

    Each model has a process of its own, forked from one that has imported the common libraries: ten seconds
    less for each than one by one. Models whose weights the workflow makes are left out.

    Parameters
    ----------
    folder : of the models (`alignsec.study.layout.Models`)
    jobs : models at a time
    images, seed, limits : of `preflight`

    Yields
    ------
    model, report
    """
    from concurrent.futures import ThreadPoolExecutor, as_completed

    models = Models(folder)

    def one(model: str, source: str, spec: str, expected: float | None) -> tuple[str, Report]:
        report = preflight(
            model,
            source,
            spec or model,
            images=images,
            seed=seed,
            limits=limits,
            expected=expected,
            preload=PRELOAD,
        )
        write_json(models.preflight(model), report)
        return model, report

    rows = [
        (str(r.model), str(r.source), str(r.spec), accuracy(str(getattr(r, "expected_top1", ""))))
        for r in sheet.itertuples()
        if not SOURCES[str(r.source)].trained and not models.preflight(str(r.model)).is_file()
    ]
    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(one, *row) for row in rows]):
            yield done.result()


def line(model: str, report: Report) -> str:
    """A report in a line."""
    flags = f" ({', '.join(report['flags'])})" if report["flags"] else ""
    return f"{model}: {report['status']}{': ' + report['reason'] if report['reason'] else ''}{flags}"


def _side_effects(outcome: isolation.Outcome, changed: Sequence[str]) -> list[str]:
    found = []
    if outcome.printed > PRINTED:
        found.append(f"printed {outcome.printed / 2**20:.1f} MiB")
    # dozens of published plugins fetch their weights to where they stand
    written = [w for w in outcome.written if not w.endswith(WEIGHT_SUFFIXES)]
    if written:
        more = f" and {len(written) - 3} more" if len(written) > 3 else ""
        found.append(f"wrote {', '.join(written[:3])}{more} into its working folder")
    return found + [f"changed the {c}" for c in changed if c in ("default dtype", "default device")]


def _absent(spec: str) -> Excluded | None:
    """What can be told of a Brain-Score model without running its plugin."""
    from alignsec.leaderboard import plugins, registry

    plugin = registry.plugin_of(spec)
    if plugin is None:
        return Excluded(f"not in registry: brainscore_vision has no model {spec!r}")
    missing = plugins.missing_imports(registry.plugin_folder(plugin))
    return Excluded(f"missing package: {', '.join(missing)}") if missing else None
