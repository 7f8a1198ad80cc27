"""A key's URI chooses its backend; nothing is read or asked for before the URI is understood."""

import pytest

from imprint.errors import KeyStoreError
from imprint.keys.uri import open_signer


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("pkcs11:token=ca;object=ca", "imprint[pkcs11]"),
        ("tpm:0x81000001", "imprint[tpm]"),
        ("vault:secret/ca", "imprint[pkcs11]"),
        ("keys/ledger.pem", "file:PATH"),
        ("file:", "file:PATH"),
        ("file://host/key.pem", "file:PATH"),
        ("", "file:PATH"),
    ],
)
def test_what_cannot_be_opened_says_what_could(uri: str, named: str) -> None:
    def never(path: str) -> bytes:
        raise AssertionError(path)

    with pytest.raises(KeyStoreError) as caught:
        open_signer(uri, read=never, secret=never)
    assert named in str(caught.value)


def test_what_follows_the_scheme_of_a_hardware_store_is_not_repeated() -> None:
    with pytest.raises(KeyStoreError) as caught:
        open_signer("pkcs11:token=ca?pin-value=1234", read=lambda _: b"", secret=lambda _: b"")
    assert "1234" not in str(caught.value)
