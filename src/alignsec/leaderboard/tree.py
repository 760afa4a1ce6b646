"""The benchmark tree: parents told by the scores themselves, or by the leaderboard of May 2025."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

ROOTS = ("average_vision", "neural_vision", "behavior_vision", "engineering_vision")
AREAS = ("V1", "V2", "V4", "IT")
CATEGORIES = {f"{c}_vision": c for c in ("neural", "behavior", "engineering")}
# of a parent against its children's mean: both are rounded to three decimals, so .001 can occur
TOLERANCE = 0.00101


def display_name(name: str) -> str:
    """Display form of a benchmark id: no version suffix, no lower-case lab prefix, no case.

    >>> display_name("tong.Coggan2024_fMRI.V1-rdm_v1")
    'coggan2024_fmri.v1-rdm'
    """
    name = re.sub(r"_v\d+$", "", name.strip())
    return re.sub(r"^[a-z]+\.(?=[A-Z])", "", name).lower()


def known_tree() -> dict[str, str | None]:
    """Benchmark to parent in the leaderboard of May 2025, for exports whose columns do not tell."""
    text = (resources.files("alignsec.leaderboard") / "benchmark_tree.csv").read_text(encoding="utf-8")
    return {row["benchmark"]: row["parent"] or None for row in csv.DictReader(io.StringIO(text))}


def canonical_names() -> dict[str, str]:
    """Display form to benchmark id, of the leaderboard of May 2025, where the form is that of one id only."""
    short: dict[str, list[str]] = {}
    for name in known_tree():
        short.setdefault(display_name(name), []).append(name)
    return {s: names[0] for s, names in short.items() if len(names) == 1}


@dataclass(frozen=True)
class Hints:
    """What is known of a tree beside its scores.

    Parameters
    ----------
    known : benchmark to parent, of a leaderboard published before
    leaves : the benchmarks without children; None where the export does not tell
    areas : benchmark to the visual area that it was recorded in
    """

    known: Mapping[str, str | None] = field(default_factory=dict)
    leaves: Set[str] | None = None
    areas: Mapping[str, str] = field(default_factory=dict)

    def above(self, name: str, present: Set[str]) -> str | None:
        """The nearest known ancestor that has a column and is no leaf."""
        at = self.known.get(name)
        while at is not None and (at not in present or at in (self.leaves or ())):
            at = self.known.get(at)
        return at

    def is_leaf(self, name: str) -> bool:
        """Is it told that this benchmark has no children?"""
        if self.leaves is not None:
            return name in self.leaves
        return name in self.known and name not in self.known.values()


def derive_parents(
    names: list[str],
    values: "npt.NDArray[np.float64]",
    hints: Hints | None = None,
    tolerance: float = TOLERANCE,
) -> dict[str, str]:
    """Child to parent, from columns in depth-first order (a parent before its children).

    Read right to left: a column that equals the mean of the next k subtree roots (a missing child counts as
    0, as Brain-Score computes it) is their parent. A coincidence is no evidence: the column must vary. Where
    the tree is known, the scores only tell what belongs to it beside; an unknown column that is no leaf, or
    whose name begins those of the columns after it (``Lab2027.V1``, ``Lab2027.V1-rdm``), needs less evidence.

    Parameters
    ----------
    values : (models, benchmarks) float, NaN where there is no score
    hints : what is known beside the scores
    tolerance : of a parent against its children's mean
    """
    hints = hints or Hints()
    present = set(names)
    parents: dict[str, str] = {}
    stack: list[list[str]] = []  # subtrees right of here, their roots first, nearest last
    column = dict(zip(names, values.T, strict=True))
    for name in reversed(names):
        k = 0
        if not hints.is_leaf(name):
            k = _count_children(name, stack[::-1], column, hints, present, tolerance)
        children = stack[len(stack) - k :]
        del stack[len(stack) - k :]
        parents |= {child[0]: name for child in children}
        stack.append([name, *(n for child in reversed(children) for n in child)])
    return parents


def _count_children(
    name: str,
    right: list[list[str]],
    column: Mapping[str, "npt.NDArray[np.float64]"],
    hints: Hints,
    present: Set[str],
    tolerance: float,
) -> int:
    """How many of the subtrees right of a column, nearest first, are its children."""
    least, most = _claims(name, right, hints, present)
    begun = 0
    while begun < most and begins(name, right[begun][0]):
        begun += 1
    told = hints.leaves is not None or begun > 0  # that it has children, so that any agreement will do
    enough = 1 if told else 2 if name in ROOTS else 5
    fits = _fitting([column[r[0]] for r in right[:most]], column[name], enough, tolerance)
    found = [k for k in fits if k >= max(least, 1)]
    return min(found, key=lambda k: (fits[k], k)) if found else max(least, begun)


def _claims(name: str, right: list[list[str]], hints: Hints, present: Set[str]) -> tuple[int, int]:
    """The fewest and the most children that the known tree allows."""

    def ancestors(of: str) -> Iterator[str]:
        at = hints.above(of, present)
        while at is not None:
            yield at
            at = hints.above(at, present)

    least, most = 0, len(right)
    for k, subtree in enumerate(right, 1):
        root = subtree[0]
        known = [n for n in subtree if n in hints.known]
        if name in hints.known:
            below = any(name in ancestors(n) for n in known)
            stop = bool(known) and not below
            below = below or (not known and name == (hints.areas.get(root) or _area(root)))
            if below:
                least = k
        else:
            # an unknown group may lie between known benchmarks and their parent, but not above areas
            over = {hints.above(r[0], present) for r in right[:k] if r[0] in hints.known}
            stop = len(over) > 1 or any(n in ROOTS or n in AREAS for n in known)
        # engineering stands apart from the average, so no average may take it in
        if stop or root == "engineering_vision":
            most = k - 1
            break
    return least, most


def _fitting(
    columns: list["npt.NDArray[np.float64]"],
    parent: "npt.NDArray[np.float64]",
    enough: int,
    tolerance: float,
) -> dict[int, float]:
    """Numbers k of columns whose mean is the parent's column, each with its mean deviation."""
    import numpy as np

    rows = np.isfinite(parent)
    if len(np.unique(parent[rows])) < enough:
        return {}
    fits: dict[int, float] = {}
    total = np.zeros(int(rows.sum()))
    for k, child in enumerate(columns, 1):
        total += np.nan_to_num(child[rows])
        deviation = np.abs(total / k - parent[rows])
        # scores of 1 and above are published with fewer decimals, so a few rows may stray
        if (deviation <= tolerance).mean() >= 0.95 and deviation.max() <= 20 * tolerance:
            fits[k] = round(float(deviation.mean()), 6)
    return fits


def begins(group: str, name: str) -> bool:
    """Does a group's name begin this one, as ``Lab2027.V1`` begins ``Lab2027.V1-rdm``?

    >>> [begins(*pair) for pair in (("Lab.V1", "Lab.V1-rdm"), ("Lab.V1", "Lab.V10"), ("Lab27", "Lab27a-x"))]
    [True, False, True]
    """
    rest = name.removeprefix(group)
    return (
        len(rest) < len(name)
        and bool(rest)
        and (rest[0] in "-._" or (group[-1:].isdigit() and rest[0].isalpha()))
    )


def is_depth_first(names: list[str], hints: Hints) -> bool:
    """Do the columns stand with every known parent before its children, and no other's between them?"""
    present = set(names)
    path: list[str] = []
    for name in names:
        if name not in hints.known:
            continue
        above = hints.above(name, present)
        while path and path[-1] != above:
            path.pop()
        if above is not None and not path:
            return False
        path.append(name)
    return True


def tree_order(parents: Mapping[str, str | None]) -> list[str]:
    """Benchmarks depth first, siblings in the order given."""
    children: dict[str | None, list[str]] = {}
    for name, parent in parents.items():
        children.setdefault(parent, []).append(name)
    order: list[str] = []
    stack = children.get(None, [])[::-1]
    while stack:
        order.append(name := stack.pop())
        stack += children.get(name, [])[::-1]
    return order


def build(
    names: list[str], values: "npt.NDArray[np.float64]", hints: Hints, given: Mapping[str, str] | None = None
) -> tuple["pd.DataFrame", list[str]]:
    """The table of kind ``benchmarks`` (without counts), in the order of the columns, and warnings.

    The leaderboard of May 2025 (`hints.known`) tells the parents of its benchmarks. Where the columns stand
    depth first, the scores tell those of the others (`derive_parents`); else, and where scores do not tell, a
    group whose name begins the benchmark's, then the area that it names.

    Parameters
    ----------
    values : (models, benchmarks) float, NaN where there is no score
    given : benchmark to category, as the user gives it

    Raises
    ------
    AlignsecError
        A category is given to a benchmark that has no column.
    """
    import pandas as pd

    given = given or {}
    check_given(given, names)
    parents = _parents(names, values, hints)
    groups = {p for p in parents.values() if p is not None}
    rows, warnings = [], []
    for name in names:
        line = _line(name, parents)
        category = next((c for a in line if (c := given.get(a) or CATEGORIES.get(a))), None)
        category = category or _known_category(name, hints.known)
        leaf = name not in groups and name not in ROOTS
        if leaf and hints.leaves is not None and name not in hints.leaves:
            leaf = False
            warnings.append(
                f"benchmark {name!r} is no leaf by the export's plugin-info.csv, and has no children here: "
                "taken for a group without them"
            )
        rows.append((name, parents[name], category, len(line) - 1, leaf))
        if category is None and len(line) == 1 and name not in ROOTS:
            warnings.append(
                f"benchmark {name!r} is unknown, and its columns do not tell its category: it has none; to "
                f"give it one, set leaderboard.categories: {{{name}: neural}} (or behavior, engineering)"
            )
    frame = pd.DataFrame(rows, columns=["benchmark", "parent", "category", "depth", "is_leaf"])
    return frame, warnings


def check_given(given: Mapping[str, str], names: Collection[str]) -> None:
    """Stop where a category is given to what is no benchmark."""
    for name in given:
        if name not in names:
            near = closest(name, names)[0][0]
            raise AlignsecError(
                f"leaderboard.categories: {name!r} is no benchmark of the leaderboard (nearest: {near!r})"
            )


def _parents(names: list[str], values: "npt.NDArray[np.float64]", hints: Hints) -> dict[str, str | None]:
    """Parent of each benchmark; None of a root."""
    present = set(names)
    ordered = is_depth_first(names, hints)
    parents: dict[str, str | None] = {n: hints.above(n, present) for n in names}
    if ordered:
        parents |= derive_parents(names, values, hints, _tolerance(values))
    current: str | None = None  # the category whose columns are being read, in depth-first order
    for name in names:
        if name in CATEGORIES:
            current = name
        if parents[name] is not None or name in hints.known:
            continue
        groups = (n for n in names if begins(n, name) and not hints.is_leaf(n))
        area = hints.areas.get(name) or _area(name)
        chosen = (
            max(groups, key=len, default=None),
            area if area in present else None,
            "neural_vision" if name in hints.areas and "neural_vision" in present else None,
            current if ordered else None,
        )
        parents[name] = next((c for c in chosen if c is not None and name not in _line(c, parents)), None)
    return parents


def _tolerance(values: "npt.NDArray[np.float64]") -> float:
    """Of a parent against its children's mean: today's exports round both to two decimals."""
    import numpy as np

    hundredths = values[np.isfinite(values)] * 100
    return 10 * TOLERANCE if np.allclose(hundredths, hundredths.round(), rtol=0, atol=1e-6) else TOLERANCE


def _line(name: str, parents: Mapping[str, str | None]) -> list[str]:
    """From the benchmark itself to its root."""
    line = [name]
    while (above := parents[line[-1]]) is not None:
        line.append(above)
    return line


def _known_category(name: str, known: Mapping[str, str | None]) -> str | None:
    at: str | None = name
    while at is not None:
        if at in CATEGORIES:
            return CATEGORIES[at]
        at = known.get(at)
    return None


def _area(name: str) -> str | None:
    """The visual area that a benchmark's id names (`Lab2027.V4-rdm`)."""
    found = re.search(r"\.(V1|V2|V4|IT)\b", name)
    return found[1] if found else None
