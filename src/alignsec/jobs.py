"""The two jobs that run a model on images: attack one shard, measure corruptions.

Each runs in a process of its own, as the model is third-party code. A model that cannot be run, or ends the process,
leaves an empty table and a status with the reason; an error of ours is raised.
"""

import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from alignsec.ground import isolation
from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded
from alignsec.ground.reasons import memory_excludes
from alignsec.ground.tables import SCHEMAS
from alignsec.ground.tables import empty
from alignsec.ground.tables import read
from alignsec.ground.tables import write
from alignsec.ground.tables import write_text
from alignsec.study import epsilon as eps

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from alignsec.zoo.base import PixelModel


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, keys in the given order."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _status(path: Path, model: str, step: str, excluded: Excluded | None, **more: Any) -> None:
    reason = {"status": "ok", "reason": "", "transient": False}
    if excluded is not None:
        reason = {"status": "excluded", "reason": excluded.reason, "transient": excluded.transient}
    write_json(path, {"model": model, "step": step} | reason | more)


def supervised(function: str, arguments: dict[str, Any], kind: str, memory: int | None = None) -> None:
    """Run `attack` or `corruptions` in a process of its own; its crash is the model's row, as any other reason.

    Parameters
    ----------
    arguments : of the function; paths as ``Path``
    memory : resident bytes; None: 85 % of the machine's
    """
    report = json.loads(arguments["preflight"].read_text(encoding="utf-8"))
    if report["status"] == "ok":
        plain = {k: isolation.plain(v) for k, v in arguments.items()}
        # its output goes through a pipe, so it must be told that there is a terminal for its bar
        terminal = {"ALIGNSEC_TERMINAL": "1"} if sys.stderr.isatty() else {}
        outcome = isolation.call(f"alignsec.jobs:{function}", plain, memory=memory, environment=terminal)
        excluded = outcome.excluded
    else:
        excluded = Excluded(report["reason"], transient=report["transient"])
    if excluded is not None:
        # the process could not say so itself
        write(empty(kind), arguments["out"], kind)
        _status(arguments["status"], arguments["name"], kind, excluded)


def _prepare(
    source: str,
    spec: str,
    weights: Path | None,
    preflight: Path,
    manifest: "pd.DataFrame",
    cache: Path | None = None,
) -> tuple["PixelModel", "np.ndarray", "np.ndarray", dict[str, Any]]:
    """The model, its images and its preflight report, or `Excluded` where preflight or loading says so."""
    from alignsec import zoo
    from alignsec.images.pixels import load as load_pixels
    from alignsec.preflight import check_fit

    report = json.loads(preflight.read_text(encoding="utf-8"))
    if report["status"] != "ok":
        raise Excluded(report["reason"], transient=report["transient"])
    model = zoo.load(source, spec, weights)
    if source in zoo.IMAGENET_SOURCES and report["classes"] == 1001:
        model.label_offset, model.classes = report["label_offset"], 1000
    place = cache / model.geometry if cache is not None and model.geometry else None
    pixels, labels = load_pixels(manifest, model.preprocess, place)
    check_fit(model, pixels)
    return model, pixels, labels, report


def attack(
    name: str,
    source: str,
    spec: str,
    weights: Path | None,
    preflight: Path,
    shard: Path,
    out: Path,
    status: Path,
    *,
    epsilons: Sequence[str],
    norm: str = "Linf",
    version: str = "standard",
    attacks: Sequence[str] = (),
    ladder: bool = True,
    top5: bool = False,
    screen_precision: str = "float32",
    batch_size: int | None = None,
    ledger: Path | None = None,
    keep: Path | None = None,
    cache: Path | None = None,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Attack one model on one shard: a table of kind ``attack`` at `out`, what happened at `status`.

    A stochastic model is attacked with version rand. `ledger` keeps what is settled, so that a killed job goes
    on; the ledger of another job at its place (retrained weights, another seed) is set aside as ``<ledger>.old``.
    """
    import torch

    from alignsec.attack import evaluate_robustness
    from alignsec.attack.checks import ModelError
    from alignsec.attack.ledger import OtherJob
    from alignsec.ground import devices
    from alignsec.images import shards as images

    manifest = read(shard, "images")
    torch.set_num_threads(threads)
    table = empty("attack")
    excluded: Excluded | None = None
    told: dict[str, Any] = {}
    # before CUDA is initialised, so that the job sees its own device only
    with devices.acquire() as device:
        place = devices.torch_name(device)
        try:
            model, pixels, labels, report = _prepare(source, spec, weights, preflight, manifest, cache)
            if not report["deterministic"]:
                version, attacks, top5 = "rand", (), False
            run = functools.partial(
                evaluate_robustness,
                model,
                pixels,
                labels,
                [eps.parse(e) for e in epsilons],
                norm=norm,
                version=version,
                attacks=attacks or None,
                ladder=ladder,
                top5=top5,
                screen_precision=screen_precision,
                batch_size=batch_size,
                device=place,
                seed=seed,
                ledger=ledger,
                keep=keep,
                progress=True,
            )
            try:
                with memory_excludes():
                    try:
                        found = run()
                    except OtherJob as other:
                        assert ledger is not None
                        print(f"{other}: it is set aside as {ledger.name}.old", file=sys.stderr)
                        ledger.replace(ledger.with_name(f"{ledger.name}.old"))
                        found = run()
            except ModelError as error:
                raise Excluded(f"{error.kind}: {error}") from error
            told = {k: found.attrs[k] for k in ("cost", "warnings", "spread") if k in found.attrs}
            if "top5" not in found:
                found["top5"] = None
            found["image"] = manifest["image"].to_numpy()[found["image"]]
            table = found.assign(model=name)[list(SCHEMAS["attack"])]
        except Excluded as error:
            excluded = error
    write(table, out, "attack")
    _status(status, name, "attack", excluded, images=images.checksum(manifest), **{"cost": {}, **told})


def corruptions(
    name: str,
    source: str,
    spec: str,
    weights: Path | None,
    preflight: Path,
    shards: Sequence[Path],
    out: Path,
    status: Path,
    *,
    names: Sequence[str],
    severities: Sequence[int],
    folder: Path | None = None,
    cache: Path | None = None,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Accuracy of one model under corruptions: a table of kind ``corruptions`` at `out`."""
    import torch

    from alignsec import robustness_corruptions
    from alignsec.ground import devices
    from alignsec.images import corrupt as made
    from alignsec.images import shards as images

    if folder is None:
        made.check_names(names)
    manifest = images.gather(read(s, "images") for s in shards)
    torch.set_num_threads(threads)
    table = empty("corruptions")
    excluded: Excluded | None = None
    with devices.acquire() as device:
        place = devices.torch_name(device)
        try:
            model, pixels, _, _ = _prepare(source, spec, weights, preflight, manifest, cache)
            with memory_excludes():
                table = robustness_corruptions.evaluate(
                    model.to(place),
                    manifest,
                    pixels,
                    names,
                    severities,
                    seed,
                    folder,
                    place,
                ).assign(model=name)[list(SCHEMAS["corruptions"])]
        except Excluded as error:
            excluded = error
    write(table, out, "corruptions")
    _status(status, name, "corruptions", excluded, images=images.checksum(manifest))


def gather_robustness(
    models: Sequence[str],
    folder: Path,
    shards: Sequence[str],
    with_corruptions: bool,
    epsilons: Sequence[str],
    norm: str,
    exclude_duplicates: bool = False,
) -> tuple["pd.DataFrame", "pd.DataFrame", "pd.DataFrame"]:
    """Every job's output below `folder` (`<model>/attack/<shard>.parquet`, …) as accuracies, exclusions, warnings.

    With `exclude_duplicates`, the first of several models with the same weights stands for all.

    Raises
    ------
    AlignsecError
        Two models were run on different images, or none could be run.
    """
    from alignsec.ground.names import encode
    from alignsec.robustness import doubts
    from alignsec.robustness import read_status
    from alignsec.robustness import summarise

    attacks, statuses, corrupted = [], [], []
    seen: dict[
        str, tuple[str, str]
    ] = {}  # shard -> images' checksum, the first model that was attacked on them
    for model in models:
        place = folder / encode(model)
        for shard in shards:
            attacks.append(read(place / "attack" / f"{shard}.parquet", "attack"))
            statuses.append(read_status(place / "attack" / f"{shard}.status.json"))
            # null where the process ended before it had read them
            if used := statuses[-1].get("images"):
                first = seen.setdefault(shard, (used, model))
                if first[0] != used:
                    raise AlignsecError(
                        f"{place / 'attack' / shard}: {model!r} was run on other images than {first[1]!r}: delete "
                        "the folder of the one whose images are not those of images/, and run again"
                    )
        if with_corruptions:
            corrupted.append(read(place / "corruptions.parquet", "corruptions"))
            statuses.append(read_status(place / "corruptions.status.json"))
    if not attacks:
        raise AlignsecError("the sheet has no model to gather")
    if exclude_duplicates:
        statuses += _duplicates(models, folder)
    return *summarise(attacks, statuses, corrupted, epsilons, norm), doubts(statuses)


def _duplicates(models: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    from alignsec import account

    attacked = {m: r for m, r in account.read(models, folder).items() if r["status"] == "ok"}
    return [
        {
            "model": model,
            "step": "preflight",
            "status": "excluded",
            "reason": f"flagged: duplicate weights (those of {first})",
        }
        for first, *others in account.owners(attacked).values()
        for model in others
    ]
