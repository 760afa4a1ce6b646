"""Accuracy against epsilon, by family; a panel for each attack, norm and source."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import COLUMN, OTHER, PAGE, family_styles, message, style
from alignsec.study import sheet
from alignsec.study.targets import control_of, label, ladders, parts, radius

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Values = npt.NDArray[np.float64]

ACROSS = 2  # panels beside each other


def of_study(tables: "Mapping[str, pd.DataFrame]", options: Mapping[str, Any]) -> "dict[str, Figure]":
    """All models; families of the sheet, where there is one, else of the leaderboard's models."""
    family = _families(tables["total"])
    if options.get("sheet") is not None:
        family |= _families(sheet.read(options["sheet"]))
    return {"curves": draw(tables["robustness"], family)}


def _families(models: "pd.DataFrame") -> dict[str, str]:
    return dict(zip(models["model"], models["family"], strict=True))


def draw(robustness: "pd.DataFrame", family: dict[str, str]) -> "Figure":
    """Thin: one model; thick: mean of a large family, with the mean of its models' Wilson intervals.

    No axis holds two norms, attacks or sources (`alignsec.study.targets.ladders`).

    Parameters
    ----------
    robustness : table of kind ``robustness``
    family : model -> family
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    with style():
        wide = {c: robustness.pivot(index="model", columns="target", values=c) for c in _COLUMNS}
        panels = ladders(robustness["target"])
        if not panels:
            return message("The robustness table has no accuracy under attack.")
        seen = wide["value"][[t for panel in panels for t in panel]].notna().any(axis=1)
        of = [family.get(m, "no family given") for m in wide["value"].index[seen]]
        styles = family_styles(of)
        across = min(ACROSS, len(panels))
        down = -(-len(panels) // across)
        figure = Figure(figsize=(COLUMN if across == 1 else PAGE, 2.5 * down + 0.8), layout="constrained")
        grid = list(figure.subplots(down, across, squeeze=False).flat)
        for axes, panel in zip(grid, panels, strict=False):
            _panel(axes, {c: w[seen] for c, w in wide.items()}, panel, of, styles)
        for axes in grid[len(panels) :]:
            axes.remove()
        handles = [
            Line2D([], [], color=c, marker=m, markersize=3.5, linewidth=1.5, label=f"{f} ({of.count(f)})")
            for f, (c, m) in styles.items()
        ]
        rest = sum(f not in styles for f in of)
        if rest:
            handles.append(Line2D([], [], color=OTHER[0], linewidth=0.8, label=f"other ({rest})"))
        figure.legend(handles=handles, loc="outside lower left", frameon=False, ncols=3 * across,
                      columnspacing=0.8, handlelength=1.4)  # fmt: skip
        return figure


_COLUMNS = ("value", "low", "high")


def _panel(
    axes: "Axes",
    wide: "Mapping[str, pd.DataFrame]",
    ladder: Sequence[str],
    of: Sequence[str],
    styles: Mapping[str, tuple[str, str]],
) -> None:
    """One attack in one norm of one source."""
    import numpy as np

    clean = control_of(ladder[0], [str(c) for c in wide["value"]])
    columns = [*([clean] if clean is not None else []), *ladder]
    x = np.array([radius(t) or 0.0 for t in columns])
    y, low, high = (wide[c][columns].to_numpy(float) for c in _COLUMNS)
    attacked = np.isfinite(y[:, len(columns) - len(ladder) :]).any(1)
    for row, name in zip(y[attacked], np.array(of)[attacked], strict=True):
        axes.plot(x, row, color=styles.get(name, OTHER)[0], linewidth=0.4, alpha=0.35, gid="model")
    for name, (colour, marker) in styles.items():
        mine = (np.array(of) == name) & attacked
        if not mine.any():
            continue
        axes.plot(x, _mean(y[mine]), color=colour, marker=marker, markersize=3.5, linewidth=1.5, gid=name)
        ends = _mean(low[mine]), _mean(high[mine])
        if np.isfinite(ends[0]).all():
            axes.vlines(x, *ends, color=colour, linewidth=0.8, alpha=0.7)
    said = parts(ladder[0])
    axes.set_title(_title(ladder[0], int(attacked.sum())), loc="left")
    at_zero = "; 0: clean" if clean is not None else ""
    unit = "[0, 1] pixel units" if said.norm == "Linf" else "as its source measures it"
    unit = "norm in [0, 1] pixel units" if said.norm != "Linf" and said.source is None else unit
    axes.set_xlabel(f"ε ({unit}{at_zero})")
    axes.set_xticks(x)
    ticks = [parts(t).setting if t != clean else "0" for t in columns]
    axes.set_xticklabels(ticks, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_ylabel("top-1 accuracy")
    axes.set_ylim(-0.02, 1.02)


def _title(target: str, count: int) -> str:
    """The attack, its norm and its source, without the epsilon."""
    said = parts(target)
    attack = label(said.measure).removesuffix(" top-1")
    of = f" ({said.source})" if said.source else ""
    return f"{attack}, {said.norm}{of}: {count} models"


def _mean(rows: "Values") -> "Values":
    """Mean over models that have a value; NaN where none has."""
    import numpy as np

    have = np.isfinite(rows)
    with np.errstate(invalid="ignore"):
        means: Values = np.where(have, rows, 0).sum(0) / have.sum(0)
    return means
