"""What outsiders can read says little; what auditors are given says the rest."""

from imprint.authority.production.commands import CloseLotUnder
from imprint.encoding import b64, sha256_hex
from imprint.formats.crl import Reason
from imprint.formats.note import parse_vkey
from imprint.formats.receipt import verify_receipt
from imprint.protocol.commands import ClearUnit, RefundUnits, RevokeUnit, ReworkUnit, ScrapUnit, SignCrl
from imprint.protocol.refusals import Code
from soft_factory import LOT, Factory, new_unit


def spellings(secret: bytes) -> set[bytes]:
    """In the forms in which it could have slipped in."""
    return {secret, secret.hex().encode(), secret.hex(":").encode(), b64(secret).rstrip("=").encode()}


def test_public_bytes_hold_no_serial_hardware_id_or_key(factory: Factory) -> None:
    bench, unit, clone = factory.bench(), new_unit(hardware_id=b"hardware"), new_unit()
    completed = bench.imprint(unit)
    with factory.refuses(Code.ALREADY_COMPLETE):
        bench.claim(unit)
    factory.platform.command(ClearUnit(serial="SN-0001", reason="looked at"))
    clone.key = unit.key
    bench.claim(clone)
    with factory.refuses(Code.KEY_TAKEN):
        bench.certify(clone)
    bench.release(clone)
    first = factory.unit(unit)
    command = factory.platform.command
    command(ClearUnit(serial="SN-0001", reason="looked at"))
    command(ReworkUnit(serial="SN-0001", reason="antenna"))
    fence = bench.claim(unit, run="again").fence
    bench.certify(unit, fence)
    bench.complete(unit, bench.permit(unit, fence).challenge, fence)
    command(RevokeUnit(serial="SN-0001", reason=Reason.KEY_COMPROMISE, note="stolen"))
    command(SignCrl(days=7))
    command(ScrapUnit(serial="SN-0001", reason="burnt"))
    command(RefundUnits(lot=LOT, count=1, reason="in my hand"))
    head = factory.platform.checkpoint()
    command(CloseLotUnder(lot=LOT, checkpoint=head.note))
    factory.platform.checkpoint()
    row = factory.unit(unit)
    hidden = {b"SN-0001", b"SN-", b"02:00:5e", b"lamp", LOT.encode(), row["number"].encode(), b"burnt"}
    hidden |= {first["number"].encode(), b"antenna", b"stolen", b"keyCompromise", b"in my hand"}
    for secret in (unit.hardware_id, unit.spki(), unit.spki()[-32:], bytes.fromhex(row["public_key"])):
        hidden |= spellings(secret)
    # Each certificate is told once, so that its holders may know.
    ended = [spellings(bytes.fromhex(epoch["certificate"])) for epoch in (first, row)]
    with factory.reader.store.reading() as store:
        entries = list(store.entries())
    published = b"".join(path.read_bytes() for path in (factory.folder / "ledger").rglob("*") if path.is_file())
    public = b"".join(data for _, data, _ in entries)
    assert public[:50] in published
    assert not [secret for secret in hidden if secret in public + published]
    for type_, certificate in zip((b"unit.reworked", b"unit.revoked"), ended, strict=True):
        telling = [data for _, data, _ in entries if any(spelling in data for spelling in certificate)]
        assert [b'"type":"%s"' % type_ in data for data in telling] == [True]
    assert factory.row("crls", number=1)["crl"].encode() in public
    openings = b"".join(opening for _, _, opening in entries)
    for shown in (b"SN-0001", unit.hardware_id.hex().encode(), sha256_hex(unit.spki()).encode(), b"burnt"):
        assert shown in openings
    assert sha256_hex(completed.record).encode() in public


def test_two_openings_of_the_same_fields_differ(factory: Factory) -> None:
    """Without fresh salt an outsider could try all serial numbers."""
    bench, unit = factory.bench(), new_unit()
    for _ in range(2):
        with factory.refuses(Code.NOT_CLAIMED):
            bench.must(bench.certifying(unit))
    with factory.reader.store.reading() as store:
        salts = {opening.split(b'"salt":')[1] for _, _, opening in store.entries()}
        assert len(salts) == store.size()


def test_each_receipt_verifies_with_the_published_key(factory: Factory) -> None:
    key = parse_vkey((factory.folder / "ledger" / "vkey").read_text().strip())
    bench, unit = factory.bench(), new_unit()
    answers = [bench.ask(bench.claiming(unit)), bench.ask(bench.certifying(unit)), bench.ask(bench.certifying(unit, 9))]
    assert [answer.result.kind for answer in answers] == ["claimed", "certified", "refused"]
    for answer, entry in zip(answers, factory.entries()[-3:], strict=True):
        receipt = answer.receipt
        assert (receipt.leaf, receipt.time) == (entry.leaf, entry.time)
        verify_receipt(leaf=bytes.fromhex(receipt.leaf), time=receipt.time, signature=receipt.signature, key=key)
