"""SQL text built once for each shape of statement.

Building a SQLAlchemy statement costs more than running it; the shapes are few, so each is compiled once and kept.
"""

from functools import cache
from typing import Any, Final

from sqlalchemy import ClauseElement, bindparam, insert, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from imprint.storage.tables import metadata

_DIALECT: Final = sqlite.dialect()

Names = tuple[str, ...]


@cache
def create_sql() -> Names:
    """CREATE for every table and index."""
    elements: list[ClauseElement] = []
    for table in metadata.sorted_tables:
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        elements += [CreateTable(table), *map(CreateIndex, indexes)]
    return tuple(str(element.compile(dialect=_DIALECT)) for element in elements)


@cache
def insert_sql(table: str) -> str:
    """INSERT of a whole row; parameters in the order of :func:`columns_of`."""
    columns = columns_of(table)
    return _compile(insert(metadata.tables[table]).values({name: bindparam(name) for name in columns}), columns)


@cache
def update_sql(table: str, set_: Names, add: Names, where: Names) -> str:
    """UPDATE; parameters in the order set, add, where."""
    columns = metadata.tables[table].c
    values: dict[Any, Any] = {columns[name]: bindparam(f"set_{name}") for name in set_}
    values |= {columns[name]: columns[name] + bindparam(f"add_{name}") for name in add}
    statement = update(metadata.tables[table]).ordered_values(*values.items())
    for name in where:
        statement = statement.where(columns[name].is_not_distinct_from(bindparam(f"where_{name}")))
    order = (*(f"set_{name}" for name in set_), *(f"add_{name}" for name in add), *(f"where_{name}" for name in where))
    return _compile(statement, order)


@cache
def select_sql(table: str, where: Names) -> str:
    """SELECT of whole rows in primary-key order; parameters in the order of ``where``."""
    source = metadata.tables[table]
    statement = select(source).order_by(*source.primary_key.columns)
    for name in where:
        statement = statement.where(source.c[name] == bindparam(name))
    return _compile(statement, where)


@cache
def columns_of(table: str) -> Names:
    """The columns of a table, in the order in which a row lists them."""
    return tuple(metadata.tables[table].c.keys())


def _compile(statement: ClauseElement, order: Names) -> str:
    compiled = statement.compile(dialect=_DIALECT)
    if tuple(getattr(compiled, "positiontup", None) or ()) != order:
        raise AssertionError(f"the parameters of {compiled} are not in the order {order}")
    return str(compiled)
