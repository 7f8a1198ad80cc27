"""A workspace that is older than what it had decided: what is known of the lost time is entered again, once, and what
may have been given is never given again."""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from imprint import reconcile_ledger as module
from imprint.assemble import open_platform
from imprint.authority.access.account import Role
from imprint.authority.issuance.crl import last_crl
from imprint.authority.ledger.tree import Tree
from imprint.authority.recovery.generation import generation_of, next_origin
from imprint.authority.recovery.reconcile import SKIPPED_LISTS
from imprint.errors import FormatError, InputError, LedgerError, RefusedError, StorageError, WorkspaceError
from imprint.formats.checkpoint import SignedCheckpoint
from imprint.formats.crl import Reason, encode_pem, open_crl
from imprint.make_backup import make_backup
from imprint.protocol.answers import Answer, Claimed, Completed
from imprint.protocol.codec import encode_answer, encode_intention
from imprint.protocol.commands import ClearUnit, RevokeUnit, ReworkUnit, ScrapUnit, SignCrl, SuspendAccount
from imprint.protocol.intentions import ClaimUnit, Intention
from imprint.protocol.port import AuthorityPort, LotPackage
from imprint.reader import open_reader
from imprint.reconcile_ledger import Declared, Draft, draft_reconciliation, finish, reconcile_ledger, unfinished
from imprint.restore_backup import restore_backup
from imprint.station.journal_entry import Answered, Asked, Entry, RunStarted, encode_entry
from imprint.storage.tile_folder import TileFolder
from imprint.testing.soft_station import RefusedHere
from imprint.testing.soft_unit import SoftUnit
from imprint.verify_ledger import verify_ledger
from rules_check import Heard, broken_rules
from soft_factory import GRANT, LOT, ORIGIN, SIGNERS, START, Bench, Factory, enrol_account, new_unit, open_factory

BEFORE, AFTER = new_unit(), new_unit()
Work = Callable[[Factory], None]


@dataclass(slots=True)
class Journal:
    """A port that keeps what is asked and answered, as a station's journal does."""

    port: AuthorityPort
    heard: list[tuple[Intention, Answer | None]] = field(default_factory=list)
    told: list[Heard] = field(default_factory=list)

    async def ask(self, request_id: str, intention: Intention) -> Answer:
        answer = await self.port.ask(request_id, intention)
        told = {"body": encode_intention(intention), "answer": encode_answer(answer)}
        self.told.append(Heard(actor="bench-1", request=request_id, **told))
        self.heard.append((intention, answer))
        return answer

    async def is_valid(self, certificate: bytes) -> bool:
        return await self.port.is_valid(certificate)

    async def lot(self, lot: str) -> LotPackage:
        return await self.port.lot(lot)

    def lines(self) -> bytes:
        entries: list[Entry] = []
        for number, (question, answer) in enumerate(self.heard):
            run, request = f"run-{number}", f"run-{number}.step"
            at = {"fixture": "f", "time": "2026-01-01T00:00:00.000Z"}
            entries.append(RunStarted(run=run, lot=question.lot, hardware_id=question.hardware_id, **at))
            entries.append(Asked(run=run, request=request, body=encode_intention(question).decode()))
            if answer is not None:
                entries.append(Answered(run=run, request=request, answer=encode_answer(answer).decode()))
        return b"".join(encode_entry(entry, number) for number, entry in enumerate(entries, 1))


@dataclass(slots=True, kw_only=True)
class Loss:
    """A factory, its benches' journals, and the folder that was restored from its backup."""

    factory: Factory
    folder: Path
    journals: dict[str, Journal] = field(default_factory=dict)

    def bench(self, name: str = "bench-1", **settings: Any) -> Bench:
        """A bench that writes down what it asks, all of it in one journal."""
        bench = self.factory.bench(name, **settings)
        journal = self.journals.setdefault(name, Journal(bench.port))
        journal.port = bench.port
        bench.soft.port = journal
        return bench

    def back_up(self) -> None:
        """What comes from here on is lost."""
        make_backup(self.factory.reader, self.folder.parent / "backup", program="0", now=START)

    def restore(self) -> None:
        """With the last checkpoint."""
        self.factory.platform.checkpoint()
        checkpoint = self.factory.folder / "ledger" / "checkpoint"
        restore_backup(self.folder.parent / "backup", self.folder, checkpoint=checkpoint)

    def declared(self, **settings: Any) -> Declared:
        """All journals, written as they are now."""
        folder = self.folder.parent / "journals"
        folder.mkdir(exist_ok=True)
        for name, journal in self.journals.items():
            (folder / f"{name}.journal").write_bytes(journal.lines())
        return Declared(journals=[folder], **{"no_other_station": True, **settings})

    def draft(self, **settings: Any) -> Draft:
        return draft_reconciliation(self.folder, self.declared(**settings), clock=self.factory.clock)

    def reconcile(self, **settings: Any) -> Draft:
        draft = self.draft(**settings)
        reconcile_ledger(self.folder, draft, SIGNERS, clock=self.factory.clock)
        return draft

    @contextmanager
    def gone_on(self, **settings: Any) -> Iterator[Factory]:
        """The restored workspace, reconciled and deciding; at the end it is whole."""
        self.reconcile(**settings)
        open_reader(self.folder).refuse_rollback()
        restored = open_factory(self.folder, self.factory.clock)
        try:
            yield restored
            restored.check()
            restored.platform.checkpoint()
        finally:
            restored.stop()
        verify_ledger(open_reader(self.folder))


@pytest.fixture
def loss(factory: Factory, tmp_path: Path) -> Loss:
    """Nothing was made, and nothing is lost yet."""
    return Loss(factory=factory, folder=tmp_path / "restored")


def lose(loss: Loss, *works: Callable[[Bench], object]) -> None:
    """One unit is shipped, a backup is made, and this is done afterwards."""
    bench = loss.bench()
    bench.imprint(BEFORE)
    loss.back_up()
    for work in works:
        work(bench)
    loss.restore()


def identity(row: Any) -> tuple[Any, ...]:
    names = ("hardware_id", "epoch", "lot", "product", "serial", "unit_values", "number", "public_key", "certificate")
    return tuple(row[name] for name in (*names, "record", "origin", "not_before"))


def test_names_of_generations() -> None:
    assert generation_of("example.com/log") == ("example.com/log", 1)
    assert generation_of("example.com/log/12") == ("example.com/log", 12)
    assert generation_of("example.com/log/1") == ("example.com/log/1", 1)
    assert next_origin([ORIGIN]) == f"{ORIGIN}/2"
    assert next_origin([ORIGIN, f"{ORIGIN}/4", f"{ORIGIN}/2"]) == f"{ORIGIN}/5"


def test_nothing_is_missing(loss: Loss) -> None:
    lose(loss)
    with pytest.raises(RefusedError, match="nothing is missing"):
        loss.draft()


def test_shipped_units_are_shipped_again(loss: Loss) -> None:
    lose(loss, lambda bench: bench.imprint(AFTER))
    before = identity(loss.factory.unit(AFTER))
    with loss.gone_on() as restored:
        unit = restored.unit(AFTER)
        assert identity(unit) == before
        assert unit["state"] == "complete"
        assert restored.counts() == {"shipped": 2}
        bench = restored.bench("bench-2")
        with restored.refuses("already-complete"):
            bench.claim(AFTER)
        last = new_unit()
        bench.imprint(last)
        given = {row["serial"] for row in restored.rows("units")}
        assert len(given) == 3
        with restored.refuses("grant-used-up"):
            bench.claim(new_unit())
        assert restored.counts()["shipped"] == GRANT


def test_the_rules_hold_over_both_times(loss: Loss) -> None:
    """As they are checked from outside, with the answers that the lost database gave left out."""
    bench = loss.bench()
    units = {state: new_unit() for state in ("claimed", "certified", "complete")}
    bench.to("certified", BEFORE)
    loss.back_up()
    kept = list(loss.journals["bench-1"].told)
    bench.quarantine(BEFORE)
    for state, unit in units.items():
        with suppress(RefusedHere):  # there are not so many places
            bench.to(state, unit)
    loss.restore()
    with loss.gone_on() as restored:
        later = Journal(restored.platform.station("bench-1"))
        again = restored.bench()
        again.soft.port = later
        again.imprint(new_unit())
        with restored.refuses("grant-used-up"):
            again.claim(new_unit())
        assert restored.counts() == {"shipped": 1, "quarantined": 2}
        restored.platform.checkpoint()
        assert broken_rules(loss.folder, [*kept, *later.told]) == []


def test_the_log_goes_on_under_another_name(loss: Loss) -> None:
    lose(loss, lambda bench: bench.imprint(AFTER))
    kept = open_reader(loss.folder)
    with kept.store.reading() as store:
        entries = [data for _, data, _ in store.entries()]
    known = loss.factory.reader.tree.head()
    assert known is not None
    loss.reconcile()
    reader = open_reader(loss.folder)
    head = reader.tree.head()
    assert head is not None
    assert head.origin == reader.workspace.origin == f"{ORIGIN}/2"
    assert list(reader.tree.entries(0, len(entries))) == entries
    found = open_factory(loss.folder, loss.factory.clock)
    first = found.entries(len(entries))[0]
    found.stop()
    assert first.type == "ledger.reconciled"
    assert first.public["origin"] == f"{ORIGIN}/2"
    assert first.public["before"] == {"origin": ORIGIN, "size": known.size, "root": known.root.hex()}
    assert first.public["kept"]["size"] == len(entries)
    earlier = loss.folder / "ledger-1"
    assert (earlier / "known-checkpoint").read_bytes() == known.note
    assert (earlier / "vkey").read_text() == (loss.factory.folder / "ledger" / "vkey").read_text()
    assert not (loss.folder / "known-checkpoint").exists()
    with pytest.raises(RefusedError, match="nothing is missing"):
        loss.draft()


def test_without_a_record_a_unit_is_in_quarantine(loss: Loss) -> None:
    lose(loss, lambda bench: bench.to("certified", AFTER))
    before = identity(loss.factory.unit(AFTER))
    with loss.gone_on() as restored:
        assert identity(restored.unit(AFTER)) == before
        assert restored.counts() == {"shipped": 1, "quarantined": 1}
        serial = restored.unit(AFTER)["serial"]
        restored.platform.command(ClearUnit(serial=serial, reason="looked at it"))
        bench = restored.bench("bench-2")
        claimed = bench.claim(AFTER)
        certified = bench.certify(AFTER, claimed.fence)
        challenge = bench.permit(AFTER, claimed.fence).challenge
        del certified
        bench.complete(AFTER, challenge, claimed.fence)
        assert restored.unit(AFTER)["certificate"] == before[8]


def test_a_claim_uses_its_values_up_and_takes_no_place(loss: Loss) -> None:
    lose(loss, lambda bench: bench.claim(AFTER))
    serial = loss.factory.unit(AFTER)["serial"]
    with loss.gone_on() as restored:
        assert restored.unit(AFTER)["state"] == "released"
        assert restored.counts() == {"shipped": 1}
        bench = restored.bench("bench-2")
        other = bench.claim(new_unit())
        assert other.serial != serial
        again = bench.claim(AFTER)
        assert (again.serial, again.values) == (serial, restored_values(loss, AFTER))
        assert again.fence > 1


def restored_values(loss: Loss, unit: SoftUnit) -> dict[str, str]:
    for _, answer in loss.journals["bench-1"].heard:
        if answer is not None and isinstance(answer.result, Claimed) and answer.result.serial != "SN-0001":
            return answer.result.values
    raise AssertionError(unit)


def test_a_unit_in_work_at_the_backup(loss: Loss) -> None:
    bench = loss.bench()
    challenges = {state: (new_unit(), state) for state in ("claimed", "certified", "permitted")}
    begun = {state: (unit, bench.to(state, unit)) for state, (unit, _) in challenges.items()}
    loss.back_up()
    unit, _ = begun["claimed"]
    bench.certify(unit)
    unit, challenge = begun["permitted"]
    bench.complete(unit, challenge)
    unit, _ = begun["certified"]
    bench.quarantine(unit)
    loss.restore()
    with loss.gone_on() as restored:
        assert restored.unit(begun["claimed"][0])["state"] == "quarantined"
        assert restored.unit(begun["certified"][0])["state"] == "quarantined"
        assert restored.unit(begun["permitted"][0])["state"] == "complete"
        assert restored.counts() == {"shipped": 1, "quarantined": 2}
        for unit, _ in begun.values():
            assert identity(restored.unit(unit)) == identity(loss.factory.unit(unit))


def test_a_unit_that_was_reworked(loss: Loss) -> None:
    def rework(bench: Bench) -> None:
        loss.factory.platform.command(ReworkUnit(serial="SN-0001", reason="new housing"))
        claimed = bench.claim(BEFORE, run="again")
        bench.certify(BEFORE, claimed.fence)
        challenge = bench.permit(BEFORE, claimed.fence).challenge
        bench.complete(BEFORE, challenge, claimed.fence)

    lose(loss, rework)
    first, second = loss.factory.rows("units", hardware_id=BEFORE.hardware_id.hex())
    with loss.gone_on() as restored:
        one, two = restored.rows("units", hardware_id=BEFORE.hardware_id.hex())
        assert (one["state"], two["state"]) == ("superseded", "complete")
        assert (identity(one), identity(two)) == (identity(first), identity(second))
        assert [row["number"] for row in restored.rows("revocations")] == [first["number"]]
        assert restored.counts() == {"shipped": 1}


def test_a_unit_of_a_lot_that_nobody_knows(loss: Loss) -> None:
    def work(_: Bench) -> None:
        loss.factory.add_lot("lot-9", count=2)
        bench = loss.bench("bench-9", lot="lot-9")
        bench.imprint(AFTER)
        bench.claim(new_unit())

    lose(loss, work)
    lost = loss.factory.unit(AFTER)
    with loss.gone_on() as restored:
        one, two = restored.rows("units", hardware_id=AFTER.hardware_id.hex())
        assert (one["state"], one["certificate"], two["state"]) == ("superseded", lost["certificate"], "released")
        assert [row["number"] for row in restored.rows("revocations")] == [lost["number"]]
        with restored.reader.store.reading() as store:
            row = last_crl(store)
            assert row is not None
            listed = open_crl(store.blob(row["crl"]), restored.reader.chain()[0])
        assert [f"{one.number:x}" for one in listed.revoked] == [lost["number"]]
        bench = restored.bench()
        assert bench.claim(AFTER).serial == lost["serial"]  # its label stays, for a product that the record names
        bench.imprint(new_unit())
        assert restored.counts() == {"shipped": 2, "in_work": 1}


def test_beyond_the_grant_nobody_accounts_for_a_unit(loss: Loss) -> None:
    """A lot that was refunded in the lost time made one unit more than the backup allows."""
    units = [new_unit() for _ in range(GRANT)]

    def work(bench: Bench) -> None:
        from imprint.protocol.commands import RefundUnits

        bench.imprint(units[0])
        bench.imprint(units[1])
        loss.factory.platform.command(ScrapUnit(serial="SN-0003", reason="broken"))
        loss.factory.platform.command(RefundUnits(lot=LOT, count=1, reason="broken"))
        bench.imprint(units[2])

    lose(loss, work)
    with loss.gone_on() as restored:
        assert restored.counts() == {"shipped": GRANT}
        assert restored.unit(units[2])["state"] == "released"
        assert len(restored.rows("revocations")) == 1


def test_a_second_claimant_stays_known(loss: Loss) -> None:
    def clone(_: Bench) -> None:
        with pytest.raises(RefusedHere):
            loss.bench("bench-2").claim(BEFORE)

    lose(loss, clone)
    with loss.gone_on() as restored:
        assert restored.unit(BEFORE)["contested"] == 1


def test_accounts_are_suspended(loss: Loss) -> None:
    enrol_account(loss.factory, "bench-7", Role.STATION)
    loss.journals["bench-7"] = Journal(loss.factory.bench("bench-7").port)
    lose(loss, lambda bench: bench.imprint(AFTER))
    with loss.gone_on() as restored:
        assert restored.row("accounts", name="bench-7")["state"] == "suspended"


def test_revocations_come_from_the_list(loss: Loss, tmp_path: Path) -> None:
    crl = tmp_path / "crl.pem"

    def revoke(_: Bench) -> None:
        command = loss.factory.platform.command
        command(RevokeUnit(serial="SN-0001", reason=Reason.KEY_COMPROMISE, note="stolen"))
        command(SignCrl(days=7))
        with loss.factory.reader.store.reading() as store:
            row = last_crl(store)
            assert row is not None
            crl.write_bytes(encode_pem(store.blob(row["crl"])))

    lose(loss, revoke)
    with loss.gone_on(crl=crl) as restored:
        (row,) = restored.rows("revocations")
        assert (row["number"], row["reason"]) == (loss.factory.unit(BEFORE)["number"], "keyCompromise")
        assert restored.platform.command(SignCrl(days=7)) == "signed"
        assert [row["number"] for row in restored.rows("crls")] == [1 + SKIPPED_LISTS, 2 + SKIPPED_LISTS]


def test_a_list_of_another_ca(loss: Loss, tmp_path: Path) -> None:
    lose(loss, lambda bench: bench.imprint(AFTER))
    (tmp_path / "crl.pem").write_bytes(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    with pytest.raises(InputError):
        loss.draft(crl=tmp_path / "crl.pem")


def test_a_missing_journal_is_asked_for(loss: Loss) -> None:
    lose(loss, lambda bench: bench.imprint(AFTER))
    del loss.journals["bench-1"]
    loss.journals["bench-2"] = Journal(loss.factory.bench("bench-2").port)
    with pytest.raises(RefusedError, match="bench-1"):
        loss.draft()


def test_a_journal_of_a_suspended_station_is_asked_for(loss: Loss) -> None:
    """It may have been resumed in the lost time."""
    enrol_account(loss.factory, "bench-7", Role.STATION)
    loss.factory.platform.command(SuspendAccount(name="bench-7", reason="repair"))
    lose(loss, lambda bench: bench.imprint(AFTER))
    with pytest.raises(RefusedError, match="bench-7"):
        loss.draft()
    assert loss.draft(lost_journals=["bench-7"]).recovery.lots


def test_a_station_that_was_enrolled_in_the_lost_time(loss: Loss) -> None:
    """Nothing that is left names it: entries that no journal shows may be its own."""
    lose(loss, lambda bench: bench.imprint(AFTER), lambda _: loss.bench("bench-9").claim(new_unit()))
    journal = loss.journals.pop("bench-9")
    with pytest.raises(RefusedError, match="lost entries that no journal shows: 1;") as caught:
        loss.draft(no_other_station=False)
    assert "--no-other-station" in caught.value.next_step
    assert loss.draft(no_other_station=False, lost_journals=["bench-9"]).recovery.lots
    assert loss.draft(no_other_station=True).recovery.unexplained == 1
    loss.journals["bench-9"] = journal
    assert loss.draft(no_other_station=False).recovery.unexplained == 0


def test_a_lost_journal_stops_the_lots_and_skips_their_values(loss: Loss) -> None:
    waiting, lost = new_unit(), new_unit()

    def work(_: Bench) -> None:
        loss.bench("bench-2").imprint(lost)

    bench = loss.bench()
    bench.claim(waiting)
    lose(loss, work)
    del loss.journals["bench-2"]
    given = loss.factory.unit(lost)
    with loss.gone_on(lost_journals=["bench-2"]) as restored:
        assert restored.counts() == {"shipped": 1, "quarantined": 1}
        with restored.refuses("grant-used-up"):
            restored.bench().claim(new_unit())
        restored.add_lot("lot-2", count=5)
        taken = {restored.bench(lot="lot-2").claim(new_unit()).serial for _ in range(5)}
        assert given["serial"] not in taken
        assert min(taken) > f"SN-{2 * GRANT + 20:04}"


def test_a_lost_journal_of_a_claim(loss: Loss) -> None:
    """Its station may have finished the unit: the place does not come back by itself."""
    waiting = new_unit()
    loss.bench("bench-2").claim(waiting)
    lose(loss, lambda _: loss.bench("bench-2").certify(waiting))
    del loss.journals["bench-2"]
    with loss.gone_on(lost_journals=["bench-2"]) as restored:
        assert restored.unit(waiting)["state"] == "quarantined"
        assert restored.row("lots", lot=LOT)["granted"] == 2


def test_a_lot_of_which_nothing_is_known(loss: Loss) -> None:
    loss.bench().imprint(BEFORE)
    loss.factory.add_lot("lot-2", count=5)
    loss.back_up()
    loss.bench("bench-2", lot="lot-2").imprint(AFTER)
    del loss.journals["bench-2"]
    loss.restore()
    with loss.gone_on(lost_journals=["bench-2"]) as restored:
        assert restored.row("lots", lot="lot-2")["granted"] == 0
        with restored.refuses("grant-used-up"):
            restored.bench(lot="lot-2").claim(new_unit())


def test_values_of_a_lot_that_was_made_in_the_lost_time(loss: Loss) -> None:
    lose(loss, lambda bench: bench.claim(AFTER))
    known = loss.draft(lost_journals=["bench-2"], lost_grants=[("lamp", 1)]).recovery.pools
    more = loss.draft(lost_journals=["bench-2"], lost_grants=[("lamp", 10), ("lamp", 1)]).recovery.pools
    assert [two["next"] - one["next"] for one, two in zip(known, more, strict=True)] == [2 * 10 + 20] * 2
    with pytest.raises(InputError, match="no such product"):
        loss.draft(lost_grants=[("lump", 1)])


def test_a_question_without_an_answer_may_have_been_decided(loss: Loss) -> None:
    lose(loss, lambda bench: bench.claim(AFTER))
    journal = loss.journals["bench-1"]
    before = loss.draft().recovery.pools
    journal.heard.append((journal.heard[0][0], None))
    after = loss.draft().recovery.pools
    assert [two["next"] - one["next"] for one, two in zip(before, after, strict=True)] == [1, 1]


def test_what_no_journal_shows_is_counted_and_skipped(loss: Loss) -> None:
    """A station that leaves out what it was given."""
    lose(loss, lambda bench: bench.imprint(AFTER))
    hidden = loss.journals["bench-1"]
    hidden.heard = [one for one in hidden.heard if one[0].hardware_id != AFTER.hardware_id.hex()]
    draft = loss.draft()
    assert draft.recovery.unexplained == 4
    given = loss.factory.unit(AFTER)["serial"]
    with loss.gone_on() as restored:
        assert restored.bench().claim(new_unit()).serial > given


def test_a_forged_claim_uses_up_at_most_its_values(loss: Loss) -> None:
    lose(loss, lambda bench: bench.claim(AFTER), lambda bench: bench.claim(new_unit()))
    journal = loss.journals["bench-1"]
    question, answer = journal.heard[-1]
    assert answer is not None
    assert isinstance(answer.result, Claimed)
    forged = replace(answer.result, serial="SN-0001", values={"mac": "02:00:5e:00:00:01", "colour": "red"})
    other = replace(question, hardware_id="00" * 7 + "ff")
    false = replace(answer.receipt, signature=bytes(64))
    journal.heard[-1:] = [(other, replace(answer, result=forged)), (question, Answer(result=forged, receipt=false))]
    draft = loss.draft()
    assert [finding.split(":")[0] for finding in draft.recovery.findings if "SN-0001" in finding] == [
        f"serial SN-0001 was given to {BEFORE.hardware_id.hex()}, and bench-1 says to {other.hardware_id}"
    ]
    assert any("the receipt is false" in finding for finding in draft.recovery.findings)
    with loss.gone_on() as restored:
        assert restored.row("units", hardware_id=other.hardware_id)["state"] == "released"
        assert restored.row("assignments", hardware_id=BEFORE.hardware_id.hex())["serial"] == "SN-0001"
        assert restored.rows("assignments", hardware_id=other.hardware_id) == []


def lie(loss: Loss, hardware_id: str, name: str = "bench-1", **told: Any) -> None:
    """The station writes another unit, and other values, beside the receipt of its last claim."""
    journal = loss.journals[name]
    index = max(index for index, (question, _) in enumerate(journal.heard) if isinstance(question, ClaimUnit))
    question, answer = journal.heard[index]
    assert answer is not None
    assert isinstance(answer.result, Claimed)
    lied = replace(answer, result=replace(answer.result, **told))
    journal.heard[index] = (replace(question, hardware_id=hardware_id), lied)


def test_a_claim_does_not_take_a_serial_from_a_certificate(loss: Loss) -> None:
    """The liar's journal is read first; what is signed counts before what is said."""
    loss.bench().imprint(BEFORE)
    loss.back_up()
    loss.bench("bench-2").imprint(AFTER)
    loss.bench().claim(new_unit())
    loss.restore()
    made = loss.factory.unit(AFTER)
    values = json.loads(made["unit_values"])
    lie(loss, "00" * 7 + "ee", serial=made["serial"], values=values)
    with loss.gone_on() as restored:
        assert identity(restored.unit(AFTER)) == identity(made)
        assert restored.unit(AFTER)["state"] == "complete"
        assert restored.rows("revocations") == []
        assert restored.rows("assignments", hardware_id="00" * 7 + "ee") == []


@pytest.mark.parametrize(
    ("serial", "values"),
    [
        ("EVIL-1", {"mac": "02:00:5e:00:00:09"}),
        ("SN-0002", {"mac": "02:00:5e:00:00:01"}),
        ("SN-0002", {"mac": "0a:00:5e:00:00:09"}),
        ("SN-0002", {"mac": "02:00:5e:00:00:09", "serial": "SN-0003"}),
        ("SN-0002", {"mac": "red"}),
        ("SN-0002", {}),
        ("SN-2", {"mac": "02:00:5e:00:00:09"}),
    ],
)
def test_what_no_pool_gives_is_assigned_to_nobody(loss: Loss, serial: str, values: dict[str, str]) -> None:
    lose(loss, lambda bench: bench.claim(AFTER))
    taken = json.loads(loss.factory.unit(BEFORE)["unit_values"])["mac"]
    assert taken == "02:00:5e:00:00:01"
    lie(loss, AFTER.hardware_id.hex(), serial=serial, values=values)
    assert any("not assigned" in finding for finding in loss.draft().recovery.findings)
    with loss.gone_on() as restored:
        unit = restored.unit(AFTER)
        assert (unit["serial"], unit["unit_values"]) == ("", "{}")
        assert restored.rows("assignments", hardware_id=AFTER.hardware_id.hex()) == []
        claimed = restored.bench("bench-2").claim(AFTER)
        assert claimed.serial not in (serial, "SN-0001")
        assert claimed.serial.startswith("SN-")
        assert claimed.values.keys() == {"mac"}
        assert claimed.values["mac"] not in (taken, values.get("mac"))


def test_a_certificate_whose_values_nobody_could_have_given(loss: Loss) -> None:
    """Another unit's address would go into its record, so it starts again."""
    lose(loss, lambda bench: bench.to("certified", AFTER))
    lie(loss, AFTER.hardware_id.hex(), values={"mac": "02:00:5e:00:00:01"})
    with loss.gone_on() as restored:
        assert restored.counts() == {"shipped": 1}
        assert restored.unit(AFTER)["state"] == "released"
        assert restored.bench("bench-2").claim(AFTER).values["mac"] != "02:00:5e:00:00:01"


def test_a_receipt_is_for_one_decision(loss: Loss) -> None:
    """Also when another journal has it."""
    lose(loss, lambda bench: bench.claim(AFTER))
    question, answer = loss.journals["bench-1"].heard[-1]
    assert answer is not None
    assert isinstance(answer.result, Claimed)
    again: list[tuple[Intention, Answer | None]] = [
        (
            replace(question, hardware_id=f"{n:016x}"),
            replace(answer, result=replace(answer.result, serial=f"SN-{n:04}")),
        )
        for n in range(3, 40)
    ]
    loss.journals["bench-1"].heard += again[:20]
    loss.journals["bench-2"] = Journal(loss.factory.bench("bench-2").port, again[20:])
    draft = loss.draft()
    assert sum("the receipt is another decision's" in finding for finding in draft.recovery.findings) == len(again)
    assert [unit.hardware_id for unit in draft.command.units] == [AFTER.hardware_id.hex()]


def test_a_false_receipt_says_nothing_of_the_station(loss: Loss) -> None:
    """The certificate is ours all the same."""
    lose(loss, lambda bench: bench.to("certified", AFTER))
    journal = loss.journals["bench-1"]
    question, answer = journal.heard[-1]
    assert answer is not None
    false = replace(answer, receipt=replace(answer.receipt, signature=bytes(64)))
    loss.journals["bench-2"] = Journal(loss.factory.bench("bench-2").port, [(question, false)])
    (unit,) = loss.draft().command.units
    assert (unit.station, len(unit.identities)) == ("bench-1", 1)


@pytest.mark.parametrize("fence", [10_002, 2**31 - 1])
def test_a_fence_that_nobody_was_given(loss: Loss, fence: int) -> None:
    """It would leave no number for the next claim."""
    loss.bench().claim(AFTER)
    lose(loss, lambda bench: bench.claim(AFTER))
    lie(loss, AFTER.hardware_id.hex(), fence=fence)
    assert any(f"fence {fence} is none of ours" in finding for finding in loss.draft().recovery.findings)
    lie(loss, AFTER.hardware_id.hex(), fence=10_001)
    with loss.gone_on() as restored:
        assert restored.unit(AFTER)["fence"] == 10_001


def test_a_fence_that_is_no_fence(loss: Loss) -> None:
    lose(loss, lambda bench: bench.claim(AFTER))
    lie(loss, AFTER.hardware_id.hex(), fence=2**31)
    with pytest.raises(FormatError, match="the journal is damaged"):
        loss.draft()


@pytest.mark.parametrize("begun", ["permitted", "nothing"])
def test_a_record_beside_another_hardware_id(loss: Loss, begun: str) -> None:
    """The certificate that it is about has one unit, whichever was asked for."""
    bench = loss.bench()
    challenge = bench.to("permitted", AFTER) if begun == "permitted" else None
    loss.back_up()
    bench.complete(AFTER, challenge) if challenge is not None else bench.imprint(AFTER)
    loss.restore()
    journal = loss.journals["bench-1"]
    question, answer = journal.heard[-1]
    assert answer is not None
    journal.heard.append((replace(question, hardware_id="00" * 7 + "ee"), answer))
    assert any(f"it is about {AFTER.hardware_id.hex()}" in finding for finding in loss.draft().recovery.findings)
    with loss.gone_on() as restored:
        assert restored.counts() == {"shipped": 1}
        assert restored.unit(AFTER)["state"] == "complete"
        assert restored.rows("units", hardware_id="00" * 7 + "ee") == []


def test_a_forged_certificate_and_record_are_not_taken(loss: Loss) -> None:
    lose(loss, lambda bench: bench.imprint(AFTER))
    journal = loss.journals["bench-1"]
    (claim, certify, _, complete) = [one for one in journal.heard if one[0].hardware_id == AFTER.hardware_id.hex()]
    assert certify[1] is not None
    assert complete[1] is not None
    assert isinstance(complete[1].result, Completed)
    stranger = replace(certify[0], hardware_id="00" * 7 + "ee")
    spoilt = replace(complete[1].result, record=complete[1].result.record.replace(b'"sig":"', b'"sig":"AAAA', 1))
    journal.heard = [claim, (stranger, certify[1]), certify, (complete[0], replace(complete[1], result=spoilt))]
    with loss.gone_on() as restored:
        assert restored.rows("units", hardware_id=stranger.hardware_id) == []
        assert restored.unit(AFTER)["state"] == "quarantined"


@pytest.mark.parametrize("spoil", [lambda data: data[:-40] + b"x" + data[-39:], lambda data: data[200:]])
def test_a_damaged_journal(loss: Loss, spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    lose(loss, lambda bench: bench.imprint(AFTER))
    path = tmp_path / "bench-1.journal"
    path.write_bytes(spoil(loss.journals["bench-1"].lines()))
    with pytest.raises(FormatError, match="the journal is damaged") as caught:
        draft_reconciliation(loss.folder, Declared(journals=[path]), clock=loss.factory.clock)
    assert caught.value.subject.startswith(f"{path}:")
    assert "--lost-journal" in caught.value.next_step


def test_a_torn_last_line_was_never_acted_on(loss: Loss, tmp_path: Path) -> None:
    lose(loss, lambda bench: bench.imprint(AFTER))
    path = tmp_path / "bench-1.journal"
    path.write_bytes(loss.journals["bench-1"].lines() + b'{"entry":"ans')
    assert draft_reconciliation(loss.folder, Declared(journals=[path]), clock=loss.factory.clock).recovery.units


def test_decisions_after_the_last_checkpoint(loss: Loss) -> None:
    """No checkpoint shows them; a receipt does."""
    bench = loss.bench()
    bench.imprint(BEFORE)
    loss.factory.platform.checkpoint()
    loss.back_up()
    restore_backup(loss.folder.parent / "backup", loss.folder)
    bench.imprint(AFTER)
    with loss.gone_on() as restored:
        assert restored.counts() == {"shipped": 2}


def test_another_history_is_not_reconciled(loss: Loss, tmp_path: Path) -> None:
    lose(loss, lambda bench: bench.imprint(AFTER))
    (loss.folder / "known-checkpoint").unlink()
    fork = open_factory(loss.folder, loss.factory.clock)
    for _ in range(2):
        fork.bench().imprint(new_unit())
    fork.platform.checkpoint()
    fork.stop()
    (loss.folder / "known-checkpoint").write_bytes((loss.factory.folder / "ledger" / "checkpoint").read_bytes())
    with pytest.raises(LedgerError, match="not the beginning"):
        loss.draft()


def test_twice_is_another_generation(loss: Loss) -> None:
    lose(loss, lambda bench: bench.imprint(AFTER))
    with loss.gone_on() as restored:
        restored.stop()
        restored.platform = open_factory(loss.folder, loss.factory.clock).platform
        later = Loss(factory=restored, folder=loss.folder.parent / "third")
        later.journals = loss.journals
        last = new_unit()
        bench = later.bench()
        make_backup(restored.reader, loss.folder.parent / "later", program="0", now=START)
        bench.imprint(last)
        restored.platform.checkpoint()
        checkpoint = loss.folder / "ledger" / "checkpoint"
        restore_backup(loss.folder.parent / "later", later.folder, checkpoint=checkpoint)
        with later.gone_on() as third:
            assert third.reader.workspace.origin == f"{ORIGIN}/3"
            assert third.counts() == {"shipped": GRANT}
            assert sorted(path.name for path in later.folder.glob("ledger*")) == ["ledger", "ledger-1", "ledger-2"]


def test_an_older_generation_than_the_one_outside(loss: Loss) -> None:
    """The first backup once more, after it was reconciled: its next generation is a third one."""
    lose(loss, lambda bench: bench.imprint(AFTER))
    loss.reconcile()
    again = Loss(factory=loss.factory, folder=loss.folder.parent / "again", journals=loss.journals)
    again.restore()
    (again.folder / "known-checkpoint").write_bytes((loss.folder / "ledger" / "checkpoint").read_bytes())
    with pytest.raises(LedgerError):
        open_reader(again.folder).refuse_rollback()
    assert again.draft().command.origin == f"{ORIGIN}/3"


def never_asked() -> bytes:
    pytest.fail("asked for the passphrase")


class Killed(Exception):
    """The process ends here."""


@pytest.mark.parametrize("step", range(12))
def test_interrupted_anywhere_it_is_finished(loss: Loss, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """After each of the durable steps behind the decision; the last numbers interrupt nothing."""
    loss.bench().imprint(BEFORE)
    copy = loss.factory.keep_copy()
    loss.back_up()
    loss.bench().imprint(AFTER)
    loss.factory.platform.checkpoint()
    restore_backup(loss.folder.parent / "backup", loss.folder)
    known = copy.read_bytes()
    draft, left = loss.draft(), iter(range(step))

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def durable(*args: Any, **settings: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return function(*args, **settings)

        return durable

    with monkeypatch.context() as patch:
        for name in ("write_file", "_rename", "rename_origin", "_build"):
            patch.setattr(module, name, dying(getattr(module, name)))
        try:
            reconcile_ledger(loss.folder, draft, SIGNERS, clock=loss.factory.clock)
        except Killed:
            with pytest.raises((LedgerError, WorkspaceError, StorageError)), open_platform(loss.folder, never_asked):
                pass
    origin = unfinished(loss.folder)
    if origin is not None:
        assert origin == f"{ORIGIN}/2"
        finish(loss.folder, origin, SIGNERS)
    assert unfinished(loss.folder) is None
    assert (loss.folder / "ledger-1" / "checkpoint-copy").read_bytes() == known
    reader = open_reader(loss.folder)
    reader.refuse_rollback()
    assert reader.workspace.origin == f"{ORIGIN}/2"
    restored = open_factory(loss.folder, loss.factory.clock)
    assert restored.counts() == {"shipped": 2}
    restored.bench().imprint(new_unit())
    restored.platform.checkpoint()
    restored.stop()
    verify_ledger(reader)


@pytest.fixture
def running(loss: Loss) -> Iterator[Factory]:
    """A service on the restored folder, of which only a journal knows that it lacks something. It goes on running."""
    bench = loss.bench()
    bench.imprint(BEFORE)
    loss.factory.keep_copy()
    loss.factory.platform.checkpoint()
    loss.back_up()
    restore_backup(loss.folder.parent / "backup", loss.folder)
    bench = loss.bench()
    bench.imprint(AFTER)
    service = open_factory(loss.folder, loss.factory.clock)
    service.platform.checkpoint()
    yield service
    service.stop()


def test_a_process_that_was_open_decides_nothing_under_the_old_name(loss: Loss, running: Factory) -> None:
    loss.reconcile()
    head = (loss.folder / "ledger" / "checkpoint").read_bytes()
    unit = new_unit()
    with pytest.raises(LedgerError, match="has ended"):
        running.bench("bench-2").claim(unit)
    with pytest.raises(LedgerError, match="has ended"):
        running.platform.command(SignCrl(days=7))
    with pytest.raises(LedgerError, match="has ended"):
        running.platform.checkpoint()
    assert running.rows("units", hardware_id=unit.hardware_id.hex()) == []
    with pytest.raises(LedgerError, match="has ended"):
        running.platform.keep_copy(SignedCheckpoint(origin=ORIGIN, size=1 << 20, root=bytes(32), note=b"old"))
    for path in (loss.folder / "ledger" / "checkpoint", loss.folder.parent / "imprint-checkpoint"):
        assert path.read_bytes() == head


def test_a_checkpoint_between_the_renames(loss: Loss, running: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that looked for the end of its name before that was decided, and signs now."""
    rename, refused = module._rename, []

    def renamed(source: Path, target: Path) -> None:
        rename(source, target)
        if target.name == "ledger-1":
            tree = Tree(TileFolder(source), key=running.reader.ledger_key, sign=SIGNERS["ledger"].sign)
            with pytest.raises(StorageError) as caught:
                tree.integrate(0, [b"entry"])
            refused.append(caught.value)

    monkeypatch.setattr(module, "_rename", renamed)
    loss.reconcile()
    assert len(refused) == 1
    verify_ledger(open_reader(loss.folder))


def test_whoever_writes_under_the_old_name_finishes_first(
    loss: Loss, running: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, locked = module._rename, []

    def renamed(source: Path, target: Path) -> None:
        if target.name in ("ledger", "ledger-1"):
            old = loss.folder / ("ledger" if target.name == "ledger-1" else "ledger-1")
            with (old / ".lock").open() as file, pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked.append(target.name)
        rename(source, target)

    monkeypatch.setattr(module, "_rename", renamed)
    loss.reconcile()
    assert locked == ["ledger-1", "ledger"]


def test_interrupted_where_no_checkpoint_is_known(loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing outside says that this name is over; the database does."""
    bench = loss.bench()
    bench.imprint(BEFORE)
    loss.back_up()
    restore_backup(loss.folder.parent / "backup", loss.folder)
    bench.imprint(AFTER)
    draft = loss.draft()
    monkeypatch.setattr(module, "_build", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        reconcile_ledger(loss.folder, draft, SIGNERS, clock=loss.factory.clock)
    with pytest.raises(LedgerError, match="interrupted"), open_platform(loss.folder, never_asked):
        pass


def test_what_two_histories_gave_twice(loss: Loss) -> None:
    """A backup decided while the newer workspace did, too: of two claimants the one that the database knows stays."""
    same_serial, same_key, scrapped = new_unit(), new_unit(), new_unit()
    loss.factory.add_lot("lot-2", count=9)
    loss.bench().imprint(BEFORE)
    loss.back_up()
    restore_backup(loss.folder.parent / "backup", loss.folder)
    for unit in (same_serial, scrapped, same_key):
        loss.bench(lot="lot-2").imprint(unit)
    fork = open_factory(loss.folder, loss.factory.clock)
    bench, clone = fork.bench(lot="lot-2"), new_unit(key=same_key.key)
    bench.imprint(clone)
    bench.imprint(scrapped)
    fork.platform.command(ScrapUnit(serial=fork.unit(scrapped)["serial"], reason="broken"))
    fork.stop()
    with loss.gone_on() as restored:
        assert restored.unit(clone)["state"] == "complete"
        assert restored.unit(scrapped)["state"] == "scrapped"
        revoked = {row["number"] for row in restored.rows("revocations")}
        for unit in (same_serial, same_key, scrapped):
            assert loss.factory.unit(unit)["number"] in revoked
        for unit in (same_serial, same_key):
            assert restored.unit(unit)["state"] == "released"
        assert restored.counts("lot-2") == {"shipped": 1, "scrapped": 1}


def test_a_revocation_that_the_list_has_is_not_made_again(loss: Loss, tmp_path: Path) -> None:
    def rework(bench: Bench) -> None:
        loss.factory.platform.command(ReworkUnit(serial="SN-0001", reason="new housing"))
        bench.certify(BEFORE, bench.claim(BEFORE, run="again").fence)
        loss.factory.platform.command(SignCrl(days=7))
        with loss.factory.reader.store.reading() as store:
            row = last_crl(store)
            assert row is not None
            (tmp_path / "crl.pem").write_bytes(encode_pem(store.blob(row["crl"])))

    lose(loss, rework)
    with loss.gone_on(crl=tmp_path / "crl.pem") as restored:
        (row,) = restored.rows("revocations")
        assert row["note"] == "from revocation list 1"


def test_a_fence_never_goes_back(loss: Loss) -> None:
    loss.bench().claim(AFTER)
    lose(loss, lambda bench: bench.claim(AFTER))
    with loss.gone_on() as restored:
        assert restored.unit(AFTER)["fence"] == 2


def test_a_ledger_folder_of_another_history(loss: Loss) -> None:
    bench = loss.bench()
    bench.imprint(BEFORE)
    loss.back_up()
    restore_backup(loss.folder.parent / "backup", loss.folder)
    for _ in range(2):
        bench.imprint(new_unit())
    loss.factory.platform.checkpoint()
    fork = open_factory(loss.folder, loss.factory.clock)
    fork.bench().imprint(new_unit())
    fork.stop()
    shutil.rmtree(loss.folder / "ledger")
    shutil.copytree(loss.factory.folder / "ledger", loss.folder / "ledger")
    with pytest.raises(LedgerError, match="not the beginning"):
        loss.draft()


def test_a_unit_that_was_taken_over(loss: Loss) -> None:
    """Its fence has risen at a bench that may still be at it; the board says again where it is."""
    unit, other = new_unit(), new_unit()
    for one in (unit, other):
        loss.bench().to("certified", one)
    loss.back_up()
    second = loss.bench("bench-2")
    second.take_over(unit)
    claimed = second.take_over(other)
    second.complete(other, second.permit(other, claimed.fence).challenge, claimed.fence)
    loss.restore()
    with loss.gone_on() as restored:
        assert restored.unit(other)["state"] == "complete"
        row = restored.unit(unit)
        assert row["fence"] == 2
        assert restored.bench("bench-2").take_over(unit, run="after").fence == 3


def test_a_lost_journal_of_nobody_ends_no_lot(loss: Loss) -> None:
    lose(loss, lambda bench: bench.imprint(AFTER))
    with pytest.raises(InputError, match="no such station"):
        loss.draft(lost_journals=["bench-01"])
