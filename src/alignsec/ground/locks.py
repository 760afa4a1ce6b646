"""The lock of a Snakemake run that was killed.

Snakemake locks its working directory with plain files, which outlive a `kill -9`; nothing in them says whose
they are. Whether a run is alive is asked of this machine's process table.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from alignsec.ground.errors import AlignsecError


def is_snakemake(command: Sequence[str]) -> bool:
    """Whether a command line runs Snakemake: as a program, or as a module of Python."""
    names = [Path(word).name for word in command[:3]]
    return "snakemake" in names[:2] or names[1:] == ["-m", "snakemake"]


def running(folder: Path) -> list[int]:
    """Process ids of the Snakemake runs of this machine whose working directory is `folder`, but this one."""
    import psutil

    me = {p.pid for p in (psutil.Process(), *psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.pid not in me
                and is_snakemake(process.cmdline())
                and Path(process.cwd()).samefile(folder)
            ):
                found.append(process.pid)
        except (psutil.Error, OSError):  # ended meanwhile, or another user's
            continue
    return found


def unlock(folder: Path) -> bool:
    """Remove the lock that a killed run left in `folder`; returns whether there was one.

    Raises
    ------
    AlignsecError
        A run is alive in `folder`, so the lock is its own.
    """
    locks = folder / ".snakemake" / "locks"
    if not (locks.is_dir() and any(locks.iterdir())):
        return False
    if alive := running(folder):
        raise AlignsecError(
            f"{folder}: a Snakemake run is alive here (process {', '.join(map(str, alive))}): wait for it, "
            "or end it first"
        )
    shutil.rmtree(locks)  # what `snakemake --unlock` does, which also wants to find the Snakefile
    return True
