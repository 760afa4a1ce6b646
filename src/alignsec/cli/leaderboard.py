"""`alignsec leaderboard`: the Brain-Score leaderboard and the models that can be loaded."""

from pathlib import Path
from typing import Annotated

import typer

from alignsec.cli.options import Out, Sheet, group, read_sheet, warn

app = group("The Brain-Score leaderboard, and the models that can be loaded.")


@app.command()
def fetch(source: str, out: Out, sha256: str | None = None) -> None:
    """Copy or download a leaderboard file, or ask brain-score.org itself; the SHA-256 is checked."""
    import json

    from alignsec.leaderboard import export, site
    from alignsec.study.layout import SITE

    found = export.fetch(source, out, sha256 or None)
    checked = "as asked for" if sha256 else "unchecked (leaderboard.sha256 is null)"
    date = ""
    if source == SITE:
        date = f", as of {site.as_of(json.loads(out.read_text(encoding='utf-8')))}"
    print(f"{source}: SHA-256 {found}, {checked}{date}")


@app.command()
def parse(
    path: Path,
    out_scores: Annotated[Path, typer.Option(help="Table of kind scores.")],
    out_benchmarks: Annotated[Path, typer.Option(help="Table of kind benchmarks.")],
    out_dropped: Annotated[
        Path | None, typer.Option(help="Rows that another of the same model stands for.")
    ] = None,
    extra: Annotated[
        list[str] | None, typer.Option(help="Own benchmarks: an entry of leaderboard.extra, as JSON.")
    ] = None,
    categories: Annotated[str, typer.Option(help="leaderboard.categories, as JSON.")] = "{}",
) -> None:
    """Turn any published export into tidy scores and the benchmark tree, own benchmarks added."""
    import json

    from alignsec.ground import tables
    from alignsec.ground.errors import AlignsecError
    from alignsec.leaderboard import export
    from alignsec.leaderboard.extra import Extra, add

    try:
        given = dict(json.loads(categories))
    except (ValueError, TypeError) as error:
        raise AlignsecError(f"--categories {categories}: expected is a JSON object") from error
    parsed = export.parse(path, given)
    parsed = add(parsed, [Extra.of_json(text) for text in extra or []])
    tables.write(parsed.benchmarks, out_benchmarks, "benchmarks")
    tables.write(parsed.scores, out_scores, "scores")
    if out_dropped is not None:
        tables.write_csv(export.dropped_table(parsed), out_dropped)
    warn(parsed.warnings)
    for text in parsed.duplicates:
        print(f"duplicate: {text}")
    leaves = int(parsed.benchmarks["is_leaf"].sum())
    print(
        f"{path}: {parsed.variant} ({parsed.understood}); "
        f"{parsed.scores['model'].nunique()} distinct models, {leaves} leaf benchmarks, "
        f"{len(parsed.benchmarks) - leaves} parents, {len(parsed.duplicates)} names with several rows"
    )


@app.command()
def registry(
    source: Annotated[str, typer.Argument(help="installed, the path of a copy or of a table, or demo.")],
    out: Annotated[Path, typer.Option(help="Table of kind registry; a CSV where it ends in .csv.")],
    out_unresolved: Annotated[
        Path | None, typer.Option(help="Registrations whose name is no literal.")
    ] = None,
    sheet: Sheet = None,
) -> None:
    """Read the registered names from the installed package's source, importing nothing."""
    from alignsec.ground import tables
    from alignsec.leaderboard import registry as registries

    found, unresolved = registries.read(source, read_sheet(sheet))
    if out_unresolved is not None:
        tables.write_csv(unresolved, out_unresolved)
    if out.suffix == ".csv":
        tables.write_csv(found, out)
    else:
        tables.write(found, out, "registry")
    print(
        f"{len(found)} models in {found['plugin'].nunique()} plugins, {len(unresolved)} registrations "
        "unresolved"
    )


@app.command()
def merge(
    scores: Annotated[Path, typer.Option(help="Table of kind scores.")],
    benchmarks: Annotated[Path, typer.Option(help="Table of kind benchmarks.")],
    registry: Annotated[Path, typer.Option(help="Table of kind registry.")],
    out: Out,
    sheet: Sheet = None,
    everything: Annotated[bool, typer.Option(help="Keep models that cannot be loaded, too.")] = False,
) -> None:
    """Join leaderboard and registry by exact name; check the sheet against the result."""
    from alignsec.ground import tables
    from alignsec.leaderboard import merge as matching

    merged = matching.merge(
        tables.read(scores, "scores"),
        tables.read(benchmarks, "benchmarks"),
        tables.read(registry, "registry"),
        read_sheet(sheet),
        everything=everything,
    )
    tables.write(merged, out, "merged")
    print(f"{len(merged)} models, {int(merged['plugin'].notna().sum())} of them in the registry")


@app.command()
def propose(merged: Path, out: Out) -> None:
    """Write a model sheet of every merged model, for a person to review."""
    from alignsec.ground import tables
    from alignsec.leaderboard import proposed
    from alignsec.study import sheet

    sheet.write(proposed.propose_sheet(tables.read(merged, "merged")), out)
    print(
        f"{out}: review it (families are guessed from the names), then copy it to config/ and set zoo.sheet"
    )


@app.command()
def check(
    source: Annotated[str, typer.Argument(help="A leaderboard file of this machine.")],
    sheet: Annotated[Path, typer.Option(help="The model sheet.")],
    registry: Annotated[str, typer.Option(help="installed, a copy or a table of it, or demo.")] = "installed",
    sha256: str | None = None,
) -> None:
    """Check a sheet against a leaderboard file and the registry, before any job runs."""
    from alignsec.leaderboard.merge import check_early
    from alignsec.study import sheet as sheets

    check_early(sheets.read(sheet), source, sha256, registry)
