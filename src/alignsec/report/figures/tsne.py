"""Models placed by their alignment scores, by t-SNE and by principal components; colour: robust accuracy."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import CATEGORY_COLORS, COLUMN, PAGE, message, short, style, target_label
from alignsec.report.reading import middle_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

LOADED = 8  # leaves shown of each component


def embed(
    total: "pd.DataFrame", benchmarks: "pd.DataFrame", *, perplexity: float = 20, seed: int = 0
) -> "pd.DataFrame":
    """Model, x, y: t-SNE (van der Maaten and Hinton 2008) of the leaf scores, missing as 0 as in the paper.

    So placed, models with the same benchmarks missing come together for that alone. Models without any score
    are left out; the perplexity is lowered where there are too few models for it.
    """
    import numpy as np
    import pandas as pd
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    leaves = list(benchmarks.loc[benchmarks["is_leaf"], "benchmark"])
    scores = total[leaves].to_numpy(float)
    some = np.isfinite(scores).any(1)
    n = int(some.sum())
    if n < 4:
        return pd.DataFrame({"model": [], "x": [], "y": []})
    tsne = TSNE(perplexity=min(perplexity, (n - 1) / 3), init="pca", random_state=seed)
    # one thread: sums over several differ in the last bit, which t-SNE amplifies, and busy cores stall it
    with threadpool_limits(limits=1):
        place = tsne.fit_transform(np.nan_to_num(scores[some]))
    return pd.DataFrame({"model": total.loc[some, "model"].to_numpy(), "x": place[:, 0], "y": place[:, 1]})


def components(
    total: "pd.DataFrame", benchmarks: "pd.DataFrame", *, completeness: float = 0.5
) -> tuple["pd.DataFrame", tuple[float, float], "pd.DataFrame"]:
    """Model, x, y by principal components of the completed scores, their shares of the variance, loadings.

    A loading is a leaf's correlation with the component: columns `x` and `y`, indexed by benchmark.

    Leaves that fewer than `completeness` of the models have are left out, then models with fewer than that
    share of the leaves; scores are standardised and gaps filled from the five models most alike on what both
    have (`sklearn.impute.KNNImputer`). Empty where fewer than four models or two leaves remain.
    """
    import numpy as np
    import pandas as pd
    from sklearn.decomposition import PCA
    from sklearn.impute import KNNImputer
    from threadpoolctl import threadpool_limits

    leaves = list(benchmarks.loc[benchmarks["is_leaf"], "benchmark"])
    scores = total[leaves].to_numpy(float)
    have = np.isfinite(scores)
    some = have.any(1)
    wide = have[some].mean(0) >= completeness if some.any() else np.zeros(len(leaves), bool)
    full = some & (have[:, wide].mean(1) >= completeness) if wide.any() else np.zeros(len(total), bool)
    kept = scores[full][:, wide]
    varied = [len(np.unique(c[np.isfinite(c)])) > 1 for c in kept.T] if full.any() else [False] * wide.sum()
    names, kept = np.array(leaves)[wide][varied], kept[:, varied]
    if len(kept) < 4 or kept.shape[1] < 2:
        nothing = pd.DataFrame({"model": [], "x": [], "y": []})
        return nothing, (np.nan, np.nan), nothing[["x", "y"]]
    with threadpool_limits(limits=1):
        filled = KNNImputer(n_neighbors=5).fit_transform((kept - np.nanmean(kept, 0)) / np.nanstd(kept, 0))
        pca = PCA(n_components=2, svd_solver="full").fit(filled)
        place = pca.transform(filled)
    frame = pd.DataFrame({"model": total.loc[full, "model"].to_numpy(), "x": place[:, 0], "y": place[:, 1]})
    first, second = pca.explained_variance_ratio_
    loadings = pca.components_.T * np.sqrt(pca.explained_variance_) / filled.std(0, ddof=1)[:, None]
    return frame, (float(first), float(second)), pd.DataFrame(loadings, names, ["x", "y"])


def of_study(tables: Mapping[str, Any], options: Mapping[str, Any]) -> "dict[str, Figure]":
    """The models, coloured by the target that there is room for."""
    target = middle_of(tables["total"], tables["correlations"]["target"], tables.get("plan"))
    return {"tsne": draw(tables["total"], tables["benchmarks"], target, **options)}


def draw(
    total: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    target: str,
    *,
    perplexity: float = 20,
    completeness: float = 0.5,
    seed: int = 0,
) -> "Figure":
    """Left t-SNE, missing as 0; right principal components of completed scores. Colour: accuracy at `target`;
    hollow: not measured. Below: the leaves that load most on each component."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with style():
        place = embed(total, benchmarks, perplexity=perplexity, seed=seed)
        if place.empty:
            return message("Fewer than four models have alignment scores: no t-SNE.")
        parts, shares, loadings = components(total, benchmarks, completeness=completeness)
        panels = [(place, "t-SNE, a missing score as 0", "t-SNE 1", "t-SNE 2")]
        if len(parts):
            across, up = (f"PC {i} ({s:.0%} of variance)" for i, s in enumerate(shares, 1))
            panels.append((parts, "PCA of completed scores", across, up))
        values = total.set_index("model")[target]
        norm = mpl.colors.Normalize(values.min(), values.max())
        shown = min(LOADED, len(loadings))
        below = 0.17 * shown + 0.6
        figure = Figure(
            figsize=(PAGE if len(panels) > 1 else COLUMN, 3.0 + (below if len(panels) > 1 else 0)),
            layout="constrained",
        )
        # apart, so that long names below leave the width of the panels above alone
        rows = [3.0, below] if len(panels) > 1 else [3.0]
        bands = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=rows)[:, 0]
        grid = bands[0].subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(grid, panels, strict=True):
            _points(axes, panel, values, norm)
        bar = bands[0].colorbar(
            mpl.cm.ScalarMappable(norm, "viridis"), ax=list(grid), label=target_label(target)
        )
        bar.outline.set_visible(False)
        if len(panels) > 1:
            category = dict(zip(benchmarks["benchmark"], benchmarks["category"], strict=True))
            for axes, column, name in zip(bands[1].subplots(1, 2), ("x", "y"), panels[1][2:], strict=True):
                _loadings(axes, loadings[column], category, shown, name)
        return figure


def _points(
    axes: "Axes", panel: "tuple[pd.DataFrame, str, str, str]", values: "pd.Series", norm: "Normalize"
) -> None:
    """Models at their places; those without the target hollow and behind."""
    import numpy as np

    points, title, across, up = panel
    value = points["model"].map(values).to_numpy(float)
    known = np.isfinite(value)
    x, y = points["x"].to_numpy(float), points["y"].to_numpy(float)
    axes.scatter(x[~known], y[~known], s=12, facecolors="none", edgecolors="0.75", linewidths=0.5,
                 gid="unknown")  # fmt: skip
    axes.scatter(x[known], y[known], c=value[known], norm=norm, cmap="viridis", s=20, edgecolors="white",
                 linewidths=0.3, gid="known")  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(f"{title} ({len(points)} models)", loc="left")


def _loadings(
    axes: "Axes", loadings: "pd.Series", category: Mapping[str, object], count: int, name: str
) -> None:
    """The leaves of largest |loading|, from the largest loading down."""
    most = loadings.loc[loadings.abs().sort_values(ascending=False, kind="stable").index[:count]]
    most = most.sort_values(kind="stable")
    colours = [CATEGORY_COLORS.get(category[b], CATEGORY_COLORS[None]) for b in most.index]  # type: ignore[call-overload]
    axes.barh(range(len(most)), most, color=colours, height=0.7, gid="loading")
    axes.axvline(0, color="0.4", linewidth=0.7)
    names = short(most.index, 34)
    axes.set_yticks(range(len(most)), [names[b] for b in most.index], fontsize=5.5)
    for tick, colour in zip(axes.get_yticklabels(), colours, strict=True):
        tick.set_color(colour)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(-1, 1)
    axes.set_xlabel(f"loading on {name.partition(' (')[0]}")
