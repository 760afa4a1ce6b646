"""Models placed by their alignment scores, by t-SNE and by principal components; colour: robust accuracy."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import COLUMN, PAGE, message, style, target_label
from alignsec.report.reading import middle_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


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
) -> tuple["pd.DataFrame", tuple[float, float]]:
    """Model, x, y by principal components of the completed scores, and each one's share of the variance.

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
    kept = kept[:, [len(np.unique(c[np.isfinite(c)])) > 1 for c in kept.T]] if full.any() else kept
    if len(kept) < 4 or kept.shape[1] < 2:
        return pd.DataFrame({"model": [], "x": [], "y": []}), (np.nan, np.nan)
    with threadpool_limits(limits=1):
        filled = KNNImputer(n_neighbors=5).fit_transform((kept - np.nanmean(kept, 0)) / np.nanstd(kept, 0))
        pca = PCA(n_components=2, svd_solver="full").fit(filled)
        place = pca.transform(filled)
    frame = pd.DataFrame({"model": total.loc[full, "model"].to_numpy(), "x": place[:, 0], "y": place[:, 1]})
    first, second = pca.explained_variance_ratio_
    return frame, (float(first), float(second))


def of_study(tables: "Mapping[str, pd.DataFrame]", options: Mapping[str, Any]) -> "dict[str, Figure]":
    """The models, coloured by the target that there is room for."""
    target = middle_of(tables["total"], tables["correlations"]["target"])
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
    hollow: not measured."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure

    with style():
        place = embed(total, benchmarks, perplexity=perplexity, seed=seed)
        if place.empty:
            return message("Fewer than four models have alignment scores: no t-SNE.")
        parts, shares = components(total, benchmarks, completeness=completeness)
        panels = [(place, "t-SNE, a missing score as 0", "t-SNE 1", "t-SNE 2")]
        if len(parts):
            across, up = (f"PC {i} ({s:.0%} of variance)" for i, s in enumerate(shares, 1))
            panels.append((parts, "PCA of completed scores", across, up))
        values = total.set_index("model")[target]
        norm = mpl.colors.Normalize(values.min(), values.max())
        figure = Figure(figsize=(PAGE if len(panels) > 1 else COLUMN, 3.0), layout="constrained")
        for axes, (points, title, across, up) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            value = points["model"].map(values).to_numpy(float)
            known = np.isfinite(value)
            x, y = points["x"].to_numpy(float), points["y"].to_numpy(float)
            axes.scatter(
                x[~known], y[~known], s=14, facecolors="none", edgecolors="0.6", linewidths=0.6, gid="unknown"
            )
            shown = axes.scatter(
                x[known], y[known], c=value[known], norm=norm, s=22, cmap="viridis", linewidths=0, gid="known"
            )
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_xlabel(across)
            axes.set_ylabel(up)
            axes.set_title(f"{title} ({len(points)} models)", loc="left")
        bar = figure.colorbar(shown, ax=figure.axes, label=target_label(target))
        bar.outline.set_visible(False)
        return figure
