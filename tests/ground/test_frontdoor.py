"""Tables as people's programs write them: what is read, what is said of it, and what is refused with a
remedy.
"""

import gzip
import io
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.ground.tabular import Table, binary, is_missing, read_table, reading, table_of, text

HEADER = ["model", "target", "value", "n"]
ROWS = [
    ["alexnet", "clean_top1", "0.565", "1000"],
    [" padded, and quoted", "clean_top1", "0.75", ""],
    ['with "quotes"', "robust_top1@1/255", "0.0", "1000"],
    ["ε-réseau", "robust_top1@1/255", "NA", "1000"],
]
TEXT = pd.DataFrame(ROWS, columns=HEADER).to_csv(index=False)


def read(tmp_path: Path, content: str | bytes, name: str = "t.csv", **options: bool) -> Table:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, **options)


def refused(tmp_path: Path, content: str | bytes, message: str, name: str = "t.csv") -> None:
    with pytest.raises(AlignsecError, match=message):
        read(tmp_path, content, name)


def sheet(
    rows: list[list[object]], title: str = "Sheet", more: dict[str, list[list[object]]] | None = None
) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, cells in {title: rows, **(more or {})}.items():
        page = book.create_sheet(name)
        for row in cells:
            page.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def parquet(frame: pd.DataFrame, **options: object) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out, **options)
    return out.getvalue()


def spreadsheet(rows: list[list[str]]) -> bytes:
    """Numbers as numbers, missing cells empty: as a spreadsheet holds them."""
    cells = [[None if c in ("", "NA") else float(c) if j > 1 else c for j, c in enumerate(r)] for r in rows]
    return sheet([HEADER, *cells])


SEMICOLON = pd.DataFrame(ROWS, columns=HEADER).replace({"value": {r"\.": ","}}, regex=True)
FORMATS = {
    "plain": (TEXT, "UTF-8, commas, 4 rows"),
    "BOM": (TEXT.encode("utf-8-sig"), "UTF-8 with BOM, commas, 4 rows"),
    "UTF-16": (TEXT.encode("utf-16"), "UTF-16, commas, 4 rows"),
    "UTF-16 big endian": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "UTF-16, commas, 4 rows"),
    "UTF-16 without its mark": (TEXT.encode("utf-16-le"), "UTF-16, commas, 4 rows"),
    "UTF-32": (TEXT.encode("utf-32"), "UTF-32, commas, 4 rows"),
    "Windows line ends": (TEXT.replace("\n", "\r\n"), "UTF-8, commas, 4 rows"),
    "old Mac line ends": (TEXT.replace("\n", "\r"), "UTF-8, commas, 4 rows"),
    "no last line end": (TEXT.rstrip("\n"), "UTF-8, commas, 4 rows"),
    "tabs": (pd.DataFrame(ROWS, columns=HEADER).to_csv(index=False, sep="\t"), "UTF-8, tabs, 4 rows"),
    "semicolons, decimal commas": (
        SEMICOLON.to_csv(index=False, sep=";"),
        "UTF-8, semicolons, decimal commas, 4 rows",
    ),
    "quoted decimal commas": (SEMICOLON.to_csv(index=False), "UTF-8, commas, decimal commas, 4 rows"),
    "Excel's sep line": (
        "sep=;\n" + SEMICOLON.to_csv(index=False, sep=";"),
        "UTF-8, semicolons, decimal commas, 4 rows",
    ),
    "everything quoted": (
        pd.DataFrame(ROWS, columns=HEADER).to_csv(index=False, quoting=1),
        "UTF-8, commas, 4 rows",
    ),
    "pandas index": (
        pd.DataFrame(ROWS, columns=HEADER).to_csv(),
        "UTF-8, commas, an index column left out, 4 rows",
    ),
    "pandas index, read and written again": (
        pd.DataFrame([[str(7 - i), *r] for i, r in enumerate(ROWS)], columns=["Unnamed: 0", *HEADER]).to_csv(
            index=False
        ),
        "UTF-8, commas, an index column left out, 4 rows",
    ),
    "R's row names": (
        TEXT.splitlines()[0]
        + "\n"
        + "".join(f'"{i}",{line}\n' for i, line in enumerate(TEXT.splitlines()[1:], 1)),
        "UTF-8, commas, an index column left out, 4 rows",
    ),
    "trailing empty columns": (
        "".join(line + ",,\n" for line in TEXT.splitlines()),
        "UTF-8, commas, 2 empty columns left out, 4 rows",
    ),
    "blank rows": (
        TEXT.replace("\n", "\n,,,\n") + "\n   \n",
        "UTF-8, commas, 7 blank rows left out, 4 rows",
    ),
    "comments first": ("# exported today\n\n" + TEXT, "UTF-8, commas, 4 rows"),
    "gzip": (gzip.compress(TEXT.encode()), "gzip, UTF-8, commas, 4 rows"),
    "gzip in two members": (
        gzip.compress(TEXT[:30].encode()) + gzip.compress(TEXT[30:].encode()),
        "gzip, UTF-8, commas, 4 rows",
    ),
    "xlsx": (spreadsheet(ROWS), ".xlsx, 4 rows"),
    "Parquet": (parquet(pd.DataFrame(ROWS, columns=HEADER)), "Parquet, 4 rows"),
    "Parquet with an index": (
        parquet(pd.DataFrame(ROWS, columns=HEADER, index=[9, 4, 5, 1])),
        "Parquet, an index column left out, 4 rows",
    ),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_one_table_in_every_format_reads_the_same_and_says_what_it_was(tmp_path: Path, kind: str) -> None:
    content, understood = FORMATS[kind]
    table = read(tmp_path, content, "t.any")
    assert table.header == HEADER
    assert [row[:2] for row in table.rows] == [row[:2] for row in ROWS]
    numbers = [table.number(i, 2) for i in range(4)]
    assert [n and n.value for n in numbers] == [0.565, 0.75, 0.0, None]
    assert [table.count(i, 3) for i in range(4)] == [1000, None, 1000, 1000]
    assert table.understood == understood


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    text = '# note\nmodel,value\n\n"two\nlines",0.1\n,\nb,x\n'
    table = read(tmp_path, text)
    assert (table.header_line, table.lines) == (2, [4, 7])
    with pytest.raises(AlignsecError, match=r"t\.csv:7: column 'value': 'x' is no number"):
        table.number(1, 1)
    book = read(tmp_path, sheet([[], ["model", "value"], [], ["a", 1], ["b", "x"]]), "t.xlsx")
    assert (book.header_line, book.lines) == (2, [4, 5])
    assert read(tmp_path, parquet(pd.DataFrame({"model": ["a", "b"], "value": [1, 2]}))).lines == [1, 2]


def test_latin_1_is_read_and_said(tmp_path: Path) -> None:
    table = read(tmp_path, "model,note\nréseau,größer\n".encode("cp1252"))
    assert table.rows == [["réseau", "größer"]]
    assert "Windows-1252 (Latin-1; save it as UTF-8 if a name looks wrong)" in table.understood


def test_text_of_another_encoding_is_named_with_the_remedy(tmp_path: Path) -> None:
    japanese = "model,note\n" + "モデル,これは日本語で書かれた説明です。頑健性の値を示します。\n" * 20
    refused(
        tmp_path,
        japanese.encode("shift_jis"),
        r"t\.csv:2: not UTF-8 text \(byte 11\) but, it seems, (cp932|shift_jis)\w*: save it as UTF-8",
    )


def test_floats_of_single_precision_are_spelled_as_they_were_meant(tmp_path: Path) -> None:
    frame = pd.DataFrame({"model": ["a", "b"], "value": pd.Series([0.55, None], dtype="float32")})
    table = read(tmp_path, parquet(frame), "t.parquet")
    assert [row[1] for row in table.rows] == ["0.55", ""]


def test_of_several_sheets_the_first_with_content_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    raw = sheet([], "Empty", {"Data": [["model", "value"], ["a", 1]], "Notes": [["see", "below"]]})
    assert read(tmp_path, raw).understood == ".xlsx, sheet 'Data' ('Notes' not read), 1 row"


def test_cells_that_say_nothing() -> None:
    assert all(is_missing(c) for c in ("", " ", "NA", "nan", "NaN", "null", "N/A", "#N/A", "<NA>", "None"))
    assert not any(is_missing(c) for c in ("0", "X", "-", "nano"))


@pytest.mark.parametrize(
    ("cell", "remedy"),
    [
        ("lots", "is no number: write it in digits"),
        ("inf", "is no number"),
        ("1_0", "is no number"),
        ("1e999", "too large"),
        ("٣", "is no number"),
        ("1,014.45", r"a thousands separator\?\): write 1014\.45"),
        ("1 014", r"a thousands separator\?\): write 1014"),
        ("0,55", r"other cells of the column have a decimal point; write 0\.55"),
        ("34,125", r"write 34125, or 34\.125 if it is a decimal sign"),
        ("--1", "is no number"),
    ],
)
def test_a_cell_that_is_no_number_is_told_with_its_place_and_a_remedy(
    tmp_path: Path, cell: str, remedy: str
) -> None:
    table = read(tmp_path, f'model,value\na,0.5\nb,"{cell}"\n')
    with pytest.raises(AlignsecError, match=rf"t\.csv:3: column 'value': .*{remedy}"):
        table.number(1, 1)


@pytest.mark.parametrize(
    "cell", ["1,000", "1.000", "1k", "lots", "-5", "inf", "0.4", "0", "1e12", "5%", "1 000", "1'000"]
)
def test_a_number_of_images_is_a_whole_number_in_digits(tmp_path: Path, cell: str) -> None:
    table = read(tmp_path, f'model,n\na,"{cell}"\n')
    with pytest.raises(AlignsecError, match=r"t\.csv:2: column 'n': .* is no number of images"):
        table.count(0, 1)


def test_numbers_of_images_as_programs_write_them(tmp_path: Path) -> None:
    table = read(tmp_path, "model,n\na,1000\nb,1000.0\nc,1e3\nd,\n")
    assert [table.count(i, 1) for i in range(4)] == [1000, 1000, 1000, None]


def test_what_is_no_table_is_refused_with_what_it_is(tmp_path: Path) -> None:
    refused(tmp_path, b"", "the file is empty")
    refused(tmp_path, b" \n\n", "the file is empty")
    refused(tmp_path, "<!DOCTYPE html><html></html>", r"t\.csv:1: a web page")
    refused(tmp_path, bytes(range(256)) * 40, "binary data")
    refused(tmp_path, TEXT.encode() + b"\0\1\2", r"t\.csv:6: binary data")
    refused(tmp_path, "one\ntwo\n", "one column only")
    refused(tmp_path, "# only a comment\n", "no header")
    refused(tmp_path, "model,value\n", "a header and no row")
    refused(tmp_path, "model,value,value\na,1,2\n", "'value' occurs twice in the header")
    refused(tmp_path, ",value\nresnet,1\n", "column 1 has no name")
    refused(
        tmp_path, "model,value\na\n", r"t\.csv:2: 1 cells where the header has 2 columns: the file is damaged"
    )
    refused(tmp_path, "model,value\na,0,55\n", r"t\.csv:2: 3 cells .* a comma within a number")
    refused(tmp_path, 'model,value\n"a,1\n', r"t\.csv:2: not a CSV file")
    refused(tmp_path, b"\xd0\xcf\x11\xe0" + b"\0" * 100, "an old Excel file")
    refused(tmp_path, gzip.compress(TEXT.encode())[:-20], "truncated gzip")
    refused(tmp_path, parquet(pd.DataFrame(ROWS, columns=HEADER))[:-30], "damaged Parquet")
    refused(tmp_path, parquet(pd.DataFrame({"model": ["a"], "value": [[1, 2]]})), "column 'value' holds list")
    refused(tmp_path, spreadsheet(ROWS)[:-200], "damaged spreadsheet")
    with pytest.raises(AlignsecError, match="a folder, not a file"):
        read_table(tmp_path)
    with pytest.raises(AlignsecError, match="no such file"):
        read_table(tmp_path / "none.csv")


def test_short_rows_are_filled_up_only_where_that_is_asked_for(tmp_path: Path) -> None:
    assert read(tmp_path, "model,source,note\na,b\n", pad=True).rows == [["a", "b", ""]]


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def test_an_archive_that_is_no_spreadsheet_is_named_by_its_members() -> None:
    with pytest.raises(AlignsecError, match=r"it holds leaderboard\.csv\): unpack it"):
        table_of(zipped("leaderboard.csv", TEXT.encode()), Path("t.zip"))


def test_bombs_are_refused_before_they_unpack(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reading, binary):
        monkeypatch.setattr(module, "LARGEST", 10_000)
    for module in (text, binary):
        monkeypatch.setattr(module, "MOST_CELLS", 1000)
    with pytest.raises(AlignsecError, match="unpacks to more than"):
        table_of(gzip.compress(b"0" * 10_001), Path("t.csv.gz"))
    with pytest.raises(AlignsecError, match="unpacks to more than"):
        table_of(gzip.compress(b"0" * 6000) * 2, Path("t.csv.gz"))
    with pytest.raises(AlignsecError, match="unpacks to more than"):
        table_of(zipped("xl/workbook.xml", b"0" * 10_001), Path("t.xlsx"))
    entities = '<!DOCTYPE a [<!ENTITY b "c">]><a/>'
    for encoding in ("utf-8", "utf-16"):
        with pytest.raises(AlignsecError, match="XML entities"):
            table_of(zipped("xl/workbook.xml", entities.encode(encoding)), Path("t.xlsx"))
    with pytest.raises(AlignsecError, match="cells: too large"):
        table_of(b"a,b\n" + b",,,,,,,,,\n" * 101, Path("t.csv"))
    with pytest.raises(AlignsecError, match="too large for a table"):
        table_of(parquet(pd.DataFrame({"a": [1] * 501, "b": 2})), Path("t.parquet"))
    monkeypatch.setattr(binary, "LARGEST", 10**6)
    far = openpyxl.Workbook()
    far.active.cell(1_048_576, 1, "x")
    out = io.BytesIO()
    far.save(out)
    with pytest.raises(AlignsecError, match="cells: too large"):
        table_of(out.getvalue(), Path("t.xlsx"))


def test_a_formula_that_was_never_computed_is_no_empty_cell(tmp_path: Path) -> None:
    raw = sheet([["model", "value"], ["a", 0.5], ["b", "=1-B2"]])
    refused(tmp_path, raw, r"t\.xlsx:3: column 2 holds the formula '=1-B2'", "t.xlsx")


def test_the_real_leaderboard_reads_the_same_in_every_format(tmp_path: Path, data_dir: Path) -> None:
    source = data_dir / "brainscore" / "leaderboard_2025-05-07.csv"
    table = read_table(source)
    assert table.understood == "UTF-8, commas, 455 rows"
    frame = pd.read_csv(source, dtype=str, keep_default_na=False)
    assert table.rows == frame.to_numpy().tolist()
    frame.to_csv(tmp_path / "s.csv", sep=";", encoding="utf-16")
    frame.to_excel(tmp_path / "s.xlsx", index=False)
    for name in ("s.csv", "s.xlsx"):
        other = read_table(tmp_path / name)
        assert other.header == table.header
        assert other.rows == table.rows
