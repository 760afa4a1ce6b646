"""`alignsec cluster`: a study on a pool of machines."""

from pathlib import Path
from typing import Annotated

import typer

from alignsec.cli.options import group

app = group("A study on a pool of machines (docs/chtc.md).")


@app.command()
def submit(
    arguments: Annotated[list[str] | None, typer.Argument(help="Snakemake's arguments, after --.")] = None,
    profile: Annotated[str, typer.Option(help="Folder of the profile.")] = "htcondor",
) -> None:
    """Submit Snakemake itself as a job of the access point, so that a closed terminal ends nothing."""
    from alignsec.cluster import controller

    print(controller.submit(Path(), arguments or [], profile), end="")
    print("follow it with `alignsec status` and `tail -f controller.log`; condor_rm of it ends the run")
