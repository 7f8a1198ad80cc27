"""DSSE envelopes, judged by the specification's own vector and by securesystemslib in both directions."""

import json
from base64 import b64decode
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib import dsse as judge
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]

from imprint.encoding import sha256_hex
from imprint.errors import FormatError, InputError, WrongKeyError
from imprint.formats.dsse import (
    IN_TOTO,
    Envelope,
    Signature,
    open_envelope,
    parse_envelope,
    sign_envelope,
    signed_bytes,
)

VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors/dsse.json").read_text())
P256 = ec.derive_private_key(12345678901234567890, ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
PAYLOAD = b'{"a":1}'


def spki(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign_p256(message: bytes) -> bytes:
    return P256.sign(message, ec.ECDSA(hashes.SHA256()))


ED_SPKI, P_SPKI = spki(ED25519.public_key()), spki(P256.public_key())
ED_ENVELOPE = sign_envelope(IN_TOTO, PAYLOAD, key_id=sha256_hex(ED_SPKI), sign=ED25519.sign)
P_ENVELOPE = sign_envelope(IN_TOTO, PAYLOAD, key_id=sha256_hex(P_SPKI), sign=sign_p256)


def test_the_vector_of_the_specification() -> None:
    payload = b64decode(VECTOR["payload"])
    assert signed_bytes(VECTOR["payloadType"], payload) == VECTOR["pae"].encode()
    raw = b64decode(VECTOR["raw_signature"])  # r || s; this project's signatures are DER
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    key = ec.EllipticCurvePublicNumbers(VECTOR["x"], VECTOR["y"], ec.SECP256R1()).public_key()
    envelope = Envelope(
        payload_type=VECTOR["payloadType"], payload=payload, signatures=(Signature(key_id="", value=der),)
    )
    assert open_envelope(envelope, [spki(key)], payload_type=VECTOR["payloadType"]) == b"hello world"


def test_lengths_are_those_of_the_bytes() -> None:
    assert signed_bytes("é", "é".encode()) == judge.Envelope("é".encode(), "é", {}).pae()


@pytest.mark.parametrize(
    ("envelope", "key"), [(ED_ENVELOPE, ED25519.public_key()), (P_ENVELOPE, P256.public_key())], ids=["ed25519", "p256"]
)
def test_securesystemslib_accepts_ours(
    envelope: Envelope, key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
) -> None:
    trusted = SSlibKey.from_crypto(key, sha256_hex(spki(key)))
    found = judge.Envelope.from_dict(json.loads(envelope.encode()))
    assert list(found.verify([trusted], 1)) == [trusted.keyid]
    assert (found.payload, found.payload_type) == (PAYLOAD, IN_TOTO)


@pytest.mark.parametrize(("private", "public"), [(ED25519, ED_SPKI), (P256, P_SPKI)], ids=["ed25519", "p256"])
def test_ours_accepts_securesystemslib(
    private: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, public: bytes
) -> None:
    made = judge.Envelope(PAYLOAD, IN_TOTO, {})
    made.sign(CryptoSigner(private))
    found = parse_envelope(json.dumps(made.to_dict()).encode())
    assert open_envelope(found, [public], payload_type=IN_TOTO) == PAYLOAD


def test_one_known_key_among_many_is_enough() -> None:
    both = replace(ED_ENVELOPE, signatures=ED_ENVELOPE.signatures + P_ENVELOPE.signatures)
    for keys in ([ED_SPKI], [P_SPKI], [P_SPKI, ED_SPKI]):
        assert open_envelope(both, keys, payload_type=IN_TOTO) == PAYLOAD


def test_the_key_id_decides_nothing() -> None:
    misnamed = replace(ED_ENVELOPE, signatures=(replace(ED_ENVELOPE.signatures[0], key_id=sha256_hex(P_SPKI)),))
    assert open_envelope(misnamed, [P_SPKI, ED_SPKI], payload_type=IN_TOTO) == PAYLOAD
    with pytest.raises(InputError, match="no signature by a known key"):
        open_envelope(misnamed, [P_SPKI], payload_type=IN_TOTO)


@pytest.mark.parametrize("envelope", [ED_ENVELOPE, P_ENVELOPE], ids=["ed25519", "p256"])
def test_what_was_changed_is_refused(envelope: Envelope) -> None:
    value = envelope.signatures[0].value
    changed = [
        replace(envelope, payload=PAYLOAD + b" "),
        replace(envelope, signatures=()),
        replace(envelope, signatures=(Signature(key_id="", value=b""),)),
        *(
            replace(
                envelope,
                signatures=(Signature(key_id="", value=value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]),),
            )
            for at in range(len(value))
        ),
    ]
    for one in changed:
        with pytest.raises(InputError, match="no signature by a known key"):
            open_envelope(one, [ED_SPKI, P_SPKI], payload_type=IN_TOTO)


def test_the_payload_type_is_signed_and_checked() -> None:
    other = replace(ED_ENVELOPE, payload_type="text/plain")
    with pytest.raises(InputError, match=r"a payload of type application/vnd\.in-toto\+json"):
        open_envelope(other, [ED_SPKI], payload_type=IN_TOTO)
    with pytest.raises(InputError, match="no signature"):
        open_envelope(other, [ED_SPKI], payload_type="text/plain")


def test_a_key_of_another_kind_is_named() -> None:
    key = ec.derive_private_key(7, ec.SECP384R1()).public_key()
    with pytest.raises(WrongKeyError):
        open_envelope(ED_ENVELOPE, [spki(key)], payload_type=IN_TOTO)


def test_url_safe_base64_and_more_fields_are_read() -> None:
    found = json.loads(sign_envelope("a", b"\xfb\xff\xfe", key_id="k", sign=ED25519.sign).encode())
    assert found["payload"] == "+//+"
    loose = {**found, "payload": "-__-", "more": 1, "signatures": [{"sig": found["signatures"][0]["sig"], "cert": ""}]}
    assert open_envelope(parse_envelope(json.dumps(loose).encode()), [ED_SPKI], payload_type="a") == b"\xfb\xff\xfe"


GOOD: dict[str, Any] = json.loads(ED_ENVELOPE.encode())


CHANGES: list[dict[str, Any]] = [
    {"payload": None},
    {"payload": "A"},
    {"payload": "AA =="},
    {"payload": "é"},
    {"payloadType": 1},
    {"payloadType": "\ud800"},
    {"signatures": {}},
    {"signatures": []},
    {"signatures": [1]},
    {"signatures": [{}]},
    {"signatures": [{"sig": 1}]},
    {"signatures": [{"sig": "AA==", "keyid": 1}]},
    {"signatures": [{"sig": "AA==", "keyid": "\udfff"}]},
    {"signatures": [{"sig": "AA=="}] * 17},
]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", *(json.dumps({**GOOD, **change}).encode() for change in CHANGES)])
def test_malformed_envelopes(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_envelope(data)


@given(
    st.binary(max_size=100)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
        lambda value: json.dumps({**GOOD, "signatures": value}).encode()
    )
)
def test_any_bytes_give_an_envelope_or_an_input_error(data: bytes) -> None:
    with suppress(InputError):
        assert parse_envelope(parse_envelope(data).encode()) == parse_envelope(data)
