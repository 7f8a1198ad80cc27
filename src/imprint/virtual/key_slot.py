"""The identity key: made in its slot, used there, never read through a port. The slot's file is the silicon."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from imprint.formats.provisioning_group import KeyAlgorithm
from imprint.virtual.whole_file import write_whole

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class KeySlot:
    """One key, or none yet. What needs a key must not be called on an empty slot."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = _load(path) if path.exists() else None

    @property
    def is_empty(self) -> bool:
        """Whether no key was made yet."""
        return self._key is None

    def make(self, algorithm: KeyAlgorithm) -> None:
        """Make the key; it is in the slot, for good, when this returns. Only on an empty slot."""
        if self._key is not None:
            raise ValueError("the slot holds a key")
        key: PrivateKey
        if algorithm is KeyAlgorithm.P256:
            key = ec.generate_private_key(ec.SECP256R1())
        else:
            key = ed25519.Ed25519PrivateKey.generate()
        encoded = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_whole(self._path, encoded, mode=0o600)
        self._key = key

    @property
    def algorithm(self) -> KeyAlgorithm:
        """Of the key in the slot."""
        return KeyAlgorithm.P256 if isinstance(self._held(), ec.EllipticCurvePrivateKey) else KeyAlgorithm.ED25519

    @property
    def public(self) -> bytes:
        """SubjectPublicKeyInfo (DER)."""
        return (
            self._held()
            .public_key()
            .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256 (DER), or Ed25519."""
        key = self._held()
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(message, ec.ECDSA(hashes.SHA256()))
        return key.sign(message)

    def request(self, common_name: str) -> bytes:
        """A PKCS#10 request (RFC 2986, DER). The same bytes each time: ECDSA's nonce is that of RFC 6979."""
        key = self._held()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            request = builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)
        else:
            request = builder.sign(key, None)
        return request.public_bytes(serialization.Encoding.DER)

    def _held(self) -> PrivateKey:
        if self._key is None:
            raise ValueError("the slot is empty")
        return self._key


def _load(path: Path) -> PrivateKey:
    key = serialization.load_der_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise TypeError(f"{path.name} holds a {type(key).__name__}")
    return key
