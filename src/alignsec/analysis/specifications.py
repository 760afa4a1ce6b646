"""What other defensible choices would have said of kinds of benchmarks: a specification curve.

A claim is made by one specification, fixed beforehand (`plan`). Here the same correlations are estimated with
other targets, controls, models and scales. Description: no verdict rests on it.

Source: Simonsohn, Simmons and Nelson (2020), doi:10.1038/s41562-020-0912-z.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from alignsec.analysis import families, kinds
from alignsec.analysis import rows as selecting
from alignsec.analysis.plan import IMAGES
from alignsec.analysis.taken import Options, Taken, take
from alignsec.ground import tables
from alignsec.ground.schemas import SCHEMAS
from alignsec.study import targets as naming
from alignsec.study.records import Plan
from alignsec.zoo.account import TOP1

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.intp]

MOST = 64  # specifications of one kind of target
PARTS = 8  # epsilons or test sets that are targets of their own; a mean of more is taken whole
NONE, LINE, CURVE = "nothing", "clean accuracy, a straight line", "clean accuracy, a curve"
CORRECTED, LEADERBOARD = "clean accuracy, a curve, noise corrected", "ImageNet-top1 of the leaderboard"
RANKS, LOGIT = "ranks", "scores and logits"
ANY, ENOUGH = "any leaf", "{:.0%} of the leaves"
NETWORKS, ROWS = "one per network", "every row"
WITHOUT, WITH = "without", "with"
FAMILIES, CLUSTERS = "families", "architectures"
# what is chosen, as columns of the table; families last, since they change the interval alone
CHOICES = ("target", "control", "completeness", "models", "adversarially_trained", "scale", "families")
Specification = dict[str, str]


def specify(choices: Mapping[str, Sequence[str]], seed: int = 0, most: int = MOST) -> list[Specification]:
    """The specifications to estimate, at most `most`; the first one has the first option of every choice.

    All combinations where they are few. Else those that have each option at least once, with as few other
    departures from the first one as can be, and of the others as many as there is room for, drawn. A noisy
    control is corrected for in ranks only, and what is left out changes no estimate, so families are those
    of the first option in all but one.

    Parameters
    ----------
    choices : column of `CHOICES` -> its options, that of the primary analysis first

    >>> [s["control"] for s in specify({"target": ["a"], "control": ["c", "d"], "families": ["f"]})]
    ['c', 'd']
    """
    import numpy as np

    crossed = {c: o if c != "families" else o[:1] for c, o in choices.items()}
    every = [dict(zip(crossed, s, strict=True)) for s in product(*crossed.values())]
    every = [s for s in every if not (s.get("scale") == LOGIT and s.get("control") == CORRECTED)]
    others = [{**every[0], "families": f} for f in choices["families"][1:]]

    def departures(one: Specification) -> int:
        return sum(one[c] != every[0][c] for c in one)

    chosen = [0]
    for choice, options in crossed.items():
        for option in options:
            with_it = [i for i, s in enumerate(every) if s[choice] == option]
            if not set(with_it) & set(chosen):
                chosen.append(min(with_it, key=lambda i: departures(every[i])))
    rest = [i for i in np.random.default_rng(seed).permutation(len(every)) if i not in chosen]
    chosen += rest[: max(most - len(others) - len(chosen), 0)]
    return [every[i] for i in sorted(chosen)] + others


def specifications(
    total: "pd.DataFrame",
    leaves: "pd.DataFrame",
    plan: Plan,
    rows: "pd.DataFrame",
    covariates: "pd.DataFrame | None" = None,
    options: Options | None = None,
    completeness: float = 0.5,
) -> "pd.DataFrame":
    """Every kind of benchmarks by every specification, for each kind of target but clean accuracy.

    Parameters
    ----------
    total, leaves, plan, rows, covariates, options : as of `claims.claims`
    completeness : share of a kind's leaves that a model must have, where it must have more than any

    Returns
    -------
    Table of kind ``specifications``, a row per kind, kind of target and specification (`CHOICES`; an option
    that changes nothing in this study is no option); `primary`: the one that claims are made by. `rho, low,
    high`: as in table ``kinds``; where `scale` is `LOGIT`, mean Pearson r of scores with the logit of the
    target. Leaves must allow a test by families; architectures are too few for an interval on most boards.
    """
    import pandas as pd

    options = options or Options()
    leaves = leaves[leaves["benchmark"].isin([str(c) for c in total])].reset_index(drop=True)
    found: list[dict[str, Any]] = []
    for target_kind, primary in plan["primary"].items():
        if target_kind == "clean":
            continue
        choices = _choices(total, plan, target_kind, rows, covariates, options, completeness)
        for i, one in enumerate(specify(choices, options.seed)):
            shared = {"target_kind": target_kind, "primary": i == 0 and one["target"] == primary, **one}
            taken = _taken(one, total, leaves, plan, rows, covariates, options)
            if taken is not None:
                least = completeness if one["completeness"] != ANY else 0.0
                found += [shared | row for row in _estimates(taken, leaves, one, least)]
    schema = SCHEMAS["specifications"]
    frame = pd.DataFrame(found, columns=list(schema))
    return frame.astype({name: tables.dtype(*spec) for name, spec in schema.items()})


def _choices(
    total: "pd.DataFrame",
    plan: Plan,
    target_kind: str,
    rows: "pd.DataFrame",
    covariates: "pd.DataFrame | None",
    options: Options,
    completeness: float,
) -> dict[str, list[str]]:
    """Options of each choice that make a difference in this study, the primary one first."""
    primary = plan["primary"][target_kind]
    columns = [str(c) for c in total]
    parts = plan["means"].get(primary, [])
    beside = [t for t in plan["sensitivity"] if naming.kind(t) == target_kind and t in columns]
    targets = [primary, *(parts if len(parts) <= PARTS else []), *beside]
    control = _control(primary, plan, columns)
    held = [NONE]
    if control is not None:
        counted = options.images is not None and control in options.images
        noisy = counted and options.images[control].notna().any()  # type: ignore[index]
        held = [*([CORRECTED] if noisy else []), CURVE, LINE, NONE]
    held += [LEADERBOARD] if TOP1 in columns and control != TOP1 else []
    source = naming.source_of(primary)
    mine = rows[rows["source"].isna() if source is None else rows["source"] == source]
    networks = [NETWORKS, ROWS] if mine["copy_of"].notna().any() else [NETWORKS]
    trained = [WITHOUT, WITH] if (mine["training"] == selecting.ADVERSARIAL).any() else [WITHOUT]
    known = covariates is not None and len(set(covariates["architecture"])) > 1
    return {
        "target": list(dict.fromkeys(targets)),
        "control": held,
        "completeness": [ANY, ENOUGH.format(completeness)],
        "models": networks if plan["one_per_network"] else networks[::-1],
        "adversarially_trained": trained if plan["adversarially_trained"] == WITHOUT else trained[::-1],
        "scale": [RANKS, LOGIT],
        "families": [FAMILIES, CLUSTERS] if known else [FAMILIES],
    }


def _control(target: str, plan: Plan, columns: Sequence[str]) -> str | None:
    return plan["control"] or naming.control_of(target, list(columns))


def _taken(
    one: Specification,
    total: "pd.DataFrame",
    leaves: "pd.DataFrame",
    plan: Plan,
    rows: "pd.DataFrame",
    covariates: "pd.DataFrame | None",
    options: Options,
) -> Taken | None:
    """The models of a specification, its target on its scale and its control."""
    import numpy as np

    target, columns = one["target"], [str(c) for c in total]
    listed = selecting.admitted(
        rows, naming.source_of(target), one["models"] == NETWORKS, one["adversarially_trained"] == WITH
    )
    control = {NONE: None, LEADERBOARD: TOP1}.get(one["control"], _control(target, plan, columns))
    exact = options if one["control"] == CORRECTED else replace(options, images=None)
    part = total[total["model"].isin(listed)]
    taken = take(part, leaves, target, control, covariates, exact)
    if taken is None or one["scale"] != LOGIT or not naming.is_share(target):
        return taken
    count = np.full(len(taken.y), float(IMAGES))
    if options.images is not None and target in options.images:
        have = part[target].notna() & (True if control is None else part[control].notna())
        known = options.images[target].reindex(part.loc[have, "model"]).to_numpy(float)
        count = np.where(np.isfinite(known), known, count)
    share = (taken.y * count + 0.5) / (count + 1)
    return replace(taken, y=np.log(share / (1 - share)))


def _estimates(
    taken: Taken, leaves: "pd.DataFrame", one: Specification, least: float
) -> list[dict[str, Any]]:
    """A row per kind."""
    import numpy as np

    names = list(dict.fromkeys(leaves["kind"]))
    member = np.array([[k == name for name in names] for k in leaves["kind"]])
    scored = np.isfinite(taken.x).astype(float)
    share = (member.T @ scored) / member.sum(0)[:, None]  # (K, n), of the kind's leaves
    x = np.where((member @ (share >= least).astype(float)) > 0, taken.x, np.nan)
    by_family = taken.counts(x)
    allowed = np.array([not families.objection(c[c > 0], interval=False) for c in by_family.T])
    if one["families"] == CLUSTERS:
        last = int(taken.clusters.max()) + 1  # a model of unknown architecture
        clusters = np.where(taken.clusters < 0, last, taken.clusters)
        taken = replace(taken, family=np.unique(clusters, return_inverse=True)[1])
    curve = 1 if one["control"] == LINE else None
    rho = taken.leafwise(x, curve=curve, ranks=one["scale"] == RANKS)
    used = 0 if curve else taken.used
    pooled = kinds.pool(rho, taken.counts(x), member, used, allowed)
    low, high = kinds.interval(pooled.z, pooled.error, pooled.free)
    models = [np.isfinite(x[pooled.leaves[:, k]]).any(0) for k in range(len(names))]
    first = leaves.drop_duplicates("kind").set_index("kind")
    return [
        {
            "kind": name,
            "name": first.loc[name, "name"],
            "area": first.loc[name, "area"],
            "rho": pooled.rho[k],
            "low": low[k],
            "high": high[k],
            "n": int(models[k].sum()),
            "n_families": len(set(taken.family[models[k]])),
            "n_leaves": int(pooled.leaves[:, k].sum()),
        }
        for k, name in enumerate(names)
    ]
