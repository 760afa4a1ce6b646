"""`alignsec demo`: the demo study's own networks and benchmarks."""

from pathlib import Path
from typing import Annotated

import typer

from alignsec.cli.options import Out, group

app = group("The demo's networks, trained here, and the benchmarks measured on them.")


@app.command()
def train(
    specs: Annotated[list[str], typer.Argument(help="The networks.")],
    out: Annotated[list[Path], typer.Option(help="File to write, one for each network.")],
    seed: int = 0,
) -> None:
    """Train demo networks, one after the other."""
    from alignsec.demo import networks

    for spec, said in zip(specs, networks.train_each(specs, out, seed), strict=True):
        print(
            f"{spec}:", said if isinstance(said, str) else ", ".join(f"{k} {v:.3f}" for k, v in said.items())
        )


@app.command()
def measure(
    sheet: Annotated[Path, typer.Option(help="The model sheet.")],
    folder: Annotated[Path, typer.Option(help="Folder of the models, with their weights.")],
    out: Out,
    seed: Annotated[int, typer.Option(help="That the networks were trained with.")] = 0,
) -> None:
    """Score the sheet's trained networks on the demo's benchmarks, as a leaderboard file."""
    import torch

    from alignsec.demo import benchmarks
    from alignsec.ground.tables import write_text
    from alignsec.study import sheet as sheets

    torch.set_num_threads(1)
    write_text(out, benchmarks.measure_all(sheets.read(sheet), folder, seed))
