"""Robustness tables as people write and publish them: which column says what of which model.

| layout | told by | unit |
|---|---|---|
| long | `model, target, value`, `n` if it is known | told by the values |
| wide | `model`, columns named after targets (`clean`, `robust@1/255`, …), `n` | told by the values |
| paper | `Model Name, Threat Model, Epsilon, Top-1 Accuracy, …` | told by the values |
| RobustBench | `model` or `name`, `eps`, `clean_acc`, `autoattack_acc`, … | percent |
| timm | `model, top1, top5` in a file named `results-<test set>.csv` | percent |
| imagenet-testbed | `model, val, pgd.linf.eps0.5, imagenet-c.<corruption>.<severity>_on-disk, …` | percent |
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.ground.tabular import Table, is_missing
from alignsec.study import epsilon as eps
from alignsec.study.targets import MEASURES, parts

MODEL = ("model", "model_name", "name", "model name")
_SHORT = {
    "clean": "clean_top1", "clean_acc": "clean_top1", "clean_accuracy": "clean_top1",
    "robust": "robust_top1", "robust_acc": "robust_top1", "robust_accuracy": "robust_top1",
    "autoattack": "robust_top1", "pgd": "pgd_top1",
}  # fmt: skip
_PERCENT = re.compile(r"\s*(\(%\)|%|\[%\])$")


@dataclass(frozen=True)
class Entry:
    """One accuracy: of which model and target, and the cells that hold it and the number of its images."""

    model: str
    target: str
    row: int
    column: int
    n: int | None = None


@dataclass(frozen=True)
class Reading:
    """What a layout makes of a table.

    Attributes
    ----------
    layout : its name, for the log
    entries : the accuracies, in the order of the table
    published : is it one of the layouts that are published in percent?
    declared : columns whose header says that they are in percent
    notes : what was left out, for the log
    doubts : (model, warning, value, meaning) of what is odd
    """

    layout: str
    entries: list[Entry]
    published: bool = False
    declared: frozenset[int] = frozenset()
    notes: list[str] = field(default_factory=list)
    doubts: list[tuple[str, str, float, str]] = field(default_factory=list)


def read(table: Table) -> Reading:
    """The accuracies of a table, whatever its layout.

    Raises
    ------
    AlignsecError
        None of the layouts, or a cell that says of which model or target an accuracy is and cannot be read.
    """
    for fits, reader in _LAYOUTS:
        if fits(table):
            return reader(table)
    columns = ", ".join(table.header[:12]) + (", …" if len(table.header) > 12 else "")
    missing = next((c for c in ("model", "target", "value") if table.find(c) is None), "target")
    raise AlignsecError(
        f"{table.path}: column {missing!r} is missing; the columns are {columns}, expected are model, "
        "target, value and n, or model and columns named after targets (clean, robust@1/255, …), or the "
        "columns of the paper, RobustBench, timm or imagenet-testbed (see docs/extending.md)"
    )


def target_of(text: str) -> str:
    """A target's name, of its short form too.

    >>> target_of("Clean"), target_of("robust@1/255"), target_of("pgd@L2:0.5[mine]"), target_of("my own")
    ('clean_top1', 'robust_top1@1/255', 'pgd_top1@L2:0.5[mine]', 'my own')
    """
    text = text.strip()
    measure = parts(text).measure
    return _SHORT.get(measure.lower(), measure) + text[len(measure) :]


def _models(table: Table) -> tuple[int, list[str]]:
    column = table.find(*MODEL)
    if column is None:
        raise AlignsecError(f"{table.path}: column 'model' is missing")
    return column, [table.text(i, column, "model") for i in range(len(table.rows))]


def _is_long(table: Table) -> bool:
    return None not in (table.find("model"), table.find("target"), table.find("value"))


def _long(table: Table) -> Reading:
    target, value, n = (table.find(c) for c in ("target", "value", "n"))
    if target is None or value is None:
        raise AlignsecError(f"{table.path}: columns 'target' and 'value' are needed")
    _, models = _models(table)
    entries = [
        Entry(m, target_of(table.text(i, target, "target")), i, value, n) for i, m in enumerate(models)
    ]
    unread = [c for c in ("low", "high") if table.find(c) is not None]
    notes = [f"{' and '.join(unread)} not read: intervals are made from n"] if unread else []
    return Reading("long", entries, notes=notes)


def _is_paper(table: Table) -> bool:
    return all(table.find(c) is not None for c in ("Model Name", "Threat Model", "Epsilon"))


def _paper(table: Table) -> Reading:
    norm, epsilon, n = table.find("Threat Model"), table.find("Epsilon"), table.find("n")
    if norm is None or epsilon is None:
        raise AlignsecError(f"{table.path}: columns 'Threat Model' and 'Epsilon' are needed")
    columns = {
        "Top-1 Accuracy": "robust_top1",
        "Top-5 Accuracy": "robust_top5",
        "Top-1 Subset Clean Accuracy": "clean_top1",
        "Top-5 Subset Clean Accuracy": "clean_top5",
    }
    found = [(j, kind) for name, kind in columns.items() if (j := table.find(name)) is not None]
    if not found:
        raise AlignsecError(f"{table.path}: none of the columns {', '.join(columns)} is there")
    _, models = _models(table)
    entries: list[Entry] = []
    clean: dict[tuple[str, str], tuple[str, int]] = {}
    for i, model in enumerate(models):
        radius = _norm(table.rows[i][norm]) + table.text(i, epsilon, "epsilon").strip()
        for j, kind in found:
            cell = table.rows[i][j].strip()
            if is_missing(cell):
                continue
            if kind.startswith("clean"):
                # the clean accuracy is repeated on every epsilon's row
                before = clean.setdefault((model, kind), (cell, i))
                if before[0] != cell:
                    raise AlignsecError(
                        f"{table.where(i, j)} of {model!r} is {cell}, on line {table.lines[before[1]]} it is "
                        f"{before[0]}: one of them is wrong"
                    )
                if before[1] != i:
                    continue
            entries.append(Entry(model, kind if kind.startswith("clean") else f"{kind}@{radius}", i, j, n))
    return Reading("the paper's", entries)


def _norm(text: str) -> str:
    """What stands before the epsilon: nothing for Linf, ``L2:`` for another norm."""
    plain = text.strip().replace("_", "").replace("∞", "inf")
    return "" if plain.lower() in ("linf", "inf", "") or is_missing(text) else f"{text.strip()}:"


def _is_robustbench(table: Table) -> bool:
    return table.find("model", "name") is not None and (
        (table.find("eps") is not None and table.find("autoattack_acc", "clean_acc") is not None)
        or None not in (table.find("clean_acc"), table.find("corruptions_acc"))
    )


def _robustbench(table: Table) -> Reading:
    clean, robust = table.find("clean_acc"), table.find("autoattack_acc")
    corrupt, epsilon, threat = (
        table.find("corruptions_acc"),
        table.find("eps"),
        table.find("threat", "norm", "threat_model"),
    )
    _, models = _models(table)
    entries: list[Entry] = []
    doubts: list[tuple[str, str, float, str]] = []
    seen: dict[str, float] = {}
    # the clean accuracy that is seen beside an attack comes first: there it is of the same images
    order = sorted(range(len(models)), key=lambda i: robust is None or is_missing(table.rows[i][robust]))
    for i in order:
        model = models[i]
        if clean is not None and (number := table.number(i, clean)) is not None:
            if model not in seen:
                seen[model] = number.value
                entries.append(Entry(model, "clean_top1", i, clean))
            elif number.value != seen[model]:
                doubts.append((model, "clean_disagrees", abs(number.value - seen[model]), CLEAN_DISAGREES))
        if robust is not None and not is_missing(table.rows[i][robust]):
            if epsilon is None:
                raise AlignsecError(
                    f"{table.path}: column 'eps' is missing: say at which epsilon autoattack_acc is"
                )
            text = table.text(i, epsilon, "epsilon").strip()
            try:
                size = eps.parse(text)
            except AlignsecError as error:
                raise AlignsecError(f"{table.where(i, epsilon)}: {error}") from error
            norm = _norm(table.rows[i][threat]) if threat is not None else ""
            if size <= 0 or (not norm and size > 0.5):
                raise AlignsecError(
                    f"{table.where(i, epsilon)}: {text!r} is no radius of an Linf ball in [0, 1]: write "
                    f"{text}/255, or name the norm in a column threat"
                )
            entries.append(Entry(model, f"robust_top1@{norm}{text}", i, robust))
        if corrupt is not None and not is_missing(table.rows[i][corrupt]):
            entries.append(Entry(model, "corruption_top1@mean", i, corrupt))
    return Reading("RobustBench's", sorted(entries, key=lambda e: e.row), published=True, doubts=doubts)


CLEAN_DISAGREES = (
    "clean accuracy differs between rows of the model; that beside an attack is taken; value: the "
    "difference as printed"
)


def _is_timm(table: Table) -> bool:
    return table.find("model") is not None and table.find("top1") is not None


def _timm(table: Table) -> Reading:
    stem = re.sub(r"(\.(csv|tsv|txt|xlsx|parquet|gz))+$", "", Path(table.path).name)
    named = re.fullmatch(r"results-(.+?)( ?\(\d+\))?", stem)
    if named is None:
        raise AlignsecError(
            f"{table.path}: column 'top1' does not say on which images: keep timm's name of the file "
            "(results-imagenet.csv, results-imagenet-a.csv, …), or name the column after its target "
            "(clean_top1)"
        )
    data = named[1]
    of_classes = re.fullmatch(r"(.+)-clean", data)
    kind, at = "shift_top", f"@{data}"
    if data == "imagenet":
        kind, at = "clean_top", ""
    elif of_classes:  # ordinary images, of the classes that the shifted set has
        kind, at = "clean_top", f"@{of_classes[1]}-classes"
    elif data == "imagenet-real":  # the same images under corrected labels: nothing is shifted
        kind, at = "clean_top", f"@{data}"
    columns = [(j, f"{kind}{k}{at}") for k in (1, 5) if (j := table.find(f"top{k}")) is not None]
    _, models = _models(table)
    rows, notes = _default_sizes(table, models)
    entries = [Entry(models[i], target, i, j) for i in rows for j, target in columns]
    return Reading(f"timm's ({data})", entries, published=True, notes=notes)


def _default_sizes(table: Table, models: list[str]) -> tuple[list[int], list[str]]:
    """Of a model at several input sizes the row of the smallest: timm's default for every such model."""
    column = table.find("img_size")
    if column is None:
        return list(range(len(models))), []
    best: dict[str, tuple[float, int]] = {}
    again: list[int] = []
    for i, model in enumerate(models):
        number = table.number(i, column)
        size = number.value if number is not None else 0.0
        if model in best and size == best[model][0]:
            again.append(i)  # told as a repeated row
        elif model not in best or size < best[model][0]:
            best[model] = size, i
    rows = sorted([i for _, i in best.values()] + again)
    left = len(models) - len(rows)
    note = f"{left} rows of larger input sizes left out (the smallest is the model's default)"
    return rows, [note] if left else []


def _is_testbed(table: Table) -> bool:
    return None not in (table.find("model"), table.find("val")) and any(
        h.startswith(
            ("pgd.", "imagenet-c.", "imagenetv2", "imagenet-a", "imagenet-r", "imagenet-sketch", "objectnet")
        )
        for h in table.header
    )


def _testbed(table: Table) -> Reading:
    model, models = _models(table)
    columns: list[tuple[int, str]] = []
    memory = 0
    for j, name in enumerate(table.header):
        corruption = re.fullmatch(r"imagenet-c\.(.+)\.(\d)_(on-disk|in-memory)", name)
        attack = re.fullmatch(r"pgd\.(linf|l2)\.eps([0-9.]+)", name)
        classes = re.fullmatch(r"val-on-(.+)-classes", name)
        if j == model:
            continue
        if name == "val":
            columns.append((j, "clean_top1"))
        elif attack:
            columns.append(
                (j, f"pgd_top1@{attack[2]}/255" if attack[1] == "linf" else f"pgd_top1@L2:{attack[2]}")
            )
        elif corruption and corruption[3] == "in-memory":
            memory += 1
        elif corruption:
            columns.append((j, f"corruption_top1@{corruption[1]}-{corruption[2]}"))
        elif classes:
            columns.append((j, f"clean_top1@{classes[1]}-classes"))
        elif name.startswith("val_"):
            columns.append((j, f"clean_top1@{name}"))
        else:
            columns.append((j, f"shift_top1@{name}"))
    notes = (
        [f"{memory} columns of corruptions in memory left out (those on disk are the published ones)"]
        if memory
        else []
    )
    entries = [Entry(m, target, i, j) for i, m in enumerate(models) for j, target in columns]
    return Reading("imagenet-testbed's", entries, published=True, notes=notes)


def _wide_columns(table: Table) -> tuple[list[tuple[int, str]], frozenset[int], list[str]]:
    """Columns that are targets, those declared as percent, names of the others."""
    columns: list[tuple[int, str]] = []
    declared: set[int] = set()
    others: list[str] = []
    skip = {table.find(*MODEL), table.find("n")}
    for j, name in enumerate(table.header):
        if j in skip:
            continue
        plain = _PERCENT.sub("", name)
        target = target_of(plain)
        if parts(target).measure in MEASURES or "@" in plain:
            columns.append((j, target))
            if plain != name:
                declared.add(j)
        else:
            others.append(name)
    return columns, frozenset(declared), others


def _is_wide(table: Table) -> bool:
    return table.find(*MODEL) is not None and bool(_wide_columns(table)[0])


def _wide(table: Table) -> Reading:
    columns, declared, others = _wide_columns(table)
    for name in others:
        near, similarity = closest(name.lower(), [*_SHORT, *MEASURES])[0]
        if similarity >= 0.8:
            raise AlignsecError(
                f"{table.path}:{table.header_line}: column {name!r} is no target: did you mean {near!r}? "
                "Rename or delete it"
            )
    _, models = _models(table)
    n = table.find("n")
    entries = [Entry(m, target, i, j, n) for i, m in enumerate(models) for j, target in columns]
    notes = (
        [f"columns not read: {', '.join(others[:8])}" + (", …" if len(others) > 8 else "")] if others else []
    )
    return Reading("wide", entries, declared=declared, notes=notes)


_LAYOUTS: tuple[tuple[Callable[[Table], bool], Callable[[Table], Reading]], ...] = (
    (_is_paper, _paper),
    (_is_long, _long),
    (_is_robustbench, _robustbench),
    (_is_testbed, _testbed),
    (_is_timm, _timm),
    (_is_wide, _wide),
)
