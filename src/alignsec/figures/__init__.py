"""The figures: one module each, with ``draw(tables, ...) -> Figure``; here what they have in common."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec import epsilon as eps
from alignsec.errors import AlignsecError
from alignsec.tables import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# figure -> the module of this package that draws it
MODULES: dict[str, str] = {
    "heatmap": "heatmap",
    "scatter_average": "scatter",
    "scatter_neural": "scatter",
    "scatter_behavior": "scatter",
    "scatter_engineering": "scatter",
    "tsne": "tsne",
}
# scatter figure -> the benchmark on its x axis
SCATTERS: dict[str, str] = {
    name: f"{name.removeprefix('scatter_')}_vision" for name, module in MODULES.items() if module == "scatter"
}

COLUMN, DOUBLE = 3.35, 7.0  # inches: one column of a two-column paper, and both
# Okabe and Ito's palette, told apart by readers of any colour vision (https://jfly.uni-koeln.de/color/)
CATEGORY_COLORS: dict[str | None, str] = {
    "neural": "#0072B2",
    "behavior": "#D55E00",
    "engineering": "#009E73",
    None: "#000000",
}
_RC = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.4,
    "pdf.fonttype": 42,  # TrueType: what journals accept and editors can edit; the default is Type 3
    "svg.hashsalt": "alignsec",
}
_ROBUST = re.compile(r"robust_top(?P<k>\d+)@(?:(?P<norm>[^:]+):)?(?P<epsilon>.+)")


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The looks of every figure, on matplotlib's defaults whatever the user's ``matplotlibrc`` says."""
    from matplotlib import style as styles

    with styles.context(["default", _RC]):
        yield


def category_label(category: str | None) -> str:
    """Human name of a category; the root above them (None) is the average."""
    return "average" if category is None else category


def target_label(target: str) -> str:
    """Human name of a target: ``robust_top1@4/255`` is "robust top-1, ε = 4/255"; unknown ones as they are."""
    if found := _ROBUST.fullmatch(target):
        return f"robust top-{found['k']}, {epsilon_label(target)}"
    if found := re.fullmatch(r"clean_top(\d+)", target):
        return f"clean top-{found[1]}"
    if found := re.fullmatch(r"corruption_top(\d+)@mean", target):
        return f"corruption top-{found[1]}, mean"
    if found := re.fullmatch(r"corruption_top(\d+)@(.+)-(\d+)", target):
        return f"{found[2].replace('_', ' ')} top-{found[1]}, severity {found[3]}"
    return target


def epsilon_label(target: str) -> str:
    """ "ε = 4/255" of a robust target, "L2 ε = 0.5" in another norm than Linf; any other target as it is."""
    found = _ROBUST.fullmatch(target)
    if not found:
        return target
    return f"{found['norm'] + ' ' if found['norm'] else ''}ε = {found['epsilon']}"


def by_epsilon(targets: Iterable[str]) -> dict[str, float]:
    """The robust targets among `targets` with their epsilon (pixel range [0, 1]), smallest first.

    Raises
    ------
    AlignsecError
        The epsilon of a robust target is not a number.
    """
    values = {t: eps.parse(m["epsilon"]) for t in targets if (m := _ROBUST.fullmatch(t))}
    return dict(sorted(values.items(), key=lambda item: item[1]))


def epsilon_colors(targets: Iterable[str]) -> dict[str, str]:
    """One colour per epsilon for the robust targets, larger epsilons darker; top-1 and top-5 share it.

    Colours are spread over what is given: give the study's targets, and all figures agree.

    Returns
    -------
    Target to ``#rrggbb``, smallest epsilon first, from viridis without its yellow end (too pale on white).
    """
    import matplotlib
    import numpy as np
    from matplotlib.colors import to_hex

    values = by_epsilon(targets)
    distinct = sorted(set(values.values()))
    at = np.linspace(0.75, 0.0, len(distinct)) if len(distinct) > 1 else np.array([0.3])
    color = {v: to_hex(c) for v, c in zip(distinct, matplotlib.colormaps["viridis"](at), strict=True)}
    return {target: color[value] for target, value in values.items()}


@style()
def message(text: str, width: float = COLUMN, height: float = 1.6) -> "Figure":
    """A figure that says why there is nothing to draw; the size in inches."""
    import textwrap

    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.axis("off")
    ax.text(0.5, 0.5, textwrap.fill(text, int(width * 14)), ha="center", va="center", color="0.25")
    return fig


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width in inches of one line of text of `size` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight=weight)
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().x1) / 72


def tree_order(benchmarks: Sequence[str], parents: Sequence[str | None]) -> list[str]:
    """Benchmarks depth first, siblings in the order given; some exports list them breadth first."""
    known = set(benchmarks)
    children: dict[str | None, list[str]] = {}
    for name, parent in zip(benchmarks, parents, strict=True):
        children.setdefault(parent if parent in known else None, []).append(name)
    order: list[str] = []
    stack = children.get(None, [])[::-1]
    while stack:
        order.append(name := stack.pop())
        stack += children.get(name, [])[::-1]
    return order


@style()
def save(fig: "Figure", stem: Path | str) -> None:
    """Write ``<stem>.pdf`` and ``<stem>.png`` (200 dpi), each whole or not at all, the same bytes every time.

    The PDF's date is the environment's ``SOURCE_DATE_EPOCH`` (seconds, 1970 if unset); the PNG has none.

    Raises
    ------
    AlignsecError
        ``SOURCE_DATE_EPOCH`` is not a number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH") or "0"
    try:
        date = datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise AlignsecError(f"SOURCE_DATE_EPOCH is {text!r}, not a number of seconds since 1970") from error
    stem = Path(stem)
    # not with_suffix, which would cut a stem at its last dot
    with atomic(stem.with_name(f"{stem.name}.pdf")) as path:
        fig.savefig(path, format="pdf", metadata={"CreationDate": date})
    with atomic(stem.with_name(f"{stem.name}.png")) as path:
        fig.savefig(path, format="png", dpi=200, metadata={"Software": None})
