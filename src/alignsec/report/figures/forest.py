"""Leaf benchmarks and one target: correlations with intervals over families, given clean accuracy and raw."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import CATEGORY_COLORS, LEVEL, PAGE, message, short, style, target_label
from alignsec.report.reading import middle_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENGINEERING = "engineering"  # accuracies, and no human-likeness: a block of their own
_FEWER = 3  # so many times fewer rows of them
_PANELS = {"partial": ("partial_rho", "partial_low", "partial_high", "partial_q"),
           "raw": ("rho", "rho_low", "rho_high", "q")}  # fmt: skip


def of_study(tables: Mapping[str, Any], options: Mapping[str, Any]) -> "dict[str, Figure]":
    """The leaves with the target that there is room for."""
    table = tables["correlations"]
    return {"forest": draw(table, middle_of(tables["total"], table["target"], tables.get("plan")), **options)}


def chosen(leaves: "pd.DataFrame", by: str, rows: int) -> "pd.DataFrame":
    """The `rows` leaves of largest |`by`| and every one with a q below .05, from the largest `by` down.

    Leaves of engineering benchmarks come last, a third as many of them.
    """
    import pandas as pd

    known = leaves[leaves[by].notna()]
    sure = (known[["q", "partial_q"]] < LEVEL).any(axis=1)
    blocks = []
    for block, most in (
        (known[known["category"] != ENGINEERING], rows),
        (known[known["category"] == ENGINEERING], -(-rows // _FEWER)),
    ):
        strongest = block[by].abs().sort_values(ascending=False, kind="stable").index[:most]
        kept = block[block.index.isin(strongest) | sure[block.index]]
        blocks.append(kept.sort_values(by, ascending=False, kind="stable"))
    return pd.concat(blocks)


def draw(correlations: "pd.DataFrame", target: str, *, rows: int = 30) -> "Figure":
    """Leaves as `chosen` has them, sorted by the left panel: given clean accuracy where it was measured.

    Filled: q < .05; hollow: not; colour: category; grey bar: leaving out any one family.
    """
    import numpy as np
    from matplotlib.figure import Figure

    with style():
        mine = correlations[(correlations["target"] == target) & correlations["is_leaf"]]
        panels = [p for p in _PANELS if mine[_PANELS[p][0]].notna().any()]
        if not panels:
            return message(f"No leaf benchmark has an estimate with {target_label(target)}.")
        by = _PANELS[panels[0]][0]
        shown = chosen(mine, by, rows)
        engineering = (shown["category"] == ENGINEERING).to_numpy()
        place = np.arange(len(shown)) + 0.8 * engineering
        step = min(0.155, 9.0 / len(shown))
        figure = Figure(figsize=(PAGE, step * (len(shown) + 1) + 1.4), layout="constrained")
        grid = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
        control = shown["control"].dropna()
        titles = {
            "partial": f"given {target_label(control.iloc[0])}" if len(control) else "",
            "raw": "raw" if len(panels) > 1 else "raw: no clean accuracy to control",
        }
        titles[panels[0]] = f"Spearman ρ with {target_label(target)},\n{titles[panels[0]]}"
        for axes, panel in zip(grid, panels, strict=True):
            _panel(axes, shown, place, panel)
            axes.set_title(titles[panel], loc="left")
            axes.set_ylim(place[-1] + 0.6, -0.6)
        _rows(grid[0], shown, place, 6 if step > 0.12 else 5)
        if engineering.any() and not engineering.all():
            for axes in grid:
                axes.axhline(place[engineering][0] - 0.9, color="0.6", linewidth=0.6, linestyle=":")
        known = shown[["rho_low", "partial_low"]].notna().any(axis=None)
        lines = "" if known else "; no intervals: too few models or families"
        of = int(mine[by].notna().sum())
        figure.supxlabel(
            f"{len(shown)} of {of} leaf benchmarks, n in brackets, from the largest ρ of the left panel "
            f"down{lines}", fontsize=6.5,
        )  # fmt: skip
        _legend(figure, list(shown["category"]), raw="raw" in panels, lines=bool(known))
        return figure


def _panel(axes: "Axes", shown: "pd.DataFrame", place: "np.ndarray[Any, Any]", panel: str) -> None:
    import numpy as np

    value, low, high, q = (shown[c].to_numpy(float) for c in _PANELS[panel])
    colours = [CATEGORY_COLORS.get(c, CATEGORY_COLORS[None]) for c in shown["category"]]
    sure = q < LEVEL
    axes.axvline(0, color="0.6", linewidth=0.8)
    if panel == "raw":
        axes.hlines(place, shown["lofo_low"], shown["lofo_high"], color="0.8", linewidth=4, gid="lofo",
                    zorder=1)  # fmt: skip
    axes.hlines(place, low, high, color=colours, linewidth=1.1, gid="interval")
    for filled, gid in ((sure, "sure"), (~sure, "unsure")):
        mine = [c for c, s in zip(colours, filled, strict=True) if s]
        axes.scatter(value[filled], place[filled], s=14, facecolors=mine if gid == "sure" else "white",
                     linewidths=0.9, zorder=3, gid=gid, edgecolors=mine)  # fmt: skip
    axes.set_xlim(-1, 1)
    axes.set_xticks(np.linspace(-1, 1, 5))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _rows(axes: "Axes", shown: "pd.DataFrame", place: "np.ndarray[Any, Any]", size: float) -> None:
    """Names beside the rows, in the colour of their category."""
    names = short(shown["benchmark"])
    axes.set_yticks(place)
    axes.set_yticklabels(
        [f"{names[b]}  ({n})" for b, n in zip(shown["benchmark"], shown["n"], strict=True)], fontsize=size
    )
    for label, category in zip(axes.get_yticklabels(), shown["category"], strict=True):
        label.set_color(CATEGORY_COLORS.get(category, CATEGORY_COLORS[None]))


def _legend(figure: "Figure", categories: Sequence[object], *, raw: bool, lines: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    point: dict[str, Any] = {"color": "0.3", "marker": "o", "markersize": 4, "linestyle": ""}
    handles: list[Line2D | Patch] = [
        Line2D([], [], **point, label="q < .05"),
        Line2D([], [], **point, markerfacecolor="white", label="q ≥ .05 or no test"),
    ]
    if lines:
        handles.append(Line2D([], [], color="0.3", linewidth=1.1, label="95 % interval over families"))
    if raw:
        handles.append(Line2D([], [], color="0.8", linewidth=4, label="range without any one family"))
    for category in dict.fromkeys(c if isinstance(c, str) else None for c in categories):
        words = {None: "no category", ENGINEERING: "engineering: accuracies, no human-likeness"}
        handles.append(Patch(color=CATEGORY_COLORS.get(category, CATEGORY_COLORS[None]),
                             label=words.get(category, category)))  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", frameon=False, ncols=4, columnspacing=1.2,
                  handlelength=1.4)  # fmt: skip
