"""Models placed by t-SNE of their alignment scores, coloured by robust accuracy."""

from typing import TYPE_CHECKING

from alignsec.figures import COLUMN, message, style, target_label

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


def draw(
    total: "pd.DataFrame", benchmarks: "pd.DataFrame", target: str, *, perplexity: float = 20, seed: int = 0
) -> "Figure":
    """One point per model; colour: robust accuracy at `target`; hollow: not measured."""
    import numpy as np
    from matplotlib.figure import Figure

    with style():
        place = embed(total, benchmarks, perplexity=perplexity, seed=seed)
        if place.empty:
            return message("Fewer than four models have alignment scores: no t-SNE.")
        value = place["model"].map(total.set_index("model")[target]).to_numpy(float)
        known = np.isfinite(value)
        figure = Figure(figsize=(COLUMN, 3.0), layout="constrained")
        axes = figure.add_subplot()
        axes.scatter(
            place["x"][~known], place["y"][~known], s=14, facecolors="none", edgecolors="0.6", linewidths=0.6,
            gid="unknown",
        )  # fmt: skip
        points = axes.scatter(
            place["x"][known],
            place["y"][known],
            c=value[known],
            s=22,
            cmap="viridis",
            linewidths=0,
            gid="known",
        )
        bar = figure.colorbar(points, ax=axes, label=target_label(target))
        bar.outline.set_visible(False)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel("t-SNE 1")
        axes.set_ylabel("t-SNE 2")
        axes.set_title(f"{len(place)} models by {int(benchmarks['is_leaf'].sum())} benchmarks", loc="left")
        return figure
