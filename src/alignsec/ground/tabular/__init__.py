"""The front door for tables that people bring: `read_table` takes them as spreadsheets, pandas, R and web sites write them."""

from alignsec.ground.tabular.reading import read_table
from alignsec.ground.tabular.reading import table_of
from alignsec.ground.tabular.table import Number
from alignsec.ground.tabular.table import Table
from alignsec.ground.tabular.table import is_missing

__all__ = ["Number", "Table", "is_missing", "read_table", "table_of"]
