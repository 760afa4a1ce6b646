"""Accuracy against epsilon, by family."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import COLUMN, OTHER, family_styles, message, style
from alignsec.study import sheet
from alignsec.study.targets import radius, robust

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.figure import Figure

    Values = npt.NDArray[np.float64]


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

    Parameters
    ----------
    robustness : table of kind ``robustness``
    family : model -> family
    """
    import numpy as np
    from matplotlib.figure import Figure

    with style():
        wide = robustness.pivot(index="model", columns="target", values="value")
        targets = [t for t in robust(robustness["target"]) if radius(t) is not None and t in wide]
        if not targets:
            return message("The robustness table has no accuracy under attack.")
        columns = [*(["clean_top1"] if "clean_top1" in wide else []), *targets]
        x = np.array([radius(t) or 0.0 for t in columns])
        y = wide[columns].to_numpy(float)
        ends = {
            end: robustness.pivot(index="model", columns="target", values=end)[columns].to_numpy(float)
            for end in ("low", "high")
        }
        of = np.array([family.get(m, "no family given") for m in wide.index])
        styles = family_styles(of)
        figure = Figure(figsize=(COLUMN, 3.3), layout="constrained")
        axes = figure.add_subplot()
        for row, name in zip(y, of, strict=True):
            axes.plot(x, row, color=styles.get(name, OTHER)[0], linewidth=0.4, alpha=0.35, gid="model")
        for name, (colour, marker) in styles.items():
            mine = of == name
            middle = _mean(y[mine])
            axes.plot(x, middle, color=colour, marker=marker, markersize=3.5, linewidth=1.5, gid=name,
                      label=f"{name} ({mine.sum()})")  # fmt: skip
            low, high = (_mean(ends[end][mine]) for end in ("low", "high"))
            if np.isfinite(low).all():
                axes.vlines(x, low, high, color=colour, linewidth=0.8, alpha=0.7)
        rest = int((~np.isin(of, list(styles))).sum())
        if rest:
            axes.plot([], [], color=OTHER[0], linewidth=0.8, label=f"other ({rest})")
        axes.set_xlabel("ε ([0, 1] pixel units; 0: clean)" if columns[0] == "clean_top1" else "ε")
        axes.set_xticks(x)
        ticks = ["0" if t == "clean_top1" else t.rpartition("@")[2] for t in columns]
        axes.set_xticklabels(ticks, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_ylabel("top-1 accuracy under attack")
        axes.set_ylim(-0.02, 1.02)
        figure.legend(loc="outside lower left", frameon=False, ncols=3, columnspacing=0.8, handlelength=1.4)
        return figure


def _mean(rows: "Values") -> "Values":
    """Mean over models that have a value; NaN where none has."""
    import numpy as np

    have = np.isfinite(rows)
    with np.errstate(invalid="ignore"):
        means: Values = np.where(have, rows, 0).sum(0) / have.sum(0)
    return means
