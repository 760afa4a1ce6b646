"""Spearman rho of every benchmark with every target, in tree order."""

from typing import TYPE_CHECKING

from alignsec.figures import CATEGORY_COLORS, style, target_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LEVEL = 0.05
SIZE = 6.0  # points, of the benchmarks' names


def _width(text: str, weight: str) -> float:
    """Width in points of a benchmark's name."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=SIZE, prop=FontProperties(weight=weight)).get_extents().x1)


def draw(
    correlations: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    *,
    annotate: bool = False,
    colormap: str = "vlag",
) -> "Figure":
    """Rows: benchmarks, indented by depth, parents bold; columns: targets; colour: rho from -1 to 1.

    A dot marks a cell with q (leaves) or p (parents) of .05 and above; grey: no estimate.
    """
    import matplotlib as mpl
    import numpy as np
    import seaborn  # noqa: F401 - registers its colour maps with matplotlib
    from matplotlib.figure import Figure

    order = list(benchmarks["benchmark"])
    targets = list(dict.fromkeys(correlations["target"]))

    def grid(column: str) -> "np.ndarray":
        wide = correlations.pivot(index="benchmark", columns="target", values=column)
        return wide.reindex(index=order, columns=targets).to_numpy(float)

    rho, p, q = grid("rho"), grid("p"), grid("q")
    leaf = benchmarks["is_leaf"].to_numpy(bool)[:, None]
    weak = np.where(leaf, q, p) >= LEVEL
    with style():
        height = 0.135 * len(order) + 1.9
        figure = Figure(figsize=(4.0 + 0.34 * len(targets), height), layout="constrained")
        axes = figure.add_subplot()
        colours = mpl.colormaps[colormap].with_extremes(bad="0.82")
        image = axes.imshow(
            np.ma.masked_invalid(rho), cmap=colours, vmin=-1, vmax=1, aspect="auto", interpolation="none"
        )
        rows, columns = np.nonzero(weak & np.isfinite(rho))
        if not annotate:
            axes.plot(columns, rows, ".", color="0.25", markersize=2.2, gid="weak")
        else:
            for r, c in np.argwhere(np.isfinite(rho)):
                shade = "white" if abs(rho[r, c]) > 0.6 else "black"
                star = "" if weak[r, c] else "*"
                axes.text(c, r, f"{rho[r, c]:.2f}{star}", ha="center", va="center", fontsize=4.5, color=shade)
        axes.set_yticks([])
        weights = ["normal" if is_leaf else "bold" for is_leaf in leaf[:, 0]]
        # in points, measured: spaces and an average width per letter differ between bold and normal
        indents = [7.0 * int(d) for d in benchmarks["depth"]]
        widest = max(i + _width(b, w) for i, b, w in zip(indents, order, weights, strict=True))
        for row, (name, weight, indent, category) in enumerate(
            zip(order, weights, indents, benchmarks["category"], strict=True)
        ):
            axes.annotate(
                name,
                (0, row),
                (indent - 1.03 * widest - 6, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                fontsize=SIZE,
                fontweight=weight,
                color=CATEGORY_COLORS.get(category, CATEGORY_COLORS[None]),
                gid="benchmark",
            )
        axes.set_xticks(range(len(targets)))
        axes.set_xticklabels(
            [target_label(t) for t in targets], rotation=60, ha="left", rotation_mode="anchor"
        )
        axes.xaxis.tick_top()
        axes.tick_params(axis="x", length=0)
        axes.spines[:].set_visible(False)
        categories = [c if isinstance(c, str) else None for c in benchmarks["category"]]
        start = 0
        for i in range(1, len(order) + 1):
            if i == len(order) or categories[i] != categories[start]:
                if i < len(order):
                    axes.axhline(i - 0.5, color="black", linewidth=1.1)
                if (category := categories[start]) is not None:
                    axes.text(
                        len(targets) - 0.3, (start + i - 1) / 2, category, va="center", ha="left", fontsize=SIZE + 1,
                        fontweight="bold", color=CATEGORY_COLORS[category], gid="category",
                    )  # fmt: skip
                start = i
        bar = figure.colorbar(
            image, ax=axes, location="bottom", shrink=0.9, aspect=30, fraction=0.6 / height, pad=0.1 / height
        )
        mark = "* q or p < .05" if annotate else "dot: q (leaves) or p (parents) ≥ .05"
        bar.set_label(f"Spearman ρ with the target; {mark}; grey: too few models", fontsize=6.5)
        bar.outline.set_visible(False)
        return figure
