"""What the verbs share: kinds of options, the readers of sheets and configurations, warnings."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alignsec.study.catalogue import SOURCES

if TYPE_CHECKING:
    import pandas as pd

Out = Annotated[Path, typer.Option(help="File to write.")]
Sheet = Annotated[Path | None, typer.Option(help="The model sheet.")]
Cache = Annotated[Path | None, typer.Option(help="Folder for pixels that models share.")]


AttemptsLeft = Annotated[
    int, typer.Option(help="How often this is run again if it fails: until then a failing GPU is no result.")
]


def _known_source(text: str) -> str:
    if text not in SOURCES:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(SOURCES)}")
    return text


Source = Annotated[str, typer.Option(callback=_known_source, help=", ".join(SOURCES))]


def group(text: str, **options: Any) -> typer.Typer:
    """A group of verbs."""
    return typer.Typer(no_args_is_help=True, help=text, **options)


def warn(texts: list[str]) -> None:
    """Print each as a warning on standard error."""
    for text in texts:
        print(f"warning: {text}", file=sys.stderr)


def read_sheet(path: Path | None) -> "pd.DataFrame | None":
    """The rows of a sheet; None where none is given."""
    from alignsec.study import sheet

    return None if path is None else sheet.read(path)
