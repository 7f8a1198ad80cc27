"""A unit that is only its key and its word: for tests of the authority that need no bench.

It signs what it is told to sign, so it can also lie.
"""

from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from imprint.encoding import sha256
from imprint.formats.provisioning_group import PROTOCOL_VERSION, STATEMENT_CONTEXT, DebugLevel, UnitStatement

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def new_key(algorithm: str = "p256") -> PrivateKey:
    """A fresh private key of a profile's algorithm."""
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(slots=True, kw_only=True)
class SoftUnit:
    """A unit by its hardware ID; everything it claims of itself can be set."""

    hardware_id: bytes
    key: PrivateKey = field(default_factory=new_key)
    statement: UnitStatement = field(init=False)

    def __post_init__(self) -> None:
        self.statement = UnitStatement(
            v=PROTOCOL_VERSION,
            nonce=b"",
            hw=self.hardware_id,
            cert=b"",
            image=b"",
            version="0.0.0+0",
            security=0,
            boot_key=b"",
            debug=DebugLevel.LOCKED.value,
            session=1,
            monotonic=0,
        )

    def csr(self) -> bytes:
        """A PKCS#10 request, DER."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.hardware_id.hex())])
        algorithm = hashes.SHA256() if isinstance(self.key, ec.EllipticCurvePrivateKey) else None
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self.key, algorithm)
        return request.public_bytes(Encoding.DER)

    def spki(self) -> bytes:
        """The public key, DER."""
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def run(self, *, certificate: bytes, image_hash: bytes, version: str, security: int, boot_key: bytes) -> None:
        """Take in what a station wrote."""
        self.statement = replace(
            self.statement,
            cert=sha256(certificate),
            image=image_hash,
            version=version,
            security=security,
            boot_key=sha256(boot_key),
        )

    def prove(self, nonce: bytes) -> tuple[bytes, bytes]:
        """A signed statement over the nonce: its bytes, and the signature."""
        self.statement = replace(self.statement, nonce=nonce, monotonic=self.statement.monotonic + 1)
        statement = self.statement.encode()
        message = STATEMENT_CONTEXT + statement
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return statement, self.key.sign(message, ec.ECDSA(hashes.SHA256()))
        return statement, self.key.sign(message)
