"""Checkpoints, judged by one of a real log with the cosignatures of four witnesses."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from imprint.encoding import b64
from imprint.errors import FormatError, InputError, LedgerError
from imprint.formats.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from imprint.formats.merkle import EMPTY_ROOT
from imprint.formats.note import ed25519_key, parse_vkey, sign_note

REAL = (Path(__file__).parents[2] / "vectors/checkpoint-arche2025h1.txt").read_bytes()
REAL_KEY = parse_vkey("arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f")
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = ed25519_key("example.com/ledger", SECRET.public_key().public_bytes_raw())
HEAD = Checkpoint(origin=KEY.name, size=7, root=bytes(range(32)))
ROOT = b64(HEAD.root)


def test_a_real_checkpoint() -> None:
    found = open_checkpoint(REAL, [REAL_KEY], origin=REAL_KEY.name)
    assert found.size == 1432088532
    assert found.root.hex().startswith("53b58cefd8eb")
    assert found.note == REAL
    assert REAL.startswith(found.encode().encode() + b"\n")


def test_a_real_checkpoint_that_was_changed() -> None:
    with pytest.raises(LedgerError, match="false"):
        open_checkpoint(REAL.replace(b"1432088532", b"1432088533"), [REAL_KEY], origin=REAL_KEY.name)


def test_the_checkpoint_of_another_ledger_is_refused() -> None:
    with pytest.raises(LedgerError, match="arche2025h1"):
        open_checkpoint(REAL, [REAL_KEY], origin="example.com/ledger")


@pytest.mark.parametrize("head", [HEAD, replace(HEAD, extensions=("more",)), replace(HEAD, size=0, root=EMPTY_ROOT)])
def test_signed_and_opened(head: Checkpoint) -> None:
    signed = sign_checkpoint(head, KEY, SECRET.sign)
    assert open_checkpoint(signed.note, [KEY], origin=KEY.name) == signed
    assert parse_checkpoint(head.encode()) == head


@pytest.mark.parametrize(
    "head",
    [
        replace(HEAD, size=-1),
        replace(HEAD, size=2**63),
        replace(HEAD, size=0),
        replace(HEAD, root=EMPTY_ROOT),
        replace(HEAD, root=b"short"),
        replace(HEAD, origin=""),
        replace(HEAD, origin="two\nlines"),
        replace(HEAD, extensions=("",)),
    ],
)
def test_what_cannot_be_opened_is_not_published(head: Checkpoint) -> None:
    with pytest.raises((FormatError, LedgerError)):
        sign_checkpoint(head, KEY, SECRET.sign)


@pytest.mark.parametrize(
    "text",
    [
        f"o\n7\n{ROOT}\n\n",
        f"o\n07\n{ROOT}\n",
        f"o\n+7\n{ROOT}\n",
        f"o\n 7\n{ROOT}\n",
        f"o\n٧\n{ROOT}\n",
        f"o\n7_0\n{ROOT}\n",
        f"o\n99999999999999999999\n{ROOT}\n",
        f"o\n7\n{ROOT[:-1]}\n",
        f"o\n7\n{ROOT[:-4]}\n",
        "o\n7\n\n",
        "o\n7\n",
        f"\n7\n{ROOT}\n",
    ],
)
def test_malformed_checkpoints(text: str) -> None:
    with pytest.raises(FormatError):
        parse_checkpoint(text)
    with pytest.raises((FormatError, LedgerError)):
        open_checkpoint(sign_note(text, KEY, SECRET.sign), [KEY], origin="o")


@given(st.text(max_size=100) | st.text(alphabet="o0123456789\n=", max_size=100))
def test_any_text_gives_a_checkpoint_or_an_input_error(text: str) -> None:
    with suppress(InputError):
        assert parse_checkpoint(text).encode() == text
