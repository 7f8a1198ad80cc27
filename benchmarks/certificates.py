"""Certificates a second on one thread, beside the bare signature and the library's own builder, in the same run.

Run: ``python -m benchmarks.certificates``.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from imprint.authority.issuance.issuer import DeviceCa, make_device_ca, make_root
from imprint.formats import der
from imprint.formats.profile import Profile
from imprint.formats.public_key import Algorithm
from imprint.formats.x509 import check_csr
from imprint.keys.file import FileSigner

ROUNDS: Final = 10
SECONDS: Final = 0.2  # a round of one variant
TBS_SIZE: Final = 420
NOW: Final = datetime(2026, 11, 21, tzinfo=UTC)
NO_END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
HARDWARE_ID: Final = bytes(range(8))


def best_rates(variants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Calls a second of each variant, the best of several rounds that take turns, so that noise hits all alike."""
    best = dict.fromkeys(variants, 0.0)
    for _ in range(ROUNDS):
        for name, call in variants.items():
            calls, start = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - start) < SECONDS:
                for _ in range(50):
                    call()
                calls += 50
            best[name] = max(best[name], calls / elapsed)
    return best


def issue_with_builder(
    ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, unit: x509.CertificateSigningRequest
) -> bytes:
    """The same certificate through the library's builder, built from scratch as its interface wants it."""
    hardware_name = der.sequence(der.oid("1.3.6.1.4.1.99999.1"), der.octet_string(HARDWARE_ID))
    key_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
        x509.NameAttribute(NameOID.SERIAL_NUMBER, "SN-000001"),
    ]
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"),
        False,
    )
    return (
        x509.CertificateBuilder()
        .issuer_name(ca.subject)
        .subject_name(x509.Name(subject))
        .public_key(unit.public_key())
        .serial_number(0x41 << 120)
        .not_valid_before(NOW)
        .not_valid_after(NO_END)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        .add_extension(
            x509.KeyUsage(digital_signature=True, encipher_only=False, decipher_only=False, **usage), critical=True
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.OtherName(ObjectIdentifier("1.3.6.1.5.5.7.8.4"), hardware_name)]),
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def main() -> None:
    """Measure and print."""
    root_key, ca_key, unit_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    signer = FileSigner(ca_key)
    root = make_root(FileSigner(root_key), organization="Acme", number=1, not_before=NOW)
    ca_der = make_device_ca(
        FileSigner(root_key), root, spki=signer.public_key, organization="Acme", number=2, not_before=NOW
    )
    device_ca, ca = DeviceCa(signer=signer, chain=(ca_der, root)), x509.load_der_x509_certificate(ca_der)
    profile = Profile(
        name="bench",
        key_algorithm=Algorithm.P256,
        key_origin="device",
        organization="Acme",
        hardware_type="1.3.6.1.4.1.99999.1",
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(unit_key, hashes.SHA256())
    csr, spki = request.public_bytes(Encoding.DER), FileSigner(unit_key).public_key
    message, ecdsa = bytes(TBS_SIZE), ec.ECDSA(hashes.SHA256())

    def issue() -> bytes:
        return device_ca.issue(
            profile=profile, number=0x41 << 120, not_before=NOW, serial="SN-000001", hardware_id=HARDWARE_ID, spki=spki
        )

    def verify_request() -> bool:
        return x509.load_der_x509_csr(csr).is_signature_valid

    rates = best_rates(
        {
            "bare P-256 signature": lambda: ca_key.sign(message, ecdsa),
            "certificate, ours": issue,
            "certificate, CertificateBuilder": lambda: issue_with_builder(ca, ca_key, request),
            "request parsed and verified, bare": verify_request,
            "request checked, ours": lambda: check_csr(csr, algorithm="p256"),
        }
    )
    limit = rates["bare P-256 signature"]
    print(f"{'P-256, one thread':36}{'per second':>12}{'of a bare signature':>22}")
    for name, rate in rates.items():
        print(f"{name:36}{rate:12,.0f}{rate / limit:21.0%}")
    ratio = rates["certificate, ours"] / rates["certificate, CertificateBuilder"]
    print(f"ours is {ratio:.1f} times CertificateBuilder")


if __name__ == "__main__":
    main()
