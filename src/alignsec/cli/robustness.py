"""`alignsec robustness`: robustness per model."""

from pathlib import Path
from typing import Annotated

import typer

from alignsec.cli.options import AttemptsLeft, Cache, Out, Sheet, Source, group, read_sheet
from alignsec.study.layout import shard_name, shard_tables

app = group("Robustness per model.")
OutExcluded = Annotated[Path, typer.Option(help="Models that could not be evaluated.")]
OutWarnings = Annotated[Path, typer.Option(help="What makes verdicts doubtful.")]


@app.command()
def corruptions(
    name: str,
    source: Source,
    spec: Annotated[str, typer.Option()],
    preflight: Annotated[Path, typer.Option(help="The model's preflight report.")],
    shards: Annotated[Path, typer.Option(help="Folder of the shards.")],
    count: Annotated[int, typer.Option(help="How many shards.")],
    out: Out,
    status: Annotated[Path, typer.Option(help="File to write how it ended.")],
    corruption: Annotated[list[str], typer.Option()],
    severity: Annotated[list[int], typer.Option()],
    weights: Path | None = None,
    path: Annotated[Path | None, typer.Option(help="Folder in ImageNet-C's layout.")] = None,
    cache: Cache = None,
    seed: int = 0,
    threads: int = 1,
    attempts_left: AttemptsLeft = 0,
) -> None:
    """Measure one model's accuracy under corruptions."""
    from alignsec.robustness import corruptions as measured
    from alignsec.zoo.running import ModelRow

    measured.run(
        measured.CorruptionsJob(
            model=ModelRow(name, source, spec, weights, preflight), out=out, status=status, cache=cache,
            threads=threads, shards=shard_tables(shards, count), names=corruption, severities=severity,
            folder=path, seed=seed, attempts_left=attempts_left,
        )
    )  # fmt: skip


@app.command()
def gather(
    sheet: Annotated[Path, typer.Option(help="The model sheet.")],
    folder: Annotated[Path, typer.Option(help="Folder of the models.")],
    shards: Annotated[int, typer.Option(help="How many shards each model was attacked on.")],
    epsilon: Annotated[list[str], typer.Option()],
    out: Out,
    out_excluded: OutExcluded,
    out_warnings: OutWarnings,
    corruptions: Annotated[bool, typer.Option(help="There are corruptions, too.")] = False,
    norm: str = "Linf",
    exclude_duplicates: Annotated[
        bool, typer.Option(help="Of models with the same weights, keep the first.")
    ] = False,
    scores: Annotated[Path | None, typer.Option(help="Tidy scores, for ImageNet top-1.")] = None,
) -> None:
    """Turn per-image verdicts into accuracies per model, with intervals."""
    from alignsec.ground import tables
    from alignsec.robustness import gather as gathering
    from alignsec.study import sheet as sheets
    from alignsec.zoo.account import top1_of

    found = gathering.gather(
        list(sheets.read(sheet)["model"]),
        folder,
        [shard_name(i) for i in range(shards)],
        epsilon,
        norm,
        with_corruptions=corruptions,
        exclude_duplicates=exclude_duplicates,
        top1=top1_of(None if scores is None else tables.read(scores, "scores")),
    )
    tables.write_csv(found.excluded, out_excluded)
    tables.write_csv(found.warnings, out_warnings)
    tables.write(found.table, out, "robustness")
    print(
        f"{found.table['model'].nunique()} models, {found.table['target'].nunique()} targets, "
        f"{len(found.excluded)} exclusions, {len(found.warnings)} warnings"
    )


@app.command()
def own(
    path: Path,
    out: Out,
    out_excluded: OutExcluded,
    out_warnings: OutWarnings,
    scores: Annotated[
        Path | None, typer.Option(help="Table of kind scores: the leaderboard's names.")
    ] = None,
    names: Annotated[Path | None, typer.Option(help="Table of names and whose they are.")] = None,
    sheet: Sheet = None,
) -> None:
    """Take a robustness table of your own in place of the attacks."""
    from alignsec.ground import tables
    from alignsec.robustness.own import of_study

    known = None if scores is None else list(dict.fromkeys(tables.read(scores, "scores")["model"]))
    found, excluded = of_study(path, known, names, read_sheet(sheet))
    print(found.understood)
    tables.write_csv(excluded, out_excluded)
    tables.write_csv(found.warnings, out_warnings)
    tables.write(found.table, out, "robustness")
    print(
        f"{found.table['model'].nunique()} models, {found.table['target'].nunique()} targets, "
        f"{len(excluded)} not on the leaderboard, {len(found.warnings)} warning(s)"
    )


@app.command()
def fetch(
    source: Annotated[str, typer.Argument(help="Short name of a published source.")],
    file: Annotated[str, typer.Argument(help="Name of one of its files.")],
    out: Out,
    catalogue: Annotated[Path, typer.Option(help="robustness.published.sources.")],
) -> None:
    """Download a file of a published source, checked by its SHA-256."""
    from alignsec.robustness import published as sources

    sources.fetch(catalogue, source, file, out)


@app.command()
def published(
    study: Annotated[Path, typer.Option(help="Folder of the study, results/<study>.")],
    catalogue: Annotated[Path, typer.Option(help="robustness.published.sources.")],
    names: Annotated[Path, typer.Option(help="robustness.published.name_map.")],
    use: Annotated[list[str], typer.Option(help="Sources whose targets are correlated.")],
    show: Annotated[list[str] | None, typer.Option(help="Sources that are shown only.")] = None,
    own: Annotated[bool, typer.Option(help="The study has robustness of its own beside them.")] = False,
) -> None:
    """Join published robustness with the leaderboard, beside the study's own where there is some."""
    from alignsec.robustness import published as sources

    print(sources.run(study, catalogue, names, use, show or [], own=own))
