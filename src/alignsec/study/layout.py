"""Where the files of a study lie: every name below ``results/<study>/`` is spelled here and nowhere else.

Rules ask with the wildcards `MODEL`, `SHARD` and `BENCHMARK`; the library asks with names, which are encoded
on the way (`alignsec.ground.names`).

>>> Layout(Path("results/demo")).models.preflight("resnet-50").as_posix()
'results/demo/models/resnet-50/preflight.json'
>>> Layout(Path("results/demo")).models.preflight(MODEL).as_posix()
'results/demo/models/{model}/preflight.json'
"""

from dataclasses import dataclass
from pathlib import Path

from alignsec.study.folders import BENCHMARK as BENCHMARK
from alignsec.study.folders import MODEL as MODEL
from alignsec.study.folders import SHARD as SHARD
from alignsec.study.folders import Models as Models
from alignsec.study.folders import Wildcard as Wildcard
from alignsec.study.folders import adversarials_of as adversarials_of
from alignsec.study.folders import bounds as bounds
from alignsec.study.folders import encoded
from alignsec.study.folders import folder_name as folder_name
from alignsec.study.folders import shard_name as shard_name
from alignsec.study.folders import shard_names as shard_names
from alignsec.study.folders import shard_table as shard_table
from alignsec.study.folders import shard_tables as shard_tables

RESULTS = Path("results")
FIGURE_SUFFIXES = ("pdf", "png")
TABLE_SUFFIXES = ("csv", "tex")
LEADERBOARD_SUFFIXES = ("zip", "json", "csv.gz", "tsv", "xlsx", "parquet")
SITE = "brain-score.org"  # as leaderboard.source: Brain-Score's own site


@dataclass(frozen=True)
class Layout:
    """What lies below the folder of a study, ``results/<study>``."""

    root: Path

    # ---- leaderboard ----

    def leaderboard(self, source: str) -> Path:
        """The published file as it came, with its suffix; the site's answer is JSON."""
        known = (s for s in LEADERBOARD_SUFFIXES if source.lower().endswith(f".{s}"))
        suffix = "json" if source == SITE else next(known, "csv")
        return self.root / "scores" / f"leaderboard.{suffix}"

    @property
    def scores(self) -> Path:
        """Table of kind ``scores``."""
        return self.root / "scores" / "scores.parquet"

    @property
    def benchmarks(self) -> Path:
        """Table of kind ``benchmarks``."""
        return self.root / "scores" / "benchmarks.parquet"

    @property
    def dropped(self) -> Path:
        """Rows of the leaderboard that another row of the same model stands for."""
        return self.root / "scores" / "dropped.csv"

    @property
    def registry(self) -> Path:
        """Table of kind ``registry``."""
        return self.root / "registry" / "registry.parquet"

    @property
    def unresolved(self) -> Path:
        """Registrations whose name only running the plugin would tell."""
        return self.root / "registry" / "unresolved.csv"

    @property
    def metadata(self) -> Path:
        """What plugins say of their models, a row per statement."""
        return self.root / "registry" / "metadata.csv"

    @property
    def merged(self) -> Path:
        """Table of kind ``merged``."""
        return self.root / "registry" / "merged.parquet"

    @property
    def names(self) -> Path:
        """What became of every name of leaderboard, registry, sheet and robustness table."""
        return self.root / "registry" / "names.csv"

    @property
    def proposed(self) -> Path:
        """A sheet of every merged model, for a person to review."""
        return self.root / "registry" / "proposed_models.tsv"

    # ---- images ----

    def images(self, shard: str) -> Path:
        """A shard, table of kind ``images``."""
        return shard_table(self.root / "images" / "shards", shard)

    @property
    def sample(self) -> Path:
        """The images that preflight measures clean accuracy on."""
        return self.root / "images" / "sample.parquet"

    @property
    def manifest(self) -> Path:
        """The shards gathered."""
        return self.root / "images" / "manifest.parquet"

    @property
    def pixels(self) -> Path:
        """Folder of pixels that models of one resize and crop share; made as needed, safe to delete."""
        return self.root / "images" / "pixels"

    # ---- models ----

    @property
    def models(self) -> Models:
        """What lies below the folder of the models."""
        return Models(self.root / "models")

    @property
    def account(self) -> Path:
        """What became of every model of the sheet."""
        return self.root / "zoo" / "models.csv"

    @property
    def reasons(self) -> Path:
        """The reasons counted."""
        return self.root / "zoo" / "reasons.csv"

    @property
    def estimate(self) -> Path:
        """Hours that attacking every model takes."""
        return self.root / "zoo" / "estimate.csv"

    # ---- robustness, analysis ----

    @property
    def robustness(self) -> Path:
        """Table of kind ``robustness``."""
        return self.root / "robustness" / "models.parquet"

    @property
    def excluded(self) -> Path:
        """Models that could not be evaluated."""
        return self.root / "robustness" / "excluded.csv"

    @property
    def warnings(self) -> Path:
        """What makes verdicts doubtful."""
        return self.root / "robustness" / "warnings.csv"

    @property
    def plan(self) -> Path:
        """What is primary, chosen before anything is correlated (`alignsec.study.records.Plan`)."""
        return self.root / "analysis" / "plan.json"

    @property
    def targets(self) -> Path:
        """Table of kind ``robustness``: every target, and the means over epsilons that the plan makes."""
        return self.root / "analysis" / "targets.parquet"

    @property
    def own(self) -> Path:
        """Table of kind ``robustness`` of attacks or a user's table, where published sources join it."""
        return self.root / "robustness" / "own.parquet"

    @property
    def own_warnings(self) -> Path:
        """The warnings of `own`."""
        return self.root / "robustness" / "own_warnings.csv"

    def published(self, source: str, file: str) -> Path:
        """A file of a published source, as it came."""
        return self.published_files / source / file

    @property
    def published_files(self) -> Path:
        """Folder of the published sources' files, a folder each."""
        return self.root / "published"

    def published_whole(self, source: str) -> Path:
        """Everything that a published source says of its own models."""
        return self.root / "robustness" / "published" / f"{source}.parquet"

    @property
    def identities(self) -> Path:
        """Which network of a published source a model is, and how that was checked."""
        return self.root / "robustness" / "identities.csv"

    @property
    def sources(self) -> Path:
        """The published sources: what attacked, licence, citation, cautions, counts."""
        return self.root / "robustness" / "sources.json"

    @property
    def fates(self) -> Path:
        """What became of every name of a published source."""
        return self.root / "robustness" / "fates.csv"

    @property
    def copies(self) -> Path:
        """Pairs of models whose scores agree so often that they may be one network, for review."""
        return self.root / "robustness" / "copies.csv"

    @property
    def shown(self) -> Path:
        """Published values that are shown but not correlated."""
        return self.root / "robustness" / "shown.csv"

    @property
    def agreement(self) -> Path:
        """Values of the study's own and published ones of the same weights, side by side."""
        return self.root / "robustness" / "agreement.csv"

    @property
    def total(self) -> Path:
        """Table of kind ``total_scores``."""
        return self.root / "analysis" / "total_scores.parquet"

    @property
    def covariates(self) -> Path:
        """What the models are and how they were trained (`alignsec.study.covariates`)."""
        return self.root / "analysis" / "covariates.csv"

    @property
    def duplicates(self) -> Path:
        """What one row per weights changes."""
        return self.root / "analysis" / "duplicates.csv"

    @property
    def rows(self) -> Path:
        """Which models the primary analysis has, and why the others are not in it."""
        return self.root / "analysis" / "rows.csv"

    @property
    def selections(self) -> Path:
        """Primary targets over other rows than the primary ones; description."""
        return self.root / "correlations" / "selections.csv"

    @property
    def correlations(self) -> Path:
        """Table of kind ``correlations``, gathered; one file per benchmark lies beside it."""
        return self.root / "correlations" / "all.parquet"

    @property
    def kinds(self) -> Path:
        """Kinds of benchmarks against primary targets, table of kind ``kinds``: what is claimed."""
        return self.root / "correlations" / "kinds.csv"

    @property
    def differences(self) -> Path:
        """Pairs of kinds over the models that both have, table of kind ``differences``."""
        return differences_of(self.kinds)

    @property
    def specifications(self) -> Path:
        """Kinds by other choices than those of the claims, table of kind ``specifications``; description."""
        return self.root / "correlations" / "specifications.csv"

    @property
    def prediction(self) -> Path:
        """How well robustness of families left out is predicted, table of kind ``prediction``."""
        return self.root / "correlations" / "prediction.csv"

    @property
    def replication(self) -> Path:
        """Published claims, computed again, with a verdict each."""
        return self.root / "correlations" / "replication.csv"

    # ---- report ----

    def figure(self, name: str, suffix: str) -> Path:
        """A drawing; a suffix of `FIGURE_SUFFIXES`."""
        return self.root / "figures" / f"{name}.{suffix}"

    def table(self, name: str, suffix: str) -> Path:
        """A table for a paper; a suffix of `TABLE_SUFFIXES`."""
        return self.root / "tables" / f"{name}.{suffix}"

    @property
    def summary(self) -> Path:
        """The findings in sentences."""
        return self.root / "summary.md"

    @property
    def explorer(self) -> Path:
        """One page to explore."""
        return self.root / "explorer.html"

    @property
    def provenance(self) -> Path:
        """What produced the study."""
        return self.root / "provenance.json"

    # ---- logs ----

    def log(self, rule: str, *parts: str, suffix: str = "log") -> Path:
        """Log of a rule; of one with wildcards, a file for each of their values."""
        return (self.root / "logs").joinpath(rule, *parts).with_name(f"{(rule, *parts)[-1]}.{suffix}")


def of_study(name: str) -> Layout:
    """The layout of a study by its name, below the folder where the run stands."""
    return Layout(RESULTS / name)


def correlations_of(gathered: Path, benchmark: str) -> Path:
    """One benchmark's own file beside the gathered table."""
    return gathered.with_name(f"{encoded(benchmark)}.parquet")


def differences_of(kinds: Path) -> Path:
    """The differences between kinds beside their table."""
    return kinds.with_name("differences.csv")
