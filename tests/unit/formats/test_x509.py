"""Identities, requests and vendors' certificates, judged by the cryptography package."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import FormatError, InputError, WeakKeyError, WrongKeyError
from imprint.formats import der
from imprint.formats.profile import Profile
from imprint.formats.public_key import Algorithm
from imprint.formats.x509 import (
    Issuer,
    assemble,
    ca_tbs,
    certificate_number,
    check_csr,
    check_vendor_certificate,
    distinguished_name,
    idevid_tbs,
    is_issued_by,
    key_identifier,
    parse_ca_certificate,
    parse_serial,
)

NOW = datetime(2026, 11, 21, 11, 37, 7, 999999, tzinfo=UTC)
YEAR = timedelta(days=365)
CA_KEY = ec.generate_private_key(ec.SECP256R1())
UNIT_KEY = ec.generate_private_key(ec.SECP256R1())
SHA256 = hashes.SHA256()
DIGITAL_SIGNATURE_ONLY = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
PROFILE = Profile(
    name="sensor",
    key_algorithm=Algorithm.P256,
    key_origin="device",
    organization="Müller & Söhne",
    hardware_type="1.3.6.1.4.1.99999.1",
)
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def spki_of(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


ISSUER = Issuer(
    name=distinguished_name(organization="Acme", common_name="CA"),
    key_id=key_identifier(spki_of(CA_KEY)),
    algorithm=Algorithm.P256,
)


def issue(profile: Profile = PROFILE, *, key: Key = UNIT_KEY, serial: str = "SN-0001") -> x509.Certificate:
    tbs = idevid_tbs(
        profile,
        ISSUER,
        number=0x40 << 120,
        not_before=NOW,
        serial=serial,
        hardware_id=b"\x00\x01\xfe\xff",
        spki=spki_of(key),
    )
    signature = CA_KEY.sign(tbs, ec.ECDSA(SHA256))
    return x509.load_der_x509_certificate(assemble(tbs, Algorithm.P256, signature))


def make_csr(key: Key, *, hashed_with: hashes.HashAlgorithm = SHA256) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ignored")])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashed_with
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    return request.sign(key, algorithm).public_bytes(Encoding.DER)  # type: ignore[arg-type]


def test_an_idevid_says_what_802_1ar_asks_for() -> None:
    certificate = issue()
    assert certificate.version is x509.Version.v3
    assert [(item.oid, item.value) for item in certificate.subject] == [
        (NameOID.ORGANIZATION_NAME, "Müller & Söhne"),
        (NameOID.SERIAL_NUMBER, "SN-0001"),
    ]
    assert certificate.issuer.rfc4514_string() == "CN=CA,O=Acme"
    assert certificate.not_valid_before_utc == NOW.replace(microsecond=0)
    assert certificate.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    found = {item.oid: (item.critical, item.value) for item in certificate.extensions}
    assert found.keys() == {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    }
    assert found[ExtensionOID.AUTHORITY_KEY_IDENTIFIER] == (
        False,
        x509.AuthorityKeyIdentifier(ISSUER.key_id, None, None),
    )
    critical, usage = found[ExtensionOID.KEY_USAGE]
    assert critical
    assert usage == DIGITAL_SIGNATURE_ONLY
    critical, alternative = found[ExtensionOID.SUBJECT_ALTERNATIVE_NAME]
    hardware_name = der.sequence(der.oid("1.3.6.1.4.1.99999.1"), b"\x04\x04\x00\x01\xfe\xff")
    assert not critical
    assert alternative == x509.SubjectAlternativeName(
        [x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.4"), hardware_name)]
    )


def test_its_bytes_are_those_of_the_library_s_own_builder() -> None:
    """The builder judges order, defaults and lengths: the whole TBS is equal, byte for byte."""
    hardware_name = der.sequence(der.oid("1.3.6.1.4.1.99999.1"), der.octet_string(b"\x00\x01\xfe\xff"))
    built = (
        x509.CertificateBuilder()
        .issuer_name(x509.Name.from_rfc4514_string("CN=CA,O=Acme"))
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Müller & Söhne"),
                    x509.NameAttribute(NameOID.SERIAL_NUMBER, "SN-0001"),
                ]
            )
        )
        .public_key(UNIT_KEY.public_key())
        .serial_number(0x40 << 120)
        .not_valid_before(NOW.replace(microsecond=0))
        .not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
        .add_extension(x509.AuthorityKeyIdentifier(ISSUER.key_id, None, None), critical=False)
        .add_extension(DIGITAL_SIGNATURE_ONLY, critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.4"), hardware_name)]),
            critical=False,
        )
        .sign(CA_KEY, SHA256)
    )
    assert issue().tbs_certificate_bytes == built.tbs_certificate_bytes


def test_the_profile_switches_key_usage_and_masa() -> None:
    profile = Profile(
        name="voucher",
        key_algorithm=Algorithm.ED25519,
        key_origin="device",
        organization="Acme",
        hardware_type="2.999.1",
        key_usage=False,
        masa_url="https://masa.example.com",
    )
    certificate = issue(profile, key=ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.KeyUsage)
    masa = certificate.extensions.get_extension_for_oid(ObjectIdentifier("1.3.6.1.5.5.7.1.32"))
    assert not masa.critical
    assert isinstance(masa.value, x509.UnrecognizedExtension)
    assert masa.value.value == b"\x16\x18https://masa.example.com"


def test_equal_inputs_give_equal_bytes() -> None:
    assert issue().tbs_certificate_bytes == issue().tbs_certificate_bytes
    assert issue().tbs_certificate_bytes != issue(serial="SN-0002").tbs_certificate_bytes


def test_a_key_of_another_kind_gets_no_identity() -> None:
    with pytest.raises(WrongKeyError, match="p256"):
        issue(key=ed25519.Ed25519PrivateKey.generate())


@pytest.mark.parametrize("size", [0, 3, 33])
def test_a_hardware_id_has_its_limits(size: int) -> None:
    with pytest.raises(FormatError, match="4 to 32"):
        idevid_tbs(
            PROFILE, ISSUER, number=1, not_before=NOW, serial="A", hardware_id=bytes(size), spki=spki_of(UNIT_KEY)
        )


@pytest.mark.parametrize("text", ["A", "7", "SN-0001", "00:11:22", "a.b.c", "x" * 64])
def test_serial_numbers_that_fit(text: str) -> None:
    assert parse_serial(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "x" * 65, "a/b", "a\\b", "a\nb", "a\n", "\na", "a b", ".", "..", ".a", "-a", ":a", "a_b", "ä", "１", "a\x00"],
)
def test_serial_numbers_that_do_not_fit(text: str) -> None:
    with pytest.raises(FormatError, match="not a serial number"):
        parse_serial(text)


@given(st.binary(min_size=16, max_size=16))
def test_certificate_numbers_have_one_length(random: bytes) -> None:
    number = certificate_number(random)
    assert len(der.integer(number)) == 18
    assert number.to_bytes(16)[1:] == random[1:]


def test_a_certificate_number_needs_its_random_bytes() -> None:
    with pytest.raises(FormatError):
        certificate_number(b"short")


@pytest.mark.parametrize("key", [UNIT_KEY, ed25519.Ed25519PrivateKey.generate()])
def test_a_good_request_gives_its_key(key: Key) -> None:
    algorithm = "p256" if isinstance(key, ec.EllipticCurvePrivateKey) else "ed25519"
    assert check_csr(make_csr(key), algorithm=algorithm) == spki_of(key)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
def test_a_request_with_another_kind_of_key_is_refused(key: Key) -> None:
    with pytest.raises(WrongKeyError):
        check_csr(make_csr(key), algorithm="p256")


@pytest.mark.parametrize("scalar", [1, 2, 5])
def test_a_request_with_a_weak_key_is_refused(scalar: int) -> None:
    with pytest.raises(WeakKeyError):
        check_csr(make_csr(ec.derive_private_key(scalar, ec.SECP256R1())), algorithm="p256")


def test_a_request_for_another_s_key_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    swapped = make_csr(UNIT_KEY).replace(spki_of(UNIT_KEY), spki_of(other))
    with pytest.raises(FormatError, match="not signed by the key in it"):
        check_csr(swapped, algorithm="p256")


def test_a_request_signed_with_another_hash_is_refused() -> None:
    with pytest.raises(FormatError, match="not how p256 keys sign"):
        check_csr(make_csr(UNIT_KEY, hashed_with=hashes.SHA512()), algorithm="p256")


def test_a_request_with_a_compressed_point_is_refused() -> None:
    algorithm = der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7"))
    point = UNIT_KEY.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    info = der.sequence(
        der.integer(0), der.sequence(), der.sequence(algorithm, der.bit_string(point)), der.explicit(0, b"")
    )
    signature = UNIT_KEY.sign(info, ec.ECDSA(SHA256))
    request = der.sequence(info, der.sequence(der.oid("1.2.840.10045.4.3.2")), der.bit_string(signature))
    assert x509.load_der_x509_csr(request).is_signature_valid
    with pytest.raises(FormatError, match="canonical"):
        check_csr(request, algorithm="p256")


@pytest.mark.parametrize(
    "data", [b"", b"\x30\x00", b"x" * 20000, make_csr(UNIT_KEY)[:-1], make_csr(UNIT_KEY) + b"\x00"]
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        check_csr(data, algorithm="p256")


GOOD_CSRS = {"p256": make_csr(UNIT_KEY), "ed25519": make_csr(ed25519.Ed25519PrivateKey.generate())}


@pytest.mark.parametrize("algorithm", GOOD_CSRS)
@given(position=st.integers(0, 500), mask=st.integers(1, 255))
def test_any_changed_byte_of_a_request_is_a_typed_error(algorithm: str, position: int, mask: int) -> None:
    changed = bytearray(GOOD_CSRS[algorithm])
    changed[position % len(changed)] ^= mask
    with pytest.raises(InputError):
        check_csr(bytes(changed), algorithm=algorithm)


def test_a_request_that_names_another_signature_algorithm_is_refused() -> None:
    ed25519_name, ed448_name = der.sequence(der.oid("1.3.101.112")), der.sequence(der.oid("1.3.101.113"))
    head, tail = GOOD_CSRS["ed25519"].rsplit(ed25519_name, 1)
    with pytest.raises(FormatError, match="not how ed25519 keys sign"):
        check_csr(head + ed448_name + tail, algorithm="ed25519")


def test_a_signature_is_whole_bytes() -> None:
    """The last bits of some signatures are zero; saying that they are unused must not make a second request."""
    requests = (make_csr(ed25519.Ed25519PrivateKey.generate()) for _ in iter(int, 1))
    request = next(csr for csr in requests if csr[-1] & 1 == 0)
    unused_at = len(request) - 65
    assert request[unused_at - 2 : unused_at + 1] == b"\x03\x41\x00"
    changed = request[:unused_at] + b"\x01" + request[unused_at + 1 :]
    assert x509.load_der_x509_csr(changed).is_signature_valid
    with pytest.raises(FormatError, match="not signed"):
        check_csr(changed, algorithm="ed25519")


def vendor_certificate(
    issuer_key: Key,
    subject_key: Key,
    *,
    issuer: str = "Vendor Root",
    subject: str = "chip",
    ca: bool = False,
    extra: x509.ExtensionType | None = None,
    start: datetime = NOW - YEAR,
    end: datetime = NOW + YEAR,
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .public_key(subject_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if extra is not None:
        builder = builder.add_extension(extra, critical=True)
    algorithm = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else SHA256
    return builder.sign(issuer_key, algorithm).public_bytes(Encoding.DER)


VENDOR_KEY = ec.generate_private_key(ec.SECP384R1())
VENDOR_ROOT = vendor_certificate(VENDOR_KEY, VENDOR_KEY, subject="Vendor Root", ca=True)
OTHER_ROOT = vendor_certificate(CA_KEY, CA_KEY, subject="Vendor Root", ca=True)  # the same name, another key


def test_a_genuine_chip_passes() -> None:
    chip = vendor_certificate(VENDOR_KEY, UNIT_KEY)
    check_vendor_certificate(chip, spki_of(UNIT_KEY), [OTHER_ROOT, VENDOR_ROOT], now=NOW)


def test_a_vendor_certificate_for_another_key_is_refused() -> None:
    chip = vendor_certificate(VENDOR_KEY, UNIT_KEY)
    with pytest.raises(WrongKeyError):
        check_vendor_certificate(chip, spki_of(CA_KEY), [VENDOR_ROOT], now=NOW)


UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("2.999.5"), b"\x05\x00")


@pytest.mark.parametrize(
    ("chip", "roots", "what"),
    [
        (vendor_certificate(VENDOR_KEY, UNIT_KEY), [OTHER_ROOT], "not issued by a root"),
        (vendor_certificate(VENDOR_KEY, UNIT_KEY), [], "not issued by a root"),
        (vendor_certificate(VENDOR_KEY, UNIT_KEY, issuer="Another"), [VENDOR_ROOT], "not issued by a root"),
        (vendor_certificate(VENDOR_KEY, UNIT_KEY, end=NOW - timedelta(days=1)), [VENDOR_ROOT], "not valid now"),
        (vendor_certificate(VENDOR_KEY, UNIT_KEY, start=NOW + timedelta(days=1)), [VENDOR_ROOT], "not valid now"),
        (vendor_certificate(VENDOR_KEY, UNIT_KEY, ca=True), [VENDOR_ROOT], "certification authority"),
        (vendor_certificate(VENDOR_KEY, UNIT_KEY, extra=UNKNOWN), [VENDOR_ROOT], r"2\.999\.5"),
        (
            vendor_certificate(VENDOR_KEY, UNIT_KEY),
            [vendor_certificate(VENDOR_KEY, VENDOR_KEY, subject="Vendor Root", ca=False)],
            "not issued by a root",
        ),
        (
            vendor_certificate(VENDOR_KEY, UNIT_KEY),
            [vendor_certificate(VENDOR_KEY, VENDOR_KEY, subject="Vendor Root", ca=True, extra=DIGITAL_SIGNATURE_ONLY)],
            "not issued by a root",
        ),
        (
            vendor_certificate(VENDOR_KEY, UNIT_KEY),
            [vendor_certificate(VENDOR_KEY, VENDOR_KEY, subject="Vendor Root", ca=True, end=NOW - timedelta(days=1))],
            "not issued by a root",
        ),
    ],
)
def test_a_chip_that_is_not_vouched_for_is_refused(chip: bytes, roots: list[bytes], what: str) -> None:
    with pytest.raises(InputError, match=what):
        check_vendor_certificate(chip, spki_of(UNIT_KEY), roots, now=NOW)


CHIP = vendor_certificate(VENDOR_KEY, UNIT_KEY)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(st.integers(0, len(CHIP) - 1), st.integers(1, 255))
def test_any_changed_byte_of_a_vendor_certificate_is_a_typed_error(position: int, mask: int) -> None:
    changed = bytearray(CHIP)
    changed[position] ^= mask
    with pytest.raises(InputError):
        check_vendor_certificate(bytes(changed), spki_of(UNIT_KEY), [VENDOR_ROOT], now=NOW)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(st.integers(0, len(VENDOR_ROOT) - 1), st.integers(1, 255))
def test_any_changed_byte_of_a_ca_certificate_is_a_value_or_a_typed_error(position: int, mask: int) -> None:
    root = bytearray(root_certificate())
    root[position % len(root)] ^= mask
    with suppress(InputError):
        parse_ca_certificate(bytes(root))
        is_issued_by(CHIP, bytes(root))


def root_certificate() -> bytes:
    spki = spki_of(CA_KEY)
    tbs = ca_tbs(None, name=ISSUER.name, spki=spki, number=1, not_before=NOW, not_after=NOW + YEAR)
    return assemble(tbs, Algorithm.P256, CA_KEY.sign(tbs, ec.ECDSA(SHA256)))


def test_a_ca_certificate_is_taken_apart() -> None:
    parsed = parse_ca_certificate(root_certificate())
    assert parsed.issuer == ISSUER
    assert parsed.spki == spki_of(CA_KEY)
    assert (parsed.not_before, parsed.not_after) == (NOW.replace(microsecond=0), (NOW + YEAR).replace(microsecond=0))


@pytest.mark.parametrize("data", [CHIP, b"", b"\x30\x00", OTHER_ROOT, VENDOR_ROOT])
def test_what_is_no_ca_certificate_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_ca_certificate(data)


def test_a_certificate_does_not_end_before_it_begins() -> None:
    with pytest.raises(InputError, match="end before"):
        ca_tbs(None, name=ISSUER.name, spki=spki_of(CA_KEY), number=1, not_before=NOW, not_after=NOW)
