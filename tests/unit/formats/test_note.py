"""Signed notes, judged by notes that Go's package and real logs signed."""

from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from imprint.encoding import b64, from_b64
from imprint.errors import FormatError, InputError, LedgerError
from imprint.formats.note import (
    MAX_NOTE_SIZE,
    MAX_SIGNATURES,
    ed25519_key,
    open_note,
    parse_note,
    parse_vkey,
    sign_note,
)

VECTORS = Path(__file__).parents[2] / "vectors"
GO_NOTE = (VECTORS / "note-go.txt").read_bytes()
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"  # published with the example: a type byte and the seed
ENOCH_VKEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
C2SP_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
COSIGNATURE_VKEY = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
LOG_VKEY = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = ed25519_key("example.com/ledger", SECRET.public_key().public_bytes_raw())


def test_go_signature_is_made_again_byte_for_byte() -> None:
    signer = Ed25519PrivateKey.from_private_bytes(from_b64(GO_SEED, subject="seed")[1:])
    key = ed25519_key("PeterNeumann", signer.public_key().public_bytes_raw())
    text = open_note(GO_NOTE, [parse_vkey(GO_VKEY)])
    assert key.encode() == GO_VKEY
    assert sign_note(text, key, signer.sign) == GO_NOTE


def test_c2sp_example() -> None:
    note = (VECTORS / "note-c2sp.txt").read_bytes()
    assert open_note(note, [parse_vkey(C2SP_VKEY)]) == "This is an example message.\n"


@pytest.mark.parametrize("vkey", [GO_VKEY, ENOCH_VKEY, C2SP_VKEY, COSIGNATURE_VKEY, LOG_VKEY])
def test_vkeys_of_others_are_read_and_written_back(vkey: str) -> None:
    assert parse_vkey(vkey).encode() == vkey


def test_unknown_signatures_are_ignored() -> None:
    own = sign_note("hello\n", KEY, SECRET.sign)
    strangers = b"".join(
        f"\N{EM DASH} {name} {b64(key_id + bytes(68))}\n".encode()
        for name, key_id in [(KEY.name, b"\0\0\0\0"), ("other", KEY.id), *((f"w{n}", b"abcd") for n in range(16))]
    )
    head, line = own.split(b"\n\n")
    for note in (own + strangers, head + b"\n\n" + strangers + line):
        assert open_note(note, [KEY, parse_vkey(COSIGNATURE_VKEY)]) == "hello\n"
        assert parse_note(note).encode() == note


def test_a_false_signature_of_a_known_key_refuses_the_note() -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    second = ed25519_key("second", other.public_key().public_bytes_raw())
    forged = parse_note(sign_note("bye\n", second, other.sign)).signatures[0].encode().encode()
    note = sign_note("hello\n", KEY, SECRET.sign) + forged
    assert open_note(note, [KEY]) == "hello\n"
    with pytest.raises(LedgerError, match="false"):
        open_note(note, [KEY, second])


def test_a_note_without_a_known_key_is_refused() -> None:
    with pytest.raises(LedgerError, match="no signature by a known key"):
        open_note(GO_NOTE, [KEY])
    with pytest.raises(LedgerError, match="no signature by a known key"):
        open_note((VECTORS / "checkpoint-arche2025h1.txt").read_bytes(), [parse_vkey(COSIGNATURE_VKEY)])


def test_a_flipped_bit_is_noticed() -> None:
    for position in range(len(GO_NOTE)):
        changed = bytearray(GO_NOTE)
        changed[position] ^= 1
        with pytest.raises((FormatError, LedgerError)):
            pytest.fail(f"byte {position}: {open_note(bytes(changed), [parse_vkey(GO_VKEY)])}")


LINE = GO_NOTE.split(b"\n\n")[1]


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\n",
        b"text\n",
        b"text\n\n",
        b"text\n\nno signature\n",
        b"text\n" + LINE,
        GO_NOTE[:-1],
        GO_NOTE + b"\n",
        GO_NOTE + b"- PeterNeumann AAAA\n",
        GO_NOTE.replace(b"If", b"I\xff"),
        GO_NOTE.replace(b"If", b"I\0"),
        GO_NOTE.replace(b"\n", b"\r\n"),
        b"text\n\n" + "\N{EM DASH} a AAAAAA\n".encode(),
        b"text\n\n" + "\N{EM DASH} a AAAAAA==\n".encode(),
        b"text\n\n" + "\N{EM DASH} a+b AAAAAAAA\n".encode(),
        b"text\n\n" + "\N{EM DASH} a\N{NO-BREAK SPACE}b AAAAAAAA\n".encode(),
        b"text\n\n" + "\N{EM DASH}  AAAAAAAA\n".encode(),
        b"text\n\n" + "\N{EM DASH} a AAAAAAAA\n".encode() * (MAX_SIGNATURES + 1),
        b"x" * (MAX_NOTE_SIZE + 1),
    ],
)
def test_malformed_notes(note: bytes) -> None:
    with pytest.raises(FormatError):
        parse_note(note)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "a+b",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        GO_VKEY.replace("c74f20a3", "c74f20a4"),
        GO_VKEY.replace("c74f20a3", "C74F20A3"),
        GO_VKEY.replace("c74f20a3", "c74f20"),
        GO_VKEY.replace("Peter", "peter"),
        GO_VKEY[:-4],
        GO_VKEY + "\n",
        "a+00000000+AQ==",
        "\ud800+00000000+BAAA",
    ],
)
def test_malformed_vkeys(vkey: str) -> None:
    with pytest.raises(FormatError):
        parse_vkey(vkey)


@pytest.mark.parametrize("text", ["", "no newline", "a\tb\n", "a\0\n", "\ud800\n"])
def test_texts_that_no_note_can_hold(text: str) -> None:
    with pytest.raises(FormatError):
        sign_note(text, KEY, SECRET.sign)


def test_a_signer_with_another_key_is_noticed_before_the_note_gets_out() -> None:
    with pytest.raises(LedgerError, match="does not verify"):
        sign_note("hello\n", KEY, Ed25519PrivateKey.generate().sign)
    with pytest.raises(LedgerError, match="does not verify"):
        sign_note("hello\n", KEY, lambda message: b"short")


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: f"{text}\n\n\N{EM DASH} a {text}\n".encode()))
def test_any_bytes_give_a_note_or_an_input_error(data: bytes) -> None:
    with suppress(InputError):
        assert parse_note(data).encode() == data


@given(st.text(max_size=60) | st.text(alphabet="a+0123456789abcdef=/", max_size=60))
def test_any_text_gives_a_vkey_or_an_input_error(text: str) -> None:
    with suppress(InputError):
        assert parse_vkey(text).encode() == text
