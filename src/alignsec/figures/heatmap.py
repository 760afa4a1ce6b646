"""Spearman's rho of every benchmark and target, as a heatmap."""

from typing import TYPE_CHECKING

from alignsec import figures
from alignsec.errors import AlignsecError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

ALPHA = 0.05
_SIZE = 7.0  # points, of all labels
_INDENT = 0.1  # inches per level of the tree


def grid(correlations: "pd.DataFrame", benchmarks: "pd.DataFrame") -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """What the heatmap shows: rho, and which p it goes by, both benchmark x target.

    Returns
    -------
    (rho, significance)
        Rows in tree order, columns in the order of `correlations`; `significance` is q of a leaf and p of a
        parent, which has no q.
    """
    parents = benchmarks["parent"].where(benchmarks["parent"].notna(), None)
    order = figures.tree_order(list(benchmarks["benchmark"]), list(parents))
    targets = list(dict.fromkeys(correlations["target"]))
    table = correlations.assign(s=correlations["q"].where(correlations["is_leaf"], correlations["p"]))
    wide = table.pivot(index="benchmark", columns="target", values=["rho", "s"])
    return (
        wide["rho"].reindex(index=order, columns=targets).astype(float),
        wide["s"].reindex(index=order, columns=targets).astype(float),
    )


@figures.style()
def draw(
    correlations: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    *,
    annotate: bool = False,
    colormap: str = "vlag",
) -> "Figure":
    """All benchmarks (rows, depth first, parents bold) by all targets (columns), coloured by Spearman's rho.

    Cells that are not significant carry a dot, cells without an estimate are hatched grey.

    Parameters
    ----------
    correlations : table of kind ``correlations``
    benchmarks : table of kind ``benchmarks``
    annotate : write rho into the cells
    colormap : a diverging map of matplotlib or seaborn for rho in [-1, 1]

    Raises
    ------
    AlignsecError
        There is no such colour map.
    """
    import numpy as np
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    cmap = _colormap(colormap)
    if correlations.empty or benchmarks.empty:
        return figures.message("No benchmark and target to correlate.")
    rho, significance = grid(correlations, benchmarks)
    about = benchmarks.set_index("benchmark").loc[rho.index]
    n_rows, n_columns = rho.shape

    # everything is placed in inches from the texts' own widths: no layout engine copes with 130 rows
    depth = about["depth"].to_numpy()
    weights = ["normal" if leaf else "bold" for leaf in about["is_leaf"]]
    ends = [
        d * _INDENT + figures.text_width(name, _SIZE, weight)
        for d, name, weight in zip(depth, rho.index, weights, strict=True)
    ]
    heads = [figures.target_label(t) for t in rho.columns]
    head = max(figures.text_width(h, _SIZE) for h in heads) + 0.1
    row, column = (0.135 if n_rows > 40 else 0.18), 0.36
    tall = n_rows > 60  # so tall that the column labels are wanted at the foot as well
    label, strip, names, edge = max(ends) + 0.1, 0.07, 0.72, 0.06
    cells, height = column * n_columns, row * n_rows
    foot = (head if tall else 0.1) + 0.95
    width = max(edge + label + cells + strip + 0.06 + names + edge, 3.6)
    total = edge + head + height + foot
    fig = Figure(figsize=(width, total))

    def axes(left: float, bottom: float, w: float, h: float) -> "Axes":
        return fig.add_axes((left / width, bottom / total, w / width, h / total))

    labels = axes(edge, foot, label, height)
    ax = axes(edge + label, foot, cells, height)
    side = axes(edge + label + cells + 0.05, foot, strip, height)
    bar = axes(edge + 0.1, 0.72, min(2.4, width - 1), 0.09)

    values = rho.to_numpy()
    ax.patch.set(facecolor="0.86", edgecolor="0.6", hatch="///////")
    ax.pcolormesh(
        np.arange(n_columns + 1) - 0.5,
        np.arange(n_rows + 1) - 0.5,
        np.ma.masked_invalid(values),
        cmap=cmap.with_extremes(bad=(0, 0, 0, 0)),
        norm=Normalize(-1, 1),
        edgecolors="white",
        linewidth=0.4,
    )
    ax.set(xlim=(-0.5, n_columns - 0.5), ylim=(n_rows - 0.5, -0.5), yticks=[])
    ax.set_xticks(range(n_columns), heads, rotation=90)
    ax.tick_params(length=0, pad=3, labelsize=_SIZE, top=True, labeltop=True, bottom=tall, labelbottom=tall)
    ax.spines[:].set_visible(False)

    rows, columns = np.nonzero(np.isfinite(values) & ~(significance.to_numpy() < ALPHA))
    shift = (0.4, -0.3) if annotate else (0.0, 0.0)  # out of the number's way
    ax.scatter(
        columns + shift[0], rows + shift[1], s=1.5 if annotate else 4, c="0.15", lw=0, gid="not significant"
    )
    if annotate:
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                light = abs(value) < 0.6
                text = f"{value:.2f}".replace("0.", ".").replace("-", "−")
                ax.text(
                    j, i + 0.04, text, ha="center", va="center", size=6, color="0.1" if light else "white"
                )

    labels.set(xlim=(0, label), ylim=ax.get_ylim())
    for i, (name, weight, end) in enumerate(zip(rho.index, weights, ends, strict=True)):
        labels.text(depth[i] * _INDENT, i, name, size=_SIZE, weight=weight, va="center_baseline")
        if end + 0.2 < label:
            labels.plot([end + 0.06, label - 0.03], [i, i], color="0.85", lw=0.4)
    labels.axis("off")

    side.set(xlim=(0, 1), ylim=ax.get_ylim())
    side.axis("off")
    category = [None if c is None or c != c else str(c) for c in about["category"]]
    starts = [i for i in range(n_rows) if i == 0 or category[i] != category[i - 1]]
    for start, stop in zip(starts, [*starts[1:], n_rows], strict=True):
        color = figures.CATEGORY_COLORS.get(category[start], "0.5")
        side.axhspan(start - 0.42, stop - 0.58, color=color, lw=0)
        side.text(
            1.9,
            (start + stop - 1) / 2,
            figures.category_label(category[start]),
            size=_SIZE,
            weight="bold",
            va="center",
            color=color,
        )
        if start:
            for each in (labels, ax):
                each.axhline(start - 0.5, color="black", lw=1.1, clip_on=False, gid="category")

    fig.colorbar(ScalarMappable(Normalize(-1, 1), cmap), cax=bar, orientation="horizontal")
    bar.set_title("Spearman's ρ", size=_SIZE, pad=3)
    bar.tick_params(labelsize=_SIZE, length=2, pad=2)
    dot = Line2D([], [], color="0.15", marker="o", ms=2, lw=0)
    fig.legend(
        handles=[dot, Patch(facecolor="0.86", edgecolor="0.6", hatch="///////")],
        labels=[f"q ≥ {ALPHA:g}; parents (bold): p ≥ {ALPHA:g}", "no estimate: too few models, or constant"],
        loc="lower left",
        bbox_to_anchor=(edge / width, 0.04 / total),
        borderaxespad=0,
        borderpad=0,
        handlelength=1.4,
        fontsize=_SIZE,
    )
    return fig


def _colormap(name: str) -> "Colormap":
    import matplotlib

    if name not in matplotlib.colormaps:
        import seaborn  # noqa: F401 - registers its maps
    try:
        return matplotlib.colormaps[name]
    except KeyError as error:
        raise AlignsecError(
            f"figures.heatmap.colormap: {name!r} is no colour map of matplotlib or seaborn: try vlag or RdBu_r"
        ) from error
