"""Spearman rho of every benchmark with every target, in tree order."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alignsec.analysis.correlate import targets_of
from alignsec.report.figures import CATEGORY_COLORS, LEVEL, PAGE, by_category, short, style, target_label
from alignsec.study.targets import by_kind, source_of, with_source

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Cells = npt.NDArray[np.float64]

SIZE = 6.0  # points, of the benchmarks' names
WIDEST = 58  # letters of a benchmark's name; no name of the leaderboard of 2025 is longer
PER_PANEL = 80  # rows; more go into a second panel, so that the figure fits a page


def _width(text: str, weight: str, size: float) -> float:
    """Width in points of a benchmark's name."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=size, prop=FontProperties(weight=weight)).get_extents().x1)


def of_study(tables: "Mapping[str, pd.DataFrame]", options: Mapping[str, Any]) -> "dict[str, Figure]":
    """Every benchmark with every target."""
    return {"heatmap": draw(tables["correlations"], tables["benchmarks"], **options)}


def draw(
    correlations: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    *,
    annotate: bool = False,
    colormap: str = "vlag",
) -> "Figure":
    """Rows: benchmarks, indented by depth, parents bold; columns: targets by kind; colour: rho, -1 to 1.

    A dot marks a cell with q (leaves) or p (parents) of .05 and above, a cross one that allows no test; grey:
    no estimate. More than `PER_PANEL` benchmarks are drawn in two panels, parted at a parent.
    """
    import matplotlib as mpl
    import numpy as np
    import seaborn  # noqa: F401 - registers its colour maps with matplotlib
    from matplotlib.figure import Figure

    order = list(benchmarks["benchmark"])
    kinds = by_kind(targets_of(correlations))
    targets = [t for of_kind in kinds.values() for t in of_kind]

    def grid(column: str) -> "Cells":
        wide = correlations.pivot(index="benchmark", columns="target", values=column)
        return wide.reindex(index=order, columns=targets).to_numpy(float)

    rho, p, q, n = grid("rho"), grid("p"), grid("q"), grid("n")
    level = np.where(benchmarks["is_leaf"].to_numpy(bool)[:, None], q, p)
    parts = _parts(list(benchmarks["is_leaf"]))
    names = short(order, WIDEST)
    longest = max(b - a for a, b in parts)
    with style():
        height = (0.135 if len(parts) == 1 else 0.112) * longest + 1.9
        width = 4.0 + 0.34 * len(targets) if len(parts) == 1 else max(PAGE, 5.1 + 0.28 * len(targets))
        figure = Figure(figsize=(width, height), layout="constrained")
        colours = mpl.colormaps[colormap].with_extremes(bad="0.82")
        panels = figure.subplots(1, len(parts), squeeze=False)[0]
        for axes, (a, b) in zip(panels, parts, strict=True):
            image = axes.imshow(rho[a:b], cmap=colours, vmin=-1, vmax=1, aspect="auto", interpolation="none")
            _mark(axes, rho[a:b], level[a:b], annotate)
            _name(axes, benchmarks.iloc[a:b], [names[n] for n in order[a:b]], len(targets),
                  whole=len(parts) == 1)  # fmt: skip
            _columns(axes, kinds, 7 if len(parts) == 1 else 5.5)
            axes.spines[:].set_visible(False)
            axes.set_ylim(longest - 0.5, -0.5)  # rows of both panels are of one height
        bar = figure.colorbar(
            image, ax=list(panels), location="bottom", shrink=0.9 / len(parts), aspect=30,
            fraction=0.6 / height, pad=0.1 / height,
        )  # fmt: skip
        mark = "* q or p < .05" if annotate else "dot: q (leaves) or p (parents) ≥ .05; cross: no test"
        models = n[np.isfinite(rho)]
        ends = dict.fromkeys(f"{v:.0f}" for v in (models.min(), models.max())) if len(models) else ()
        of = f"; n = {' to '.join(ends)} models" if ends else ""
        source = _shared_source(targets)
        whose = f" ({source})" if source else ""
        bar.set_label(f"Spearman ρ with the target{whose}{of}\n{mark}; grey: no estimate", fontsize=6.5)
        bar.outline.set_visible(False)
        return figure


def _shared_source(targets: Sequence[str]) -> str | None:
    """The source of all targets, where they have one in common."""
    sources = {source_of(t) for t in targets}
    return sources.pop() if len(sources) == 1 else None


def _columns(axes: "Axes", kinds: Mapping[str, Sequence[str]], size: float) -> None:
    """Targets above the columns, with a rule between their kinds; a source of all is said once, below."""
    targets = [t for of_kind in kinds.values() for t in of_kind]
    shared = _shared_source(targets)
    labels = short((target_label(with_source(t, None) if shared else t) for t in targets), 44)
    axes.set_xticks(range(len(targets)))
    axes.set_xticklabels(list(labels.values()), rotation=90, ha="center", va="bottom", fontsize=size)
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0)
    at = 0
    for of_kind in list(kinds.values())[:-1]:
        at += len(of_kind)
        axes.axvline(at - 0.5, color="white", linewidth=2.5, gid="kind")


def _parts(is_leaf: Sequence[bool]) -> list[tuple[int, int]]:
    """First and past-the-last row of each panel."""
    count = len(is_leaf)
    if count <= PER_PANEL:
        return [(0, count)]
    at = min((i for i in range(count) if not is_leaf[i]), key=lambda i: abs(i - count / 2))
    return [(0, at), (at, count)]


def _mark(axes: "Axes", rho: "Cells", level: "Cells", annotate: bool) -> None:
    """What is not significant, or the numbers."""
    import numpy as np

    if not annotate:
        untested = np.isnan(level) & np.isfinite(rho)
        for marked, marker, size, gid in (
            (level >= LEVEL, ".", 2.2, "weak"),
            (untested, "x", 2.0, "untested"),
        ):
            rows, columns = np.nonzero(marked)
            axes.plot(columns, rows, marker, color="0.25", markersize=size, markeredgewidth=0.5, gid=gid)
        return
    for r, c in np.argwhere(np.isfinite(rho)):
        shade = "white" if abs(rho[r, c]) > 0.6 else "black"
        star = "*" if level[r, c] < LEVEL else ""
        axes.text(c, r, f"{rho[r, c]:.2f}{star}", ha="center", va="center", fontsize=4.5, color=shade)


def _name(axes: "Axes", benchmarks: "pd.DataFrame", names: Sequence[str], count: int, *, whole: bool) -> None:
    """`names` left of the rows, indented by depth; categories and the rules between them."""
    axes.set_yticks([])
    size, step = (SIZE, 7.0) if whole else (SIZE - 0.7, 3.5)
    weights = ["normal" if is_leaf else "bold" for is_leaf in benchmarks["is_leaf"]]
    # in points, measured: spaces and an average width per letter differ between bold and normal
    indents = [step * int(d) for d in benchmarks["depth"]]
    widest = max(i + _width(b, w, size) for i, b, w in zip(indents, names, weights, strict=True))
    for row, (name, weight, indent, category) in enumerate(
        zip(names, weights, indents, benchmarks["category"], strict=True)
    ):
        axes.annotate(
            name,
            (0, row),
            (indent - 1.03 * widest - 6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=size,
            fontweight=weight,
            color=CATEGORY_COLORS.get(category, CATEGORY_COLORS[None]),
            gid="benchmark",
        )
    for start, stop, category in by_category(list(benchmarks["category"])):
        if stop < len(names):
            axes.plot([-0.5, count - 0.5], [stop - 0.5] * 2, color="black", linewidth=1.1, gid="rule")
        if category is not None:
            axes.text(
                count - 0.3, (start + stop - 1) / 2, category, va="center", ha="left", fontsize=size + 1,
                fontweight="bold", color=CATEGORY_COLORS[category], gid="category",
                rotation=0 if whole else 270,
            )  # fmt: skip
