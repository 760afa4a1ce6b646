"""The tables that claims are made of: kinds of benchmarks against primary targets, and their differences."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from alignsec.analysis import control as controlled
from alignsec.analysis import families, kinds, maxt
from alignsec.analysis import rows as selecting
from alignsec.analysis.taken import Options as Options
from alignsec.analysis.taken import Taken, take
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.schemas import SCHEMAS
from alignsec.study import targets as naming
from alignsec.study.kinds import ENGINEERING
from alignsec.study.records import Plan

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

PRIMARY = selecting.PRIMARY
HUMAN = "human-likeness"
STRONGEST = 5  # correlations with the largest absolute value that get intervals adjusted for that


def claims(
    total: "pd.DataFrame",
    leaves: "pd.DataFrame",
    plan: Plan,
    rows: "pd.DataFrame",
    covariates: "pd.DataFrame | None" = None,
    options: Options | None = None,
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Every kind of benchmarks against the primary target of every kind of target but clean accuracy.

    Parameters
    ----------
    total : table of kind ``total_scores``
    leaves : `benchmark, kind, area, name` of each leaf (`study.kinds.of_leaves`)
    plan : of the study: primary targets, margin, control
    rows : of `rows.of_study`
    covariates : `model, architecture`: a super-family of models; None: no range without one of them

    Returns
    -------
    (kinds, differences)
        Tables of kinds ``kinds`` (a row per kind, target and selection of models, `selections`) and
        ``differences`` (a row per pair of human-likeness kinds and target, primary rows). Kinds of area
        ``engineering`` are accuracies: they are hypotheses of their own (`hypotheses`), and the family-wise
        p of the human-likeness kinds does not count them. `rho, low, high, p`: given the control, and raw
        where there is none; see `kinds.pool, largest, interval`; `verdict`:
        `kinds.verdicts`. `within_*`: the same with families held fixed, over one model of each network.
        `strongest_*`: interval of the `STRONGEST` of their hypotheses, adjusted for that choice. `super_*`:
        range of rho without one super-family, and the one without which it differs most; no interval.

    Raises
    ------
    AlignsecError
        A primary target or the control of the plan is no column of `total`.
    """
    options = options or Options()
    _check(total, plan)
    leaves = leaves[leaves["benchmark"].isin([str(c) for c in total])].reset_index(drop=True)
    signs = families.Signs(options.flips, options.seed)
    found: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for target in plan["primary"].values():
        if naming.kind(target) == "clean":
            continue
        for which, models in selections(rows, naming.source_of(target)).items():
            part = total[total["model"].isin(models)]
            shared: dict[str, Any] = {"target": target, "rows": which, "margin": plan["margin"]}
            shared["control"] = _control(target, total, plan)
            taken = take(part, leaves, target, shared["control"], covariates, options)
            if taken is None:
                found += _empty(leaves, shared)
                continue
            found += _of_kinds(taken, leaves, shared, signs, plan["margin"])
            if which == PRIMARY:
                pairs += _of_pairs(taken, leaves, shared, signs)
    return _table(found, "kinds"), _table(pairs, "differences")


def selections(rows: "pd.DataFrame", source: str | None) -> dict[str, list[str]]:
    """The models of each selection of rows (`rows.selected`): primary, and the others if there are any."""
    found = {PRIMARY: selecting.selected(rows, PRIMARY, source)}
    if only := selecting.selected(rows, selecting.ONLY, source):
        found |= {selecting.WITH: selecting.selected(rows, selecting.WITH, source), selecting.ONLY: only}
    return found


def _check(total: "pd.DataFrame", plan: Plan) -> None:
    columns = {str(c) for c in total}
    for what, name in [*plan["primary"].items(), ("control", plan["control"])]:
        if name is not None and name not in columns:
            raise AlignsecError(
                f"plan: {what!r} is {name!r}, which is no column of the joined table: correct the plan file"
            )


def _control(target: str, total: "pd.DataFrame", plan: Plan) -> str | None:
    own = naming.control_of(target, [str(c) for c in total])
    return own if plan["control"] is None else plan["control"]


def _members(leaves: "pd.DataFrame") -> tuple[list[str], "Mask"]:
    """Kinds in their order, and (L, K) which leaf is of which."""
    import numpy as np

    names = [str(k) for k in dict.fromkeys(leaves["kind"])]
    return names, np.array([[k == name for name in names] for k in leaves["kind"]])


def _hypotheses(leaves: "pd.DataFrame") -> dict[str, str]:
    """Kind -> the hypotheses it is tested with."""
    return {
        str(kind): ENGINEERING if area == ENGINEERING else "unknown" if area == "unknown" else HUMAN
        for kind, area in zip(leaves["kind"], leaves["area"], strict=True)
    }


def _of_kinds(
    taken: Taken,
    leaves: "pd.DataFrame",
    shared: Mapping[str, Any],
    signs: families.Signs,
    margin: float,
) -> list[dict[str, Any]]:
    """The rows of one target and selection."""
    import numpy as np

    names, member = _members(leaves)
    groups = _hypotheses(leaves)
    counts = taken.counts(taken.x)
    raw = kinds.pool(taken.leafwise(taken.x, control=None), counts, member)
    rho = taken.leafwise(taken.x)
    given = kinds.pool(rho, counts, member, taken.used)
    scores = (taken.scores(taken.x, rho), maxt.scores(taken.x, taken.y, taken.family))
    every = (taken.family[:, None] == np.arange(taken.family.max() + 1)).astype(float)
    paired = np.where(counts > 1, counts, 0)  # a family of one says nothing of what goes on within families
    inside = kinds.pool(taken.leafwise(taken.x, covariates=every), paired, member, taken.used)
    columns: dict[str, list[Any]] = {"rho": list(given.rho), "raw_rho": list(raw.rho)}
    columns["within_rho"] = list(inside.rho)
    for prefix, pooled in (("", given), ("raw_", raw), ("within_", inside)):
        low, high = kinds.interval(pooled.z, pooled.error, pooled.free)
        columns |= {f"{prefix}low": list(low), f"{prefix}high": list(high)}
    for group in dict.fromkeys(groups.values()):
        chosen = np.array([groups[name] == group for name in names])
        _test(columns, chosen, taken, ((given, scores[0]), (raw, scores[1])), signs, margin)
    columns |= _without_clusters(taken, member, given)
    said = kinds.within_verdicts(given.rho, *(np.array(columns[f"within_{e}"]) for e in ("low", "high")))
    models = [np.isfinite(taken.x[given.leaves[:, k]]).any(0) for k in range(len(names))]
    first = leaves.drop_duplicates("kind").set_index("kind")
    found = []
    for k, name in enumerate(names):
        there = given.sizes[:, k]
        row = {
            **shared,
            "kind": name,
            "name": first.loc[name, "name"],
            "area": first.loc[name, "area"],
            "hypotheses": groups[name],
            "n": int(models[k].sum()),
            "n_families": len(set(taken.family[models[k]])),
            "n_leaves": int(given.leaves[:, k].sum()),
            "leaves": "; ".join(leaves.loc[given.leaves[:, k], "benchmark"]),
            "control_reliability": None if taken.control is None else taken.control.reliability(),
            "p_least": maxt.least(there, signs),
            "within_n": int(inside.sizes[:, k].sum().round()) if inside.leaves[:, k].any() else None,
            "within_verdict": said[k],
            "note": _note(given, k, counts[:, member[:, k]], taken.control),
        }
        found.append(row | {column: values[k] for column, values in columns.items()})
    return found


def _test(
    columns: dict[str, list[Any]],
    chosen: "Mask",
    taken: Taken,
    estimates: tuple[tuple[kinds.Pooled, maxt.Scores], tuple[kinds.Pooled, maxt.Scores]],
    signs: families.Signs,
    margin: float,
) -> None:
    """Fill in p, verdict and what else depends on the hypotheses that are tested together."""
    import numpy as np

    where = np.flatnonzero(chosen)
    for prefix, (every, score) in zip(("", "raw_"), estimates, strict=True):
        of = _only(every, where)
        scale = maxt.spread(
            taken.x, taken.family, of.leaves, None if prefix or taken.control is None else taken.control.value
        )
        p = maxt.largest(score, maxt.weights(of.leaves), scale, signs)
        filled: dict[str, Sequence[Any]] = {f"{prefix}p": list(p)}
        if not prefix:
            low, high = kinds.strongest(of, STRONGEST)
            tests = int(np.isfinite(p).sum())
            filled |= {
                "verdict": kinds.verdicts(of, p, margin),
                "detectable": list(kinds.detectable(of, tests)),
                "strongest_low": list(low),
                "strongest_high": list(high),
            }
        for column, values in filled.items():
            whole = columns.setdefault(column, [None] * len(chosen))
            for i, value in zip(where, values, strict=True):
                whole[i] = value


def _only(pooled: kinds.Pooled, where: "Ints") -> kinds.Pooled:
    """Some of the kinds."""
    return kinds.Pooled(
        pooled.z[where],
        pooled.error[where],
        pooled.free[where],
        pooled.rough[where],
        pooled.without[:, where],
        pooled.leaves[:, where],
        pooled.sizes[:, where],
    )


def _without_clusters(taken: Taken, member: "Mask", given: kinds.Pooled) -> dict[str, list[Any]]:
    """Range of rho without one super-family, of kinds that have an estimate without at least two of them."""
    import numpy as np

    count = len(given.z)
    found: dict[str, list[Any]] = {c: [None] * count for c in ("super_low", "super_high", "super_family")}
    known = taken.clusters >= 0
    if len(set(taken.clusters[known])) < 2:
        return found
    x = np.where(known, taken.x, np.nan)
    rho = controlled.leafwise(x, taken.y, np.maximum(taken.clusters, 0), taken.control)
    for k in np.flatnonzero(given.leaves.any(0)):
        z = np.arctanh(rho[:, given.leaves[:, k]].clip(-1 + 1e-12, 1 - 1e-12)).mean(1)
        without = np.tanh(z[1:])
        if np.isfinite(without).sum() < 2:
            continue
        found["super_low"][k], found["super_high"][k] = np.nanmin(without), np.nanmax(without)
        found["super_family"][k] = taken.cluster_names[int(np.nanargmax(abs(z[1:] - z[0])))]
    return found


def _note(given: kinds.Pooled, k: int, counts: "Ints", control: controlled.Control | None) -> str:
    """Why a kind has no estimate, no interval, or fewer leaves than it is of."""
    import numpy as np

    said = []
    out = counts.shape[1] - int(given.leaves[:, k].sum())
    if out == counts.shape[1]:
        most = counts[:, counts.sum(0).argmax()]
        why = families.objection(most[most > 0], interval=False) if most.any() else "no model has a score"
        return f"nothing: {why or 'no leaf can be estimated' + (' given the control' if control else '')}"
    if out:
        said.append(f"{out} of {counts.shape[1]} leaves have too few models or families")
    if not np.isfinite(given.error[k]):
        sizes = given.sizes[:, k]
        said.append(f"no interval: {families.objection(sizes[sizes > 0], interval=True)}")
    return "; ".join(said)


def _empty(leaves: "pd.DataFrame", shared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of kinds that no model can be estimated for."""
    groups = _hypotheses(leaves)
    first = leaves.drop_duplicates("kind")
    return [
        {
            **shared,
            "kind": kind,
            "name": name,
            "area": area,
            "hypotheses": groups[kind],
            "n": 0,
            "n_families": 0,
            "n_leaves": 0,
            "leaves": "",
            "verdict": kinds.UNKNOWN,
            "within_verdict": kinds.UNKNOWN,
            "note": "nothing: fewer than 3 models have target and control, or the target is constant",
        }
        for kind, name, area in zip(first["kind"], first["name"], first["area"], strict=True)
    ]


# ---- differences -------------------------------------------------------------------------------------------


def _of_pairs(
    taken: Taken, leaves: "pd.DataFrame", shared: Mapping[str, Any], signs: families.Signs
) -> list[dict[str, Any]]:
    """Pairs of human-likeness kinds over the models that have at least half of the leaves of both."""
    import numpy as np

    names, member = _members(leaves)
    groups = _hypotheses(leaves)
    wanted = [k for k, name in enumerate(names) if groups[name] == HUMAN]
    scored = np.isfinite(taken.x)
    mostly = {k: scored[member[:, k]].mean(0) >= 0.5 for k in wanted}
    rows, scores, scales, weight = [], [], [], []
    for a, b in combinations(wanted, 2):
        which = np.flatnonzero(member[:, a] | member[:, b])
        common = mostly[a] & mostly[b]
        x = np.where(common, taken.x[which], np.nan)
        row = {**shared, "kind": names[a], "other": names[b], "n": int(common.sum()), "note": ""}
        row["n_families"] = len(set(taken.family[common]))
        rows.append(row)
        rho = taken.leafwise(x)
        both = kinds.pool(rho, taken.counts(x), member[which][:, [a, b]], taken.used)
        scores.append(taken.scores(x, rho))
        weight.append(maxt.weights(both.leaves) @ np.array([1.0, -1.0]))
        value = None if taken.control is None else taken.control.value
        scales.append(maxt.spread_of_difference(x, taken.family, both.leaves, value))
        row |= {"rho": both.rho[0], "other_rho": both.rho[1]} | kinds.difference(both, taken.used)
        if not np.isfinite(row["low"]):
            row["note"] = "no interval: too few models or families have both"
    if rows:
        every = maxt.Scores(*(np.concatenate(part, axis=1) for part in zip(*scores, strict=True)))
        p = maxt.largest(every, maxt.beside(weight), np.array(scales), signs)
        for row, value in zip(rows, p, strict=True):
            row["p"] = value
    return rows


def _table(rows: Sequence[Mapping[str, Any]], schema: str) -> "pd.DataFrame":
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(SCHEMAS[schema]))
    return frame.astype({name: tables.dtype(*spec) for name, spec in SCHEMAS[schema].items()})
