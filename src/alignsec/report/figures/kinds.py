"""The answer in one look: every kind of benchmarks with robustness, given clean accuracy, and its verdict."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import CATEGORY_COLORS, COLUMN, message, style, target_label
from alignsec.study.kinds import AREAS, ENGINEERING
from alignsec.study.targets import kind as kind_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PRIMARY = "primary"
# verdict -> marker, filled or not, what the legend says; others are drawn as the last
MARKS = {
    "supported": ("D", True, "supported"),
    "smaller": ("s", False, "smaller than the margin"),
    "cannot tell": ("o", False, "cannot tell"),
}
_ROW, _WIDTH = 0.18, 36  # inches, characters


def target_of(kinds: "pd.DataFrame") -> str | None:
    """The target that is drawn: the first adversarial one of a table of kind ``kinds``, else its first."""
    targets = list(dict.fromkeys(kinds["target"]))
    return next((t for t in targets if kind_of(t).startswith("adversarial")), next(iter(targets), None))


def shown(kinds: "pd.DataFrame", target: str, rows: str = PRIMARY) -> "pd.DataFrame":
    """The kinds of one target and selection of models by area, the largest estimate of an area first."""
    mine = kinds[(kinds["target"] == target) & (kinds["rows"] == rows)]
    mine = mine[mine["rho"].notna() | mine["raw_rho"].notna()]
    place = mine["area"].map({area: i for i, area in enumerate(AREAS)}).fillna(len(AREAS))
    order = mine.assign(_area=place, _rho=-mine["rho"].fillna(-2)).sort_values(
        ["_area", "_rho"], kind="stable"
    )
    return order.drop(columns=["_area", "_rho"])


def of_study(tables: "Mapping[str, pd.DataFrame]", options: Mapping[str, Any]) -> "dict[str, Figure]":
    """The kinds with the primary target under attack, primary rows."""
    return {"kinds": draw(tables["kinds"], **options)}


def draw(kinds: "pd.DataFrame") -> "Figure":
    """Of each kind the estimate given clean accuracy with its 95 % interval, that within families below it, a
    tick for the raw one; grey: the band of what is too small to matter, as the plan has it."""
    from matplotlib.figure import Figure

    with style():
        target = target_of(kinds)
        mine = kinds[:0] if target is None else shown(kinds, target)
        if target is None or mine.empty:
            return message(
                "No kind of benchmarks has an estimate: too few models have scores and robustness."
            )
        margin = float(mine["margin"].iloc[0])
        labels = [fill(f"{name} ({n})", _WIDTH) for name, n in zip(mine["name"], mine["n"], strict=True)]
        lines = sum(label.count("\n") for label in labels)
        height = _ROW * len(mine) + 0.05 * lines + 1.35
        figure = Figure(figsize=(COLUMN, height), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(-margin, margin, color="0.94", zorder=0)
        axes.axvline(0, color="0.6", linewidth=0.8, zorder=1)
        _draw(axes, mine, labels)
        axes.set_xlim(-1, 1)
        axes.set_xticks([-1, -0.5, 0, 0.5, 1])
        given = mine["control"].dropna()
        axes.set_xlabel(f"ρ with {target_label(target)}" + (", given clean accuracy" if len(given) else ""))
        _legend(figure, axes, mine, margin)
        return figure


def _draw(axes: "Axes", mine: "pd.DataFrame", labels: Sequence[str]) -> None:
    for place, (_, row) in enumerate(mine.iterrows()):
        colour = colour_of(str(row["area"]))
        marker, filled, _ = mark_of(str(row["verdict"]))
        axes.hlines(place, row["low"], row["high"], color=colour, linewidth=1.4, gid="interval", zorder=2)
        axes.hlines(
            place + 0.3, row["within_low"], row["within_high"], color=colour, linewidth=0.7, alpha=0.6,
            gid="within", zorder=2,
        )  # fmt: skip
        axes.plot(row["within_rho"], place + 0.3, ".", color=colour, markersize=3, alpha=0.6, zorder=3)
        axes.plot(
            row["raw_rho"], place, "|", color="0.25", markersize=7, markeredgewidth=0.9, zorder=3, gid="raw"
        )
        axes.plot(
            row["rho"], place, marker, color=colour, markersize=4.6, markeredgewidth=1,
            markerfacecolor=colour if filled else "white", zorder=4, gid="estimate",
        )  # fmt: skip
    axes.set_yticks(range(len(mine)))
    axes.set_yticklabels(labels, fontsize=5.5, linespacing=0.9)
    for label, area in zip(axes.get_yticklabels(), mine["area"], strict=True):
        label.set_color(colour_of(str(area)))
    areas = list(mine["area"])
    for i in range(1, len(areas)):
        if areas[i] != areas[i - 1]:
            axes.axhline(i - 0.5, color="0.85", linewidth=0.6, zorder=1)
    axes.set_ylim(len(mine) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def category_of(area: str) -> str:
    """The category that an area belongs to."""
    return area if area in (ENGINEERING, "behavior") else "neural"


def colour_of(area: str) -> str:
    """Of an area its category's colour."""
    return CATEGORY_COLORS[category_of(area)]


def mark_of(verdict: str) -> tuple[str, bool, str]:
    """How a verdict is drawn: marker, filled, word of the legend."""
    return next((m for begins, m in MARKS.items() if verdict.startswith(begins)), MARKS["cannot tell"])


def _legend(figure: "Figure", axes: "Axes", mine: "pd.DataFrame", margin: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    grey = "0.3"
    drawn = {mark_of(str(v)) for v in mine["verdict"]}
    entries: list[Any] = [
        Line2D([], [], marker=m, linestyle="none", color=grey, markersize=4.6, label=said,
               markerfacecolor=grey if filled else "white")
        for m, filled, said in MARKS.values() if (m, filled, said) in drawn
    ]  # fmt: skip
    entries.append(Line2D([], [], color=grey, linewidth=1.4, label="95 % interval over families"))
    if mine["within_rho"].notna().any():
        entries.append(Line2D([], [], color=grey, linewidth=0.7, alpha=0.6, marker=".", markersize=3,
                              label="within families"))  # fmt: skip
    entries.append(Line2D([], [], marker="|", linestyle="none", color="0.25", markersize=7, label="raw ρ"))
    entries.append(Patch(color="0.9", label=f"|ρ| below {margin:g}".replace("0.", ".")))
    figure.legend(handles=entries, loc="outside lower center", ncols=2, frameon=False, fontsize=6)
