"""Benchmarks against robustness targets: estimates, how sure they are, and from how many models."""

import math
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from alignsec.analysis import families
from alignsec.analysis.parents import with_exported
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.ground.tables import SCHEMAS
from alignsec.ground.tables import dtype
from alignsec.study.layout import correlations_of
from alignsec.study.targets import clean
from alignsec.study.targets import control_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MINIMUM = 5  # models; fewer have too few orders for a rank correlation to mean anything
FLOOR = 0.5  # share of the models on one value of the target above which the note warns


def correlate(
    total: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    targets: Sequence[str],
    *,
    seed: int = 0,
    flips: int = 10_000,
    progress: bool = False,
) -> "pd.DataFrame":
    """Correlate every benchmark with every target, over the models that have both.

    Parameters
    ----------
    total : table of kind ``total_scores``: one row per model, one column per benchmark (score) and per target
        (accuracy, a share in [0, 1], or median distance in pixel units); null or infinite is "the model has none"
    benchmarks : table of kind ``benchmarks``; a column ``exported_<parent>`` of `total` is one more benchmark
    targets : columns of `total`
    seed, flips : of the sign-flip test; rows with few hits are estimated again with 20 times the flips
    progress : a bar on standard error

    Returns
    -------
    Table of kind ``correlations``, one row per benchmark x target, benchmarks in the order of their table,
    targets as given. `rho`: Spearman over all models with both, as `pandas.DataFrame.corr`. `rho_low, rho_high,
    p, lofo_low, lofo_high, rho_within, rho_between, n_effective`: see `families.estimate`; `lofo_family` is the
    family whose absence moves rho most, `families_effective` see `families.effective`. `partial_*`: Spearman given
    clean accuracy (`control`), over the `partial_n` models that have all three, same methods; null where the
    target is clean accuracy. `q`, `partial_q`: Benjamini-Hochberg over leaves x targets; null for parents, which
    are means of leaves and would be counted twice. `pearson_r, r2, slope, intercept, p_ols`: ordinary least
    squares of the target (y) on the benchmark (x) (`scipy.stats.linregress`), models taken as independent; slope in
    units of target per unit of benchmark. `loss_of_n`: models that have the target but not the benchmark. Where
    something cannot be estimated the row stays, it is null, and `note` says why.

    Raises
    ------
    AlignsecError
        A benchmark or a target is no column of `total`.

    Source: Benjamini and Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    import numpy as np
    import pandas as pd
    from tqdm import tqdm

    columns = [str(c) for c in total.columns]
    for kind, names in (("benchmark", list(benchmarks["benchmark"])), ("target", list(targets))):
        for name in names:
            if name not in columns:
                near = f" (nearest: {closest(name, columns)[0][0]!r})" if columns else ""
                raise AlignsecError(f"{kind} {name!r} is no column of the joined table{near}")
    signs = families.Signs(flips, seed)
    names_of, family = np.unique(total["family"].to_numpy(dtype=str), return_inverse=True)
    values = {name: _values(total, name) for name in dict.fromkeys([*targets, *clean(columns)])}
    tree = with_exported(benchmarks, columns)
    rows: list[dict[str, Any]] = []
    listed = list(zip(tree["benchmark"], tree["category"], tree["is_leaf"], strict=True))
    for name, category, is_leaf in tqdm(listed, "benchmarks", disable=not progress, mininterval=5):
        x = _values(total, name)
        block: dict[str, dict[str, Any]] = {}
        for target in targets:
            y = values[target]
            has_x, has_y = np.isfinite(x), np.isfinite(y)
            both = has_x & has_y
            block[target] = {
                "benchmark": name,
                "target": target,
                "category": None if pd.isna(category) else category,
                "is_leaf": bool(is_leaf),
                "n": int(both.sum()),
                "n_families": len(set(family[both])),
                "loss_of_n": int((has_y & ~has_x).sum()),
                **_line(x[both], y[both]),
            }
        _estimate(block, x, values, family, names_of, signs, columns)
        rows += block.values()
    schema = SCHEMAS["correlations"]
    frame = pd.DataFrame(rows, columns=list(schema))
    frame = frame.astype({name: dtype(*spec) for name, spec in schema.items()})
    for p, q in (("p", "q"), ("partial_p", "partial_q")):
        frame[q] = _adjusted(frame[p].to_numpy(), frame["is_leaf"].to_numpy())
    return frame


def _values(total: "pd.DataFrame", column: str) -> "np.ndarray":
    values: np.ndarray = total[column].to_numpy(dtype="float64", na_value=math.nan)
    return values


def _estimate(
    block: dict[str, dict[str, Any]],
    x: "np.ndarray",
    values: Mapping[str, "np.ndarray"],
    family: "np.ndarray",
    names_of: "np.ndarray",
    signs: families.Signs,
    columns: Sequence[str],
) -> None:
    """Fill a benchmark's rows; targets that the same models have are estimated together."""
    import numpy as np

    groups: dict[tuple[bytes, str | None], tuple[np.ndarray, list[str]]] = {}
    for target, row in block.items():
        if row["note"] and not row["n"]:
            continue
        for control in dict.fromkeys((None, control_of(target, columns))):
            have = np.isfinite(x) & np.isfinite(values[target])
            if control is not None:
                have &= np.isfinite(values[control])
                row |= {"control": control, "partial_n": int(have.sum())}
            usable = have.sum() >= MINIMUM and not _constant(x[have]) and not _constant(values[target][have])
            if usable and (control is None or not _constant(values[control][have])):
                groups.setdefault((have.tobytes(), control), (have, []))[1].append(target)
    remarks: dict[str, list[str]] = {target: [] for target in block}
    for (_, control), (have, members) in groups.items():
        present, code = np.unique(family[have], return_inverse=True)
        y = np.stack([values[t][have] for t in members])
        found = families.estimate(x[have], y, code, signs, None if control is None else values[control][have])
        sizes = np.bincount(code)
        for i, target in enumerate(members):
            row = block[target]
            if control is not None:
                row |= {
                    "partial_rho": found.rho[i],
                    "partial_low": found.low[i],
                    "partial_high": found.high[i],
                    "partial_p": found.p[i],
                }
                why = families.objection(sizes, interval=True)
                if why and row["partial_n"] < row["n"]:
                    remarks[target].append(f"given {control}, no interval: {why}")
                continue
            which = int(found.lofo_family[i])
            row |= {
                "rho": found.rho[i],
                "rho_low": found.low[i],
                "rho_high": found.high[i],
                "p": found.p[i],
                "lofo_low": found.lofo_low[i],
                "lofo_high": found.lofo_high[i],
                "lofo_family": str(names_of[present[which]]) if which >= 0 else None,
                "rho_within": found.within[i],
                "rho_between": found.between[i],
                "families_effective": families.effective(sizes),
                "n_effective": found.n_effective[i],
            }
            remarks[target] = _remarks(sizes, y[i], bool(np.isnan(found.low[i]))) + remarks[target]
    for target, found_remarks in remarks.items():
        block[target]["note"] = "; ".join([n for n in (block[target]["note"], *found_remarks) if n])


def _remarks(sizes: "np.ndarray", y: "np.ndarray", no_interval: bool) -> list[str]:
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


def _line(x: "np.ndarray", y: "np.ndarray") -> dict[str, Any]:
    """The least-squares line of one row; none, and a note, where there is nothing to estimate."""
    from scipy.stats import linregress

    if len(x) < MINIMUM:
        few = {0: "no model has", 1: "only 1 model has"}.get(len(x), f"only {len(x)} models have")
        return {"note": f"{few} both"}
    if _constant(x):
        return {"note": "the benchmark is constant"}
    if _constant(y):
        return {"note": "the target is constant"}
    line = linregress(x, y)
    return {
        "pearson_r": float(line.rvalue),
        "r2": float(line.rvalue) ** 2,
        "slope": float(line.slope),
        "intercept": float(line.intercept),
        "p_ols": float(line.pvalue),
        "note": "",
    }


def _constant(values: "np.ndarray") -> bool:
    # up to rounding: means of equal numbers differ in the last bit, and ranks would make a spread of that
    return bool(values.max() - values.min() <= 1e-12 * abs(values).max())


def _adjusted(p: "np.ndarray", is_leaf: "np.ndarray") -> "np.ndarray":
    """Benjamini-Hochberg over the leaves' p; NaN elsewhere."""
    import numpy as np
    from scipy.stats import false_discovery_control

    q = np.full(len(p), np.nan)
    tested = is_leaf & np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def targets_of(robustness: "pd.DataFrame") -> list[str]:
    """The targets of a table of kind ``robustness``, in its order."""
    return list(dict.fromkeys(robustness["target"]))


def effective_tests(total: "pd.DataFrame", leaves: Sequence[str]) -> float:
    """How many independent benchmarks the leaves are worth, from the eigenvalues of their rank correlations.

    Pairs with fewer than `MINIMUM` models in common count as uncorrelated; eigenvalues that pairwise deletion makes
    negative count as 0. Source: Li and Ji (2005), doi:10.1038/sj.hdy.6800717, eq. 5.
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

    Files of benchmarks that are no longer there are removed where they are this function's own work: of kind
    ``correlations``, with the one benchmark that their name says.

    Raises
    ------
    AlignsecError
        A benchmark's file would have the gathered table's name.
    """
    files = {correlations_of(out, str(b)): part for b, part in table.groupby("benchmark", sort=False)}
    if out in files:
        raise AlignsecError(f"a benchmark is called {out.stem!r}, as the table of all: rename it")
    for other in set(out.parent.glob("*.parquet")) - {out, *files}:
        if _is_own(other):
            other.unlink()
    for path, part in files.items():
        tables.write(part, path, "correlations")
    tables.write_csv(table, out.with_suffix(".csv"))
    tables.write(table, out, "correlations")  # last: its existence means that the others are complete


def _is_own(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if (pq.read_schema(path).metadata or {}).get(tables.KIND) != b"correlations":
            return False
        held = set(pq.read_table(path, columns=["benchmark"])["benchmark"].to_pylist())
    except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError, OSError):
        return False
    return len(held) == 1 and correlations_of(path, held.pop()) == path
