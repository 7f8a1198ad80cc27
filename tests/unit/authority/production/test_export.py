"""What the next party gets: shipped units alone, each with a record and a proof that hold without us."""

import csv
import io
import json

import pytest
from cryptography.x509 import load_pem_x509_certificate

from imprint.authority.production.commands import CloseLotUnder
from imprint.authority.production.export import closed_lot, ledger_files, lot_files, prove, trust_files
from imprint.encoding import sha256_hex
from imprint.errors import LedgerError, RefusedError
from imprint.formats.checkpoint import SignedCheckpoint
from imprint.formats.note import parse_vkey
from imprint.formats.tiles import tile_paths
from imprint.formats.tlog_proof import parse_proof, verify_proof
from imprint.protocol.refusals import Code
from soft_factory import LOT, ORIGIN, SIGNERS, Factory, new_unit


def close(factory: Factory) -> SignedCheckpoint:
    factory.platform.command(CloseLotUnder(lot=LOT, checkpoint=factory.platform.checkpoint().note))
    return factory.platform.checkpoint()


def exported(factory: Factory, head: SignedCheckpoint) -> dict[str, bytes]:
    with factory.reader.store.reading() as store:
        return dict(lot_files(store, factory.reader.tree, closed_lot(store, LOT), head))


def test_only_what_shipped_is_in_it(factory: Factory) -> None:
    bench, unit = factory.bench(), new_unit()
    completed = bench.imprint(unit)
    bench.to("quarantined", new_unit())
    head = close(factory)
    files = exported(factory, head)
    assert set(files) == {
        "reconciliation.json",
        "devices.csv",
        "releases/production-1.0.0+0.bin",
        *(f"units/SN-0001/{name}" for name in ("cert.pem", "record.json", "record.tlog-proof")),
    }
    assert files["units/SN-0001/record.json"] == completed.record
    assert files["releases/production-1.0.0+0.bin"] == bench.soft.package.firmware
    trust = dict(trust_files(factory.reader.chain(), SIGNERS["firmware"].public_key, SIGNERS["record"].public_key))
    leaf, ca, root = (
        load_pem_x509_certificate(pem) for pem in (files["units/SN-0001/cert.pem"], trust["ca.pem"], trust["root.pem"])
    )
    leaf.verify_directly_issued_by(ca)
    ca.verify_directly_issued_by(root)
    assert set(trust) == {"ca.pem", "root.pem", "firmware-key.pem", "record-key.pem"}


def test_the_proof_holds_for_its_record_and_no_other(factory: Factory) -> None:
    completed = factory.bench().imprint(new_unit())
    head = close(factory)
    vkey = parse_vkey((factory.folder / "ledger" / "vkey").read_text().strip())
    proof = parse_proof(exported(factory, head)["units/SN-0001/record.tlog-proof"])
    assert proof.extra is not None
    assert verify_proof(proof, proof.extra, [vkey], origin=ORIGIN) == head
    assert json.loads(proof.extra)["body"] == {"record": sha256_hex(completed.record)}
    with pytest.raises(LedgerError):
        verify_proof(proof, proof.extra.replace(b"unit.completed", b"unit.scrapped."), [vkey], origin=ORIGIN)


def test_the_list_of_devices(factory: Factory) -> None:
    unit = new_unit()
    factory.bench().imprint(unit)
    (row,) = csv.DictReader(io.StringIO(exported(factory, close(factory))["devices.csv"].decode()))
    stored = factory.unit(unit)
    assert row == {
        "serial": "SN-0001",
        "hardware_id": unit.hardware_id.hex(),
        "product": "lamp",
        "lot": LOT,
        "certificate_sha256": stored["certificate"],
        "public_key_sha256": stored["public_key"],
        "contested": "0",
        "revoked": "",
        "mac": "02:00:5e:00:00:01",
    }


def test_the_ledger_goes_with_it_as_it_is_published(factory: Factory) -> None:
    factory.bench().imprint(new_unit())
    head = close(factory)
    with factory.reader.store.reading() as store:
        files = dict(ledger_files(store, head, b"key\n"))
    assert set(files) == {f"ledger/{path}" for path in ("vkey", "checkpoint", *tile_paths(head.size))}
    for path, data in files.items():
        assert data == b"key\n" or data == (factory.folder / path).read_bytes()


def test_only_a_closed_lot_goes_out(factory: Factory) -> None:
    with factory.reader.store.reading() as store:
        for lot, code in ((LOT, Code.WRONG_STATE), ("lot-x", Code.UNKNOWN_LOT)):
            with pytest.raises(RefusedError) as caught:
                closed_lot(store, lot)
            assert caught.value.code == code


def test_no_proof_before_a_checkpoint_covers_the_entry(factory: Factory) -> None:
    head = factory.platform.checkpoint()
    factory.bench().claim(new_unit())
    with factory.reader.store.reading() as store:
        with pytest.raises(RefusedError) as caught:
            prove(store, factory.reader.tree, head.size, head)
        assert caught.value.code == Code.NOT_COVERED
        assert prove(store, factory.reader.tree, head.size - 1, head).index == head.size - 1
