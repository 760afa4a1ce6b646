"""A leaderboard related to robustness: joined, planned, correlated, claimed, as the rules do it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from alignsec.analysis import claims, correlate, selections
from alignsec.analysis import join as joining
from alignsec.analysis import names as accounting
from alignsec.analysis import plan as planning
from alignsec.analysis import rows as selecting
from alignsec.analysis.taken import images_of
from alignsec.api.loading import Leaderboard, Published
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.ground.schemas import SCHEMAS
from alignsec.leaderboard import merge
from alignsec.report import drawing, explorer, findings, reading, summary
from alignsec.robustness import aliases
from alignsec.robustness.own import Own, read_own
from alignsec.study import bundled, covariates, kinds
from alignsec.study import config as configuration
from alignsec.study import plan as plans
from alignsec.study.layout import Layout

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    Table = Path | str | pd.DataFrame


@dataclass(frozen=True)
class Options:
    """Of `relate`; the keys of the configuration's section ``analysis`` have the same defaults.

    Parameters
    ----------
    names : file of names in the robustness table that mean others (``robustness.names``)
    covariates, kinds, plan : files as of the section ``analysis``; None: the reviewed ones that come along,
        and no plan
    completeness : least share of a parent's leaves that a model must have to get the parent's score
    flips, seed : of the sign-flip tests
    same_images : clean and robust accuracy are of the same images; None: where their numbers agree
    """

    names: Path | str | None = None
    covariates: Path | str | None = None
    kinds: Path | str | None = None
    plan: Path | str | None = None
    completeness: float = 0.5
    flips: int = 10_000
    seed: int = 0
    same_images: bool | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Options":
        """`AlignsecError` names the nearest to an unknown one."""
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                near = closest(name, known)[0][0]
                raise AlignsecError(f"relate has no option {name!r}: did you mean {near!r}?")
        section = {k: v for k, v in given.items() if k in ("completeness", "flips")}
        rest: dict[str, Any] = {k: given[k] for k in ("seed",) if k in given}
        # what the configuration of such a study refuses
        files = {"leaderboard": {"source": "a.csv", "registry": "b.csv"}, "robustness": {"source": "c.csv"}}
        configuration.resolve({"study": "notebook", "analysis": section, **files, **rest})
        for name in ("names", "covariates", "kinds", "plan"):
            if not isinstance(given.get(name), str | Path | None):
                raise AlignsecError(f"{name} is {type(given[name]).__name__}: give the path of a file")
        return cls(**given)


@dataclass(frozen=True, repr=False)
class Result:
    """What `relate` found, or a finished study (`open_study`).

    Parameters
    ----------
    study : the tables behind it
    others : further tables of the study, by the names of `Layout`: ``scores``, ``differences``; of a study
        that the workflow has run, ``specifications``
    name : for titles
    """

    study: findings.Study
    others: "Mapping[str, pd.DataFrame]"
    name: str = "notebook"

    @property
    def kinds(self) -> "pd.DataFrame":
        """What may be claimed of kinds of benchmarks: columns in docs/statistics.md."""
        return tables.empty("kinds") if self.study.kinds is None else self.study.kinds

    @property
    def leaves(self) -> "pd.DataFrame":
        """Every benchmark against every target, a description: columns in docs/statistics.md."""
        return self.study.correlations

    @property
    def differences(self) -> "pd.DataFrame":
        """Pairs of kinds, tested for being apart: columns in docs/statistics.md."""
        return self.others["differences"]

    @property
    def names(self) -> "pd.DataFrame":
        """What became of every name that came in."""
        assert self.study.names is not None
        return self.study.names

    def __repr__(self) -> str:
        total = self.study.total
        measured = total.loc[total[self.study.targets].notna().any(axis=1), "family"]
        leaves = int(self.study.benchmarks["is_leaf"].sum())
        return (
            f"<Result {self.name!r}: {len(measured)} models of {measured.nunique()} families, "
            f"{leaves} leaf benchmarks>"
        )

    @cached_property
    def _text(self) -> str:
        return summary.markdown(self.study, self.name)

    def summary(self) -> str:
        """The findings in sentences, as Markdown."""
        return self._text

    def _repr_markdown_(self) -> str:
        return self._text

    def plot(self, name: str = "kinds", **options: Any) -> "Figure":
        """A figure of the report by the name of its file, such as ``"kinds"`` or ``"scatter_average"``.

        `options` are those of the section ``report.<figure>`` of the configuration.

        Raises
        ------
        AlignsecError
            No figure of that name, or an option that it does not have.
        """
        return drawing.drawn(name, self._table, options)

    def _table(self, name: str) -> Any:
        if name in self.others:
            return self.others[name]
        if not hasattr(self.study, name):
            raise AlignsecError(f"{name} was not computed here: a study that the workflow has run has it")
        return getattr(self.study, name)

    def explorer(self, path: Path | str) -> Path:
        """Write the page to explore, one file that opens without a network; its path."""
        tables.write_text(Path(path), explorer.page(self.study, self.name))
        return Path(path)


def open_study(folder: Path | str) -> Result:
    """What a finished study, ``results/<study>``, found.

    Raises
    ------
    AlignsecError
        A table is missing: the study has not run.
    """
    layout = Layout(Path(folder))
    found = reading.read(layout, ["scores", "differences", "specifications"])
    return Result(findings.Study.read(Path(folder)), found, Path(folder).resolve().name)


def relate(
    board: Leaderboard,
    robustness: "Table | Published",
    families: "Table | Mapping[str, str] | None" = None,
    *,
    progress: bool = False,
    **options: Any,
) -> Result:
    """Which kinds of human-likeness go with robustness: the workflow's analysis of one table, in memory.

    Parameters
    ----------
    board : of `load_leaderboard`
    robustness : your table, a file or a frame, in any layout that ``robustness.source`` takes (a row per
        model, columns as ``clean_top1`` and ``robust_top1@1/255``), or a frame of kind ``robustness``
        (`model, target, value, low, high, n`); accuracies are shares. Or published ones of `load_published`
    families : model to family, as a mapping, or a file or frame with these two columns; models without one
        have the family that their name proposes. Related models are not independent: intervals and tests
        count families
    progress : a bar on standard error
    options : of `Options`

    Raises
    ------
    AlignsecError
        A table that cannot be read (file, line and column are named), no model of it on the leaderboard, or
        an unknown option.

    Examples
    --------
    >>> import pandas as pd
    >>> from alignsec import load_leaderboard
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     rows = [f"m{i},{i / 10}" for i in range(8)]
    ...     _ = Path(folder, "board.csv").write_text("\\n".join(["model,MajajHong2015.IT-pls", *rows]))
    ...     board = load_leaderboard(Path(folder, "board.csv"))
    >>> mine = pd.DataFrame({"model": board.models, "clean_top1": 0.9})
    >>> mine["robust_top1@1/255"] = [0.0, 0.1, 0.1, 0.2, 0.4, 0.3, 0.5, 0.6]
    >>> result = relate(board, mine, {m: m for m in board.models}, flips=1000)
    >>> row = result.leaves.query("is_leaf and target == 'robust_top1@1/255'").iloc[0]
    >>> row["benchmark"], int(row["n"]), round(float(row["rho"]), 2)
    ('MajajHong2015.IT-pls', 8, 0.97)
    """
    if not isinstance(board, Leaderboard):
        raise AlignsecError(f"board is {type(board).__name__}: give load_leaderboard(path)")
    asked = Options.of(options)
    published = robustness if isinstance(robustness, Published) else None
    given = robustness.table if isinstance(robustness, Published) else robustness
    measured, came, excluded, doubts = _robustness(given, board, asked.names)
    plan = planning.choose(measured, plans.read(None if asked.plan is None else Path(asked.plan)))
    targets = planning.with_means(measured, plan)
    merged = _merged(board, families)
    joined = joining.join(merged, board.benchmarks, targets, completeness=asked.completeness)
    total = joined.total
    reviewed = covariates.read(asked.covariates or bundled.path("covariates.tsv"))
    known = covariates.of_study(merged, reviewed)
    leaves = list(board.benchmarks.loc[board.benchmarks["is_leaf"], "benchmark"])
    rows = selecting.of_study(
        total, leaves, targets, plan, covariates=known, identities=published.identities if published else None
    )
    drawn: dict[str, Any] = {
        "images": images_of(targets), "same_images": asked.same_images, "seed": asked.seed,
        "flips": asked.flips,
    }  # fmt: skip
    of_kind, _ = kinds.of_leaves(kinds.read(asked.kinds or bundled.path("kinds.tsv")), board.benchmarks)
    claimed, differences = claims.claims(total, of_kind, plan, rows, known, claims.Options(**drawn))
    correlations = correlate.correlate(
        total, board.benchmarks, correlate.targets_of(targets), progress=progress, **drawn
    )
    used = total.loc[total[correlate.targets_of(targets)].notna().any(axis=1), "model"]
    said = dict(zip(excluded["model"], excluded["reason"], strict=True))
    study = findings.Study(
        total=total,
        benchmarks=board.benchmarks,
        robustness=targets,
        correlations=correlations,
        excluded=excluded,
        duplicates=joined.duplicates,
        warnings=doubts,
        names=accounting.reconcile(came, used, said),
        kinds=claimed,
        selections=selections.correlate(total, board.benchmarks, rows, plan, **drawn),
        plan=plan,
        sources=published.sources if published else {},
    )
    return Result(study, {"scores": board.scores, "differences": differences})


def _robustness(
    given: "Table", board: Leaderboard, names: Path | str | None
) -> "tuple[pd.DataFrame, accounting.Came, pd.DataFrame, pd.DataFrame]":
    """The table of kind ``robustness`` under the leaderboard's names, the names that came in, the models left
    out, and what is odd."""
    import pandas as pd

    dropped = list(board.dropped[["model", "why"]].itertuples(index=False, name=None))
    mean = {} if names is None else aliases.read(Path(names), board.models)
    if isinstance(given, pd.DataFrame) and set(given.columns) == set(SCHEMAS["robustness"]):
        table = given[list(SCHEMAS["robustness"])]
        doubts = pd.DataFrame(columns=["model", "warning", "value", "meaning"])
    else:
        own = _own(given)
        table, doubts = own.table, own.warnings
    came = list(dict.fromkeys(table["model"]))
    renamed, excluded = aliases.renamed(table, mean, board.models)
    return renamed, accounting.Came(board.models, (), None, came, dropped, mean), excluded, doubts


def _own(given: "Table") -> Own:
    """A table of one's own; a frame is read as the file that it would be, so that both mean the same."""
    import pandas as pd

    if not isinstance(given, pd.DataFrame):
        return read_own(given)
    with TemporaryDirectory() as folder:
        path = Path(folder, "the frame given.csv")
        given.to_csv(path, index=given.index.name == "model")
        return read_own(path)


def _merged(board: Leaderboard, families: "Table | Mapping[str, str] | None") -> "pd.DataFrame":
    """Table of kind ``merged`` of every model of the leaderboard."""
    import pandas as pd

    nothing = pd.DataFrame({"model": [], "plugin": []})
    merged = merge.merge(board.scores, board.benchmarks, nothing, everything=True)
    if families is None:
        return merged
    known = _families(families)
    unknown = [m for m in known if m not in set(merged["model"])]
    if len(unknown) == len(known):
        raise AlignsecError(f"families: none of its models ({unknown[0]!r}, …) is on the leaderboard")
    merged["family"] = [known.get(m, f) for m, f in zip(merged["model"], merged["family"], strict=True)]
    return merged


def _families(given: "Table | Mapping[str, str]") -> dict[str, str]:
    import pandas as pd

    from alignsec.ground.tabular import read_table

    if isinstance(given, pd.DataFrame):
        header, rows = list(given.columns), given.astype(str).to_numpy().tolist()
    elif isinstance(given, str | Path):
        if not Path(given).is_file():
            raise AlignsecError(f"{given}: no such table of families")
        table = read_table(Path(given))
        header, rows = table.header, table.rows
    else:
        return dict(given)
    missing = [c for c in ("model", "family") if c not in header]
    if missing:
        raise AlignsecError(f"families: no column {missing[0]!r}; it has {', '.join(map(str, header))}")
    model, family = header.index("model"), header.index("family")
    found = {row[model]: row[family] for row in rows if row[family]}
    if not found:
        raise AlignsecError("families: no row names a family")
    return found
