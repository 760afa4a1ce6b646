"""Do the tests bite? A seeded sample of small changes to the source, and how many of them make a test fail:

    python -m benchmarks.mutants --report results/mutants.md            # all groups, 60 changes each
    python -m benchmarks.mutants --group families --sample 20 --seed 7  # as one goes

The changes are Cosmic Ray's operators and the removal of a statement. A change is made in a temporary copy of
the tree, never here. Texts are left alone (docstrings, messages, what a `raise` says), and so are annotations
and imports: no test should hold a wording to the letter. docs/mutants.md says which survivors change nothing.
"""

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
# group: its modules, and its tests, each a pytest run of its own, the quick one first
GROUPS: dict[str, tuple[list[str], list[str]]] = {
    "leaderboard": (
        ["src/alignsec/leaderboard/export.py", "src/alignsec/leaderboard/tree.py"],
        [
            "tests/leaderboard/test_parse_rules.py",
            "tests/leaderboard/test_export.py",
            "tests/leaderboard/test_published_shapes.py",
            "tests/leaderboard/test_circles.py",
        ],
    ),
    "families": (
        ["src/alignsec/analysis/families.py"],
        ["tests/analysis/test_families_by_hand.py", "tests/analysis/test_families.py"],
    ),
    "robustness": (
        [
            "src/alignsec/robustness/summarise.py",
            "src/alignsec/robustness/own.py",
            "src/alignsec/analysis/join.py",
        ],
        ["tests/robustness", "tests/analysis/test_join.py"],
    ),
    "ladder": (
        [f"src/alignsec/attack/{m}.py" for m in ("ladder", "work", "units", "verdicts", "known")],
        [
            "tests/attack/test_ladder.py",
            "tests/attack/test_round.py",
            "tests/attack/test_judge.py",
            "tests/attack/test_faults.py",
        ],
    ),
}
COPIED = ("src", "tests", "benchmarks", "workflow", "config", "pyproject.toml")
_REMOVED = (ast.Expr, ast.AugAssign, ast.Raise, ast.Continue, ast.Break)

Place = tuple[int, int]  # line from 1, column from 0


@dataclass(frozen=True)
class Mutant:
    """One change: `text` is the whole changed module."""

    module: str
    operator: str
    line: int
    column: int
    text: str


@dataclass(frozen=True)
class Verdict:
    """What the tests said: ``killed``, ``timeout`` (killed as well) or ``survived``."""

    module: str
    operator: str
    line: int
    outcome: str
    seconds: float
    diff: str


def _column(lines: list[str], line: int, offset: int) -> int:
    """`ast` counts bytes, Cosmic Ray characters."""
    return len(lines[line - 1].encode()[:offset].decode())


def _span(node: ast.AST, lines: list[str]) -> tuple[Place, Place]:
    first, last = node.lineno, node.end_lineno  # type: ignore[attr-defined]
    return (
        (first, _column(lines, first, node.col_offset)),  # type: ignore[attr-defined]
        (last, _column(lines, last, node.end_col_offset)),  # type: ignore[attr-defined]
    )


def left_alone(source: str) -> list[tuple[Place, Place]]:
    """Where no change is made: texts, what a `raise` says, annotations, imports for types, `__all__`."""
    lines, spans = source.splitlines(), []
    for node in ast.walk(ast.parse(source)):
        inner: list[ast.AST | None] = []
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        ):
            inner = [node]
        elif isinstance(node, ast.Raise):
            inner = [node.exc]
        elif isinstance(node, ast.AnnAssign | ast.arg):
            inner = [node.annotation]
        elif isinstance(node, ast.FunctionDef):
            inner = [node.returns]
        elif (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING") or (
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ):
            inner = [node]
        spans += [_span(n, lines) for n in inner if n is not None]
    return spans


def _removals(source: str) -> Iterator[tuple[Place, str]]:
    """Each call, assignment to a part of something, `raise`, `continue` and `break`, replaced with `pass`."""
    lines = source.splitlines(keepends=True)
    plain = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        part = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name)
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.Yield)
        if not (part or isinstance(node, _REMOVED)) or text:
            continue
        (line, column), (end, stop) = _span(node, plain)
        head, tail = lines[line - 1][:column], lines[end - 1][stop:]
        yield (line, column), "".join([*lines[: line - 1], head, "pass", tail, *lines[end:]])


@cache
def _operators() -> dict[str, object]:
    try:
        from cosmic_ray.plugins import get_operator, operator_names
    except ImportError:
        sys.exit("cosmic-ray is missing: pip install 'alignsec[mutants]'")
    # these two want names of variables
    names = [n for n in operator_names() if not n.startswith("core/Variable")]
    return {n: get_operator(n)() for n in names}


def places(module: str) -> dict[tuple[Place, str], list[Callable[[], Mutant | None]]]:
    """By place and kind, what could be done there; a call does it, and is None where nothing comes of it."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code

    source = (ROOT / module).read_text(encoding="utf-8")
    alone, same = left_alone(source), ast.dump(ast.parse(source))
    found: dict[tuple[Place, str], list[Callable[[], Mutant | None]]] = defaultdict(list)

    def make(name: str, start: Place, text: Callable[[], str]) -> Mutant | None:
        try:
            changed = text()
            if ast.dump(ast.parse(changed)) == same:
                return None
        except (AttributeError, SyntaxError):  # an operator that does not know the syntax
            return None
        return Mutant(module, name, *start, changed)

    tree = get_ast(source)
    nodes = list(ast_nodes(tree))
    for name, operator in _operators().items():
        occurrence = -1
        for node in nodes:
            for start, _ in operator.mutation_positions(node):  # type: ignore[attr-defined]
                occurrence += 1
                if any(first <= start < last for first, last in alone):
                    continue
                text = partial(mutate_code, source, operator, occurrence)
                kind = name.removeprefix("core/").split("_")[0]
                found[start, kind].append(partial(make, name, start, text))
    for start, removed in _removals(source):
        found[start, "removal"].append(partial(make, "removal", start, partial(str, removed)))
    return found


def sample(modules: list[str], size: int, seed: int) -> list[Mutant]:
    """`size` places, and one change at each; drawn among all changes, half would be of some `*` or `==`."""
    draw = random.Random(f"{seed}/{'/'.join(Path(m).name for m in modules)}")
    pool = [v for m in modules for _, v in sorted(places(m).items())]
    draw.shuffle(pool)
    chosen: list[Mutant] = []
    for ways in pool:
        draw.shuffle(ways)
        made = next((m for way in ways if (m := way()) is not None), None)
        if made is not None:
            chosen.append(made)
        if len(chosen) == size:
            break
    return sorted(chosen, key=lambda m: (m.module, m.line, m.column))


class Copy:
    """A copy of the tree to change and to test in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.changes = folder, 0
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis")
                )
            else:
                shutil.copy(ROOT / name, folder / name)
        self.environment = {
            **os.environ,
            "PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}",
            "OMP_NUM_THREADS": "1",
            "ALIGNSEC_DATA": os.environ.get("ALIGNSEC_DATA", str(ROOT.parent / "shared" / "data")),
        }

    def write(self, module: str, text: str) -> None:
        path = self.folder / module
        path.write_text(text, encoding="utf-8")
        # bytecode goes by size and seconds: a change of the same size in the same second would not be seen
        self.changes += 1
        os.utime(path, (10**9 + self.changes, 10**9 + self.changes))

    def run(self, tests: list[str], timeouts: list[float]) -> str:
        for test, limit in zip(tests, timeouts, strict=True):
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "pytest",
                    "-x",
                    "-q",
                    "-p",
                    "no:cacheprovider",
                    "-m",
                    "not slow",
                    test,
                ],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            try:
                output, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                return "timeout"
            if process.returncode not in (0, 1, 2):  # 2: the mutant cannot be imported
                raise RuntimeError(f"{test}: pytest ended with {process.returncode}:\n{output}")
            if process.returncode:
                return "killed"
        return "survived"


def measure(group: str, size: int, seed: int, copies: "Queue[Copy]", workers: int) -> list[Verdict]:
    """Run the group's tests on every mutant of its sample."""
    modules, tests = GROUPS[group]
    copy = copies.get()
    limits = []
    for test in tests:
        start = time.monotonic()
        if copy.run([test], [600.0]) != "survived":
            sys.exit(f"{test} fails without any change")
        # the machine is shared, and two run at once
        limits.append(20 + 4 * (time.monotonic() - start))
    copies.put(copy)
    chosen = sample(modules, size, seed)

    def one(mutant: Mutant) -> Verdict:
        copy = copies.get()
        source = (ROOT / mutant.module).read_text(encoding="utf-8")
        start = time.monotonic()
        try:
            copy.write(mutant.module, mutant.text)
            outcome = copy.run(tests, limits)
        finally:
            copy.write(mutant.module, source)
            copies.put(copy)
        diff = "\n".join(
            difflib.unified_diff(
                source.splitlines(), mutant.text.splitlines(), mutant.module, mutant.module, "", "", 1, ""
            )
        )
        print(f"{outcome:9} {mutant.module}:{mutant.line} {mutant.operator}", flush=True)
        seconds = round(time.monotonic() - start, 1)
        return Verdict(mutant.module, mutant.operator, mutant.line, outcome, seconds, diff)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, chosen))


def markdown(verdicts: dict[str, list[Verdict]], size: int, seed: int) -> str:
    """The report: killed of all by group, and every survivor with its diff."""
    lines = [
        f"# Mutants, seed {seed}, {size} a group",
        "",
        "| group | killed | of | share |",
        "|---|---|---|---|",
    ]
    for group, found in verdicts.items():
        killed = sum(v.outcome != "survived" for v in found)
        lines.append(f"| {group} | {killed} | {len(found)} | {killed / len(found):.0%} |")
    for group, found in verdicts.items():
        for v in found:
            if v.outcome == "survived":
                lines += ["", f"**{group}** {v.module}:{v.line} `{v.operator}`", "", "```diff", v.diff, "```"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--group", choices=sorted(GROUPS), action="append", help="default: all")
    parser.add_argument("--sample", type=int, default=60, help="changes of each group")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="at a time")
    parser.add_argument("--report", type=Path, help="a .md; a .json with every verdict is written beside it")
    args = parser.parse_args()
    start = time.monotonic()
    verdicts: dict[str, list[Verdict]] = {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: Queue[Copy] = Queue()
        for number in range(args.workers):
            place = Path(folder) / str(number)
            place.mkdir()
            copies.put(Copy(place))
        for group in args.group or GROUPS:
            verdicts[group] = measure(group, args.sample, args.seed, copies, args.workers)
    report = markdown(verdicts, args.sample, args.seed)
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.write_text(report, encoding="utf-8")
        content = {g: [asdict(v) for v in found] for g, found in verdicts.items()}
        args.report.with_suffix(".json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(report)
    print(f"{(time.monotonic() - start) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
