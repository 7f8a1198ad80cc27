"""Revocation lists, judged by the cryptography package: byte for byte as its builder makes them."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from imprint.authority.issuance.issuer import DeviceCa, make_device_ca, make_root
from imprint.errors import FormatError, InputError
from imprint.formats.crl import Reason, Revoked, crl_tbs, decode_pem, encode_pem, open_crl
from imprint.formats.public_key import Algorithm
from imprint.formats.x509 import assemble, parse_ca_certificate
from imprint.keys.file import FileSigner
from imprint.testing.soft_unit import new_key

NOW = datetime(2026, 11, 21, 11, 37, 7, tzinfo=UTC)
WEEK = timedelta(days=7)
KEY = ec.generate_private_key(ec.SECP256R1())
ROOT_SIGNER, SIGNER = FileSigner(new_key()), FileSigner(KEY)
ROOT = make_root(ROOT_SIGNER, organization="Acme", number=1, not_before=NOW)
CA = make_device_ca(ROOT_SIGNER, ROOT, spki=SIGNER.public_key, organization="Acme", number=2, not_before=NOW)
FLAGS = {
    Reason.KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
    Reason.AFFILIATION_CHANGED: x509.ReasonFlags.affiliation_changed,
    Reason.SUPERSEDED: x509.ReasonFlags.superseded,
    Reason.CESSATION_OF_OPERATION: x509.ReasonFlags.cessation_of_operation,
    Reason.PRIVILEGE_WITHDRAWN: x509.ReasonFlags.privilege_withdrawn,
}
LINES = [
    Revoked(number=(0x40 << 120) + index, time=NOW + timedelta(days=index), reason=reason)
    for index, reason in enumerate(Reason)
]
numbers = st.integers(1, 2**127 - 1)
times = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
lines = st.lists(
    st.builds(Revoked, number=numbers, time=times, reason=st.sampled_from(Reason)), unique_by=lambda one: one.number
)


def signed(number: int, *revoked: Revoked) -> bytes:
    return DeviceCa(signer=SIGNER, chain=(CA, ROOT)).sign_crl(
        number=number, this_update=NOW, next_update=NOW + WEEK, revoked=revoked
    )


def built(number: int, *revoked: Revoked, key: ec.EllipticCurvePrivateKey = KEY) -> x509.CertificateRevocationList:
    """The library's list."""
    ca = x509.load_der_x509_certificate(CA)
    aki = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
        ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    )
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(NOW)
        .next_update(NOW + WEEK)
        .add_extension(aki, critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for one in revoked:
        line = x509.RevokedCertificateBuilder().serial_number(one.number).revocation_date(one.time)
        if one.reason in FLAGS:
            line = line.add_extension(x509.CRLReason(FLAGS[one.reason]), critical=False)
        builder = builder.add_revoked_certificate(line.build())
    return builder.sign(key, hashes.SHA256())


@given(st.integers(1, 2**63), lines)
def test_a_list_is_what_the_library_makes(number: int, revoked: list[Revoked]) -> None:
    in_order = sorted(revoked, key=lambda one: one.number)
    crl = x509.load_der_x509_crl(signed(number, *revoked))
    assert crl.tbs_certlist_bytes == built(number, *in_order).tbs_certlist_bytes
    assert crl.is_signature_valid(KEY.public_key())


def test_a_line_for_each_reason_and_none_for_unspecified() -> None:
    crl = x509.load_der_x509_crl(signed(7, *LINES))
    told = {line.serial_number: [extension.value for extension in line.extensions] for line in crl}
    assert told == {
        one.number: [x509.CRLReason(FLAGS[one.reason])] if one.reason is not Reason.UNSPECIFIED else [] for one in LINES
    }
    assert set(FLAGS) | {Reason.UNSPECIFIED} == set(Reason)


def test_what_is_read_back() -> None:
    found = open_crl(decode_pem(encode_pem(signed(9, *reversed(LINES)))), CA)
    assert (found.number, found.this_update, found.next_update, found.revoked) == (9, NOW, NOW + WEEK, tuple(LINES))
    assert open_crl(signed(1), CA).revoked == ()


def test_a_list_that_ends_before_it_begins() -> None:
    issuer = parse_ca_certificate(CA).issuer
    with pytest.raises(InputError):
        crl_tbs(issuer, number=1, this_update=NOW, next_update=NOW, revoked=())


def test_a_list_of_somebody_else() -> None:
    other_key = ec.generate_private_key(ec.SECP256R1())
    by_another_key = built(1, key=other_key).public_bytes(Encoding.DER)
    with pytest.raises(InputError, match="not signed by the device CA"):
        open_crl(by_another_key, CA)
    other_signer = FileSigner(other_key)
    issuer = parse_ca_certificate(ROOT).issuer  # names the root, and is signed by the device CA
    tbs = crl_tbs(issuer, number=1, this_update=NOW, next_update=NOW + WEEK, revoked=())
    for signer in (SIGNER, other_signer, ROOT_SIGNER):
        with pytest.raises(InputError, match="not signed by the device CA"):
            open_crl(assemble(tbs, Algorithm.P256, signer.sign(tbs)), CA)


def test_a_changed_byte_is_noticed() -> None:
    crl = signed(3, LINES[0])
    for index in range(0, len(crl), 7):
        changed = bytearray(crl)
        changed[index] ^= 1
        with pytest.raises(InputError):
            open_crl(bytes(changed), CA)


@given(st.binary(max_size=200))
def test_what_is_no_list(data: bytes) -> None:
    with pytest.raises(FormatError):
        open_crl(data, CA)
    with pytest.raises(FormatError):
        decode_pem(data)


def test_a_list_without_a_number_or_an_end_is_none_of_ours() -> None:
    ca = x509.load_der_x509_certificate(CA)
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.subject).last_update(NOW).next_update(NOW + WEEK)
    with pytest.raises(FormatError):
        open_crl(builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER), CA)
