"""Robust accuracy on alignment: one point per model and epsilon, one straight line per epsilon."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alignsec import figures
from alignsec.errors import AlignsecError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_MARKERS = "os^DvPX*"  # besides the colour, for print in grey


@figures.style()
def draw(
    total: "pd.DataFrame",
    correlations: "pd.DataFrame",
    benchmark: str,
    targets: Sequence[str],
    *,
    title: str | None = None,
    point_size: float = 18,
) -> "Figure":
    """Robust top-1 accuracy (y) on `benchmark` (x) for the ``robust_top1`` targets among `targets`.

    Lines and the numbers in the legend are those of `correlations`; nothing is estimated here.

    Parameters
    ----------
    total : table of kind ``total_scores``; a model counts at an epsilon if it has both values
    correlations : table of kind ``correlations``
    targets : all targets of the study, so that colours agree between figures
    point_size : area of a marker, points squared

    Raises
    ------
    AlignsecError
        The benchmark or a target is no column of `total`, or has no row in `correlations`.
    """
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    robust = [t for t in figures.by_epsilon(targets) if t.startswith("robust_top1@")]
    colors = figures.epsilon_colors(robust)
    for name in (benchmark, *robust):
        if name not in total.columns:
            raise AlignsecError(f"{name!r} is no column of the joined table")
    rows = correlations[correlations["benchmark"] == benchmark].set_index("target")
    lacking = [t for t in robust if t not in rows.index]
    if lacking:
        raise AlignsecError(f"the correlations have no row for {benchmark!r} and {lacking[0]!r}")

    fig = Figure(figsize=(figures.COLUMN, 2.5 + 0.14 * len(robust)), layout="constrained")
    ax = fig.add_subplot()
    ax.set(xlabel=f"score on {benchmark}", ylabel="robust top-1 accuracy", title=title or "")
    x = total[benchmark].to_numpy(dtype="float64", na_value=np.nan)
    handles: list[Line2D] = []
    drawn = 0
    for i, target in enumerate(robust):
        y = total[target].to_numpy(dtype="float64", na_value=np.nan)
        both = np.isfinite(x) & np.isfinite(y)
        row, color, marker = rows.loc[target], colors[target], _MARKERS[i % len(_MARKERS)]
        drawn += int(both.sum())
        ax.scatter(
            x[both],
            y[both],
            s=point_size,
            marker=marker,
            color=color,
            alpha=0.75,
            edgecolors="white",
            linewidths=0.3,
            gid=target,
        )
        text = f"{figures.epsilon_label(target)}: "
        if np.isfinite(row["slope"]):
            ends = np.array([x[both].min(), x[both].max()])
            ax.plot(ends, row["intercept"] + row["slope"] * ends, color=color, gid=target)
            text += f"R² = {row['r2']:.2f}, ρ = {row['rho']:.2f}, n = {row['n']}".replace("-", "−")
        else:
            text += str(row["note"])
        line = "-" if np.isfinite(row["slope"]) else ""
        handles.append(
            Line2D([], [], color=color, marker=marker, ls=line, markersize=4, markeredgewidth=0, label=text)
        )
    if not drawn:
        ax.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
        reason = f"No model has both\n{benchmark}\nand a robust accuracy."
        ax.text(0.5, 0.5, reason, ha="center", va="center", color="0.25")
    else:
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, -0.04), min(high, 1.04))
    if handles:
        fig.legend(handles=handles, loc="outside lower center", handlelength=1.8, borderpad=0.1)
    return fig
