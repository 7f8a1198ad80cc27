"""What every private key can do, wherever it is kept: tell its public half, and sign."""

from typing import Protocol

from imprint.formats.public_key import Algorithm

__all__ = ["Algorithm", "Signer"]


class Signer(Protocol):
    """A private key that is used and never shown."""

    @property
    def algorithm(self) -> Algorithm:
        """What :meth:`sign` makes."""
        ...

    @property
    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo in canonical DER (:mod:`imprint.formats.public_key`)."""
        ...

    def sign(self, message: bytes) -> bytes:
        """A signature over the whole message, hashed here where the algorithm hashes: ECDSA with SHA-256 in DER, or
        Ed25519. Two signatures over one message may differ. Raises :class:`imprint.errors.KeyStoreError`."""
        ...
