"""Profiles: strict, and the same bytes for the same meaning."""

import json
from contextlib import suppress

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError
from imprint.formats.profile import Profile, parse_profile
from imprint.formats.public_key import Algorithm

GOOD: dict[str, object] = {
    "name": "sensor",
    "key_algorithm": "p256",
    "key_origin": "device",
    "organization": "Müller & Söhne",
    "hardware_type": "1.3.6.1.4.1.99999.1",
}


def test_a_profile_is_read_with_its_defaults() -> None:
    assert parse_profile(GOOD) == Profile(
        name="sensor",
        key_algorithm=Algorithm.P256,
        key_origin="device",
        organization="Müller & Söhne",
        hardware_type="1.3.6.1.4.1.99999.1",
        key_usage=True,
        masa_url=None,
    )


def test_its_bytes_are_canonical_and_read_back() -> None:
    profile = parse_profile({**GOOD, "masa_url": "https://masa.example.com:8443/x", "key_usage": False})
    fields = json.loads(profile.encode())
    assert profile.encode() == rfc8785.dumps(fields)
    assert parse_profile(fields) == profile
    assert profile.encode() != parse_profile(GOOD).encode()


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_every_required_field_is_required(missing: str) -> None:
    with pytest.raises(FormatError, match=f"profile field {missing}: missing"):
        parse_profile({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize("origin", ["element", "injected", "derived"])
def test_later_origins_are_known_and_refused(origin: str) -> None:
    with pytest.raises(FormatError, match="not supported yet"):
        parse_profile({**GOOD, "key_origin": origin})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a\nb"),
        ("name", 5),
        ("key_algorithm", "rsa"),
        ("key_algorithm", None),
        ("key_algorithm", ["p256"]),
        ("key_origin", "thin air"),
        ("key_origin", ["device"]),
        ("organization", " Acme"),
        ("organization", "x" * 65),
        ("organization", "\x00"),
        ("hardware_type", "1.3.six"),
        ("hardware_type", 1.3),
        ("key_usage", "yes"),
        ("key_usage", 1),
        ("masa_url", "http://masa.example.com"),
        ("masa_url", "https://"),
        ("masa_url", "https://user@masa.example.com"),
        ("masa_url", "https://masa.example.com:port"),
        ("masa_url", "https://[::1"),
        ("masa_url", "https://masa.example.com/ x"),
        ("masa_url", "https://masa.exämple.com"),
        ("masa_url", False),
    ],
)
def test_bad_values_are_refused(field: str, value: object) -> None:
    with pytest.raises(FormatError):
        parse_profile({**GOOD, field: value})


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(FormatError, match="profile field colour"):
        parse_profile({**GOOD, "colour": "red"})


@given(st.dictionaries(st.sampled_from([*GOOD, "masa_url", "key_usage", "x"]), st.text() | st.integers() | st.none()))
def test_any_mapping_is_a_profile_or_a_typed_error(fields: dict[str, object]) -> None:
    with suppress(FormatError):
        parse_profile({**GOOD, **fields}).encode()
