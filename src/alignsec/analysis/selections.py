"""Correlations over other rows than the primary ones, and of other targets: sensitivity, no claim.

A claim is made once, over the rows and the target that the plan names. What the same correlation is over
every row, over one row of each network or with adversarially trained ones shows what hangs on that choice.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alignsec.analysis import control as controlled
from alignsec.analysis import families
from alignsec.analysis import rows as selecting
from alignsec.analysis.correlate import MINIMUM
from alignsec.analysis.plan import floor_of
from alignsec.ground.errors import AlignsecError
from alignsec.study import targets as names
from alignsec.study.records import Plan

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.intp]

COLUMNS = ["benchmark", "target", "rows", "given", "n", "n_families", "rho", "low", "high", "p", "q", "note"]
TRAINING = "adversarial training"
GIVEN, ABOVE = "given adversarial training", "above the floor"
SELECTIONS = (selecting.EVERY, selecting.NETWORKS, selecting.PRIMARY, selecting.WITH, selecting.ONLY, GIVEN,
              ABOVE)  # fmt: skip


@dataclass(frozen=True)
class _Models:
    """The models of one selection that have the target, n of them."""

    values: "pd.DataFrame"  # their rows of `total`
    y: "Floats"
    family: "Ints"  # codes
    control: controlled.Control | None
    trained: "Floats"  # 1 where adversarially trained, else 0


def correlate(
    total: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    rows: "pd.DataFrame",
    plan: Plan,
    *,
    images: "pd.DataFrame | None" = None,
    same_images: bool | None = None,
    seed: int = 0,
    flips: int = 10_000,
) -> "pd.DataFrame":
    """Every benchmark against primary targets and those beside them, over `SELECTIONS` of rows.

    Parameters
    ----------
    total, benchmarks : tables of the kinds ``total_scores`` and ``benchmarks``
    rows : of `rows.of_study`
    plan : of the study; clean accuracies among its primary targets are left out
    images : number of images of each value, a row per model (index) and a column per target; None: no noise
        of the control is taken into account
    same_images : are targets and clean accuracy counted on the same images; None: where their numbers agree
    seed, flips : of the sign-flip test

    Returns
    -------
    `COLUMNS`. `rows`: see `rows.selected`; ``given adversarial training`` are those of one per network with
    a dummy variable held fixed, ``above the floor`` the models among them above the floor that the plan
    declares. `given`: what is held fixed, null where nothing is; clean accuracy as in `control.given`. `p`:
    sign flips of families, and the jackknife's t where anything is held fixed. `q`: Benjamini-Hochberg
    over the leaves of the same target, rows and control. A selection without a model has no row.

    Raises
    ------
    AlignsecError
        The plan's control is no column of `total`.
    """
    import pandas as pd

    signs = families.Signs(flips, seed)
    leaf = dict(zip(benchmarks["benchmark"], benchmarks["is_leaf"], strict=True))
    found: list[dict[str, Any]] = []
    for target in _targets(plan):
        done: dict[tuple[bytes, str | None], list[dict[str, Any]]] = {}
        control = _control(target, total, plan)
        for which, chosen in _selections(target, rows, total, plan):
            models = _models(total[chosen], target, control, rows, images, same_images)
            trained = which == GIVEN
            for given in dict.fromkeys([None, control]):
                said = [g for g in (given, TRAINING if trained else None) if g is not None]
                label = ", ".join(said) or None
                # the same models give the same numbers, as where nothing is adversarially trained
                key = (chosen.to_numpy().tobytes(), label)
                if key not in done:
                    done[key] = _block(models, leaf, given is not None, trained, signs)
                found += [{"target": target, "rows": which, "given": label, **row} for row in done[key]]
    return pd.DataFrame(found, columns=COLUMNS)


def _targets(plan: Plan) -> list[str]:
    primary = [t for kind, t in plan["primary"].items() if kind != "clean"]
    return list(dict.fromkeys([*primary, *plan["sensitivity"]]))


def _control(target: str, total: "pd.DataFrame", plan: Plan) -> str | None:
    """What a target is seen net of; None of a clean accuracy, and where none was measured."""
    columns = [str(c) for c in total]
    own = names.control_of(target, columns)
    if plan["control"] is None or names.kind(target) == "clean":
        return own
    if plan["control"] not in columns:
        raise AlignsecError(
            f"plan file: control {plan['control']!r} is neither a benchmark nor a target of the study"
        )
    return plan["control"]


def _selections(
    target: str, rows: "pd.DataFrame", total: "pd.DataFrame", plan: Plan
) -> "Iterator[tuple[str, pd.Series]]":
    """Each selection that has a model with the target, and which rows of `total` it has."""
    source, measured = names.source_of(target), total[target].notna()
    networks = selecting.selected(rows, selecting.NETWORKS, source)
    for which in SELECTIONS:
        models = networks if which in (GIVEN, ABOVE) else selecting.selected(rows, which, source)
        chosen = measured & total["model"].isin(models)
        if which == ABOVE:
            parts = {t: floor_of(t, plan["floors"]) for t in plan["means"].get(target, [target])}
            if not any(parts.values()):
                continue
            for part, floor in parts.items():
                chosen &= total[part] > floor
        if which == GIVEN:
            mine = rows[rows["model"].isin(total.loc[chosen, "model"])]
            if (mine["training"] == selecting.ADVERSARIAL).nunique() < 2:
                continue
        if chosen.any():
            yield which, chosen


def _models(
    part: "pd.DataFrame",
    target: str,
    control: str | None,
    rows: "pd.DataFrame",
    images: "pd.DataFrame | None",
    same_images: bool | None,
) -> _Models:
    import numpy as np
    import pandas as pd

    counted = pd.DataFrame() if images is None else images.reindex(part["model"])
    given = None
    if control is not None:
        of = {c: _floats(counted, c) for c in (control, target) if c in counted}
        agree = len(of) == 2 and bool((of[control] == of[target]).all())
        shared = names.is_share(target) and (agree if same_images is None else same_images)
        given = controlled.Control(_floats(part, control), of.get(control), shared and control in of)
    trained = set(rows.loc[rows["training"] == selecting.ADVERSARIAL, "model"])
    family = np.unique(part["family"].to_numpy(dtype=str), return_inverse=True)[1]
    dummy = part["model"].isin(trained).to_numpy(float)
    return _Models(part, _floats(part, target), family, given, dummy)


def _floats(frame: "pd.DataFrame", column: str) -> "Floats":
    values: Floats = frame[column].to_numpy(dtype="float64", na_value=math.nan)
    return values


def _block(
    models: _Models, leaf: Mapping[str, bool], control: bool, training: bool, signs: families.Signs
) -> list[dict[str, Any]]:
    """One row per benchmark."""
    import numpy as np
    from scipy.stats import false_discovery_control

    held = models.control if control else None
    x = np.stack([_floats(models.values, b) for b in leaf])
    x[:, ~np.isfinite(models.y if held is None else held.value)] = math.nan
    rows = [{"benchmark": b, **_counts(v, models)} for b, v in zip(leaf, x, strict=True)]
    able = [i for i, row in enumerate(rows) if "rho" not in row]
    beside = models.trained[:, None] if training else None
    given = None
    if able and (held is not None or training):
        given = controlled.leafwise(x[able], models.y, models.family, held, beside)
    for k, i in enumerate(able):
        rows[i] |= _sure(
            x[i], models, (held is not None, training), signs, None if given is None else given[:, k]
        )
    p = np.array([row["p"] for row in rows])
    tested = np.isfinite(p) & np.array(list(leaf.values()))
    q = np.full(len(rows), math.nan)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return [row | {"q": float(v)} for row, v in zip(rows, q, strict=True)]


def _counts(x: "Floats", models: _Models) -> dict[str, Any]:
    """`n`, `n_families` and `note` of one benchmark; null estimates where there is nothing to estimate."""
    import numpy as np

    have = np.isfinite(x)
    sizes = np.bincount(models.family[have])
    row: dict[str, Any] = {"n": int(have.sum()), "n_families": int((sizes > 0).sum()), "note": None}
    why = families.objection(sizes[sizes > 0], interval=True) if have.any() else ""
    if have.sum() < MINIMUM or np.ptp(x[have]) == 0 or np.ptp(models.y[have]) == 0:
        why = "too few models" if have.sum() < MINIMUM else "constant"
        return row | {"note": why} | dict.fromkeys(("rho", "low", "high", "p"), math.nan)
    return row | {"note": f"no interval: {why}" if why else None}


def _sure(
    x: "Floats", models: _Models, held: tuple[bool, bool], signs: families.Signs, given: "Floats | None"
) -> dict[str, float]:
    """Estimate, interval and test of one benchmark; `held`: clean accuracy, training; `given` (1 + F,) as
    `control.leafwise` returns."""
    import numpy as np

    have = np.isfinite(x)
    clean, training = held
    present, code = np.unique(models.family[have], return_inverse=True)
    if given is None:
        one = families.estimate(x[have], models.y[None, have], code, signs)
        return {k: float(getattr(one, k)[0]) for k in ("rho", "low", "high", "p")}
    # one straight line costs nothing; what is held fixed beyond that does
    dummy = training and bool(np.ptp(models.trained[have]))
    used = 0 if not clean else controlled.bends(int(have.sum())) - 1 + dummy
    rho = given[[0, *(1 + present)]][:, None]
    sure = controlled.jackknife(rho, np.bincount(code), used)
    return {"rho": float(rho[0, 0])} | {k: float(v[0]) for k, v in sure._asdict().items()}
