"""`alignsec report`: figures, tables, findings and the page to explore."""

from pathlib import Path
from typing import Any

import typer

from alignsec.cli.options import group
from alignsec.cli.options import read_sheet

app = group("Figures, tables, findings.")
figures = group("One verb per figure.")
app.add_typer(figures, name="figures")


@figures.command("heatmap")
def figures_heatmap(
    correlations: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    out: Path = typer.Option(help="Without suffix."),
    annotate: bool = False,
    colormap: str = "vlag",
) -> None:
    """Heatmap of Spearman rho, benchmarks by targets."""
    from alignsec.ground import tables
    from alignsec.report.figures import heatmap
    from alignsec.report.figures import save

    save(
        heatmap.draw(
            tables.read(correlations, "correlations"),
            tables.read(benchmarks, "benchmarks"),
            annotate=annotate,
            colormap=colormap,
        ),
        out,
    )


@figures.command("scatter")
def figures_scatter(
    total: Path = typer.Option(),
    correlations: Path = typer.Option(),
    out: Path = typer.Option(help="Folder; one pair of files per kind of alignment."),
    point_size: float = 18,
) -> None:
    """Robust accuracy on average, neural, behavioral and engineering alignment."""
    from alignsec.ground import tables
    from alignsec.report.figures import save
    from alignsec.report.figures import scatter
    from alignsec.study import targets

    scores, table = tables.read(total, "total_scores"), tables.read(correlations, "correlations")
    for kind in ("average", "neural", "behavior", "engineering"):
        figure = scatter.draw(
            scores, table, f"{kind}_vision", targets.robust(table["target"]), title=f"{kind} alignment",
            point_size=point_size,
        )  # fmt: skip
        save(figure, out / f"scatter_{kind}")


@figures.command("tsne")
def figures_tsne(
    total: Path = typer.Option(),
    correlations: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    out: Path = typer.Option(help="Without suffix."),
    perplexity: float = 20,
    completeness: float = 0.5,
    seed: int = 0,
) -> None:
    """t-SNE and principal components of the models, coloured by robust accuracy."""
    from alignsec.ground import tables
    from alignsec.report.figures import save
    from alignsec.report.figures import tsne
    from alignsec.study import targets

    figure = tsne.draw(
        tables.read(total, "total_scores"),
        tables.read(benchmarks, "benchmarks"),
        targets.middle(tables.read(correlations, "correlations")["target"]),
        perplexity=perplexity,
        completeness=completeness,
        seed=seed,
    )
    save(figure, out)


@figures.command("forest")
def figures_forest(
    correlations: Path = typer.Option(), out: Path = typer.Option(help="Without suffix."), rows: int = 30
) -> None:
    """Benchmarks ranked by |rho|, with intervals, raw beside partial."""
    from alignsec.ground import tables
    from alignsec.report.figures import forest
    from alignsec.report.figures import save
    from alignsec.study import targets

    table = tables.read(correlations, "correlations")
    save(forest.draw(table, targets.middle(table["target"]), rows=rows), out)


@figures.command("within")
def figures_within(
    correlations: Path = typer.Option(), out: Path = typer.Option(help="Without suffix.")
) -> None:
    """Correlations within families against those between them."""
    from alignsec.ground import tables
    from alignsec.report.figures import save
    from alignsec.report.figures import within_between
    from alignsec.study import targets

    table = tables.read(correlations, "correlations")
    save(within_between.draw(table, targets.middle(table["target"])), out)


@figures.command("p-values")
def figures_p_values(
    correlations: Path = typer.Option(), out: Path = typer.Option(help="Without suffix.")
) -> None:
    """Histogram of p over leaves and targets."""
    from alignsec.ground import tables
    from alignsec.report.figures import p_values
    from alignsec.report.figures import save

    save(p_values.draw(tables.read(correlations, "correlations")), out)


@figures.command("curves")
def figures_curves(
    robustness: Path = typer.Option(),
    total: Path = typer.Option(),
    out: Path = typer.Option(help="Without suffix."),
    sheet: Path | None = None,
) -> None:
    """Accuracy against epsilon, by family."""
    from alignsec.ground import tables
    from alignsec.report.figures import curves
    from alignsec.report.figures import save

    sheeted = read_sheet(sheet)
    families = None if sheeted is None else dict(zip(sheeted["model"], sheeted["family"], strict=True))
    rows = tables.read(total, "total_scores")
    family = dict(zip(rows["model"], rows["family"], strict=True)) | (families or {})
    save(curves.draw(tables.read(robustness, "robustness"), family), out)


@figures.command("missingness")
def figures_missingness(
    scores: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    total: Path = typer.Option(),
    out: Path = typer.Option(help="Without suffix."),
) -> None:
    """Which model was scored on which benchmark."""
    from alignsec.ground import tables
    from alignsec.report.figures import missingness
    from alignsec.report.figures import save

    figure = missingness.draw(
        tables.read(scores, "scores"),
        tables.read(benchmarks, "benchmarks"),
        tables.read(total, "total_scores")[["model", "family"]],
    )
    save(figure, out)


@app.command()
def explorer(
    study: str,
    total: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    correlations: Path = typer.Option(),
    out: Path = typer.Option(),
) -> None:
    """Write the study as one page to explore, which opens without a network."""
    from alignsec.ground import tables
    from alignsec.report import explorer as made

    text = made.page(
        tables.read(total, "total_scores"),
        tables.read(benchmarks, "benchmarks"),
        tables.read(correlations, "correlations"),
        study,
    )
    tables.write_text(out, text)


def _study(
    total: Path,
    benchmarks: Path,
    robustness: Path,
    correlations: Path,
    excluded: Path,
    duplicates: Path,
    warnings: Path,
) -> Any:
    import pandas as pd

    from alignsec.ground import tables
    from alignsec.report.findings import Study

    return Study(
        tables.read(total, "total_scores"),
        tables.read(benchmarks, "benchmarks"),
        tables.read(robustness, "robustness"),
        tables.read(correlations, "correlations"),
        pd.read_csv(excluded),
        pd.read_csv(duplicates),
        pd.read_csv(warnings),
    )


@app.command("tables")
def tables_(
    total: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    robustness: Path = typer.Option(),
    correlations: Path = typer.Option(),
    excluded: Path = typer.Option(),
    duplicates: Path = typer.Option(),
    warnings: Path = typer.Option(),
    out: Path = typer.Option(help="Folder."),
) -> None:
    """Write the study's tables as CSV and LaTeX."""
    from alignsec.ground import tables
    from alignsec.report import findings
    from alignsec.report import latex

    study = _study(total, benchmarks, robustness, correlations, excluded, duplicates, warnings)
    for name, (frame, caption) in findings.all_tables(study).items():
        tables.write_csv(frame, out / f"{name}.csv")
        tables.write_text(out / f"{name}.tex", latex.table(frame, caption, f"tab:{name}"))


@app.command()
def summary(
    study: str,
    total: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    robustness: Path = typer.Option(),
    correlations: Path = typer.Option(),
    excluded: Path = typer.Option(),
    duplicates: Path = typer.Option(),
    warnings: Path = typer.Option(),
    out: Path = typer.Option(),
) -> None:
    """State the findings in sentences made from the numbers."""
    from alignsec.ground import tables
    from alignsec.report import findings

    found = _study(total, benchmarks, robustness, correlations, excluded, duplicates, warnings)
    tables.write_text(out, findings.summary(found, study))
