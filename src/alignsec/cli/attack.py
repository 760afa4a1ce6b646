"""`alignsec attack`: AutoAttack on every model, and what it will cost."""

from pathlib import Path
from typing import Annotated

import typer

from alignsec.cli.options import Source, group

app = group("AutoAttack at every epsilon, and what it will cost.")


@app.command()
def estimate(
    sheet: Path = typer.Option(),
    folder: Path = typer.Option(help="Folder of the models."),
    epsilons: int = typer.Option(help="How many."),
    count: int = typer.Option(help="Images."),
    per_shard: int = typer.Option(help="Images of one job."),
    out: Path = typer.Option(),
    version: str = "standard",
    limit: Annotated[float, typer.Option(help="Hours that one job may last.")] = 24,
) -> None:
    """Estimate the hours that attacking every model takes on this machine's device."""
    from alignsec.attack import estimate as est
    from alignsec.ground import tables
    from alignsec.study import sheet as sheets
    from alignsec.study.records import read_reports

    rows = sheets.read(sheet)
    speed = est.measure()
    found = est.table(
        rows, read_reports(rows["model"], folder), speed, epsilons=epsilons, count=count, per_shard=per_shard,
        version=version, limit=limit,
    )  # fmt: skip
    tables.write_csv(found, out)
    print(est.text(found, speed, len(rows)), end="")


@app.command()
def run(
    name: str,
    source: Source,
    spec: str = typer.Option(),
    preflight: Path = typer.Option(),
    shard: Path = typer.Option(),
    out: Path = typer.Option(),
    status: Path = typer.Option(),
    epsilon: list[str] = typer.Option(),
    weights: Path | None = None,
    norm: str = "Linf",
    version: str = "standard",
    attacks: Annotated[
        list[str] | None, typer.Option("--attack", help="Of version custom, in order.")
    ] = None,
    ladder: bool = True,
    top5: Annotated[bool, typer.Option(help="Is the label among the five largest logits, too?")] = False,
    screen_precision: str = "float32",
    batch_size: int | None = None,
    ledger: Annotated[Path | None, typer.Option(help="File that keeps what is settled.")] = None,
    keep: Annotated[Path | None, typer.Option(help="File (.npz) for the adversarials.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for pixels that models share.")] = None,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Attack one model on one shard of images at every epsilon."""
    from alignsec.attack import job
    from alignsec.zoo.running import supervised

    supervised(
        job.attack,
        {
            "name": name, "source": source, "spec": spec, "weights": weights, "preflight": preflight,
            "shard": shard, "out": out, "status": status, "epsilons": epsilon, "norm": norm, "version": version,
            "attacks": attacks or [], "ladder": ladder, "top5": top5, "screen_precision": screen_precision,
            "batch_size": batch_size, "ledger": ledger, "keep": keep, "cache": cache, "seed": seed,
            "threads": threads,
        },
        "attack",
    )  # fmt: skip
