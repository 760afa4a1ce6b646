"""A new study: its configuration and sheet, written and checked before anything runs."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignsec.api.loading import load_leaderboard
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.hashes import file_hash
from alignsec.ground.names import nearest
from alignsec.leaderboard.proposed import propose_family
from alignsec.robustness import aliases
from alignsec.robustness.own import read_own
from alignsec.study import bundled, config, sheet
from alignsec.study.catalogue import SOURCES

LISTED = 5  # unmatched names that are told at once
SHARD_BYTES = 700  # of an image and epsilon in tables and ledger, about


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a study starts from: a robustness table, or models and images to attack.

    Parameters
    ----------
    name : of the study; its results go below ``results/<name>``
    folder : where configuration and sheet are written
    leaderboard : a path or address; None: the pinned one of May 2025
    robustness : a table of one's own; nothing is attacked
    models : a sheet, or models as ``source:spec`` (``torchvision:ResNet50_Weights.IMAGENET1K_V2``)
    images : folder or archive of labelled images
    source : what `images` is: ``folders``, ``imagenet-val``, ``parquet`` or ``npz``
    count : images to attack; None: all, at most 1000
    epsilons : radii, as ``1/255``
    """

    name: str
    folder: Path = Path()
    leaderboard: str | None = None
    robustness: Path | None = None
    models: Sequence[str] = ()
    images: Path | None = None
    source: str = "folders"
    count: int | None = None
    epsilons: Sequence[str] = ("0.5/255", "1/255")


def new(start: Start) -> tuple[Path, list[str]]:
    """Write a study's configuration, and its sheet where models are named one by one.

    Everything that can be read is read: rows of the sheet, images and their labels, the leaderboard, names of
    the table. Nothing that exists is overwritten.

    Returns
    -------
    (path of the configuration, what was found, a line each; the last is the command to run)

    Raises
    ------
    AlignsecError
        The first thing that is wrong, as its reader says it; neither table nor models, or both.
    """
    if (start.robustness is None) == (not start.models):
        raise AlignsecError(
            "a study has a robustness table (--robustness) or models to attack (--model): give one"
        )
    path = start.folder / f"{start.name}.yaml"
    if path.exists():
        raise AlignsecError(f"{path} is there already: choose another name, or edit it")
    address, pin = _leaderboard(start.leaderboard)
    board = load_leaderboard(start.leaderboard)
    said = [
        f"leaderboard: {len(board.models)} models, {int(board.benchmarks['is_leaf'].sum())} leaf benchmarks"
    ]
    wanted: dict[str, Any] = {
        "study": start.name,
        "leaderboard": {
            "source": address,
            **({"sha256": pin} if pin else {}),
            "registry": "config/published/registry.csv",
        },
    }
    if start.robustness is not None:
        wanted["robustness"] = {"source": str(start.robustness)}
        said += _of_table(start.robustness, board.models)
    else:
        wanted["images"], count, told = _images(start)
        wanted["attack"] = {"epsilons": list(start.epsilons)}
        config.resolve(wanted | {"zoo": {"sheet": "models.tsv"}})  # before a sheet is written
        rows, place = _sheet(start)
        wanted["zoo"] = {"sheet": str(place)}
        said += [*_of_sheet(rows, board.models), told]
        megabytes = len(rows) * count * len(start.epsilons) * SHARD_BYTES / 2**20
        said.append(
            f"disk: about {max(1, round(megabytes))} MB of verdicts and ledgers, and the models' weights"
        )
    resolved = config.resolve(wanted)
    tables.write_text(path, _text(wanted))
    said += [f"warning: {text}" for text in config.warnings(resolved)]
    if start.models:
        said.append(f"hours: alignsec run estimate --configfile {path}   (tries every model on a CPU first)")
    said.append(f"run it: alignsec run --configfile {path}")
    return path, said


def _leaderboard(given: str | None) -> tuple[str, str | None]:
    """Address, and the SHA-256 that it is pinned to: that of today where it is a file here."""
    if given is None:
        return bundled.pinned_leaderboard()
    return given, file_hash(Path(given)) if Path(given).is_file() else None


def _text(wanted: dict[str, Any]) -> str:
    import yaml

    head = "# Every key, its default and what it means: config/README.md\n"
    return head + yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)


def _of_table(path: Path, known: Sequence[str]) -> list[str]:
    own = read_own(path)
    table, lost = aliases.renamed(own.table, {}, known)
    said = [own.understood, f"{table['model'].nunique() - len(lost)} of its models are on the leaderboard"]
    said += [f"  {row.model}: {row.reason}" for row in lost.head(LISTED).itertuples()]
    if len(lost) > LISTED:
        said.append(f"  and {len(lost) - LISTED} more: registry/names.csv will have them all")
    odd = Counter(own.warnings["meaning"])
    said += [f"warning: {meaning} ({count}×)" for meaning, count in odd.most_common(LISTED)]
    attacked = sorted({t for t in table["target"] if t.startswith("robust_top1@")})
    if attacked:
        said.append(f"{attacked[0]} is read as AutoAttack's: name it pgd_top1@… if it is a PGD's")
    return said


def _sheet(start: Start) -> tuple[Any, Path]:
    """The rows of the sheet and where it is: as given, or written here."""
    first = Path(start.models[0])
    if len(start.models) == 1 and (first.is_file() or ":" not in start.models[0]):
        return sheet.read(first), first
    rows = []
    for given in start.models:
        source, colon, spec = given.partition(":")
        if not colon or source not in SOURCES:
            raise AlignsecError(f"model {given!r}: write source:spec, the source one of {', '.join(SOURCES)}")
        rows.append([spec, source, "" if source == "brainscore" else spec, propose_family(spec), ""])
    made = start.folder / f"{start.name}_models.tsv"
    if made.exists():
        raise AlignsecError(f"{made} is there already: choose another name, or edit it")
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([sheet.COLUMNS, *rows])
    tables.write_text(made, text.getvalue())
    try:
        return sheet.read(made), made
    except AlignsecError:
        made.unlink()
        raise


def _of_sheet(rows: Any, known: Sequence[str]) -> list[str]:
    families = rows["family"].nunique()
    lost = [m for m in rows["model"] if m not in set(known)]
    said = [f"sheet: {len(rows)} models of {families} families, {len(rows) - len(lost)} on the leaderboard"]
    for model, (near, alike) in zip(lost[:LISTED], nearest(lost[:LISTED], list(known)), strict=True):
        said.append(f"  {model}: no alignment scores (closest name: {near!r}, {alike})")
    if families < 6:
        said.append("  fewer than 6 families: no test will be made, whatever is found")
    return said


def _images(start: Start) -> tuple[dict[str, Any], int, str]:
    from alignsec.images import shards

    if start.images is None:
        raise AlignsecError("models need images: --images FOLDER (a folder per class, or an archive of them)")
    if start.count is not None and start.count < 1:
        raise AlignsecError(
            f"--count {start.count}: give a number of images from 1 on, or leave it out for all"
        )
    there = shards.size(start.source, str(start.images))
    count = min(start.count or 1000, there)
    sample = shards.cut(start.source, str(start.images), 0, count, 0, False)
    classes = Counter(sample["label"])
    told = f"images: {count} of {there}, {len(classes)} classes, labels {min(classes)} to {max(classes)}"
    return {"source": start.source, "path": str(start.images), "count": count}, count, told
