"""Robust accuracy on one alignment score, with the least-squares line of every epsilon."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import COLUMN, family_styles, message, p_text, style, target_colors, target_label
from alignsec.study.targets import robust

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = 6  # families with a marker of their own; more cannot be told apart at this size


def numbers(row: Any) -> str:
    """A row of `correlations` as a legend says it: R², rho with its interval, the family test's p, n."""
    import pandas as pd

    rho = f"ρ = {row['rho']:.2f}"  # true minus signs below, as on the axes
    if pd.notna(row["rho_low"]):
        rho += f" [{row['rho_low']:.2f}, {row['rho_high']:.2f}]"
    p = f", {p_text(float(row['p']))}" if pd.notna(row["p"]) else ""
    return f"R² = {row['r2']:.2f}, {rho}{p}, n = {row['n']}".replace("-", "−")


def of_study(tables: "Mapping[str, pd.DataFrame]", options: Mapping[str, Any]) -> "dict[str, Figure]":
    """A drawing per average of the leaderboard."""
    total, table = tables["total"], tables["correlations"]
    return {
        f"scatter_{kind}": draw(
            total, table, f"{kind}_vision", robust(table["target"]), title=f"{kind} alignment", **options
        )
        for kind in ("average", "neural", "behavior", "engineering")
    }


def draw(
    total: "pd.DataFrame",
    correlations: "pd.DataFrame",
    benchmark: str,
    targets: Sequence[str],
    *,
    title: str | None = None,
    point_size: float = 18,
) -> "Figure":
    """One point per model and target, one colour per target, one marker per large family; line and numbers of
    `correlations`."""
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    with style():
        if benchmark not in total.columns:
            return message(f"The leaderboard has no {benchmark}.")
        x = total[benchmark].to_numpy(float)
        rows = correlations[correlations["benchmark"] == benchmark].set_index("target")
        if not any(np.isfinite(x * total[t].to_numpy(float)).any() for t in targets):
            return message(f"No model has both {benchmark} and a robustness value.")
        family = total["family"].to_numpy(dtype=str)
        markers = {f: m for f, (_, m) in family_styles(family[np.isfinite(x)], MARKERS).items()}
        figure = Figure(figsize=(COLUMN, 3.9), layout="constrained")
        axes = figure.add_subplot()
        handles = []
        for target, colour in target_colors(targets).items():
            y = total[target].to_numpy(float)
            both = np.isfinite(x) & np.isfinite(y)
            row = rows.loc[target]
            label = f"{target_label(target)}: n = {row['n']}"
            if np.isfinite(row["slope"]):
                label = f"{target_label(target)}:\n{numbers(row)}"
                ends = np.array([x[both].min(), x[both].max()])
                axes.plot(
                    ends, row["intercept"] + row["slope"] * ends, color=colour, linewidth=1.2, gid=target
                )
            shown = {"other": both & ~np.isin(family, list(markers))}
            for name, chosen in (shown | {f: both & (family == f) for f in markers}).items():
                if chosen.any():
                    axes.scatter(
                        x[chosen], y[chosen], s=point_size, color=[colour], alpha=0.75, linewidths=0,
                        marker=markers.get(name, "o"), gid=f"{target} {name}",
                    )  # fmt: skip
            handles.append(
                Line2D([], [], color=colour, marker="o", markersize=3.5, linewidth=1.2, label=label)
            )
        axes.set_xlabel(f"alignment: {benchmark}")
        axes.set_ylabel("accuracy under attack")
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(title or benchmark, loc="left")
        figure.legend(
            handles=handles, loc="outside lower left", frameon=False, handletextpad=0.4, borderaxespad=0.1
        )
        if markers:
            _name(axes, markers)
        return figure


def _name(axes: "Axes", markers: Mapping[str, str]) -> None:
    """The families' markers."""
    from matplotlib.lines import Line2D

    kinds = [
        Line2D([], [], color="0.35", marker=m, markersize=3.5, linestyle="", label=f)
        for f, m in [*markers.items(), ("other", "o")]
    ]
    axes.legend(
        handles=kinds, fontsize=5.5, frameon=False, ncols=2, loc="best", handletextpad=0.1, columnspacing=0.6,
        labelspacing=0.25,
    )  # fmt: skip
