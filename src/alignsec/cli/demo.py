"""`alignsec demo`: the demo study's own networks and benchmarks."""

from pathlib import Path
from typing import Annotated

import typer

from alignsec.cli.options import Out, group
from alignsec.ground.errors import AlignsecError

app = group("The demo's networks, trained here, and the benchmarks measured on them.")


@app.command()
def train(spec: str, out: Out, seed: int = 0) -> None:
    """Train one demo network."""
    from alignsec.demo import networks

    accuracy = networks.train(spec, out, seed)
    print(", ".join(f"{k} {v:.3f}" for k, v in accuracy.items()))


@app.command()
def measure(
    spec: str, weights: Annotated[Path, typer.Option(help="The trained state dict.")], out: Out
) -> None:
    """Score one trained network on the demo's benchmarks."""
    import torch

    from alignsec.demo import benchmarks, networks
    from alignsec.ground.reasons import Excluded
    from alignsec.study.records import write_json

    torch.set_num_threads(1)
    try:
        write_json(out, benchmarks.measure(networks.load(spec, weights)))
    except Excluded as excluded:
        raise AlignsecError(excluded.reason) from excluded


@app.command()
def gather(
    sheet: Annotated[Path, typer.Option(help="The model sheet.")],
    folder: Annotated[Path, typer.Option(help="Folder of the models.")],
    out: Out,
) -> None:
    """Write the networks' measured scores as a leaderboard file."""
    from alignsec.demo import benchmarks
    from alignsec.ground.tables import write_text
    from alignsec.study import sheet as sheets

    write_text(out, benchmarks.gather(sheets.read(sheet), folder))
