"""Is a correlation one of models, or of families? Within families against between them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import CATEGORY_COLORS, COLUMN, message, short, style, target_label
from alignsec.report.reading import middle_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

NAMED = 5  # benchmarks with their name below: those where within and between differ most


def of_study(tables: Mapping[str, Any], options: Mapping[str, Any]) -> "dict[str, Figure]":
    """The leaves with the target that there is room for."""
    table = tables["correlations"]
    return {
        "within_between": draw(
            table, middle_of(tables["total"], table["target"], tables.get("plan")), **options
        )
    }


def draw(correlations: "pd.DataFrame", target: str) -> "Figure":
    """One point per leaf: correlation of ranks within families (y) and of the families' mean ranks (x).

    Filled: the 95 % interval of the one within families leaves out 0; bars: that interval, of those numbered.
    """
    import numpy as np
    from matplotlib.figure import Figure

    with style():
        mine = correlations[(correlations["target"] == target) & correlations["is_leaf"]]
        mine = mine[mine["rho_within"].notna() & mine["rho_between"].notna()]
        if mine.empty:
            return message("Too few families, or too few models in them, to tell within from between.")
        figure = Figure(figsize=(COLUMN, 3.5), layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(0, color="0.75", linewidth=0.7)
        axes.axvline(0, color="0.75", linewidth=0.7)
        axes.plot([-1, 1], [-1, 1], color="0.75", linewidth=0.7, linestyle="--")
        counts: dict[str | None, str] = {}
        for category, part in mine.groupby("category", sort=False, dropna=False):
            key = category if isinstance(category, str) else None
            counts[key] = f"{key or 'no category'} ({len(part)})"
            low, high = (part[f"rho_within_{end}"].to_numpy(float) for end in ("low", "high"))
            apart = (low > 0) | (high < 0)
            colour = CATEGORY_COLORS[key]
            axes.scatter(
                part["rho_between"], part["rho_within"], s=13, edgecolors=colour, linewidths=0.8,
                facecolors=np.where(apart, colour, "white"), gid=key or "none", zorder=2,
            )  # fmt: skip
        gap = (mine["rho_within"] - mine["rho_between"]).abs().sort_values(ascending=False, kind="stable")
        for number, index in enumerate(gap.index[:NAMED], 1):
            row = mine.loc[index]
            point = row["rho_between"], row["rho_within"]
            colour = CATEGORY_COLORS.get(row["category"], CATEGORY_COLORS[None])
            axes.vlines(point[0], row["rho_within_low"], row["rho_within_high"], color=colour, linewidth=0.9,
                        gid="interval", zorder=1)  # fmt: skip
            axes.annotate(str(number), point, (2, 2), textcoords="offset points", fontsize=6,
                          fontweight="bold")  # fmt: skip
        names = short(mine.loc[gap.index[:NAMED], "benchmark"], 56)
        named = [f"{number}  {name}" for number, name in enumerate(names.values(), 1)]
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("ρ between families\n" + "\n".join(named), fontsize=6.5, loc="left", linespacing=1.3)
        axes.set_ylabel("ρ within families")
        axes.set_title(target_label(target), loc="left")
        handles = [_point(CATEGORY_COLORS[k], CATEGORY_COLORS[k], said) for k, said in counts.items()]
        if mine["rho_within_low"].notna().any():
            handles.append(_point("0.3", "white", "hollow: interval within families holds 0"))
        figure.legend(handles=handles, frameon=False, loc="outside upper left", ncols=2, handletextpad=0.1,
                      columnspacing=1)  # fmt: skip
        return figure


def _point(edge: str, face: str, label: str) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], color=edge, marker="o", markersize=4, markerfacecolor=face, linestyle="", label=label
    )
