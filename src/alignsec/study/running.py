"""Snakemake for a person: every core unless told otherwise, and the quiet log of ours."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from alignsec.ground.errors import AlignsecError

HERE = Path(__file__).resolve().parents[3] / "Snakefile"
_HOW_MANY = ("--cores", "-c", "--jobs", "-j", "--profile", "--executor", "-e")
_SNAKEFILES = ("Snakefile", "workflow/Snakefile")


def command(arguments: Sequence[str], folder: Path = Path()) -> list[str]:
    """Snakemake's command line of what ``alignsec run`` was given, in a folder.

    >>> command(["-n"], HERE.parent)[1:]
    ['-m', 'snakemake', '--logger', 'alignsec', '--cores', 'all', '-n']
    """

    def given(*options: str) -> bool:
        # -c4 as well as -c 4, --cores=4 as well as --cores 4
        joined = [o if o[1] != "-" else f"{o}=" for o in options]
        return any(a in options or a.startswith(tuple(joined)) for a in arguments)

    said = [] if given("--logger", "--verbose") else ["--logger", "alignsec"]
    if not given(*_HOW_MANY):
        said += ["--cores", "all"]
    if not given("--snakefile", "-s") and not any((folder / name).is_file() for name in _SNAKEFILES):
        said += ["--snakefile", str(HERE)]
    return [sys.executable, "-m", "snakemake", *said, *arguments]


def check(arguments: Sequence[str], folder: Path = Path()) -> None:
    """Refuse a configuration that is not there, which Snakemake answers with a traceback.

    Raises
    ------
    AlignsecError
        A word after ``--configfile`` is no file: a slip, or a target, of which it takes none.

    >>> check(["--configfile", "Snakefile", "--cores", "1"], HERE.parent)
    """
    among = False
    for word in arguments:
        if word.startswith("-"):
            among = word in ("--configfile", "--configfiles")
        elif among and not (folder / word).is_file():
            raise AlignsecError(
                f"{word}: no such configuration file (a target stands before --configfile, which takes every "
                "word after it for a file)"
            )


def snakemake(arguments: Sequence[str]) -> NoReturn:
    """Become Snakemake, so that signals and the exit status are its own."""
    check(arguments)
    # rules call `alignsec` by its name
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    asked = command(arguments)
    os.execve(asked[0], asked, {**os.environ, "PATH": path})
