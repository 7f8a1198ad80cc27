"""Signing a revocation list is a decision: numbered, logged, stored."""

from datetime import timedelta

import pytest

from imprint.authority.issuance.entries import CRL_SIGNED
from imprint.authority.production.commands import CloseLotUnder
from imprint.authority.production.export import closed_lot, lot_files
from imprint.encoding import sha256_hex
from imprint.errors import ConflictError, KeyStoreError
from imprint.formats.crl import Reason, RevocationList, decode_pem, open_crl
from imprint.protocol.commands import RevokeUnit, ScrapUnit, SignCrl
from imprint.protocol.refusals import Code
from soft_factory import LOT, START, Factory, new_unit

SIGN = SignCrl(days=7)


def last(factory: Factory) -> RevocationList:
    row = factory.rows("crls")[-1]
    with factory.reader.store.reading() as store:
        return open_crl(store.blob(row["crl"]), factory.reader.chain()[0])


def revoke_three(factory: Factory) -> dict[int, Reason]:
    """One scrapped, one revoked for a reason, one for none; what the list must say. A fourth unit lives."""
    factory.add_lot("lot-2", count=4)
    bench = factory.bench(lot="lot-2")
    units = [new_unit() for _ in range(4)]
    for unit in units:
        bench.imprint(unit)
    factory.platform.command(ScrapUnit(serial="SN-0001", reason="dropped"))
    factory.platform.command(RevokeUnit(serial="SN-0002", reason=Reason.KEY_COMPROMISE, note="stolen"))
    factory.platform.command(RevokeUnit(serial="SN-0003", reason=Reason.UNSPECIFIED, note=""))
    reasons = (Reason.CESSATION_OF_OPERATION, Reason.KEY_COMPROMISE, Reason.UNSPECIFIED)
    return {int(factory.unit(unit)["number"], 16): reason for unit, reason in zip(units, reasons, strict=False)}


def test_all_that_is_revoked_is_on_the_list_and_nothing_else(factory: Factory) -> None:
    assert factory.platform.command(SIGN) == "signed"
    assert (last(factory).number, last(factory).revoked) == (1, ())
    wanted = revoke_three(factory)
    factory.platform.command(SIGN)
    found = last(factory)
    assert {one.number: one.reason for one in found.revoked} == wanted
    assert {one.time for one in found.revoked} == {START.replace(microsecond=0)}
    assert (found.number, found.this_update) == (2, START.replace(microsecond=0))
    assert found.next_update == found.this_update + timedelta(days=7)


def test_the_entry_says_which_list_it_was(factory: Factory) -> None:
    revoke_three(factory)
    factory.platform.command(SIGN)
    (row,) = factory.rows("crls")
    entry = factory.entries()[-1]
    assert (entry.type, entry.private["revoked"]) == ("crl.signed", 3)
    assert entry.public == {
        "number": 1,
        "crl": row["crl"],
        "this_update": "2026-11-21T11:37:07.000Z",
        "next_update": "2026-11-28T11:37:07.000Z",
    }
    assert row == {**entry.public, "revoked": 3}
    with factory.reader.store.reading() as store:
        assert sha256_hex(store.blob(row["crl"])) == row["crl"]


def test_numbers_grow_also_when_nothing_changed_and_after_a_restart(factory: Factory) -> None:
    for _ in range(2):
        factory.platform.command(SIGN)
    factory.reopen()
    factory.platform.command(SIGN)
    assert [row["number"] for row in factory.rows("crls")] == [1, 2, 3]
    assert last(factory).number == 3
    again = factory.entries()[-1]
    with factory.lawless() as lawless, pytest.raises(ConflictError):
        lawless.log(CRL_SIGNED, {"revoked": 0}, **again.public)


@pytest.mark.parametrize("days", [-1, 0, 367])
def test_a_list_holds_for_a_day_to_a_year(factory: Factory, days: int) -> None:
    with factory.refuses(Code.BAD_REQUEST):
        factory.platform.command(SignCrl(days=days))


@pytest.mark.parametrize("days", [1, 366])
def test_the_ends_of_what_is_allowed(factory: Factory, days: int) -> None:
    factory.platform.command(SignCrl(days=days))
    assert last(factory).next_update - last(factory).this_update == timedelta(days=days)


def test_a_ca_that_is_not_valid_signs_nothing(factory: Factory) -> None:
    factory.clock.advance(timedelta(days=-400))
    with pytest.raises(KeyStoreError):
        factory.platform.command(SIGN)
    assert factory.rows("crls") == []


def test_an_export_carries_the_last_list(factory: Factory) -> None:
    factory.bench().imprint(new_unit())
    factory.platform.command(CloseLotUnder(lot=LOT, checkpoint=factory.platform.checkpoint().note))
    head = factory.platform.checkpoint()

    def exported() -> dict[str, bytes]:
        with factory.reader.store.reading() as store:
            return dict(lot_files(store, factory.reader.tree, closed_lot(store, LOT), head))

    assert "crl.pem" not in exported()
    for _ in range(2):
        factory.platform.command(SIGN)
    assert open_crl(decode_pem(exported()["crl.pem"]), factory.reader.chain()[0]).number == 2
