"""Releases: what a unit would refuse is refused before a lot can pin it."""

import pytest

from imprint.encoding import sha256_hex
from imprint.errors import ImprintError
from imprint.formats.mcuboot import parse
from imprint.protocol.commands import AddRelease
from imprint.protocol.refusals import Code
from soft_factory import SIGNERS, Factory


def image(factory: Factory, *, version: str = "2.0.0", counter: int = 3) -> bytes:
    return factory.platform.seal(b"payload" * 100, version=version, security_counter=counter)


def test_a_release_is_stored_with_what_the_boot_loader_will_look_at(factory: Factory) -> None:
    signed = image(factory)
    assert factory.platform.command(AddRelease(product="lamp", role="production", image=signed)) == "added"
    row = factory.row("releases", product="lamp", role="production", version="2.0.0+0")
    assert row["image"] == sha256_hex(signed)
    assert (row["image_hash"], row["security_counter"]) == (parse(signed).image_hash.hex(), 3)
    with factory.reader.store.reading() as store:
        assert store.blob(row["image"]) == signed


@pytest.mark.parametrize("at", [0, 40, 200, -1])
def test_an_image_that_was_changed(factory: Factory, at: int) -> None:
    damaged = bytearray(image(factory))
    damaged[at] ^= 1
    with factory.refuses(Code.BAD_REQUEST):
        factory.platform.command(AddRelease(product="lamp", role="production", image=bytes(damaged)))
    assert len(factory.rows("releases")) == 1


def test_an_image_of_another_key_or_none(factory: Factory) -> None:
    from imprint.authority.releases.seal import seal

    foreign = seal(b"payload", version="2.0.0", security_counter=1, signer=SIGNERS["device-ca"])
    for data in (foreign, b"", b"\x00" * 100):
        with factory.refuses(Code.BAD_REQUEST):
            factory.platform.command(AddRelease(product="lamp", role="production", image=data))


@pytest.mark.parametrize(
    ("product", "role", "code"),
    [("toy", "production", Code.UNKNOWN_PRODUCT), ("lamp", "debug", Code.BAD_REQUEST), ("lamp", "", Code.BAD_REQUEST)],
)
def test_a_release_for_nothing(factory: Factory, product: str, role: str, code: Code) -> None:
    with factory.refuses(code):
        factory.platform.command(AddRelease(product=product, role=role, image=image(factory)))


def test_a_version_is_given_once_for_each_role(factory: Factory) -> None:
    with factory.refuses(Code.NAME_TAKEN):
        factory.add_release(version="1.0.0", counter=9)
    factory.add_release(version="1.0.0", role="diagnostic")
    factory.add_release(version="1.0.0+1")


def test_an_image_without_a_payload_is_not_sealed(factory: Factory) -> None:
    with pytest.raises(ImprintError):
        factory.platform.seal(b"", version="1.0.0", security_counter=1)
