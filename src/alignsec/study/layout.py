"""Where the files of a study lie: every name below ``results/<study>/`` is spelled here and nowhere else.

Rules ask with the wildcards `MODEL`, `SHARD` and `BENCHMARK`; the library asks with names, which are encoded
on the way (`alignsec.ground.names`).

>>> Layout(Path("results/demo")).models.preflight("resnet-50").as_posix()
'results/demo/models/resnet-50/preflight.json'
>>> Layout(Path("results/demo")).models.preflight(MODEL).as_posix()
'results/demo/models/{model}/preflight.json'
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from alignsec.ground.names import encode


class Wildcard(str):
    """A place in a pattern of file names that Snakemake fills; it is not encoded."""


MODEL, SHARD, BENCHMARK = Wildcard("{model}"), Wildcard("{shard}"), Wildcard("{benchmark}")
RESULTS = Path("results")
FIGURE_SUFFIXES = ("pdf", "png")
TABLE_SUFFIXES = ("csv", "tex")
LEADERBOARD_SUFFIXES = ("zip", "json", "csv.gz", "tsv", "xlsx", "parquet")
SITE = "brain-score.org"  # as leaderboard.source: Brain-Score's own site


def _encoded(name: str) -> str:
    return str(name) if isinstance(name, Wildcard) else encode(name)


def shard_names(count: int, per_shard: int) -> list[str]:
    """Names of the shards of `count` images: ``0000``, ``0001``, …"""
    return [shard_name(i) for i in range(ceil(count / per_shard))]


def shard_name(number: int) -> str:
    """Name of a shard by its number from 0."""
    return f"{number:04d}"


def shard_table(folder: Path, shard: str) -> Path:
    """A shard's table in a folder of them."""
    return folder / f"{shard}.parquet"


def shard_tables(folder: Path, count: int) -> list[Path]:
    """Tables of the first `count` shards in a folder of them."""
    return [shard_table(folder, shard_name(i)) for i in range(count)]


def bounds(shard: str, count: int, per_shard: int) -> tuple[int, int]:
    """First and past-the-last image of a shard, in the order of the images."""
    start = int(shard) * per_shard
    return start, min(start + per_shard, count)


@dataclass(frozen=True)
class Models:
    """What lies below a folder of models, a folder each."""

    folder: Path

    def of(self, model: str) -> Path:
        """The model's own folder."""
        return self.folder / _encoded(model)

    def weights(self, model: str) -> Path:
        """State dict of a model that the workflow trains."""
        return self.of(model) / "weights.pt"

    def preflight(self, model: str) -> Path:
        """The report of `alignsec.zoo.preflight`."""
        return self.of(model) / "preflight.json"

    def attack(self, model: str, shard: str) -> Path:
        """Verdicts, table of kind ``attack``."""
        return self.of(model) / "attack" / f"{shard}.parquet"

    def attack_status(self, model: str, shard: str) -> Path:
        """What the attack job says of itself (`alignsec.study.records.Status`)."""
        return self.of(model) / "attack" / f"{shard}.status.json"

    def ledger(self, model: str, shard: str) -> Path:
        """What is settled, of a job under way too."""
        return self.of(model) / "attack" / f"{shard}.ledger"

    def adversarials(self, model: str, shard: str) -> Path:
        """The smallest adversarials, where they are kept."""
        return adversarials_of(self.attack(model, shard))

    def corruptions(self, model: str) -> Path:
        """Correctness under corruptions, table of kind ``corruptions``."""
        return self.of(model) / "corruptions.parquet"

    def corruptions_status(self, model: str) -> Path:
        """What the corruptions job says of itself."""
        return self.of(model) / "corruptions.status.json"

    def preflights(self) -> list[Path]:
        """Reports that are there."""
        return sorted(self.folder.glob("*/preflight.json"))

    def statuses(self) -> Iterator[tuple[Path, Path, Path]]:
        """Of every job that said how it ended: its status, its table, the preflight report of its model."""
        for path in sorted(self.folder.glob("*/attack/*.status.json")):
            yield path, _table_of(path), path.parents[1] / "preflight.json"
        for path in sorted(self.folder.glob("*/corruptions.status.json")):
            yield path, _table_of(path), path.parent / "preflight.json"

    def attack_statuses(self) -> list[Path]:
        """Status of every attack job that ended."""
        return sorted(self.folder.glob("*/attack/*.status.json"))


def _table_of(status: Path) -> Path:
    return status.with_name(status.name.removesuffix(".status.json") + ".parquet")


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


def adversarials_of(table: Path) -> Path:
    """The adversarials that are kept beside an attack's table."""
    return table.with_suffix(".adversarials.npz")


def correlations_of(gathered: Path, benchmark: str) -> Path:
    """One benchmark's own file beside the gathered table."""
    return gathered.with_name(f"{_encoded(benchmark)}.parquet")


def differences_of(kinds: Path) -> Path:
    """The differences between kinds beside their table."""
    return kinds.with_name("differences.csv")


def folder_name(model: str) -> str:
    """What a model's folder is called; `AlignsecError` for a name that is empty or too long."""
    return encode(model)
