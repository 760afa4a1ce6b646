"""Which model was run on which benchmark."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import CATEGORY_COLORS, PAGE, by_category, message, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLOURS = {"missing": "#FFFFFF", "failed": "#EE7733", "scored": "#33668A"}


def grid(scores: "pd.DataFrame", benchmarks: "pd.DataFrame", models: "pd.DataFrame") -> "pd.DataFrame":
    """Status of each leaf (columns, tree order) for each model of the study (rows), fullest families first.

    Parameters
    ----------
    models : model, family; models without any published score are left out
    """
    leaves = list(benchmarks.loc[benchmarks["is_leaf"], "benchmark"])
    status = scores.pivot(index="model", columns="benchmark", values="status")[leaves]
    known = models[models["model"].isin(status.index)]
    found = status.loc[known["model"]]
    scored = (found == "scored").sum(axis=1).to_numpy()
    order = known.assign(scored=scored, family_scored=scored)
    order["family_scored"] = order.groupby("family")["scored"].transform("mean")
    order = order.sort_values(
        ["family_scored", "family", "scored"], ascending=[False, True, False], kind="stable"
    )
    return found.loc[order["model"]]


def of_study(tables: "Mapping[str, pd.DataFrame]", options: Mapping[str, Any]) -> "dict[str, Figure]":
    """The models of the study."""
    models = tables["total"][["model", "family"]]
    return {"missingness": draw(tables["scores"], tables["benchmarks"], models, **options)}


def draw(scores: "pd.DataFrame", benchmarks: "pd.DataFrame", models: "pd.DataFrame") -> "Figure":
    """Rows: models, by family; columns: leaves in tree order; above: share of the models that have a
    score."""
    import numpy as np
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    with style():
        table = grid(scores, benchmarks, models)
        if table.empty:
            return message("No model of the study has published scores.")
        code = {name: i for i, name in enumerate(COLOURS)}
        cells = np.vectorize(code.__getitem__)(table.to_numpy(dtype=str))
        figure = Figure(figsize=(PAGE, min(6.5, 2.0 + 0.045 * len(table) + (1.0 if len(table) < 30 else 0))),
                        layout="constrained")  # fmt: skip
        above, axes = figure.subplots(2, 1, sharex=True, height_ratios=[1, 5])
        axes.imshow(cells, cmap=ListedColormap(list(COLOURS.values())), vmin=0, vmax=2, aspect="auto",
                    interpolation="none")  # fmt: skip
        leaf = benchmarks[benchmarks["is_leaf"]]
        above.bar(
            range(len(leaf)), (cells == code["scored"]).mean(0), width=0.9, gid="share",
            color=[CATEGORY_COLORS.get(c, CATEGORY_COLORS[None]) for c in leaf["category"]],
        )  # fmt: skip
        above.set_ylabel("share\nscored")
        above.set_ylim(0, 1)
        for start, stop, category in by_category(list(leaf["category"])):
            above.text((start + stop - 1) / 2, 1.04, category or "", ha="center", va="bottom",
                       fontweight="bold", color=CATEGORY_COLORS[category])  # fmt: skip
            if stop < len(leaf):
                axes.axvline(stop - 0.5, color="black", linewidth=1.1)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_ylabel(f"{len(table)} models, by family")
        complete = int((cells == code["scored"]).all(1).sum())
        axes.set_xlabel(f"{len(leaf)} leaf benchmarks, in tree order; {complete} models have all of them")
        axes.spines[:].set_visible(True)
        kinds = ("scored", "failed", "missing")
        handles = [Patch(facecolor=COLOURS[k], edgecolor="0.5", label=k) for k in kinds]
        figure.legend(handles=handles, loc="outside lower right", ncols=3, frameon=False)
        return figure
