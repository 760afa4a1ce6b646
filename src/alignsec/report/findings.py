"""What a study found, as tables for a paper."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.analysis import effective
from alignsec.analysis.correlate import targets_of
from alignsec.analysis.parents import PREFIX, leaves_below
from alignsec.ground import tables
from alignsec.report import described, dictionary, latex, reading
from alignsec.study import targets as names
from alignsec.study.layout import Layout
from alignsec.study.records import Plan

if TYPE_CHECKING:
    import pandas as pd

PREDICTORS = 15  # rows of the table of strongest predictors
ENGINEERING = "engineering"  # category of benchmarks that are accuracies, and no human-likeness


@dataclass(frozen=True)
class Study:
    """The tables that tables, summary and explorer are made from, by the names of
    `alignsec.study.layout.Layout`.

    Parameters
    ----------
    total, benchmarks, robustness, correlations : tables of the kinds ``total_scores``, ``benchmarks``, …;
        `robustness` with the means over epsilons that were made for the analysis (`Layout.targets`)
    excluded : model, step, reason
    duplicates : what one row per weights changes (`alignsec.analysis.duplicates.compare`)
    warnings : what makes verdicts doubtful (`alignsec.robustness.summarise.doubts`)
    names : what became of every name (`alignsec.analysis.names`); None of tables that are no whole study
    kinds : what is claimed of kinds of benchmarks (`alignsec.analysis.claims`); None: nothing
    selections : correlations over other rows (`alignsec.analysis.selections.correlate`); None likewise
    plan : what is primary; None likewise
    sources : what published sources say of their targets (`alignsec.report.described.read`)
    """

    total: "pd.DataFrame"
    benchmarks: "pd.DataFrame"
    robustness: "pd.DataFrame"
    correlations: "pd.DataFrame"
    excluded: "pd.DataFrame"
    duplicates: "pd.DataFrame"
    warnings: "pd.DataFrame"
    names: "pd.DataFrame | None" = None
    kinds: "pd.DataFrame | None" = None
    selections: "pd.DataFrame | None" = None
    plan: Plan | None = None
    sources: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Study":
        """The study below a folder ``results/<study>``; `AlignsecError` where a table is missing."""
        study = Layout(folder)
        wanted = [f.name for f in fields(cls) if f.name not in ("robustness", "sources")]
        read = reading.read(study, [*wanted, "targets"])
        return cls(robustness=read.pop("targets"), sources=described.read(study), **read)

    @property
    def targets(self) -> list[str]:
        """In the order of the robustness table."""
        return targets_of(self.robustness)

    @property
    def attacked(self) -> list[str]:
        """Accuracies under one attack in one norm of one source, smallest epsilon first; none: empty."""
        return [t for t in names.robust(self.targets) if names.radius(t) is not None]

    @property
    def middle(self) -> str | None:
        """The target to show where there is room for one (`reading.middle_of`)."""
        every = targets_of(self.correlations)
        return reading.middle_of(self.total, every, self.plan) if every else None

    @property
    def images(self) -> dict[str, float]:
        """Images per model of each target, the median; of those where it is known."""
        counted = self.robustness.dropna(subset=["n"]) if len(self.robustness) else self.robustness
        if counted.empty:
            return {}
        return {str(t): float(n) for t, n in counted.groupby("target")["n"].median().items()}

    @property
    def aligned(self) -> bool:
        """Has any model both an alignment score and robustness?"""
        return bool((self._scored() & self.total[self.targets].notna().any(axis=1)).any())

    @property
    def unscored(self) -> list[str]:
        """The models with robustness and without any alignment score."""
        if not self.aligned:
            return list(dict.fromkeys(self.robustness["model"]))
        measured = self.total[self.targets].notna().any(axis=1)
        return list(self.total.loc[measured & ~self._scored(), "model"])

    def _scored(self) -> "pd.Series":
        leaves = list(self.benchmarks.loc[self.benchmarks["is_leaf"], "benchmark"])
        return self.total[leaves].notna().any(axis=1)


def predictors(study: Study, rows: int = PREDICTORS) -> "pd.DataFrame":
    """The leaves of largest |partial rho| (|rho| where nothing was controlled) with `Study.middle`.

    Beside them effective robustness (`alignsec.analysis.effective`). Leaves of engineering benchmarks are
    accuracies: how well they go with another accuracy says nothing of human-likeness, and none is here.
    """
    table = human(study.correlations)
    mine = table[(table["target"] == study.middle) & table["is_leaf"] & table["rho"].notna()]
    strength = mine["partial_rho"].fillna(mine["rho"] if mine["partial_rho"].isna().all() else math.nan).abs()
    order = strength.dropna().sort_values(ascending=False, kind="stable").index[:rows]
    found = mine.loc[
        order,
        ["benchmark", "category", "n", "n_families", "rho", "rho_low", "rho_high", "q", "partial_rho",
         "partial_q", "rho_within", "rho_between"],
    ]  # fmt: skip
    beyond = effective.table(study.total, list(found["benchmark"]), [study.middle] if study.middle else [])
    return found.merge(
        beyond[["benchmark", "rho"]].rename(columns={"rho": "effective_rho"}), how="left", on="benchmark"
    )


def human(table: "pd.DataFrame") -> "pd.DataFrame":
    """The rows that are about human-likeness: all but those of engineering benchmarks."""
    return table[table["category"] != ENGINEERING]


def effective_table(study: Study) -> "pd.DataFrame":
    """Every benchmark with effective robustness, beside the partial correlation, for a target of each kind.

    The baseline is fitted on the models of the study.
    """
    targets = [
        t
        for kind, of_kind in names.by_kind(study.targets).items()
        if kind not in ("clean", "other")
        for t in [reading.middle_of(study.total, of_kind, study.plan)]
    ]
    found = effective.table(study.total, list(study.benchmarks["benchmark"]), targets)
    partial = study.correlations[["benchmark", "target", "partial_rho"]]
    return found.merge(partial, how="left", on=["benchmark", "target"])


def aggregates(study: Study) -> "pd.DataFrame":
    """What missing scores do: every parent as recomputed and as exported, against each accuracy under attack.

    `missing`, `missing_exported`: Spearman correlation, over models, of the parent with the number of leaves
    below it that the model lacks.
    """
    import pandas as pd

    table = study.correlations.set_index(["benchmark", "target"])
    rows: list[dict[str, Any]] = []
    for parent, leaves in leaves_below(study.benchmarks).items():
        lacking = study.total[leaves].isna().sum(axis=1)
        for target in study.attacked:
            row: dict[str, Any] = {"parent": parent, "target": target, "leaves": len(leaves)}
            for suffix, name in (("", parent), ("_exported", PREFIX + parent)):
                found: Any = table.loc[(name, target)]
                row |= {
                    f"{c.replace('rho_', '')}{suffix}": found[c]
                    for c in ("n", "rho", "rho_low", "rho_high", "p")
                }
                row[f"missing{suffix}"] = _spearman(study.total[name], lacking)
            rows.append(row)
    columns = [f"{c}{s}" for s in ("", "_exported") for c in ("n", "rho", "low", "high", "p", "missing")]
    return pd.DataFrame(rows, columns=["parent", "target", "leaves", *columns])


def _spearman(a: "pd.Series", b: "pd.Series") -> float:
    from alignsec.analysis.correlate import MINIMUM

    both = a.notna() & b.notna()
    a, b = a[both], b[both]
    if len(a) < MINIMUM or a.max() == a.min() or b.max() == b.min():
        return math.nan
    return float(a.corr(b, method="spearman"))


def target_table(study: Study) -> "pd.DataFrame":
    """How well each target can tell models apart.

    `at_zero`: share of the models at 0; `tied`: share on the commonest value; `images`: median over models;
    `half_width`: median half width of the 95 % interval; `sampling`: share of the variance between models
    that sampling of images alone would make, mean of v (1 - v) / (n - 1) over the variance.
    """
    import pandas as pd

    rows = []
    for target, part in study.robustness.groupby("target", sort=False):
        value = part["value"].dropna()
        n = part["n"].astype(float)
        noise = (part["value"] * (1 - part["value"]) / (n - 1)).where(n > 1)
        spread = value.var()
        share = names.is_share(str(target))
        rows.append(
            {
                "target": target,
                "models": len(value),
                "mean": value.mean(),
                "at_zero": (value == 0).mean() if len(value) else math.nan,
                "tied": value.value_counts(normalize=True).max() if len(value) else math.nan,
                "images": n.dropna().median(),
                "half_width": ((part["high"] - part["low"]).astype(float) / 2).dropna().median(),
                "sampling": noise.mean() / spread if share and spread > 0 else math.nan,
            }
        )
    return pd.DataFrame(rows)


def all_tables(study: Study) -> Mapping[str, tuple["pd.DataFrame", str]]:
    """Name -> (table, caption in plain text) of every table of a study."""
    every = study.correlations
    wide = study.robustness
    shown = ["benchmark", "target", "n", "n_families", "rho", "rho_low", "rho_high", "p", "q", "partial_rho",
             "partial_p", "partial_q", "r2", "slope"]  # fmt: skip
    middle = names.label(study.middle) if study.middle else ""
    models = wide.pivot(index="model", columns="target", values="value")[study.targets].reset_index()
    lacking = "" if study.aligned else "No model has alignment scores, so nothing could be estimated. "
    return {
        "correlations": (
            every[shown],
            f"{lacking}Alignment benchmarks against robustness: Spearman rho with 95 % intervals and tests "
            "over families, raw and given clean accuracy; q over leaves and targets of one kind.",
        ),
        "predictors": (
            predictors(study),
            f"{lacking}The leaf benchmarks of human-likeness most correlated with {middle} given clean "
            "accuracy; within and between families; with effective robustness.",
        ),
        "effective": (
            effective_table(study),
            f"{lacking}Alignment benchmarks and effective robustness: accuracy beyond what the line of logit "
            "accuracy on logit clean accuracy of all models of the study predicts, beside the partial "
            "correlation.",
        ),
        "aggregates": (
            aggregates(study),
            f"{lacking}Parents of the benchmark tree as the mean of what was measured and as exported (a "
            "missing child counts as 0), and their rank correlation with the number of missing leaves.",
        ),
        "targets": (
            target_table(study),
            "How well each target tells models apart: share at 0, share tied, images, half width of the "
            "interval, and the share of its variance that is sampling of images.",
        ),
        "duplicates": (
            study.duplicates,
            "Correlations over all models, and with one row for all models of the same weights."
            if len(study.duplicates)
            else "No two models are known to have the same weights.",
        ),
        "models": (models, "Accuracy of every model, clean, under attack and under corruptions."),
        "excluded": (study.excluded, "Models that could not be evaluated, with the reason."),
        "dictionary": (dictionary.table(), "What the columns of the study's tables hold."),
    }


def write_tables(folder: Path) -> list[Path]:
    """Write every table of the study below a folder ``results/<study>`` as CSV and as LaTeX; the files
    written."""
    written = []
    for name, (frame, caption) in all_tables(Study.read(folder)).items():
        text, code = (Layout(folder).table(name, suffix) for suffix in ("csv", "tex"))
        tables.write_csv(frame, text)
        tables.write_text(code, latex.table(frame, caption, f"tab:{name}"))
        written += [text, code]
    return written
