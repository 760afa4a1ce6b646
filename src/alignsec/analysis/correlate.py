"""Benchmarks against robustness targets: estimates, how sure they are, and from how many models."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.analysis import control as controlled
from alignsec.analysis import families, reliability
from alignsec.analysis.parents import with_exported
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.ground.schemas import SCHEMAS
from alignsec.study.layout import correlations_of
from alignsec.study.targets import control_of, is_of_correct, is_share
from alignsec.study.targets import kind as kind_of
from alignsec.zoo.account import TOP1

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

MINIMUM = 5  # models; fewer have too few orders for a rank correlation to mean anything
FLOOR = 0.5  # share of the models on one value of the target above which the note warns


@dataclass(frozen=True)
class _Study:
    """What every benchmark is set against, one value per model."""

    measured: Mapping[str, "Floats"]  # of the targets and of clean accuracy
    controls: Mapping[str, Mapping[str, str]]  # target -> prefix of columns -> what it is to be seen net of
    family: "Ints"  # codes
    families: Sequence[str]  # names, by code
    images: Mapping[str, "Floats"]  # of targets and clean accuracies whose number of images is known
    same: bool | None  # are targets and clean accuracy of the same images; None: where their numbers agree

    def control(self, name: str, target: str, have: "Mask") -> controlled.Control:
        """Clean accuracy `name` of the models `have`, and what is known of its noise."""
        value, images = self.measured[name][have], self.images.get(name)
        if images is None:
            return controlled.Control(value)
        of_target = self.images.get(target)
        agree = of_target is not None and bool((of_target == images)[have].all())
        shared = is_of_correct(target) and (agree if self.same is None else self.same)
        return controlled.Control(value, images[have], shared)


def correlate(
    total: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    targets: Sequence[str],
    *,
    images: "pd.DataFrame | None" = None,
    same_images: bool | None = None,
    seed: int = 0,
    flips: int = 10_000,
    progress: bool = False,
) -> "pd.DataFrame":
    """Correlate every benchmark with every target, over the models that have both.

    Parameters
    ----------
    total : table of kind ``total_scores``: one row per model, one column per benchmark (score) and per target
        (a share in [0, 1], or a median distance in pixel units); null or infinite is "the model has none"
    benchmarks : table of kind ``benchmarks``; a column ``exported_<parent>`` of `total` is one more benchmark
    targets : columns of `total`
    images : number of images of each value, a row per model (index) and a column per target; null or None: no
        noise is taken into account
    same_images : are targets and clean accuracy counted on the same images; None: where their numbers agree
    seed, flips : of the sign-flip test; rows with few hits are estimated again with 20 times the flips
    progress : a bar on standard error

    Returns
    -------
    Table of kind ``correlations``, one row per benchmark x target, benchmarks in the order of their table,
    targets as given. `rho`: Spearman over all models with both, as `pandas.DataFrame.corr`. `rho_low,
    rho_high, p, lofo_low, lofo_high, rho_within, rho_within_low, rho_within_high, rho_between, n_effective`:
    see `families.estimate`; `lofo_family`: whose absence moves rho most; `families_effective`: see
    `families.effective`.
    `rho_corrected`: rho over the root of the target's reliability. `partial_*`: Spearman given clean accuracy
    (`control`, of reliability `control_reliability`), over the `partial_n` models that have all three, see
    `control.given`; null where the target is clean accuracy. `leaderboard_*`: the same given Brain-Score's
    own benchmark of clean accuracy instead, taken as exact. `q`, `partial_q`: Benjamini-Hochberg over
    leaves x targets of one `target_kind`, so that what else a study measured changes no q; null for parents,
    which are means of leaves and would be counted twice. `pearson_r, r2,
    slope, intercept, p_ols`: least squares of the target (y) on the benchmark (x) (`scipy.stats.linregress`),
    models taken as independent; slope in units of target per unit of benchmark. `loss_of_n`: models that have
    the target but not the benchmark. Where something cannot be estimated the row stays, it is null, and
    `note` says why.

    Raises
    ------
    AlignsecError
        A benchmark or a target is no column of `total`.

    Source: Benjamini and Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    import pandas as pd
    from tqdm import tqdm

    columns = [str(c) for c in total]
    _check(columns, benchmark=list(benchmarks["benchmark"]), target=targets)
    study = _study(total, targets, columns, images, same_images)
    signs = families.Signs(flips, seed)
    tree = with_exported(benchmarks, columns)
    rows: list[dict[str, Any]] = []
    listed = list(zip(tree["benchmark"], tree["category"], tree["is_leaf"], strict=True))
    for name, category, is_leaf in tqdm(listed, "benchmarks", disable=not progress, mininterval=5):
        x = _values(total, name)
        shared = {"category": None if pd.isna(category) else category, "is_leaf": bool(is_leaf)}
        block = {
            target: {"benchmark": name, "target": target, **shared, **_line(x, study, target)}
            for target in targets
        }
        _estimate(block, x, study, signs)
        rows += block.values()
    return _table(rows)


def _study(
    total: "pd.DataFrame",
    targets: Sequence[str],
    columns: Sequence[str],
    images: "pd.DataFrame | None",
    same: bool | None,
) -> _Study:
    import numpy as np
    import pandas as pd

    names, family = np.unique(total["family"].to_numpy(dtype=str), return_inverse=True)
    known = pd.DataFrame() if images is None else images.reindex(total["model"])
    controls = {target: _controls(target, columns) for target in targets}
    held = [column for of_target in controls.values() for column in of_target.values()]
    return _Study(
        {name: _values(total, name) for name in dict.fromkeys([*targets, *held])},
        controls,
        family,
        [str(n) for n in names],
        {str(name): _values(known, str(name)) for name in known if known[name].notna().any()},
        same,
    )


def _controls(target: str, columns: Sequence[str]) -> dict[str, str]:
    """The clean accuracy of the target's source, and beside it the leaderboard's own."""
    own = control_of(target, columns)
    return {} if own is None else {"partial": own} | ({"leaderboard": TOP1} if TOP1 in columns else {})


def _table(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """The rows as a table of kind ``correlations``, with p corrected for their number per kind of target."""
    import pandas as pd

    schema = SCHEMAS["correlations"]
    frame = pd.DataFrame(rows, columns=list(schema))
    frame["target_kind"] = [kind_of(target) for target in frame["target"]]
    frame = frame.astype({name: tables.dtype(*spec) for name, spec in schema.items()})
    for p, q in (("p", "q"), ("partial_p", "partial_q")):
        frame[q] = math.nan
        for _, of_kind in frame.groupby("target_kind", sort=False):
            frame.loc[of_kind.index, q] = _adjusted(of_kind[p].to_numpy(), of_kind["is_leaf"].to_numpy())
    return frame


def _check(columns: Sequence[str], **wanted: Sequence[str]) -> None:
    for kind, names in wanted.items():
        for name in names:
            if name not in columns:
                near = f" (nearest: {closest(name, columns)[0][0]!r})" if columns else ""
                raise AlignsecError(f"{kind} {name!r} is no column of the joined table{near}")


def _values(total: "pd.DataFrame", column: str) -> "Floats":
    values: Floats = total[column].to_numpy(dtype="float64", na_value=math.nan)
    return values


def _line(x: "Floats", study: _Study, target: str) -> dict[str, Any]:
    """Counts and the least-squares line of one row; where there is nothing to estimate, a note for a line."""
    import numpy as np
    from scipy.stats import linregress

    y = study.measured[target]
    has_x, has_y = np.isfinite(x), np.isfinite(y)
    both = has_x & has_y
    n = int(both.sum())
    counts = {
        "n": n,
        "n_families": len(set(study.family[both])),
        "loss_of_n": int((has_y & ~has_x).sum()),
    }
    if n < MINIMUM:
        few = {0: "no model has", 1: "only 1 model has"}.get(n, f"only {n} models have")
        return {**counts, "note": f"{few} both"}
    if _constant(x[both]):
        return {**counts, "note": "the benchmark is constant"}
    if _constant(y[both]):
        return {**counts, "note": "the target is constant"}
    line = linregress(x[both], y[both])
    return {
        **counts,
        "pearson_r": float(line.rvalue),
        "r2": float(line.rvalue) ** 2,
        "slope": float(line.slope),
        "intercept": float(line.intercept),
        "p_ols": float(line.pvalue),
        "note": "",
    }


def _estimate(block: dict[str, dict[str, Any]], x: "Floats", study: _Study, signs: families.Signs) -> None:
    """Fill a benchmark's rows; targets that the same models have are estimated together."""
    import numpy as np

    remarks: dict[str, list[str]] = {target: [] for target in block}
    for prefix, have, members in _groups(block, x, study):
        present, code = np.unique(study.family[have], return_inverse=True)
        if prefix:
            for target in members:
                row, control = block[target], study.controls[target][prefix]
                given = study.control(control, target, have)
                net = controlled.given(x[have], study.measured[target][have], code, given)
                row |= {f"{prefix}_{k}": getattr(net, k) for k in ("rho", "low", "high", "p")}
                if prefix == "partial":
                    row["control_reliability"] = net.reliability
                if net.why and (net.fault or row[f"{prefix}_n"] < row["n"]):
                    remarks[target].append(f"given {control}, {net.why}")
            continue
        y = np.stack([study.measured[t][have] for t in members])
        found = families.estimate(x[have], y, code, signs)
        sizes = np.bincount(code)
        for i, target in enumerate(members):
            row = block[target]
            row |= _plain(found, i, sizes, [study.families[f] for f in present])
            if is_share(target) and target in study.images:
                of_target = controlled.Control(y[i], study.images[target][have])
                row["rho_corrected"] = reliability.corrected(row["rho"], of_target.reliability())
            remarks[target] = _remarks(sizes, y[i], bool(np.isnan(found.low[i]))) + remarks[target]
    for target, said in remarks.items():
        block[target]["note"] = "; ".join([n for n in (block[target]["note"], *said) if n])


def _groups(
    block: dict[str, dict[str, Any]], x: "Floats", study: _Study
) -> list[tuple[str, "Mask", list[str]]]:
    """Prefix of a control's columns ("": none), models that have all values, and the targets they all have.

    A row gets its `control` and `partial_n` here. Where a value is constant there is nothing to estimate.
    """
    import numpy as np

    groups: dict[tuple[bytes, str, str], tuple[Mask, list[str]]] = {}
    for target, row in block.items():
        if row["note"] and not row["n"]:
            continue
        for prefix, control in {"": "", **study.controls[target]}.items():
            values = [x, study.measured[target]] + ([study.measured[control]] if prefix else [])
            have = np.logical_and.reduce([np.isfinite(v) for v in values])
            if prefix:
                row[f"{prefix}_n"] = int(have.sum())
            if prefix == "partial":
                row["control"] = control
            if have.sum() >= MINIMUM and not any(_constant(v[have]) for v in values):
                groups.setdefault((have.tobytes(), prefix, control), (have, []))[1].append(target)
    return [(prefix, have, members) for (_, prefix, _), (have, members) in groups.items()]


def _plain(found: families.Estimates, i: int, sizes: "Ints", names: Sequence[str]) -> dict[str, Any]:
    """The estimates of one target that no control enters; `sizes` and `names` are the families'."""
    which = int(found.lofo_family[i])
    return {
        "rho": found.rho[i],
        "rho_low": found.low[i],
        "rho_high": found.high[i],
        "p": found.p[i],
        "lofo_low": found.lofo_low[i],
        "lofo_high": found.lofo_high[i],
        "lofo_family": names[which] if which >= 0 else None,
        "rho_within": found.within[i],
        "rho_within_low": found.within_low[i],
        "rho_within_high": found.within_high[i],
        "rho_between": found.between[i],
        "families_effective": families.effective(sizes),
        "n_effective": found.n_effective[i],
    }


def _remarks(sizes: "Ints", y: "Floats", no_interval: bool) -> list[str]:
    """What a reader of the row must know: why there is no interval or test, and a target on its floor."""
    import numpy as np

    notes = []
    if why := families.objection(sizes, interval=False):
        notes.append(f"no interval, no test: {why}")
    elif why := families.objection(sizes, interval=True):
        notes.append(f"no interval: {why}")
    elif no_interval:
        notes.append("no interval: without one family nothing is left to estimate, or rho does not change")
    kinds, counts = np.unique(y, return_counts=True)
    if (share := counts.max() / len(y)) > FLOOR:
        value = float(kinds[counts.argmax()])
        where = "are at the floor of 0" if value == 0 else f"are tied at {value:.3g}"
        notes.append(f"{share:.0%} of the models {where}")
    return notes


def _constant(values: "Floats") -> bool:
    # up to rounding: means of equal numbers differ in the last bit, and ranks would make a spread of that
    return bool(values.max() - values.min() <= 1e-12 * abs(values).max())


def _adjusted(p: "Floats", is_leaf: "Mask") -> "Floats":
    """Benjamini-Hochberg over the leaves' p; NaN elsewhere."""
    import numpy as np
    from scipy.stats import false_discovery_control

    q = np.full(len(p), np.nan)
    tested = is_leaf & np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def targets_of(table: "pd.DataFrame") -> list[str]:
    """The targets of a table of kind ``robustness`` or ``correlations``, in its order."""
    return list(dict.fromkeys(table["target"]))


def effective_tests(total: "pd.DataFrame", leaves: Sequence[str]) -> float:
    """How many independent benchmarks the leaves are worth, from the eigenvalues of their rank correlations.

    Pairs with fewer than `MINIMUM` models in common count as uncorrelated; eigenvalues that pairwise deletion
    makes negative count as 0. Source: Li and Ji (2005), doi:10.1038/sj.hdy.6800717, eq. 5.
    """
    import numpy as np

    usable = [b for b in leaves if total[b].max() > total[b].min()]
    if not usable:
        return 0.0
    r = total[usable].corr(method="spearman", min_periods=MINIMUM).fillna(0.0).to_numpy(copy=True)
    np.fill_diagonal(r, 1.0)
    # rounded: an eigenvalue of a whole number less one bit would count twice
    root = np.linalg.eigvalsh(r).clip(0).round(9)
    return float(((root >= 1) + (root - np.floor(root))).sum())


def write(table: "pd.DataFrame", out: Path) -> None:
    """Write the gathered table to `out`, its CSV twin, and one file per benchmark beside it.

    Nothing is removed or overwritten beside `out` and its twin but this function's own work: files of kind
    ``correlations`` that hold the one benchmark that their name says. Those of benchmarks that are no longer
    there are removed.

    Raises
    ------
    AlignsecError
        `out` is no name of a Parquet file, or a benchmark's file would have the name of the gathered table or
        of a file of somebody else's.
    """
    if out.suffix != ".parquet":
        raise AlignsecError(f"{out}: the table is written as Parquet, CSV beside it: name it ….parquet")
    table = tables.validate(table, "correlations")
    files = {correlations_of(out, str(b)): part for b, part in table.groupby("benchmark", sort=False)}
    if out in files:
        raise AlignsecError(f"a benchmark is called {out.stem!r}, as the table of all: rename it")
    for path in files:
        if path.exists() and not _is_own(path):
            raise AlignsecError(
                f"{path}: a file of another kind, where a benchmark's own correlations would go: move it, or "
                "write to another folder"
            )
    for path in set(out.parent.glob("*.parquet")) - {out, *files}:
        if _is_own(path):
            path.unlink()
    for path, part in files.items():
        tables.write(part, path, "correlations", checked=True)
    tables.write_csv(table, out.with_suffix(".csv"))
    # last: its existence means that the others are complete
    tables.write(table, out, "correlations", checked=True)


def _is_own(path: Path) -> bool:
    """Is the file one benchmark's part of a gathered table, as its content and name say?"""
    import pandas as pd

    if tables.kind_of(path) != "correlations":
        return False
    # no more than this column: an earlier version of the table has others
    held = set(pd.read_parquet(path, columns=["benchmark"])["benchmark"])
    return len(held) == 1 and correlations_of(path, held.pop()) == path
