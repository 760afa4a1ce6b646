"""One module per figure, each with `draw(...) -> Figure`; what they share is here."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec import epsilon as eps
from alignsec.errors import AlignsecError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with any common colour blindness
CATEGORY_COLORS = {"neural": "#0072B2", "behavior": "#D55E00", "engineering": "#009E73", None: "#555555"}
COLUMN, PAGE = 3.4, 7.0  # widths in inches of one and two columns
_RC: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 6.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # TrueType, so that journals find the fonts embedded and text stays text
    "savefig.dpi": 200,
    "figure.dpi": 100,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """matplotlib settings of every figure, whatever the user's own are; no display is needed."""
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def radius(target: str) -> float | None:
    """Epsilon of `robust_top1@<epsilon>` or `robust_top5@L2:<epsilon>`; None for another target."""
    kind, _, text = target.partition("@")
    if not kind.startswith("robust") or not text:
        return None
    try:
        return eps.parse(text.rpartition(":")[2])
    except AlignsecError:
        return None


def target_colors(targets: Sequence[str]) -> dict[str, tuple[float, float, float, float]]:
    """A colour for each target: from light to dark with epsilon, the same in every figure of a study."""
    import matplotlib as mpl
    import numpy as np

    ordered = sorted(targets, key=lambda t: (radius(t) is None, radius(t) or 0.0, targets.index(t)))
    shades = mpl.colormaps["viridis"](np.linspace(0.85, 0.05, max(len(ordered), 2)))
    return {t: tuple(c) for t, c in zip(ordered, shades, strict=False)}


def target_label(target: str) -> str:
    """A target's name as a reader would say it."""
    kind, _, rest = target.partition("@")
    words = {"clean_top1": "clean top-1", "clean_top5": "clean top-5", "median_distance": "median distance"}
    if kind in ("robust_top1", "robust_top5") and rest:
        norm, _, size = rest.rpartition(":")
        return f"robust top-{kind[-1]}, {norm + ' ' if norm else ''}ε = {size}"
    if kind == "corruption_top1" and rest:
        return "corruptions, mean" if rest == "mean" else rest.replace("_", " ").replace("-", ", severity ")
    return words.get(target, target)


def save(figure: "Figure", stem: Path | str) -> None:
    """Write `<stem>.pdf` and `<stem>.png`, the same bytes each time (dated by ``SOURCE_DATE_EPOCH``, else 1970)."""
    from alignsec.tables import atomic

    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    with style():
        for suffix, metadata in ((".pdf", {"CreationDate": made}), (".png", {"Software": None})):
            with atomic(f"{stem}{suffix}") as temporary:
                figure.savefig(temporary, metadata=metadata, bbox_inches="tight")


def message(text: str) -> "Figure":
    """A figure that says why there is nothing to draw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMN, 1.2))
    figure.text(0.5, 0.5, text, ha="center", va="center", wrap=True, fontsize=8)
    return figure
