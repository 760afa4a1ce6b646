"""`alignsec zoo`: the models of a sheet before they are attacked."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from alignsec.cli.options import Out, Source, group
from alignsec.ground.errors import AlignsecError

app = group("The models: can they be attacked, and if not why.")


@app.command()
def preflight(
    name: Annotated[str, typer.Argument(help="The model.")] = "",
    source: Source = "brainscore",
    out: Annotated[Path | None, typer.Option(help="File to write.")] = None,
    spec: str = "",
    weights: Path | None = None,
    images: Annotated[Path | None, typer.Option(help="Table of labelled images, a sample.")] = None,
    expected_top1: Annotated[
        str, typer.Option(help="Clean accuracy published for these weights, as a share.")
    ] = "",
    seed: int = 0,
    timeout: Annotated[float, typer.Option(help="Seconds.")] = 900,
    memory: Annotated[float | None, typer.Option(help="GiB; default: 85 % of the machine's.")] = None,
    offline: Annotated[bool, typer.Option(help="Refuse connections to other machines.")] = False,
    retries: Annotated[int, typer.Option(help="Further attempts after a transient failure.")] = 1,
    exclude_flag: Annotated[list[str] | None, typer.Option(help="A flag that excludes.")] = None,
    side_effects: Annotated[str, typer.Option(help="exclude or allow")] = "exclude",
    threads: int = 1,
    sheet: Annotated[
        Path | None,
        typer.Option(help="All models of this sheet; --out is the models' folder; reports there stay."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="With --sheet: models at a time.")] = 1,
) -> None:
    """Say whether a model can be attacked, and if not why."""
    from alignsec.study import sheet as sheets
    from alignsec.study.records import write_json
    from alignsec.zoo import preflight as pre

    if out is None or bool(name) == (sheet is not None):
        raise AlignsecError("zoo preflight needs the name of a model or --sheet, and --out")
    limits = pre.Limits(
        timeout=timeout,
        memory=None if memory is None else int(memory * 2**30),
        offline=offline,
        retries=retries,
        threads=threads,
        exclude_flags=exclude_flag or (),
        side_effects=side_effects,
    )
    if sheet is not None:
        from tqdm import tqdm

        rows = sheets.read(sheet)
        done = pre.sweep(rows, out, jobs, images=images, seed=seed, limits=limits)
        for model, report in tqdm(done, total=len(rows), unit="model"):
            tqdm.write(pre.line(model, report))
        return
    expected = sheets.accuracy(expected_top1)
    report = pre.preflight(
        name, source, spec or name, weights, images, seed=seed, limits=limits, expected=expected
    )
    write_json(out, report)
    print(pre.line(name, report))


@app.command()
def account(
    sheet: Annotated[Path, typer.Option(help="The model sheet.")],
    folder: Annotated[Path, typer.Option(help="Folder of the models.")],
    out: Out,
    out_counts: Annotated[Path, typer.Option(help="Reasons, counted.")],
    scores: Annotated[Path | None, typer.Option(help="Tidy scores, for ImageNet top-1.")] = None,
) -> None:
    """Write what became of every model in preflight, and count the reasons."""
    from alignsec.ground import tables
    from alignsec.study import sheet as sheets
    from alignsec.zoo import account as made

    known = None if scores is None else tables.read(scores, "scores")
    found, counted = made.account(sheets.read(sheet), folder, known)
    tables.write_csv(found, out)
    tables.write_csv(counted, out_counts)
    print(counted.drop(columns="meaning").to_string(index=False))


@app.command()
def requirements(sheet: Annotated[Path, typer.Argument(help="The model sheet.")]) -> None:
    """Print what to install for the models of a sheet, as a requirements file."""
    from alignsec.study import sheet as sheets
    from alignsec.zoo.requirements import listing

    print(listing(sheets.read(sheet)), end="")


@app.command()
def retry(
    configfile: Annotated[Path, typer.Option(help="The study's configuration.")] = Path("config/config.yaml"),
    folder: Annotated[Path, typer.Option(help="Working directory of the run.")] = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only list them.")] = False,
) -> None:
    """Have the next run try transient exclusions again: their outputs are removed, so that it makes them.

    Before `snakemake`, which runs as always afterwards. Ledgers stay, and all of the models that are fine.
    """
    from alignsec.study import config
    from alignsec.zoo import retry as again

    study = config.read(folder / configfile)["study"]
    found = again.retry(folder, study, remove=not dry_run)
    for one in found:
        print(f"again: {one.model} ({one.reason})", file=sys.stderr)
    what = "would be tried again" if dry_run else "are tried again by the next run"
    print(f"{study}: {len(found)} exclusions {what}")
