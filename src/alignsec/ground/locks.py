"""The lock of a Snakemake run that was killed.

Snakemake locks its working directory with plain files, which outlive a `kill -9`; nothing in them says whose
they are. Whether a run is alive is asked of this machine's process table, and whether its jobs are, which go
on where Snakemake alone was killed: a second job would find its ledger in use.
"""

import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from alignsec.ground.errors import AlignsecError


def is_snakemake(command: Sequence[str]) -> bool:
    """Whether a command line runs Snakemake: as a program, or as a module of Python."""
    names = [Path(word).name for word in command[:3]]
    return "snakemake" in names[:2] or names[1:] == ["-m", "snakemake"]


LOOKS = ("config", "devices", "status", "unlock")  # what is no job of a run


def is_job(command: Sequence[str]) -> bool:
    """Whether a command line is that of a run's job: a verb of this program."""
    # an installed script is run by Python, so that its own name comes second
    return any(
        Path(word).name == "alignsec" and verb not in LOOKS and not verb.startswith("-")
        for word, verb in pairwise(command[:3])
    )


def running(folder: Path, what: Callable[[Sequence[str]], bool] = is_snakemake) -> list[int]:
    """Process ids of the runs (or of `what`) of this machine whose working directory is `folder`, but this
    one.
    """
    import psutil

    me = {p.pid for p in (psutil.Process(), *psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in me and what(process.cmdline()) and Path(process.cwd()).samefile(folder):
                found.append(process.pid)
        except (psutil.Error, OSError):  # ended meanwhile, or another user's
            continue
    return found


def unlock(folder: Path) -> bool:
    """Remove the lock that a killed run left in `folder`; returns whether there was one.

    Raises
    ------
    AlignsecError
        A run is alive in `folder`, so the lock is its own; or jobs that outlived theirs are.
    """
    locks = folder / ".snakemake" / "locks"
    if not (locks.is_dir() and any(locks.iterdir())):
        return False
    if alive := running(folder):
        raise AlignsecError(
            f"{folder}: a Snakemake run is alive here (process {', '.join(map(str, alive))}): wait for it, "
            "or end it first"
        )
    if alive := running(folder, is_job):
        raise AlignsecError(
            f"{folder}: jobs of the killed run are alive (process {', '.join(map(str, alive))}): wait for "
            "them, or "
            "end them first"
        )
    shutil.rmtree(locks)  # what `snakemake --unlock` does, which also wants to find the Snakefile
    return True
