"""Commands as their rules decide them, where that is not how they are asked (:mod:`imprint.protocol.commands`): what
takes long, or reads more than the database, is done before the one writer's turn.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineProduct:
    """A new product; ``definition`` is :meth:`imprint.authority.production.product.Product.definition`."""

    definition: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseLotUnder:
    """Nothing more is made under this lot. ``checkpoint`` is the signed checkpoint that covers all of its units."""

    lot: str
    checkpoint: bytes


Prepared = DefineProduct | CloseLotUnder
