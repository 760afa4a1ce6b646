"""What lies below the folders of models and of shards; how a name becomes a folder (else: `layout`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from alignsec.ground.names import encode


class Wildcard(str):
    """A place in a pattern of file names that Snakemake fills; it is not encoded."""


MODEL, SHARD, BENCHMARK = Wildcard("{model}"), Wildcard("{shard}"), Wildcard("{benchmark}")


def encoded(name: str) -> str:
    """How a name stands in a path; a wildcard stands as it is."""
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
        return self.folder / encoded(model)

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

    def audit(self, model: str) -> Path:
        """Verdicts that the reference judged again, table of kind ``audit``."""
        return self.of(model) / "audit.parquet"

    def audit_status(self, model: str) -> Path:
        """What the audit says of itself."""
        return self.of(model) / "audit.status.json"

    def preflights(self) -> list[Path]:
        """Reports that are there."""
        return sorted(self.folder.glob("*/preflight.json"))

    def statuses(self) -> Iterator[tuple[Path, Path, Path]]:
        """Of every job that said how it ended: its status, its table, the preflight report of its model."""
        for path in sorted(self.folder.glob("*/attack/*.status.json")):
            yield path, _table_of(path), path.parents[1] / "preflight.json"
        for name in ("corruptions", "audit"):
            for path in sorted(self.folder.glob(f"*/{name}.status.json")):
                yield path, _table_of(path), path.parent / "preflight.json"

    def attack_statuses(self) -> list[Path]:
        """Status of every attack job that ended."""
        return sorted(self.folder.glob("*/attack/*.status.json"))


def _table_of(status: Path) -> Path:
    return status.with_name(status.name.removesuffix(".status.json") + ".parquet")


def adversarials_of(table: Path) -> Path:
    """The adversarials that are kept beside an attack's table."""
    return table.with_suffix(".adversarials.npz")


def folder_name(model: str) -> str:
    """What a model's folder is called; `AlignsecError` for a name that is empty or too long."""
    return encode(model)
