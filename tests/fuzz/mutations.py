"""Files that people bring, damaged at random: every case is a function of its number alone."""

import csv
import gzip
import io
import random
import zipfile
from collections.abc import Callable

import numpy as np
import pandas as pd

Case = tuple[str, str, bytes]  # reader, file name, content

TARGETS = ("clean_top1", "robust_top1@1/255", "robust_top1@2/255", "median_distance")
HOSTILE = (
    "",
    " ",
    "\t",
    "NA",
    "nan",
    "null",
    "#N/A",
    "1,000",
    "1k",
    "-5",
    "inf",
    "-inf",
    "0.4",
    "1e999",
    "1e-999",
    "0,55",
    "55%",
    "1/255",
    "1/0",
    "@",
    "@1/225",
    "robust_top1@1e999999999",
    "robust_top1@0/0",
    "clean_top1",
    "=1+1",
    "-",
    "X",
    "x" * 5000,
    "ε",
    "\u202e",
    "\ufeff",
    "\ud7ff\U0001f600",
    "\x00",
    "\x1b[2J",
    "\u2028",
    '"',
    "'",
    ";",
    ",",
    "a\nb",
    "a\r\nb",
    "../../etc",
    "{}",
    "[1, 2",
    "&a [*a]",
    "!!python/object:os.system x",
    "0x10",
    "1_000",
    "٣",
    "9" * 400,
    "true",
    "2025-01-25",
    "average_vision",
    "neural_vision",
    "sep=;",
    "#",
    "<html>",
)
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "shift_jis", "utf-7", "cp1251")

OWN = {
    "long": [["model", "target", "value", "n"]]
    + [
        [f"m{i}", t, f"{(i + 1) / (8 + 20 * j):.3f}", "1000"] for i in range(6) for j, t in enumerate(TARGETS)
    ],
    "wide": [["model", "clean", "robust@1/255", "n"]]
    + [[f"m{i}", f".{50 + i}", f".{10 + i}", "100"] for i in range(8)],
    "robustbench": [["name", "eps", "clean_acc", "autoattack_acc"]]
    + [[f"m{i}", "4/255", f"{60 + i}.25", f"{30 - i}.50"] for i in range(8)],
    "paper": [["Model Name", "Threat Model", "Epsilon", "Top-1 Accuracy", "Top-1 Subset Clean Accuracy"]]
    + [[f"m{i}", "Linf", e, f"0.{20 + i}", f"0.{60 + i}"] for i in range(4) for e in ("0.001", "1/255")],
    "timm": [["model", "img_size", "top1", "top5"]]
    + [[f"m{i}", "224", f"{70 + i}.1", f"{90 + i}.5"] for i in range(6)],
    "testbed": [["model", "val", "pgd.linf.eps0.5", "imagenet-c.fog.3_on-disk", "imagenet-a"]]
    + [[f"m{i}", f"{60 + i}.1", f"{20 + i}.5", "33.3", ""] for i in range(6)],
}
SHEET = [["model", "source", "spec", "family", "note"]] + [
    [f"model {i}", source, "a=1", f"f{i % 2}", ""]
    for i, source in enumerate(("torchvision", "timm", "factory", "brainscore", "demo"))
]
# with parents of one child, which their columns' order alone tells apart
LEADERBOARD = [
    [
        "model_name",
        "model_id",
        "average_vision",
        "neural_vision",
        "V1",
        "V1-surround_modulation",
        "Marques2020_Cavanaugh2002-surround_suppression_index",
        "V4",
        "behavior_vision",
        "B1",
        "B2",
    ]
] + [
    [
        f"m{i}",
        str(i),
        f"{(a + b) / 2:.3f}",
        f"{a:.3f}",
        f"{a - 0.01:.3f}",
        f"{a - 0.01:.3f}",
        f"{a - 0.01:.3f}",
        f"{a + 0.01:.3f}",
        f"{b:.3f}",
        "X" if i == 3 else f"{b - 0.02:.3f}",
        f"{b + 0.02:.3f}",
    ]
    for i, (a, b) in enumerate(
        zip((0.5, 0.31, 0.62, 0.27, 0.44, 0.73, 0.38), (0.2, 0.6, 0.35, 0.41, 0.54, 0.27, 0.66), strict=True)
    )
]
CONFIG = """study: fuzz
leaderboard: {source: demo, registry: demo}
zoo: {sheet: models.tsv}
images: {source: digits, count: 16}
attack: {epsilons: ["1/255", "0.02"], norm: Linf, version: standard}
analysis: {completeness: 0.8}
"""


def case(number: int) -> Case:
    """Case `number`: which reader is to read what."""
    rng = random.Random(number)
    maker: Callable[[random.Random], Case] = rng.choice(
        [_own, _own, _own, _sheet, _config, _leaderboard, _archive]
    )
    reader, name, content = maker(rng)
    for _ in range(rng.choice([0, 0, 0, 1, 1, 3])):
        content = _bytes(content, rng)
    return reader, name, content


def _own(rng: random.Random) -> Case:
    layout = rng.choice(list(OWN))
    rows = _cells(OWN[layout], rng)
    stem = "results-imagenet-a" if layout == "timm" else "own"
    suffix, write = rng.choice(
        [("csv", _text), ("csv", _text), ("csv.gz", _gzip), ("xlsx", _xlsx), ("parquet", _parquet)]
    )
    return "own", f"{stem}.{suffix}", write(rows, rng)


def _sheet(rng: random.Random) -> Case:
    return "sheet", "models.tsv", _encoded("\n".join("\t".join(r) for r in _cells(SHEET, rng)) + "\n", rng)


def _config(rng: random.Random) -> Case:
    text = CONFIG
    for _ in range(rng.randint(0, 2)):
        words = text.split(" ")
        words[rng.randrange(len(words))] = rng.choice([*HOSTILE, *words])
        text = " ".join(words)
    return "config", "study.yaml", _encoded(text, rng)


def _leaderboard(rng: random.Random) -> Case:
    rows = LEADERBOARD
    if rng.random() < 0.5:  # parents after their children
        order = rng.sample(range(len(rows[0])), len(rows[0]))
        rows = [[r[j] for j in order] for r in rows]
    if rng.random() < 0.5:
        rows = _cells(rows, rng)
    return "leaderboard", "leaderboard.csv", _text(rows, rng, delimiter=",")


def _archive(rng: random.Random) -> Case:
    names = rng.choice(
        [("leaderboard.csv", "plugin-info.csv"), ("a/leaderboard.csv",), ("plugin-info.csv",), ("../x",)]
    )
    members = {}
    for name in names:
        rows = [["benchmark", "Data.region"], ["V1", "V1"], ["B1", ""]] if "plugin" in name else LEADERBOARD
        members[name] = _text(_cells(rows, rng) if rng.random() < 0.5 else rows, rng, delimiter=",")
    return "leaderboard", "export.zip", _zip(members, rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))


def _cells(rows: list[list[str]], rng: random.Random) -> list[list[str]]:
    """Cells, rows, columns and names exchanged, left out, doubled, replaced."""
    rows = [list(r) for r in rows]
    for _ in range(rng.choice([0, 1, 1, 1, 2, 4])):
        i = rng.randrange(len(rows))
        j = rng.randrange(max(1, len(rows[i])))
        match rng.randrange(8):
            case 0 | 1 | 2 if rows[i]:
                rows[i][min(j, len(rows[i]) - 1)] = rng.choice(HOSTILE)
            case 3:
                rows.insert(i, list(rng.choice(rows)))
            case 4 if len(rows) > 1:
                rows.pop(i)
            case 5 if rows[i]:
                rows[i].pop(min(j, len(rows[i]) - 1))
            case 6:
                rows[i].insert(j, rng.choice(HOSTILE))
            case _:
                k = rng.randrange(len(rows))
                rows[i], rows[k] = rows[k], rows[i]
    return rows


def _text(rows: list[list[str]], rng: random.Random, delimiter: str = "") -> bytes:
    out = io.StringIO()
    mark = delimiter or rng.choice([",", ",", ";", "\t"])
    end = rng.choice(["\n", "\n", "\r\n", "\r"])
    csv.writer(
        out, delimiter=mark, lineterminator=end, quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    ).writerows(rows)
    return _encoded(out.getvalue(), rng)


def _encoded(text: str, rng: random.Random) -> bytes:
    codec = rng.choice(ENCODINGS) if rng.random() < 0.2 else "utf-8"
    return text.encode(codec, errors="replace")


def _gzip(rows: list[list[str]], rng: random.Random) -> bytes:
    return gzip.compress(_text(rows, rng), mtime=0)


def _frame(rows: list[list[str]], rng: random.Random) -> pd.DataFrame:
    width = max(len(r) for r in rows)
    rows = [[c.replace("\x00", "").replace("\x1b", "") for c in r] + [""] * (width - len(r)) for r in rows]
    frame = pd.DataFrame(
        rows[1:], columns=[f"{h}.{k}" if h in rows[0][:k] else h for k, h in enumerate(rows[0])]
    )
    if rng.random() < 0.7:  # numbers as numbers
        for column in frame.columns:
            numbers = pd.to_numeric(frame[column], errors="coerce")
            if numbers.notna().all():
                frame[column] = numbers.astype(rng.choice([np.float64, np.float32]))
    return frame


def _xlsx(rows: list[list[str]], rng: random.Random) -> bytes:
    out = io.BytesIO()
    _frame(rows, rng).to_excel(out, index=rng.random() < 0.3)
    with zipfile.ZipFile(out) as archive:
        members = {
            n: archive.read(n) for n in archive.namelist() if n != "docProps/core.xml"
        }  # the time of writing
    return _zip(members, zipfile.ZIP_DEFLATED)


def _zip(members: dict[str, bytes], method: int) -> bytes:
    """An archive that is the same whenever it is made."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2025, 5, 7, 0, 0, 0)), content, method)
    return out.getvalue()


def _parquet(rows: list[list[str]], rng: random.Random) -> bytes:
    out = io.BytesIO()
    _frame(rows, rng).to_parquet(out, index=rng.random() < 0.3)
    return out.getvalue()


def _bytes(content: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut out, inserted, or the end cut off."""
    if not content:
        return rng.randbytes(20)
    at = rng.randrange(len(content))
    match rng.randrange(6):
        case 0:
            return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
        case 1:
            return content[:at]
        case 2:
            return content[:at] + rng.randbytes(rng.randint(1, 8)) + content[at:]
        case 3:
            return content[:at] + content[at + rng.randint(1, 30) :]
        case 4:
            end = rng.randrange(at, len(content)) + 1
            return content[:end] + content[at:end] * rng.randint(1, 3) + content[end:]
        case _:
            return (
                content[:at]
                + rng.choice([b"\0", b'"', b"\r", b"\n\n", b";", b"\xff\xfe", b"\xe9"])
                + content[at:]
            )
