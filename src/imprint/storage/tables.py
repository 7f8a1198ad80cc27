"""The tables. All but ``alembic_version`` are derived from the ledger's entries and their openings, and
``ledger verify`` replays and compares each of them; ``docs/formats/database.md`` describes them.
"""

from typing import Final

from sqlalchemy import CheckConstraint, Column, Index, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, Table, Text
from sqlalchemy import text as sql

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _int(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


entries: Final = Table(
    "entries",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("leaf", Text, nullable=False, unique=True),
    Column("data", LargeBinary, nullable=False),
    Column("opening", LargeBinary, nullable=False),
)

blobs: Final = Table(
    "blobs",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

accounts: Final = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    _text("role"),
    _text("state"),
    _text("code", null=True),
    _text("code_until", null=True),
    _text("certificate", null=True),
    _text("valid_until", null=True),
    CheckConstraint("state <> 'active' OR certificate IS NOT NULL", name="active"),
)
Index("uq_accounts_certificate", accounts.c.certificate, unique=True)

requests: Final = Table(
    "requests",
    metadata,
    _text("actor"),
    _text("request_id"),
    _text("body"),
    _text("leaf"),
    PrimaryKeyConstraint("actor", "request_id"),
)

products: Final = Table("products", metadata, Column("product", Text, primary_key=True), _text("definition"))

pools: Final = Table(
    "pools",
    metadata,
    _text("product"),
    _text("pool"),
    _text("kind"),
    _text("spec"),
    _int("size"),
    _int("next"),
    PrimaryKeyConstraint("product", "pool"),
    CheckConstraint("next >= 0 AND next <= size", name="drawn"),
)

given_values: Final = Table(
    "given_values",
    metadata,
    _text("kind"),
    _text("value"),
    _text("product"),
    _text("hardware_id"),
    PrimaryKeyConstraint("kind", "value"),
)

assignments: Final = Table(
    "assignments",
    metadata,
    _text("product"),
    _text("hardware_id"),
    _text("serial"),
    _text("unit_values"),
    PrimaryKeyConstraint("product", "hardware_id"),
)

releases: Final = Table(
    "releases",
    metadata,
    _text("product"),
    _text("role"),
    _text("version"),
    _text("image"),
    _text("image_hash"),
    _int("security_counter"),
    PrimaryKeyConstraint("product", "role", "version"),
    CheckConstraint("security_counter >= 0", name="counter"),
)

lots: Final = Table(
    "lots",
    metadata,
    Column("lot", Text, primary_key=True),
    _text("product"),
    _int("granted"),
    _int("refunded"),
    _int("refunds_at_most"),
    _int("in_work"),
    _int("shipped"),
    _int("scrapped"),
    _int("quarantined"),
    _int("allotted"),
    _text("recipe"),
    _text("recipe_name"),
    _text("profile"),
    _text("firmware"),
    _text("diagnostic", null=True),
    _text("state"),
    _text("reconciliation", null=True),
    _text("last_leaf"),
    # Only a lot whose places were withdrawn has none: it may have given values to boards that nobody knows.
    CheckConstraint(
        "(granted > 0 OR granted = 0 AND allotted > 0) AND refunded >= 0 AND refunded <= refunds_at_most", name="grant"
    ),
    # A place is given back for a unit that is scrapped, and once.
    CheckConstraint("refunded <= scrapped", name="refunded"),
    CheckConstraint("in_work >= 0 AND shipped >= 0 AND scrapped >= 0 AND quarantined >= 0", name="counts"),
    CheckConstraint("in_work + shipped + scrapped + quarantined <= granted + refunded", name="within_grant"),
    CheckConstraint("state <> 'closed' OR in_work = 0", name="closed"),
)

units: Final = Table(
    "units",
    metadata,
    _text("hardware_id"),
    _int("epoch"),
    _text("lot"),
    _text("product"),
    _text("serial"),
    _text("unit_values"),
    _text("state"),
    _int("live"),
    _int("contested"),
    _text("station"),
    _text("run"),
    _int("fence"),
    _text("lease_until"),
    _text("challenge"),
    _text("number"),
    _text("not_before"),
    _text("origin", null=True),
    _text("public_key", null=True),
    _text("certificate", null=True),
    _text("record", null=True),
    _text("claim_leaf"),
    _text("certify_leaf", null=True),
    _text("complete_leaf", null=True),
    PrimaryKeyConstraint("hardware_id", "epoch"),
    CheckConstraint("state <> 'complete' OR record IS NOT NULL", name="complete"),
    CheckConstraint("state NOT IN ('certified', 'permitted', 'complete') OR certificate IS NOT NULL", name="certified"),
)
# One live identity: the rules check it first; these hold when a rule is wrong.
Index("uq_live_hardware_id", units.c.hardware_id, unique=True, sqlite_where=sql("live = 1"))
Index("uq_live_serial", units.c.serial, unique=True, sqlite_where=sql("live = 1"))
Index("uq_live_public_key", units.c.public_key, unique=True, sqlite_where=sql("live = 1"))
Index("ix_units_serial", units.c.serial)
Index("ix_units_lease", units.c.lot, units.c.state, units.c.lease_until)

certificates: Final = Table(
    "certificates",
    metadata,
    Column("number", Text, primary_key=True),
    _text("certificate"),
    _text("hardware_id"),
    _int("epoch"),
    _text("issued"),
)
# One certificate for one epoch of a unit, whatever happens.
Index("uq_certificates_unit", certificates.c.hardware_id, certificates.c.epoch, unique=True)

# A certificate is revoked once and for good.
revocations: Final = Table(
    "revocations",
    metadata,
    Column("number", Text, primary_key=True),
    _text("revoked"),
    _text("reason"),
    _text("note"),
)

crls: Final = Table(
    "crls",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    _text("crl"),
    _text("this_update"),
    _text("next_update"),
    _int("revoked"),
)

# A key belongs to one unit for ever, also after it is scrapped.
public_keys: Final = Table("public_keys", metadata, Column("public_key", Text, primary_key=True), _text("hardware_id"))
