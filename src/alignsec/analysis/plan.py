"""One primary target for each kind of target, chosen from the targets alone before anything is correlated.

What is chosen after a look at correlations is chosen for them, so nothing here sees an alignment score.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.study import targets as names
from alignsec.study.plan import PlanFile
from alignsec.study.records import Plan

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]

AT_FLOOR = names.FLOOR  # share of the models at the floor from which on an epsilon tells too few apart
COVERED = 0.75  # of the models of the best measured setting; a mean is of models that have every one
IMAGES = 1000  # taken for the correction of continuity where no number of images is known
_Z = 1.959964  # of a 95 % interval
# what is taken of a kind, the first that there is: others say the same of other images, or less of the same
_MEASURES = {
    "adversarial": ("robust_top1", "pgd_top1", "robust_top5", "pgd_top5", "robust_given_correct",
                    "median_distance"),
    "shift": ("shift_top1", "shift_top5"),
    "corruption": ("corruption_top1",),
    "clean": ("clean_top1", "clean_top5"),
}  # fmt: skip


def choose(robustness: "pd.DataFrame", given: PlanFile | None = None) -> Plan:
    """The primary target of each kind of target, and what it is the mean of.

    Of a kind, each source of targets offers one: of accuracies under attack and of shifted sets the mean over
    those epsilons (sets) that have less than `AT_FLOOR` of the models at the floor and at least `COVERED` of
    the models of the best measured one (`with_means`); of corruptions the mean over all; of clean accuracy
    the one on ImageNet's validation images. Where one is left there is nothing to average, and it is taken as
    it is; where none is, the one with the fewest models at the floor. Primary is what the study measured
    itself, else the source with the most models. AutoAttack comes before a PGD, top-1 before top-5.

    Parameters
    ----------
    robustness : table of kind ``robustness``
    given : what the plan file says (None: there is none); its floors say up to which accuracy a model is at
        the floor, which is 0 else; its excluded models are not looked at

    Raises
    ------
    AlignsecError
        The plan file names a target, source or model that is not there, or a target of another kind than it
        says.
    """
    given = given or PlanFile()
    _check(robustness, given)
    wide = _wide(robustness[~robustness["model"].isin(list(given.exclude))], "value").dropna(
        axis=1, how="all"
    )
    means: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    offered: dict[str, list[str]] = {}
    for kind, targets in names.by_kind(wide.columns).items():
        for source in sorted({names.source_of(t) or "" for t in targets}):
            mine = [t for t in targets if (names.source_of(t) or "") == source]
            if not (found := _first(mine, _MEASURES.get(kind.split()[0], ()))):
                continue
            parts = _kept(found, wide, given, left_out) if kind != "clean" else found[:1]
            target = parts[0] if len(parts) == 1 else _mean_of(parts)
            if len(parts) > 1:
                means[target] = parts
            offered.setdefault(kind, []).append(target)

    def place(target: str) -> tuple[bool, int, str]:
        models = wide[means.get(target, [target])].notna().all(axis=1).sum()
        return names.source_of(target) is not None, -int(models), target

    primary = {kind: min(targets, key=place) for kind, targets in offered.items()}
    known = [*wide.columns, *means]
    for kind, target in given.primary.items():
        primary[kind] = _known(target, known, f"primary of {kind!r}", kind)
    beside = [_known(t, known, "sensitivity") for t in given.sensitivity]
    beside += [t for kind, targets in offered.items() for t in targets if kind != "clean"]
    return Plan(
        margin=given.margin,
        file_sha256=given.sha256,
        primary=primary,
        means=means,
        left_out=left_out,
        sensitivity=[t for t in dict.fromkeys(beside) if t not in primary.values()],
        control=given.control,
        floors=dict(given.floors),
        identities=list(given.identities),
        adversarially_trained=given.adversarially_trained,
        one_per_network=given.one_per_network,
        exclude=dict(given.exclude),
    )


def floor_of(target: str, floors: "dict[str, float]") -> float:
    """Accuracy up to which a model is at the floor of a target, as a plan has `floors`: 0 else.

    That of a source is of its accuracies under attack.

    >>> floors = {"testbed": 0.09}
    >>> [floor_of(t, floors) for t in ("pgd_top1@2/255[testbed]", "shift_top1@a[testbed]", "robust_top1@0.1")]
    [0.09, 0.0, 0.0]
    """
    attacked = names.kind(target).startswith("adversarial")
    return floors.get(target, floors.get(names.source_of(target) or "", 0.0) if attacked else 0.0)


def _wide(robustness: "pd.DataFrame", column: str) -> "pd.DataFrame":
    """Models x targets of one column, in an order that does not depend on the table's; smallest ε first."""
    found = robustness.pivot(index="model", columns="target", values=column).sort_index()
    order = sorted(found.columns, key=lambda t: (names.radius(t) or 0.0, names.parts(t).setting, t))
    return found[order].astype(float)


def _first(targets: Sequence[str], measures: Sequence[str]) -> list[str]:
    """The targets of the first of the measures that there is."""
    of = {m: [t for t in targets if names.parts(t).measure == m] for m in measures}
    return next((found for found in of.values() if found), [])


def _mean_of(parts: Sequence[str]) -> str:
    """The name of a mean over settings of one measure, norm and source.

    >>> _mean_of(["shift_top1@a[timm]", "shift_top1@b[timm]"]), _mean_of(["pgd_top1@L2:0.1", "pgd_top1@L2:1"])
    ('shift_top1@mean[timm]', 'pgd_top1@L2:mean')
    """
    said = names.parts(parts[0])
    if said.norm:
        return names.mean_name(parts[0])
    return names.with_source(f"{said.measure}@{names.MEAN}", said.source)


def _kept(found: Sequence[str], wide: "pd.DataFrame", given: PlanFile, left_out: dict[str, str]) -> list[str]:
    """The targets of one measure, norm and source that a mean is made of; why others are not: `left_out`."""
    if means := [t for t in found if names.is_mean(t)]:
        return means[:1]
    many = {t: int(wide[t].notna().sum()) for t in found}
    best = max(many.values())
    covered = []
    for target in found:
        if many[target] and many[target] >= COVERED * best:
            covered.append(target)
        else:
            left_out[target] = f"{many[target]} models have it, of another setting {best}"
    if names.kind(found[0]) == "corruption" or not names.is_share(found[0]):
        return covered if names.is_share(found[0]) else covered[:1]
    floor = {t: floor_of(t, dict(given.floors)) for t in covered}
    share = {t: float((wide[t].dropna() <= floor[t]).mean()) for t in covered}
    kept = [t for t in covered if share[t] < AT_FLOOR]
    chosen = kept or [min(covered, key=lambda t: share[t])]
    for target in covered:
        where = f"{share[target]:.0%} of {many[target]} models are at the floor of {floor[target]:g}"
        if not kept:
            which = "this has the fewest and is taken" if target in chosen else "another has fewer"
            left_out[target] = f"{where}, and too many of every setting; {which}"
        elif target not in kept:
            left_out[target] = where
    return chosen


def _check(robustness: "pd.DataFrame", given: PlanFile) -> None:
    """What a plan file names must be there: a rule with a slip of the pen in it would be none."""
    models, targets = set(robustness["model"]), list(dict.fromkeys(robustness["target"]))
    sources = {s for t in targets if (s := names.source_of(t)) is not None}
    for key, wanted, known in (
        ("exclude", given.exclude, models),
        ("floors", given.floors, {*targets, *sources}),
    ):
        for name in wanted:
            if name not in known:
                near = f" (nearest: {closest(name, known)[0][0]!r})" if known else ""
                raise AlignsecError(f"plan file: {key}: {name!r} is not in the robustness table{near}")


def _known(target: str, known: Sequence[str], key: str, kind: str | None = None) -> str:
    if target not in known:
        near = f", the nearest is {closest(target, known)[0][0]!r}" if known else ""
        raise AlignsecError(f"plan file: {key}: no target {target!r} was measured or made of others{near}")
    if kind is not None and names.kind(target) != kind:
        raise AlignsecError(f"plan file: {key}: {target!r} is a target of kind {names.kind(target)!r}")
    return target


def with_means(robustness: "pd.DataFrame", plan: Plan) -> "pd.DataFrame":
    """`robustness` and below it the means that a plan makes.

    A mean of accuracies under attack or on shifted sets is the share whose logit is the mean of their logits,
    each from (k + 1/2) / (n + 1) with k of n images, so that 0 and 1 have one; of corruptions it is the mean
    of the shares. A model has it where it has every part. `n` is the smallest of the parts'; the interval is
    of the delta method from binomial errors, null where a number of images is unknown or of corruptions.
    Attacked images are the same for every epsilon, so errors are taken to be as correlated as two shares can
    be (who resists at the larger epsilon resists at the smaller); shifted sets share no image.

    Parameters
    ----------
    robustness : table of kind ``robustness``
    plan : of `choose`, made from this table

    Returns
    -------
    Table of kind ``robustness``.

    Source: Haldane (1956), doi:10.1111/j.1469-1809.1955.tb01285.x (logit corrected by 1/2).
    """
    import pandas as pd

    values, images = _wide(robustness, "value"), _wide(robustness, "n")
    found = [robustness]
    for target, parts in plan["means"].items():
        have = values[parts].notna().all(axis=1)
        value, n = values.loc[have, parts], images.loc[have, parts]
        rows = pd.DataFrame({"model": value.index, "target": target})
        if names.kind(target) == "corruption":
            rows["value"] = value.mean(axis=1).to_numpy()
        else:
            rows["value"], rows["low"], rows["high"] = _logit_mean(
                value.to_numpy(), n.to_numpy(), nested=names.kind(target) != "shift"
            )
        rows["n"] = n.min(axis=1, skipna=False).to_numpy()
        found.append(rows)
    return tables.validate(pd.concat([f.astype(object) for f in found], ignore_index=True), "robustness")


def _logit_mean(value: "Floats", n: "Floats", *, nested: bool) -> tuple["Floats", "Floats", "Floats"]:
    """Mean on the logit scale over the columns of shares (models, k) with its 95 % interval, each (models,).

    `n` (models, k): images, NaN where unknown, which makes the interval NaN.
    """
    import numpy as np
    from scipy.special import expit, logit

    usual = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else IMAGES for c in n.T])
    count = np.where(np.isfinite(n), n, usual)
    p = (value * count + 0.5) / (count + 1)
    middle = logit(p).mean(axis=1)
    # covariance of two logits: cov(p, q) / (p (1 - p) q (1 - q)), where cov(p, q) is lower (1 - upper) / n
    upper, lower = np.maximum(p[:, :, None], p[:, None, :]), np.minimum(p[:, :, None], p[:, None, :])
    both = np.maximum(n[:, :, None], n[:, None, :])
    covariance = 1 / (both * upper * (1 - lower))
    if not nested:
        covariance = covariance * np.eye(p.shape[1])
    # a number of images that is unknown is unknown off the diagonal too, where a product with 0 hides it
    error = np.sqrt(covariance.sum(axis=(1, 2))) / p.shape[1]
    return expit(middle), expit(middle - _Z * error), expit(middle + _Z * error)
