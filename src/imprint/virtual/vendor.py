"""A secure element's vendor: its root, and the certificates with which its chips leave the works."""

import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from imprint.formats.provisioning_group import KeyAlgorithm
from imprint.virtual.silicon import Silicon
from imprint.virtual.whole_file import write_whole

ROOT_FILE: Final = "vendor-root.pem"

_NO_END: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
_START: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Vendor:
    """The vendor of a folder's elements. Its root key is made once and stays in ``folder``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_file, root_file = folder / "root.key", folder / "root.der"
        if not root_file.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            encoded = key.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            write_whole(key_file, encoded, mode=0o600)
            write_whole(root_file, _root_certificate(key).public_bytes(serialization.Encoding.DER))
        loaded = serialization.load_der_private_key(key_file.read_bytes(), password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise TypeError("the vendor's key is not a P-256 key")
        self._key = loaded
        self._root = x509.load_der_x509_certificate(root_file.read_bytes())

    def publish(self, folder: Path) -> None:
        """Write the root for whoever is to trust this vendor."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / ROOT_FILE, self._root.public_bytes(serialization.Encoding.PEM))

    def provision(self, silicon: Silicon) -> None:
        """Make the element's key and certificate, unless it has them."""
        if silicon.key_slot.is_empty:
            silicon.key_slot.make(KeyAlgorithm.P256)
        if not silicon.certificate:
            silicon.keep_certificate(self._certify(silicon))

    def _certify(self, silicon: Silicon) -> bytes:
        public = serialization.load_der_public_key(silicon.key_slot.public)
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise TypeError("an element's key is a P-256 key")
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Virtual Elements"),
                x509.NameAttribute(NameOID.COMMON_NAME, "Element"),
                x509.NameAttribute(NameOID.SERIAL_NUMBER, silicon.hardware_id.hex()),
            ]
        )
        builder = _builder(subject, self._root.subject, public)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _root_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Virtual Elements"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Virtual Elements Root"),
        ]
    )
    builder = _builder(name, name, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return builder.sign(key, hashes.SHA256())


def _builder(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_START)
        .not_valid_after(_NO_END)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
