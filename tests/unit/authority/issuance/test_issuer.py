"""The CAs: chains that hold, keys that match, lives that are kept. The cryptography package's verifier judges paths."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from imprint.authority.issuance.issuer import DEVICE_CA_LIFE, ROOT_LIFE, DeviceCa, make_device_ca, make_root
from imprint.errors import FormatError, KeyStoreError, WrongKeyError
from imprint.formats.profile import Profile
from imprint.keys.file import FileSigner
from imprint.keys.signer import Algorithm, Signer

NOW = datetime(2026, 11, 21, 11, 37, 7, tzinfo=UTC)
LATER = NOW + timedelta(days=30)


def new_signer(algorithm: Algorithm) -> FileSigner:
    if algorithm is Algorithm.P256:
        return FileSigner(ec.generate_private_key(ec.SECP256R1()))
    return FileSigner(ed25519.Ed25519PrivateKey.generate())


ROOT_KEY, CA_KEY = new_signer(Algorithm.P256), new_signer(Algorithm.P256)
ROOT = make_root(ROOT_KEY, organization="Acme", number=11, not_before=NOW)
CA = make_device_ca(ROOT_KEY, ROOT, spki=CA_KEY.public_key, organization="Acme", number=12, not_before=NOW)


def profile_for(algorithm: Algorithm) -> Profile:
    return Profile(
        name="sensor",
        key_algorithm=algorithm,
        key_origin="device",
        organization="Acme",
        hardware_type="1.3.6.1.4.1.99999.1",
    )


def issue(ca: DeviceCa, unit: Signer, *, number: int = 77, at: datetime = LATER) -> bytes:
    return ca.issue(
        profile=profile_for(unit.algorithm),
        number=number,
        not_before=at,
        serial="SN-1",
        hardware_id=b"\x01" * 8,
        spki=unit.public_key,
    )


def verify_path(leaf: bytes, ca: bytes, root: bytes, *, at: datetime) -> list[x509.Certificate]:
    """RFC 5280 path validation with the web's rules for CAs. For units: AKI and SAN are there, nothing else is asked,
    since the web's rules for end entities do not fit IEEE 802.1AR."""
    unit_policy = (
        ExtensionPolicy.permit_all()
        .require_present(x509.AuthorityKeyIdentifier, Criticality.NON_CRITICAL, None)
        .require_present(x509.SubjectAlternativeName, Criticality.NON_CRITICAL, None)
    )
    verifier = (
        PolicyBuilder()
        .store(Store([x509.load_der_x509_certificate(root)]))
        .time(at)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=unit_policy)
        .build_client_verifier()
    )
    verified = verifier.verify(x509.load_der_x509_certificate(leaf), [x509.load_der_x509_certificate(ca)])
    return verified.chain


@pytest.mark.parametrize("unit", [new_signer(algorithm) for algorithm in Algorithm])
def test_a_unit_s_path_leads_to_the_root(unit: Signer) -> None:
    leaf = issue(DeviceCa(signer=CA_KEY, chain=(CA, ROOT)), unit)
    assert len(verify_path(leaf, CA, ROOT, at=LATER)) == 3
    with pytest.raises(VerificationError):
        verify_path(
            leaf, CA, make_root(new_signer(Algorithm.P256), organization="Acme", number=1, not_before=NOW), at=LATER
        )


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_ca_of_either_kind_signs_for_units_of_either_kind(algorithm: Algorithm) -> None:
    root_key, ca_key = new_signer(algorithm), new_signer(algorithm)
    root = make_root(root_key, organization="Acme", number=1, not_before=NOW)
    ca = make_device_ca(root_key, root, spki=ca_key.public_key, organization="Acme", number=2, not_before=NOW)
    for unit in map(new_signer, Algorithm):
        leaf = x509.load_der_x509_certificate(issue(DeviceCa(signer=ca_key, chain=(ca, root)), unit))
        leaf.verify_directly_issued_by(x509.load_der_x509_certificate(ca))


def test_the_cas_say_what_they_may_do_and_for_how_long() -> None:
    root, ca = x509.load_der_x509_certificate(ROOT), x509.load_der_x509_certificate(CA)
    for certificate, path_length, life in ((root, 1, ROOT_LIFE), (ca, 0, DEVICE_CA_LIFE)):
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert constraints.critical
        assert constraints.value == x509.BasicConstraints(ca=True, path_length=path_length)
        assert usage.critical
        assert usage.value.key_cert_sign
        assert usage.value.crl_sign
        assert not usage.value.digital_signature
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == life
    key_id = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert ca.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == key_id
    assert root.not_valid_after_utc == datetime(2056, 11, 21, 11, 37, 7, tzinfo=UTC)
    assert ca.not_valid_after_utc == datetime(2046, 11, 21, 11, 37, 7, tzinfo=UTC)


@pytest.mark.parametrize("at", [NOW - timedelta(seconds=1), NOW + DEVICE_CA_LIFE + timedelta(seconds=1)])
def test_a_ca_that_is_not_valid_signs_nothing(at: datetime) -> None:
    with pytest.raises(KeyStoreError, match="valid from 2026-11-21"):
        issue(DeviceCa(signer=CA_KEY, chain=(CA, ROOT)), new_signer(Algorithm.P256), at=at)


def test_a_ca_does_not_outlive_its_root() -> None:
    with pytest.raises(KeyStoreError, match="root"):
        make_device_ca(
            ROOT_KEY,
            ROOT,
            spki=CA_KEY.public_key,
            organization="Acme",
            number=1,
            not_before=NOW + ROOT_LIFE - timedelta(days=300),
        )


def test_key_and_certificate_must_belong_together() -> None:
    with pytest.raises(KeyStoreError, match="do not belong together"):
        DeviceCa(signer=ROOT_KEY, chain=(CA, ROOT))
    with pytest.raises(KeyStoreError, match="do not belong together"):
        make_device_ca(CA_KEY, ROOT, spki=CA_KEY.public_key, organization="Acme", number=1, not_before=NOW)


def test_a_broken_chain_is_refused() -> None:
    stranger = make_root(new_signer(Algorithm.P256), organization="Acme", number=1, not_before=NOW)
    for chain in ((), (CA,), (CA, stranger), (ROOT, CA)):
        with pytest.raises(KeyStoreError, match="does not hold"):
            DeviceCa(signer=CA_KEY, chain=chain)
    with pytest.raises(FormatError):
        DeviceCa(signer=CA_KEY, chain=(b"", ROOT))


def test_a_unit_s_certificate_is_no_ca() -> None:
    unit = new_signer(Algorithm.P256)
    leaf = issue(DeviceCa(signer=CA_KEY, chain=(CA, ROOT)), unit)
    with pytest.raises(FormatError, match="may not issue"):
        DeviceCa(signer=unit, chain=(leaf, CA, ROOT))


def test_issuing_again_gives_the_same_identity() -> None:
    unit, ca = new_signer(Algorithm.P256), DeviceCa(signer=CA_KEY, chain=(CA, ROOT))
    first, second = (x509.load_der_x509_certificate(issue(ca, unit)) for _ in range(2))
    assert first.tbs_certificate_bytes == second.tbs_certificate_bytes


def test_the_key_must_be_of_the_profile_s_kind() -> None:
    with pytest.raises(WrongKeyError):
        DeviceCa(signer=CA_KEY, chain=(CA, ROOT)).issue(
            profile=profile_for(Algorithm.ED25519),
            number=1,
            not_before=LATER,
            serial="SN-1",
            hardware_id=b"\x01" * 8,
            spki=new_signer(Algorithm.P256).public_key,
        )
