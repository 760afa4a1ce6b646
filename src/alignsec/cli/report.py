"""`alignsec report`: figures, tables, findings and the page to explore, of a study's folder."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from alignsec.cli.options import group
from alignsec.study.catalogue import FIGURES

app = group("Figures, tables, findings.")
Study = Annotated[Path, typer.Option(help="Folder of the study, results/<study>.")]


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{text!r} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{text!r} is no JSON object, as {{}}")
    return found


@app.command()
def figures(
    name: Annotated[str, typer.Argument(help=", ".join(FIGURES))],
    study: Study,
    options: Annotated[
        Any,
        typer.Option(parser=_object, metavar="JSON", help='Its looks, as {"rows": 20} (config/README.md).'),
    ] = "{}",
    out: Annotated[Path | None, typer.Option(help="Folder of the files; else the study's own.")] = None,
) -> None:
    """Draw a figure, as PDF and PNG."""
    from alignsec.report import drawing

    drawing.draw(name, study, options, out)


@app.command()
def tables(study: Study) -> None:
    """Write the study's tables as CSV and LaTeX."""
    from alignsec.report import findings

    findings.write_tables(study)


@app.command()
def summary(study: Study) -> None:
    """State the findings in sentences made from the numbers."""
    from alignsec.report import summary as made

    made.write(study)


@app.command()
def explorer(study: Study) -> None:
    """Write the study as one page to explore, which opens without a network."""
    from alignsec.report import explorer as made

    made.write(study)


@app.command()
def results(
    study: Study,
    out: Annotated[Path, typer.Option(help="The page; its numbers and picture lie beside it.")],
    picture: Annotated[str, typer.Option(help="Name of the picture.")] = "results.png",
) -> None:
    """Write what the study of published robustness says, as docs/results.md."""
    from alignsec.report import results as made

    print(made.write(study, out, picture))
