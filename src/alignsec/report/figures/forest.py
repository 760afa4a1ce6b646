"""Leaf benchmarks ranked by |rho| with one target: intervals over families, raw beside partial."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import CATEGORY_COLORS, LEVEL, PAGE, message, short, style, target_label
from alignsec.study.targets import middle

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def of_study(tables: "Mapping[str, pd.DataFrame]", options: Mapping[str, Any]) -> "dict[str, Figure]":
    """The leaves with the middle epsilon."""
    table = tables["correlations"]
    return {"forest": draw(table, middle(table["target"]), **options)}


def draw(correlations: "pd.DataFrame", target: str, *, rows: int = 30) -> "Figure":
    """The `rows` leaves of largest |rho|. Filled: q < .05; hollow: not; colour: category; grey line: leaving
    out any one family."""
    import numpy as np
    from matplotlib.figure import Figure

    with style():
        mine = correlations[(correlations["target"] == target) & correlations["is_leaf"]]
        every = mine[mine["rho"].notna()]
        if every.empty:
            return message(f"No leaf benchmark has an estimate with {target_label(target)}.")
        shown = every.loc[every["rho"].abs().sort_values(ascending=False, kind="stable").index[:rows]]
        place = np.arange(len(shown))
        colours = [CATEGORY_COLORS.get(c, CATEGORY_COLORS[None]) for c in shown["category"]]
        figure = Figure(figsize=(PAGE, 0.155 * len(shown) + 1.1), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, sharex=True)
        controlled = shown["control"].dropna()
        control = target_label(controlled.iloc[0]) if len(controlled) else None
        given = f"ρ given {control}" if control else "no clean accuracy to control"
        for axes, prefix, q, title in (
            (left, "rho", "q", f"ρ with {target_label(target)}"),
            (right, "partial", "partial_q", given),
        ):
            value = shown["rho" if prefix == "rho" else "partial_rho"].to_numpy(float)
            low, high = (shown[f"{prefix}_{end}"].to_numpy(float) for end in ("low", "high"))
            sure = shown[q].to_numpy(float) < LEVEL
            axes.axvline(0, color="0.6", linewidth=0.8)
            if prefix == "rho":
                ends = shown["lofo_low"], shown["lofo_high"]
                axes.hlines(place, *ends, color="0.8", linewidth=4, gid="lofo", zorder=1)
            axes.hlines(place, low, high, color=colours, linewidth=1.1, gid="interval")
            for chosen, face, gid in ((sure, colours, "sure"), (~sure, None, "unsure")):
                faces = "white" if face is None else [c for c, s in zip(colours, sure, strict=True) if s]
                axes.scatter(
                    value[chosen], place[chosen], s=14, facecolors=faces, linewidths=0.9, zorder=3, gid=gid,
                    edgecolors=[c for c, s in zip(colours, chosen, strict=True) if s],
                )  # fmt: skip
            axes.set_title(title, loc="left")
            axes.set_xlim(-1, 1)
            axes.set_ylim(len(shown) - 0.4, -0.6)
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0)
        left.set_yticks(place)
        names = short(shown["benchmark"])
        left.set_yticklabels(
            [f"{names[b]}  ({n})" for b, n in zip(shown["benchmark"], shown["n"], strict=True)], fontsize=6
        )
        for label, colour in zip(left.get_yticklabels(), colours, strict=True):
            label.set_color(colour)
        known = shown[["rho_low", "partial_low"]].notna().any(axis=None)
        lines = "95 % intervals over families" if known else "no intervals: too few models or families"
        what = f"{len(shown)} of {len(every)} leaf benchmarks, n in brackets; {lines}"
        figure.supxlabel(f"{what}; filled: q < .05", fontsize=6.5)
        return figure
