"""Verbs of the study as a whole: configuration, progress, locks, devices, provenance."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from alignsec.cli.options import Out, group, warn

config = group("The study's configuration.")


@config.command("readme")
def readme(
    out: Annotated[Path | None, typer.Option(help="File; default: standard output.")] = None,
) -> None:
    """Write the page of every configuration key."""
    from alignsec.ground.tables import write_text
    from alignsec.study.config import markdown

    if out is None:
        print(markdown(), end="")
    else:
        write_text(out, markdown())


@config.command()
def check(path: Path) -> None:
    """Check a configuration file and print it with its defaults."""
    import yaml

    from alignsec.study.config import read, warnings

    resolved = read(path)
    warn(warnings(resolved))
    print(yaml.safe_dump(resolved, sort_keys=False), end="")


def devices(
    jobs: Annotated[bool, typer.Option(help="Print how many attack jobs may run at once.")] = False,
) -> None:
    """List this machine's GPUs as this process may use them."""
    from alignsec.ground.devices import visible

    found = visible()
    if jobs:
        # without a GPU nothing should hold the CPU jobs back
        print(len(found) or 10_000)
    else:
        print("\n".join(d.name for d in found) or "no GPU")


def run(context: typer.Context) -> None:
    """Run Snakemake with a line per job, a bar, and a failing rule's own message.

    Every option is Snakemake's; without any, the demo on all cores. --verbose: its own log.
    """
    from alignsec.study.running import snakemake

    snakemake(context.args)


def cite(
    study: Annotated[
        Path | None, typer.Option(help="Folder of a finished study: what it used as well.")
    ] = None,
) -> None:
    """Print what to cite, as BibTeX: the software, the question, the leaderboard, methods and data."""
    from alignsec.report.cite import bibtex

    print(bibtex(study), end="")


def unlock(
    folder: Annotated[Path, typer.Argument(help="Working directory of the run.")] = Path(),
) -> None:
    """Remove the lock that a killed Snakemake run left, unless a run is alive there."""
    from alignsec.ground import locks

    if locks.unlock(folder.resolve()):
        print("removed the lock of a run that was killed", file=sys.stderr)


def status(
    configfile: Annotated[Path, typer.Option(help="The study's configuration.")] = Path("config/config.yaml"),
    folder: Annotated[Path, typer.Option(help="Working directory of the run.")] = Path(),
) -> None:
    """Tell how far a study is: images settled, jobs by state, hours used, time left, what is held and why."""
    from alignsec.cluster.status import of_study
    from alignsec.study.config import located, read

    path = (folder / configfile).absolute()
    # as the Snakefile does, which lies above the configurations that ship with it
    config = located(read(path), [path.parent, path.parents[1]], folder)
    print(of_study(folder, config), end="")


def provenance(
    config: Annotated[str, typer.Argument(help="The resolved configuration as JSON.")],
    folder: Annotated[Path, typer.Option(help="Folder of the study.")],
    out: Out,
) -> None:
    """Record what produced a study."""
    from alignsec.study.provenance import describe
    from alignsec.study.records import write_json

    write_json(out, describe(json.loads(config), folder))
