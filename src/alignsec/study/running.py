"""Snakemake for a person: every core unless told otherwise, and the quiet log of ours."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

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


def snakemake(arguments: Sequence[str]) -> NoReturn:
    """Become Snakemake, so that signals and the exit status are its own."""
    # rules call `alignsec` by its name
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    asked = command(arguments)
    os.execve(asked[0], asked, {**os.environ, "PATH": path})
