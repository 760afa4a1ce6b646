"""The front door for tables that people bring, as spreadsheets, pandas, R and web sites write them."""

from alignsec.ground.tabular.reading import content, read_table, table_of
from alignsec.ground.tabular.table import Number, Table, is_missing
from alignsec.ground.tabular.text import decode

__all__ = ["Number", "Table", "content", "decode", "is_missing", "read_table", "table_of"]
