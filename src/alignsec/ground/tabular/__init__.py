"""The front door for tables that people bring, as spreadsheets, pandas, R and web sites write them."""

from alignsec.ground.tabular.reading import read_table, table_of
from alignsec.ground.tabular.table import Number, Table, is_missing

__all__ = ["Number", "Table", "is_missing", "read_table", "table_of"]
