"""Brain-Score's own site as a source: the public JSON that its compare page reads.

``GET /vision/compare/data/`` answers with benchmarks (a tree, told and not guessed), models, and every score
with its version and error. Form as of brain-score.web e69aad03; never tried against the live site, only
against a server of our own that answers in that form.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from alignsec.ground import downloads
from alignsec.ground.errors import AlignsecError
from alignsec.ground.hashes import file_hash
from alignsec.ground.tables import atomic
from alignsec.leaderboard.tree import check_given, tree_order
from alignsec.study.layout import SITE

if TYPE_CHECKING:
    import pandas as pd

ADDRESS = "https://www.brain-score.org/vision/compare/data/"
_ROOTS = {"neural": "neural", "behavior": "behavior", "engineering": "engineering"}


@dataclass(frozen=True)
class Site:
    """What the answer holds, as tidy columns.

    `scores` has `model, benchmark, score, status`, `benchmarks` `benchmark, parent, category, depth, is_leaf,
    n_scored` in depth-first order; `dropped` are rows of models that another row of the same name stands for:
    name and why.
    """

    scores: "pd.DataFrame"
    benchmarks: "pd.DataFrame"
    as_of: str
    dropped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def fetch(out: Path | str, sha256: str | None, address: str = ADDRESS) -> str:
    """Ask the site, and write its answer in canonical form; return the SHA-256 of what is written.

    Where the mirror (`downloads.mirrored`) has the file of `sha256`, the site is not asked.

    Raises
    ------
    AlignsecError
        No answer, one that is no vision leaderboard, or another SHA-256 than asked for.
    """
    if sha256 is not None and (kept := downloads.mirrored(sha256)) is not None:
        return downloads.fetch(str(kept), out, sha256, key="leaderboard.source")
    with TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        downloads.fetch(address, answer, None, key="leaderboard.source")
        text = canonical(answer.read_bytes(), address)
    with atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        found = file_hash(temporary)
        if sha256 is not None and found != sha256:
            raise AlignsecError(
                f"leaderboard.sha256: {SITE} as of {as_of(json.loads(text))} has SHA-256 "
                f"{found}, not {sha256}: the leaderboard changed since it was pinned. Name the pinned file "
                f"as leaderboard.source, or put it into {downloads.MIRROR}; if today's is meant, put its "
                "hash into the configuration"
            )
    return found


def as_of(document: Mapping[str, Any]) -> str:
    """Until when an answer holds submissions; ``unknown`` where it does not say."""
    span = document.get("datetime_range")
    if isinstance(span, dict | list):
        span = max(map(str, span.values() if isinstance(span, dict) else span), default=None)
    return str(span or "unknown")


def with_categories(benchmarks: "pd.DataFrame", given: Mapping[str, str]) -> "pd.DataFrame":
    """The table with the categories that the user gives, of the benchmarks named and those below them.

    Raises
    ------
    AlignsecError
        A name is no benchmark of the table.
    """
    parents = dict(zip(benchmarks["benchmark"], benchmarks["parent"], strict=True))
    check_given(given, parents)
    category = dict(zip(benchmarks["benchmark"], benchmarks["category"], strict=True))
    for name in benchmarks["benchmark"]:  # parents stand first
        category[name] = given.get(name) or category[name] or category.get(parents[name])
    return benchmarks.assign(category=[category[b] for b in benchmarks["benchmark"]])


def canonical(raw: bytes, path: Path | str) -> str:
    """The answer with sorted keys, models by id: the same leaderboard gives the same bytes, to be pinned.

    Raises
    ------
    AlignsecError
        Not JSON, or not of the form.
    """
    document = _document(raw.decode("utf-8", errors="replace"), path)
    document["models"] = sorted(document["models"], key=lambda m: (str(m.get("id")), str(m.get("name"))))
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def _document(text: str, path: Path | str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AlignsecError(f"{path}: not JSON ({error}): download it again") from error
    if not isinstance(found, dict) or not all(
        isinstance(found.get(k), list) for k in ("benchmarks", "models")
    ):
        raise AlignsecError(
            f"{path}: JSON, but not what Brain-Score's compare page reads: expected are lists `benchmarks` "
            "and `models`"
        )
    domain = found.get("domain", "vision")
    if domain != "vision":
        raise AlignsecError(f"{path}: the leaderboard of the domain {domain!r}, not of vision models")
    for key, wanted in (("benchmarks", "type_id"), ("models", "name")):
        for number, entry in enumerate(found[key]):
            if not isinstance(entry, dict) or not isinstance(entry.get(wanted), str) or not entry[wanted]:
                raise AlignsecError(f"{path}: {key}[{number}] has no {wanted}")
    if not found["models"]:
        raise AlignsecError(f"{path}: the leaderboard has no model")
    return found


def parse(text: str, path: Path | str) -> Site:
    """Read an answer.

    Raises
    ------
    AlignsecError
        Not of the form, a tree that is none, or a score that is no number.
    """
    import pandas as pd

    document = _document(text, path)
    tree = _Tree.of(document["benchmarks"], path)
    kept, dropped = _one_of_each(document["models"], tree)
    rows = []
    for name, model in kept.items():
        for benchmark in tree.order:
            rows.append((name, benchmark, *_score(model, benchmark, path)))
    scores = pd.DataFrame(rows, columns=["model", "benchmark", "score", "status"])
    scored = scores[scores["status"] == "scored"]["benchmark"].value_counts()
    benchmarks = tree.table().assign(n_scored=[int(scored.get(b, 0)) for b in tree.order])
    unknown = {b for m in document["models"] for b in m.get("scores") or {}} - set(tree.order)
    warnings = [
        f"{path}: scores of {b!r}, which is no benchmark of the file, are left out" for b in sorted(unknown)
    ]
    return Site(scores, benchmarks, as_of(document), dropped, warnings)


@dataclass(frozen=True)
class _Tree:
    """Parents and order of benchmarks by their type ids."""

    parents: dict[str, str | None]
    leaves: set[str]
    engineering: set[str]
    order: list[str]

    @classmethod
    def of(cls, entries: Sequence[Mapping[str, Any]], path: Path | str) -> "_Tree":
        names: dict[Any, str] = {}
        for entry in entries:
            for key in ("id", "type_id"):
                if entry.get(key) is not None:
                    names.setdefault(entry[key], entry["type_id"])
        parents = {e["type_id"]: names.get(e.get("parent_id")) for e in entries}
        for name in parents:
            seen, at = {name}, parents[name]
            while at is not None:
                if at in seen:
                    raise AlignsecError(
                        f"{path}: benchmarks {name!r} and {at!r} are each other's ancestors: no tree"
                    )
                seen.add(at)
                at = parents.get(at)
        told = {e["type_id"] for e in entries if e.get("is_leaf")}
        leaves = told or set(parents) - set(parents.values())
        engineering = {e["type_id"] for e in entries if e.get("is_engineering")}
        return cls(parents, leaves, engineering, tree_order(parents))

    def ancestors(self, name: str) -> list[str]:
        """From the benchmark itself to its root."""
        found: list[str] = []
        at: str | None = name
        while at is not None:
            found.append(at)
            at = self.parents[at]
        return found

    def table(self) -> "pd.DataFrame":
        import pandas as pd

        rows = []
        for name in self.order:
            above = self.ancestors(name)
            stems = [a.removesuffix("_vision") for a in above]
            category = next((_ROOTS[s] for s in stems if s in _ROOTS), None)
            if category is None and name in self.engineering:
                category = "engineering"
            rows.append((name, self.parents[name], category, len(above) - 1, name in self.leaves))
        return pd.DataFrame(rows, columns=["benchmark", "parent", "category", "depth", "is_leaf"])


def _latest(model: Mapping[str, Any], benchmark: str) -> Mapping[str, Any] | None:
    entries = [e for e in (model.get("scores") or {}).get(benchmark) or [] if isinstance(e, dict)]
    return max(
        entries, key=lambda e: (int(e.get("version") or 0), str(e.get("timestamp") or "")), default=None
    )


def _score(model: Mapping[str, Any], benchmark: str, path: Path | str) -> tuple[float, str]:
    import math

    entry = _latest(model, benchmark)
    if entry is None:
        return math.nan, "missing"
    value = entry.get("value")
    if value is None:
        return math.nan, "failed" if entry.get("error") else "missing"
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise AlignsecError(f"{path}: {model['name']!r}, {benchmark!r}: {value!r} is no score")
    return float(value), "scored"


def _one_of_each(
    models: Sequence[Mapping[str, Any]], tree: _Tree
) -> tuple[dict[str, Mapping[str, Any]], list[tuple[str, str]]]:
    """Of several models of one name the one with most scored leaves, then the highest id."""

    def rank(model: Mapping[str, Any]) -> tuple[int, int]:
        scored = sum((_latest(model, b) or {}).get("value") is not None for b in tree.leaves)
        number = model.get("id")
        return scored, number if isinstance(number, int) else -1

    kept: dict[str, Mapping[str, Any]] = {}
    for model in models:
        name = model["name"]
        if name not in kept or rank(model) > rank(kept[name]):
            kept[name] = model
    dropped = [
        (
            m["name"],
            f"id {m.get('id')}: id {kept[m['name']].get('id')} is kept, with as many leaf scores or more",
        )
        for m in models
        if kept[m["name"]] is not m
    ]
    return kept, dropped
