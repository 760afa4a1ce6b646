"""A table of text with the place of every row, and what its cells mean as numbers."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from alignsec.ground.errors import AlignsecError

# as Excel, pandas, R and databases write a cell that holds nothing, in any case
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "<na>"})
MOST_IMAGES = 10**9
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?%?")
_POINT = re.compile(r"[+-]?[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?%?")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}([,.' \u00a0\u202f])[0-9]{3}(\1[0-9]{3})*([.,][0-9]+)?")


def is_missing(cell: str) -> bool:
    """Does the cell say that there is nothing (empty, `NA`, `nan`, `null`, `#N/A`, …)?

    >>> is_missing(" NaN "), is_missing("0")
    (True, False)
    """
    return cell.strip().lower() in MISSING


@dataclass(frozen=True)
class Number:
    """A number as printed: its exact value, one unit of its last digit, and whether it ends in ``%``."""

    exact: Decimal
    unit: Decimal
    percent: bool

    @property
    def value(self) -> float:
        """The number as a float; of ``5 %`` it is 5."""
        return float(self.exact)


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes
    ----------
    path : where it was read from
    header : names of the columns, distinct, not empty, without surrounding blanks
    rows : as many cells each as the header; to the letter, so that a name keeps a leading space
    lines : of each row, the line of the text file where it begins, the row of the spreadsheet, or (Parquet,
        which has neither) its number counted from 1
    header_line : line of the header; 0 where there is none
    found : what the reader understood of the file, phrase by phrase
    """

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    header_line: int
    found: tuple[str, ...]

    @property
    def understood(self) -> str:
        """One line for the log: ``UTF-16, semicolons, decimal commas, 443 rows``."""
        commas = ["decimal commas"] if "," in self._decimals else []
        rows = f"{len(self.rows)} row{'s' if len(self.rows) != 1 else ''}"
        return ", ".join([*self.found, *commas, rows])

    def find(self, *names: str) -> int | None:
        """Index of the first column that has one of the names, in any case; None where none has."""
        keys = [h.casefold() for h in self.header]
        return next((keys.index(n.casefold()) for n in names if n.casefold() in keys), None)

    def where(self, row: int, column: int | None = None) -> str:
        """Place of a row or cell, as messages begin: ``own.csv:3: column 'n'``."""
        place = f"{self.path}:{self.lines[row]}"
        return place if column is None else f"{place}: column {self.header[column]!r}"

    def text(self, row: int, column: int, what: str) -> str:
        """The cell of a column that may not be empty, to the letter; `what` it holds is for messages."""
        cell = self.rows[row][column]
        if is_missing(cell):
            shown = f" ({cell.strip()})" if cell.strip() else ""
            raise AlignsecError(
                f"{self.where(row, column)} is empty{shown}: every row needs a {what}; fill it in, or delete "
                "the row"
            )
        return cell

    def number(self, row: int, column: int) -> Number | None:
        """The number in a cell; None where it says that there is none.

        Raises
        ------
        AlignsecError
            Anything else: text, ``inf``, a thousands separator, a decimal comma in a column with points.
        """
        cell = self.rows[row][column].strip()
        if is_missing(cell):
            return None
        text = cell.removesuffix("%").rstrip()
        plain = text.replace(",", ".") if self._decimals[column] == "," and text.count(",") == 1 else text
        if not _NUMBER.fullmatch(plain):
            raise AlignsecError(f"{self.where(row, column)}: {cell[:40]!r} is no number{_remedy(text)}")
        exact = Decimal(plain)
        if not math.isfinite(float(exact)):
            raise AlignsecError(
                f"{self.where(row, column)}: {cell[:40]!r} is no number: it is too large to be one"
            )
        return Number(exact, Decimal(1).scaleb(int(exact.as_tuple().exponent)), cell.endswith("%"))

    def count(self, row: int, column: int) -> int | None:
        """A number of images in a cell, at least 1; None where it says that there is none.

        ``1000.0`` counts as 1000; a separator of thousands is refused, as it may as well be a decimal one.

        Raises
        ------
        AlignsecError
            Anything else: text, ``1k``, ``1,000``, a fraction, 0, a negative number.
        """
        cell = self.rows[row][column].strip()
        if is_missing(cell):
            return None
        place = f"{self.where(row, column)}: {cell[:40]!r} is no number of images"
        if _THOUSANDS.fullmatch(cell):
            raise AlignsecError(f"{place} (a thousands separator?): write digits only (1000)")
        try:
            number = self.number(row, column)
        except AlignsecError:
            number = None
        if number is None or number.percent:
            raise AlignsecError(f"{place}: write digits only (1000), or leave it empty where it is not known")
        if not 1 <= number.exact <= MOST_IMAGES or number.exact % 1:
            raise AlignsecError(
                f"{place}: expected is a whole number from 1 to {MOST_IMAGES}, or nothing where it is not "
                "known"
            )
        return int(number.exact)

    @cached_property
    def _decimals(self) -> list[str]:
        """Per column its decimal sign: a comma where cells are numbers only so, and none has a point."""
        return [_decimal(row[j].strip() for row in self.rows) for j in range(len(self.header))]


def _decimal(cells: Iterable[str]) -> str:
    comma = False
    for cell in cells:
        if _POINT.fullmatch(cell):
            return "."
        # "1,000" alone may be a thousand
        if _COMMA.fullmatch(cell) and (not _THOUSANDS.fullmatch(cell) or cell.lstrip("+-").startswith("0")):
            comma = True
    return "," if comma else "."


def _remedy(text: str) -> str:
    found = _THOUSANDS.fullmatch(text)
    if found and not text.lstrip("+-").startswith("0"):
        fraction = found[3] or ""
        plain = text.removesuffix(fraction).replace(found[1], "") + fraction.replace(",", ".")
        or_else = f", or {text.replace(',', '.')} if it is a decimal sign" if text.count(",") == 1 else ""
        return f" (a thousands separator?): write {plain}{or_else}"
    if _COMMA.fullmatch(text):
        return f": other cells of the column have a decimal point; write {text.replace(',', '.')}"
    return ": write it in digits, with a decimal point, or leave it empty"
