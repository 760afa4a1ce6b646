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


def new(
    name: Annotated[str | None, typer.Argument(help="Name of the study.")] = None,
    folder: Annotated[Path, typer.Option(help="Where its configuration is written.")] = Path(),
    leaderboard: Annotated[
        str | None, typer.Option(help="A path or address; else the pinned one of May 2025.")
    ] = None,
    robustness: Annotated[
        Path | None, typer.Option(help="A robustness table of your own: nothing is attacked.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A sheet, or source:spec; may be given several times.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Labelled images to attack the models on.")] = None,
    source: Annotated[
        str, typer.Option(help="What they are: folders, imagenet-val, parquet, npz.")
    ] = "folders",
    count: Annotated[int | None, typer.Option(help="How many; else all, at most 1000.")] = None,
    epsilon: Annotated[list[str] | None, typer.Option(help="Radius, as 1/255.")] = None,
) -> None:
    """Write and check the configuration of a new study; asks for what is not given."""
    from alignsec.api.starting import Start, new

    if name is None:
        name = typer.prompt("Name of the study")
    if robustness is None and not model:
        if typer.confirm("Have you a table of robustness already?"):
            robustness = Path(typer.prompt("Its path"))
        else:
            model = typer.prompt("Models: a sheet, or source:spec with commas between").split(",")
            images = images or Path(typer.prompt("Images: a folder with a folder per class"))
    start = Start(
        name=name, folder=folder, leaderboard=leaderboard, robustness=robustness, images=images,
        source=source, models=[m.strip() for m in model or ()], count=count,
        epsilons=epsilon or Start.epsilons,
    )  # fmt: skip
    path, said = new(start)
    print("\n".join([f"{path}: written", *said]))


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
    from alignsec.study.config import of_run

    print(of_study(folder, of_run(configfile, folder)), end="")


def provenance(
    config: Annotated[str, typer.Argument(help="The resolved configuration as JSON.")],
    folder: Annotated[Path, typer.Option(help="Folder of the study.")],
    out: Out,
) -> None:
    """Record what produced a study."""
    from alignsec.study.provenance import describe
    from alignsec.study.records import write_json

    write_json(out, describe(json.loads(config), folder))
