"""Histogram of the p-values of all leaves x targets."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import COLUMN, LEVEL, message, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

BINS = 20


def of_study(tables: "Mapping[str, pd.DataFrame]", options: Mapping[str, Any]) -> "dict[str, Figure]":
    """All leaves and targets."""
    return {"p_values": draw(tables["correlations"], **options)}


def draw(correlations: "pd.DataFrame") -> "Figure":
    """Raw above, given clean accuracy below; the line is what no effect anywhere would give."""
    from matplotlib.figure import Figure

    with style():
        leaves = correlations[correlations["is_leaf"]]
        panels = [
            (column, q, title)
            for column, q, title in (
                ("p", "q", "raw"),
                ("partial_p", "partial_q", "given clean"),
            )
            if leaves[column].notna().any()
        ]
        if not panels:
            return message("No benchmark has enough families for a test.")
        figure = Figure(figsize=(COLUMN, 1.0 + 1.35 * len(panels)), layout="constrained")
        for axes, (column, q, title) in zip(
            figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0], panels, strict=True
        ):
            p = leaves[column].dropna().to_numpy(float)
            axes.hist(
                p, bins=BINS, range=(0, 1), color="#33668A", edgecolor="white", linewidth=0.4, gid=column
            )
            axes.axhline(len(p) / BINS, color="#EE7733", linewidth=1.2)
            sure = int((leaves[q] < LEVEL).sum())
            axes.set_title(
                f"{title}: {len(p)} tests, {int((p < LEVEL).sum())} p < .05, {sure} q < .05", loc="left"
            )
            axes.set_ylabel("tests")
        axes.set_xlabel("p (orange: no effect anywhere)")
        return figure
