"""Models placed by their benchmark profile with t-SNE, coloured by robust accuracy."""

from typing import TYPE_CHECKING

from alignsec import figures
from alignsec.errors import AlignsecError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MINIMUM = 4  # models; with fewer the perplexity would be below 1


def _profiles(total: "pd.DataFrame", benchmarks: "pd.DataFrame") -> "pd.DataFrame":
    """Model by leaf benchmark, missing as 0; models without any score are left out."""
    leaves = list(benchmarks.loc[benchmarks["is_leaf"].astype(bool), "benchmark"])
    scores = total.set_index("model")[leaves].astype("float64")
    return scores[scores.notna().any(axis=1)].fillna(0.0)


def _reason(profiles: "pd.DataFrame") -> str | None:
    """Why there is nothing to embed."""
    if len(profiles) < MINIMUM:
        few = {0: "No model has", 1: "Only 1 model has"}.get(
            len(profiles), f"Only {len(profiles)} models have"
        )
        return f"{few} a score: too few for t-SNE, which needs {MINIMUM}."
    if profiles.shape[1] < 2 or len(profiles.drop_duplicates()) < 2:
        return "All models have the same scores, or there is one benchmark only: nothing for t-SNE to show."
    return None


def embed(
    total: "pd.DataFrame", benchmarks: "pd.DataFrame", *, perplexity: float, seed: int
) -> "pd.DataFrame":
    """Place the models in the plane by their leaf scores, a missing score as 0, as in the paper.

    A missing score as 0 puts models near each other for the benchmarks they lack; the scores are not
    standardised. Both follow the paper.

    Parameters
    ----------
    total : table of kind ``total_scores``
    benchmarks : table of kind ``benchmarks``
    perplexity : effective number of neighbours; at most (n - 1) / 3 is used
    seed : of t-SNE's random state

    Returns
    -------
    model, x, y (no unit; only neighbourhoods mean something), models without any score left out.

    Raises
    ------
    AlignsecError
        Fewer than four models with a score, or nothing that differs between them.

    Source: Hoak, Li and McDaniel (2025), arXiv 2502.12377; van der Maaten and Hinton (2008), JMLR 9.
    """
    import pandas as pd
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    profiles = _profiles(total, benchmarks)
    if reason := _reason(profiles):
        raise AlignsecError(reason)
    tsne = TSNE(perplexity=min(perplexity, (len(profiles) - 1) / 3), init="pca", random_state=seed)
    # sums over several threads differ in the last bit from run to run, and t-SNE amplifies that
    with threadpool_limits(limits=1):
        at = tsne.fit_transform(profiles.to_numpy())
    return pd.DataFrame({"model": profiles.index, "x": at[:, 0].astype(float), "y": at[:, 1].astype(float)})


@figures.style()
def draw(
    total: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    target: str,
    *,
    perplexity: float = 20,
    seed: int = 0,
) -> "Figure":
    """The embedding of `embed`, coloured by the accuracy at `target`; models without it hollow and grey.

    Too few models give a figure that says so.

    Raises
    ------
    AlignsecError
        `target` is no column of `total`.
    """
    import numpy as np
    from matplotlib.figure import Figure

    if target not in total.columns:
        raise AlignsecError(f"target {target!r} is no column of the joined table")
    if reason := _reason(_profiles(total, benchmarks)):
        return figures.message(reason)
    places = embed(total, benchmarks, perplexity=perplexity, seed=seed)
    values = total.set_index("model")[target].reindex(places["model"]).to_numpy(dtype="float64")
    has = np.isfinite(values)

    fig = Figure(figsize=(figures.COLUMN, 3.0), layout="constrained")
    ax = fig.add_subplot()
    ax.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.06)
    if not has.all():
        ax.scatter(
            places["x"][~has],
            places["y"][~has],
            s=14,
            facecolors="none",
            edgecolors="0.6",
            linewidths=0.6,
            label=f"no value ({(~has).sum()} of {len(has)} models)",
            gid="without",
        )
        fig.legend(loc="outside lower left", borderpad=0.1, handletextpad=0.1)
    if has.any():
        points = ax.scatter(
            places["x"][has],
            places["y"][has],
            s=18,
            c=values[has],
            cmap="viridis",
            vmin=0,
            vmax=max(float(values[has].max()), 1e-3),
            edgecolors="0.2",
            linewidths=0.3,
            gid="with",
        )
        fig.colorbar(points, ax=ax, label=figures.target_label(target), fraction=0.05, pad=0.02)
    return fig
