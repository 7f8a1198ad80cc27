"""Pools: where per-unit values come from. Each value is given exactly once.

A pool is data: a kind, a size, and a spec from which the value at an index follows. Drawing moves the pool's index up,
and it never moves down.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from imprint.errors import InputError

_DECIMAL: Final = re.compile(r"[0-9]{1,40}", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-f]{1,16}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """``kind``: serial, eui48, eui64 or list. ``spec`` is JSON without floats."""

    pool: str
    kind: str
    size: int
    spec: Mapping[str, Any]


def value_at(pool: Pool, index: int) -> str:
    """The value at ``index``, 0 <= index < size."""
    if not 0 <= index < pool.size:
        raise InputError(f"index {index} is outside the pool of {pool.size}", subject=pool.pool)
    spec = pool.spec
    if pool.kind == "serial":
        return f"{spec['prefix']}{spec['first'] + index:0{spec['width']}d}"
    if pool.kind in ("eui48", "eui64"):
        octets = 6 if pool.kind == "eui48" else 8
        return (int(spec["first"], 16) + index).to_bytes(octets, "big").hex(":")
    value: str = spec["values"][index]
    return value


def has_value(pool: Pool, value: str) -> bool:
    """Whether there is an index at which the pool gives this value."""
    spec = pool.spec
    if pool.kind == "list":
        return value in spec["values"]
    is_serial = pool.kind == "serial"
    digits = value.removeprefix(spec["prefix"]) if is_serial else value.replace(":", "")
    if not (_DECIMAL if is_serial else _HEX).fullmatch(digits):
        return False
    index = int(digits) - spec["first"] if is_serial else int(digits, 16) - int(spec["first"], 16)
    return 0 <= index < pool.size and value_at(pool, index) == value


def overlaps(one: Pool, other: Pool) -> bool:
    """Whether two ranges of addresses share a value. Lists and serial numbers are checked when they are drawn."""
    if one.kind != other.kind or one.kind not in ("eui48", "eui64"):
        return False
    first, second = int(one.spec["first"], 16), int(other.spec["first"], 16)
    return first < second + other.size and second < first + one.size
