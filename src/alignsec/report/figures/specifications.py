"""Each kind of benchmarks by every specification, and what each choice does to it."""

from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import PAGE, message, style, target_label
from alignsec.report.figures.kinds import colour_of
from alignsec.study.kinds import AREAS, ENGINEERING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHOICES = {
    "target": "target", "control": "given", "completeness": "models with", "models": "rows",
    "adversarially_trained": "adversarially trained", "scale": "scale",
}  # fmt: skip
_ACROSS, _ROW, _WIDTH, _MOST = 4, 1.0, 26, 8  # panels, inches, characters, options of a choice


def of_study(tables: "Mapping[str, pd.DataFrame]", options: Mapping[str, Any]) -> "dict[str, Figure]":
    """The first kind of target under attack, else the first there is."""
    return {"specifications": draw(tables["specifications"], **options)}


def chosen(table: "pd.DataFrame") -> "pd.DataFrame":
    """The rows that are drawn: human-likeness, one kind of target, with an estimate; areas in their order."""
    kinds = list(dict.fromkeys(table["target_kind"]))
    which = next((k for k in kinds if k.startswith("adversarial")), next(iter(kinds), None))
    mine = table[(table["target_kind"] == which) & (table["area"] != ENGINEERING) & table["rho"].notna()]
    place = mine["area"].map({area: i for i, area in enumerate(AREAS)}).fillna(len(AREAS))
    return mine.loc[place.sort_values(kind="stable").index]


def draw(table: "pd.DataFrame") -> "Figure":
    """Above, of each kind its estimates in order with their 95 % intervals, that of the claims a diamond;
    below, the median estimate of all specifications that share an option."""
    from matplotlib.figure import Figure

    with style():
        mine = chosen(table)
        if mine.empty:
            return message("No kind of benchmarks has an estimate by any specification.")
        names = list(dict.fromkeys(mine["name"]))
        options = medians(mine)
        down = -(-len(names) // _ACROSS)
        heights = [_ROW * down, 0.16 * len(options) + 1.1]
        figure = Figure(figsize=(PAGE, sum(heights) + 0.4), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
        panels = above.subplots(down, _ACROSS, sharey=True, squeeze=False).ravel()
        for axes, name in zip(panels, names, strict=False):
            _curve(axes, mine[mine["name"] == name])
            axes.set_title(fill(name, _WIDTH), fontsize=6, linespacing=0.9)
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        above.supylabel(f"ρ (r) with {mine['target_kind'].iloc[0]}", fontsize=7)
        _options(below, options)
        return figure


def _curve(axes: "Axes", of_kind: "pd.DataFrame") -> None:
    ordered = of_kind.sort_values("rho", kind="stable").reset_index(drop=True)
    colour = colour_of(str(ordered["area"].iloc[0]))
    sure = ordered["low"] * ordered["high"] > 0
    for which, shade, name in ((sure, colour, "sure"), (~sure, "0.72", "unsure")):
        part = ordered[which]
        axes.vlines(part.index, part["low"], part["high"], color=shade, linewidth=0.7, gid="interval")
        axes.plot(part.index, part["rho"], ".", color=shade, markersize=2.5, gid=name)
    first = ordered[ordered["primary"].astype(bool)]
    axes.plot(first.index, first["rho"], "D", color="black", markersize=3.2, gid="primary")
    axes.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    axes.set_ylim(-1, 1)
    axes.set_yticks([-0.5, 0, 0.5])
    axes.set_xticks([])
    axes.tick_params(labelsize=5.5)


def medians(mine: "pd.DataFrame") -> "pd.DataFrame":
    """Median estimate of the specifications with each option: a row per (choice, option), a column per kind.

    Choices of one option have no row, and of one with many only the first ones do.
    """
    import pandas as pd

    kinds = list(dict.fromkeys(mine["kind"]))
    found = {}
    for choice, words in CHOICES.items():
        options = list(dict.fromkeys(mine[choice]))
        for option in options[:_MOST] if len(options) > 1 else []:
            label = target_label(option) if choice == "target" else option
            found[words, label] = mine[mine[choice] == option].groupby("kind")["rho"].median()
    if not found:
        return pd.DataFrame(columns=kinds)
    return pd.DataFrame(found).T.reindex(columns=kinds)


def _options(figure: Any, options: "pd.DataFrame") -> None:
    if options.empty:
        return
    axes = figure.subplots()
    limit = max(float(options.abs().max().max()), 0.1)
    picture = axes.imshow(options.to_numpy(float), cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_yticks(range(len(options)), [f"{a}: {b}" for a, b in options.index], fontsize=5.5)
    axes.set_xticks(range(options.shape[1]), list(options), rotation=45, ha="right", rotation_mode="anchor",
                    fontsize=5.5)  # fmt: skip
    choices = [choice for choice, _ in options.index]
    for i in range(1, len(choices)):
        if choices[i] != choices[i - 1]:
            axes.axhline(i - 0.5, color="white", linewidth=1.5)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, pad=0.01)
    bar.set_label("median estimate", fontsize=6)
    bar.ax.tick_params(labelsize=5.5)
