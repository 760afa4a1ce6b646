"""What another attempt may change, and trying it again."""

from importlib import util
from pathlib import Path
from typing import NamedTuple

from alignsec.ground import locks
from alignsec.ground.errors import AlignsecError
from alignsec.study.layout import Models
from alignsec.study.layout import of_study as of_name
from alignsec.study.records import OK
from alignsec.study.records import Report
from alignsec.study.records import read_report
from alignsec.study.records import read_status


class Again(NamedTuple):
    """An exclusion that another attempt may change, and the files whose removal makes the workflow try again."""

    model: str
    reason: str
    files: list[Path]


def transient(folder: Path) -> list[Again]:
    """What another attempt may change, of the models below `folder`.

    Transient reasons (`alignsec.ground.reasons`), and missing packages that are installed by now.
    """
    found = []
    models = Models(folder)
    for path in models.preflights():
        report = read_report(path)
        if report["status"] != OK and _may_change(report):
            found.append(Again(report["model"], report["reason"], [path]))
    for path, table, before in models.statuses():
        status = read_status(path)
        if status["status"] == OK or not status.get("transient"):
            continue
        if before.is_file() and read_report(before)["status"] != OK:
            continue  # its preflight decides, and is in the list if it may change
        found.append(Again(status["model"], status["reason"], [path, table]))
    return found


def _may_change(report: Report) -> bool:
    kind, _, names = report["reason"].partition(": ")
    if kind == "missing package":
        return all(_is_found(n.strip()) for n in names.split(","))
    return report["transient"]


def _is_found(module: str) -> bool:
    try:
        return module.isidentifier() and util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def retry(folder: Path) -> list[Again]:
    """Remove the outputs of `transient`, so that the next run makes them again; what was removed."""
    found = transient(folder)
    for again in found:
        for path in again.files:
            path.unlink(missing_ok=True)
    return found


def of_study(folder: Path, study: str, *, remove: bool) -> list[Again]:
    """What another attempt may change in a study of the working directory `folder`, its outputs removed if `remove`.

    Raises
    ------
    AlignsecError
        A Snakemake run is alive in `folder`, which would not expect its files to go.
    """
    models = (folder / of_name(study).root / "models").resolve()
    if not remove:
        return transient(models)
    if alive := locks.running(folder.resolve()):
        raise AlignsecError(
            f"{folder}: a Snakemake run is alive here (process {alive[0]}): wait for it, or end it first"
        )
    return retry(models)
