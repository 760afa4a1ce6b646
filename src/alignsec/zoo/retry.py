"""What another attempt may change, and trying it again."""

from importlib import util
from pathlib import Path
from typing import NamedTuple

from alignsec.ground import locks
from alignsec.ground.errors import AlignsecError
from alignsec.study.layout import Layout, of_study
from alignsec.study.records import OK, Report, read_report, read_status


class Again(NamedTuple):
    """An exclusion that another attempt may change, and the files that the workflow makes again once they are
    gone.
    """

    model: str
    reason: str
    files: list[Path]


def transient(study: Layout) -> list[Again]:
    """What another attempt may change in a study: transient reasons, and missing packages that are there by
    now.

    With a report or a table goes what gathers it: Snakemake makes no file again that only leads to files that
    are there. Ledgers are never among the files, nor what belongs to another model.
    """
    found = []
    models = study.models
    for path in models.preflights():
        report = read_report(path)
        if report["status"] != OK and _may_change(report):
            found.append(Again(report["model"], report["reason"], [path, study.account, study.reasons]))
    for path, table, before in models.statuses():
        status = read_status(path)
        if status["status"] == OK or not status.get("transient"):
            continue
        if not before.is_file() or read_report(before)["status"] != OK:
            continue  # its preflight decides: in the list if it may change, made again if it is gone
        gathered = [study.robustness, study.excluded, study.warnings]
        if status["step"] == "audit":
            gathered = [study.audit]
        found.append(Again(status["model"], status["reason"], [path, table, *gathered]))
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


def retry(folder: Path, study: str, *, remove: bool = True) -> list[Again]:
    """What another attempt may change in a study run in `folder`; its files are removed if `remove`.

    Raises
    ------
    AlignsecError
        A Snakemake run is alive in `folder`, which would not expect its files to go; a record cannot be read.
    """
    if remove and (alive := locks.running(folder.resolve())):
        raise AlignsecError(
            f"{folder}: a Snakemake run is alive here (process {alive[0]}): wait for it, or end it first"
        )
    found = transient(Layout(folder / of_study(study).root))
    if remove:
        for path in (path for again in found for path in again.files):
            path.unlink(missing_ok=True)
    return found
