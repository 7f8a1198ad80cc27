"""Our DER, judged by the ASN.1 codec of the cryptography package and by openssl asn1parse."""

import subprocess
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError
from imprint.formats import der

PRINTABLE = st.text("ABCXYZabcxyz0189 '()+,-./:=?", max_size=300)


@given(st.integers(min_value=-(2**200), max_value=2**200))
def test_integers_are_as_short_as_can_be(value: int) -> None:
    assert der.integer(value) == asn1.encode_der(value)


@given(st.integers(min_value=0, max_value=2**600), st.integers(min_value=0, max_value=2**600))
def test_sequences_nest_integers_of_every_length(first: int, second: int) -> None:
    assert der.sequence(der.integer(first), der.integer(second)) == encode_dss_signature(first, second)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_lengths_change_form_at_the_right_sizes(size: int) -> None:
    assert der.octet_string(bytes(size)) == asn1.encode_der(bytes(size))


@given(PRINTABLE, st.text(max_size=200), st.text(st.characters(max_codepoint=127), max_size=200))
def test_strings(printable: str, text: str, ascii_text: str) -> None:
    assert der.printable_string(printable) == asn1.encode_der(asn1.PrintableString(printable))
    assert der.utf8_string(text) == asn1.encode_der(text)
    assert der.ia5_string(ascii_text) == asn1.encode_der(asn1.IA5String(ascii_text))


@pytest.mark.parametrize("value", [0, 1, 9, 127])
def test_enumerations_are_integers_under_another_tag(value: int) -> None:
    assert der.enumerated(value) == b"\x0a" + der.integer(value)[1:]


@given(st.booleans(), st.binary(max_size=40))
def test_booleans_and_bit_strings(value: bool, data: bytes) -> None:
    assert der.boolean(value) == asn1.encode_der(value)
    assert der.bit_string(data) == asn1.encode_der(asn1.BitString(data=data, padding_bits=0))
    assert der.bit_string(b"\x80", unused=7) == asn1.encode_der(asn1.BitString(data=b"\x80", padding_bits=7))


@given(
    st.one_of(st.tuples(st.sampled_from([0, 1]), st.integers(0, 39)), st.tuples(st.just(2), st.integers(0, 2**31))),
    st.lists(st.integers(0, 2**31), max_size=12),
)
def test_object_identifiers(head: tuple[int, int], tail: list[int]) -> None:
    dotted = ".".join(str(arc) for arc in (*head, *tail))
    assert asn1.decode_der(x509.ObjectIdentifier, der.oid(dotted)) == x509.ObjectIdentifier(dotted)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.", ".1", "1..2", "3.1", "0.40", "1.40.1", "1.02", "1.-2", "1.2 ", "a.b", "１.2", "1.2." + "9" * 5000],
)
def test_what_is_no_object_identifier_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        der.oid(text)


@given(st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31)), st.integers(-14 * 60, 14 * 60))
def test_times_are_utc_in_the_form_of_their_year(naive: datetime, minutes: int) -> None:
    utc = naive.replace(microsecond=0, tzinfo=UTC)
    zone = timezone(timedelta(minutes=minutes))
    try:
        moment = naive.replace(tzinfo=UTC).astimezone(zone)
    except OverflowError:
        moment = naive.replace(tzinfo=UTC)
    wanted = asn1.UTCTime(utc) if utc.year < 2050 else asn1.GeneralizedTime(utc)
    assert der.time(moment) == asn1.encode_der(wanted)


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(FormatError, match="PrintableString"):
        der.printable_string("under_score")
    with pytest.raises(FormatError, match="ASCII"):
        der.ia5_string("ü")
    with pytest.raises(FormatError, match="time zone"):
        der.time(datetime(2026, 1, 1))


def test_a_set_is_sorted() -> None:
    parts = [der.integer(300), der.utf8_string("b"), der.integer(2)]
    assert der.set_of(*parts) == der.set_of(*reversed(parts))
    assert der.set_of(*parts).startswith(b"\x31\x0a" + der.integer(2))


def test_openssl_reads_the_tree() -> None:
    data = der.sequence(
        der.explicit(0, der.integer(2)), der.implicit(1, b"id"), der.set_of(der.oid("2.5.4.5")), der.boolean(True)
    )
    parsed = subprocess.run(["openssl", "asn1parse", "-inform", "DER"], input=data, capture_output=True, check=True)
    lines = [line.split(b"l=", 1)[1].split(b":", 1)[-1].strip() for line in parsed.stdout.splitlines()]
    shown = parsed.stdout.decode()
    assert len(lines) == 7
    for wanted in (
        "cont [ 0 ]",
        "INTEGER           :02",
        "cont [ 1 ]",
        "SET",
        ":serialNumber",
        "BOOLEAN           :255",
    ):
        assert wanted in shown
