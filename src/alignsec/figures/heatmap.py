"""Spearman rho of every benchmark with every target, in tree order."""

from typing import TYPE_CHECKING

from alignsec.figures import CATEGORY_COLORS, style, target_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LEVEL = 0.05


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
        figure = Figure(figsize=(3.6 + 0.34 * len(targets), height), layout="constrained")
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
        axes.set_yticks(range(len(order)))
        labels = [
            "   " * int(d) + b for b, d in zip(benchmarks["benchmark"], benchmarks["depth"], strict=True)
        ]
        axes.set_yticklabels(labels, fontsize=6, ha="left")
        widest = max(len(t) for t in labels)
        axes.tick_params(axis="y", length=0, pad=3.25 * widest)
        for tick, is_leaf, category in zip(
            axes.get_yticklabels(), leaf[:, 0], benchmarks["category"], strict=True
        ):
            tick.set_fontweight("normal" if is_leaf else "bold")
            tick.set_color(CATEGORY_COLORS.get(category, CATEGORY_COLORS[None]))
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
                        len(targets) - 0.3, (start + i - 1) / 2, category, rotation=-90, va="center",
                        ha="left", fontsize=8, fontweight="bold", color=CATEGORY_COLORS[category],
                    )  # fmt: skip
                start = i
        bar = figure.colorbar(
            image, ax=axes, location="bottom", shrink=0.9, aspect=30, fraction=0.6 / height, pad=0.1 / height
        )
        mark = "* q or p < .05" if annotate else "dot: q (leaves) or p (parents) ≥ .05"
        bar.set_label(f"Spearman ρ with the target; {mark}; grey: too few models", fontsize=6.5)
        bar.outline.set_visible(False)
        return figure
