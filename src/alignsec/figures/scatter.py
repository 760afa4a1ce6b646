"""Robust accuracy on one alignment score, with the least-squares line of every epsilon."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alignsec.figures import COLUMN, message, style, target_colors, target_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def p_text(p: float) -> str:
    """A p-value as papers write it."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def draw(
    total: "pd.DataFrame",
    correlations: "pd.DataFrame",
    benchmark: str,
    targets: Sequence[str],
    *,
    title: str | None = None,
    point_size: float = 18,
) -> "Figure":
    """One point per model and target, one colour per target; line, R², p, rho and n as in `correlations`."""
    import numpy as np
    from matplotlib.figure import Figure

    with style():
        if benchmark not in total.columns:
            return message(f"The leaderboard has no {benchmark}.")
        x = total[benchmark].to_numpy(float)
        rows = correlations[correlations["benchmark"] == benchmark].set_index("target")
        if not any(np.isfinite(x * total[t].to_numpy(float)).any() for t in targets):
            return message(f"No model has both {benchmark} and a robustness value.")
        figure = Figure(figsize=(COLUMN, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for target, colour in target_colors(targets).items():
            y = total[target].to_numpy(float)
            both = np.isfinite(x) & np.isfinite(y)
            row = rows.loc[target]
            label = f"{target_label(target)}: n = {row['n']}"
            if np.isfinite(row["slope"]):
                label = (
                    f"{target_label(target)}: R² = {row['r2']:.2f}, {p_text(float(row['p_ols']))}, "
                    f"ρ = {row['rho']:.2f}, n = {row['n']}"
                )
                ends = np.array([x[both].min(), x[both].max()])
                axes.plot(
                    ends, row["intercept"] + row["slope"] * ends, color=colour, linewidth=1.2, gid=target
                )
            axes.scatter(
                x[both],
                y[both],
                s=point_size,
                color=[colour],
                alpha=0.75,
                linewidths=0,
                label=label,
                gid=target,
            )
        axes.set_xlabel(f"alignment: {benchmark}")
        axes.set_ylabel("accuracy under attack")
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(title or benchmark, loc="left")
        figure.legend(loc="outside lower left", frameon=False, handletextpad=0.2, borderaxespad=0.1)
        return figure
