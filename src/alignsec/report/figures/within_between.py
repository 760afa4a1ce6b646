"""Is a correlation one of models, or of families? Within families against between them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import CATEGORY_COLORS, COLUMN, message, short, style, target_label
from alignsec.report.reading import middle_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NAMED = 5  # benchmarks with their name beside them: those where within and between differ most


def of_study(tables: "Mapping[str, pd.DataFrame]", options: Mapping[str, Any]) -> "dict[str, Figure]":
    """The leaves with the target that there is room for."""
    table = tables["correlations"]
    return {"within_between": draw(table, middle_of(tables["total"], table["target"]), **options)}


def draw(correlations: "pd.DataFrame", target: str) -> "Figure":
    """One point per leaf: correlation of ranks within families (y) and of the families' mean ranks (x)."""
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
        for category, part in mine.groupby("category", sort=False, dropna=False):
            key = category if isinstance(category, str) else None
            axes.scatter(
                part["rho_between"], part["rho_within"], s=14, color=CATEGORY_COLORS[key], alpha=0.85,
                linewidths=0, label=f"{key or 'no category'} ({len(part)})", gid=key or "none",
            )  # fmt: skip
        gap = (mine["rho_within"] - mine["rho_between"]).abs().sort_values(ascending=False, kind="stable")
        for number, index in enumerate(gap.index[:NAMED], 1):
            row = mine.loc[index]
            point = row["rho_between"], row["rho_within"]
            axes.annotate(str(number), point, (2, 2), textcoords="offset points", fontsize=6,
                          fontweight="bold")  # fmt: skip
        names = short(mine.loc[gap.index[:NAMED], "benchmark"], 52)
        named = [f"{number}  {name}" for number, name in enumerate(names.values(), 1)]
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("ρ between families\n" + "\n".join(named), fontsize=6.5, loc="left", linespacing=1.3)
        axes.set_ylabel("ρ within families")
        axes.set_title(target_label(target), loc="left")
        figure.legend(frameon=False, loc="outside upper left", ncols=3, handletextpad=0.1, columnspacing=1)
        return figure
