"""The one interface behind which an authority sits: in this process, or over HTTPS."""

from dataclasses import dataclass
from typing import Protocol

from imprint.protocol.answers import Answer
from imprint.protocol.evidence import Grade
from imprint.protocol.intentions import Intention


@dataclass(frozen=True, slots=True, kw_only=True)
class LotPackage:
    """What a station needs to work on a lot; everything in it is pinned by hash when the lot is created."""

    lot: str
    product: str
    recipe: bytes  # YAML
    recipe_name: str
    firmware: bytes  # MCUboot image
    diagnostic: bytes | None
    boot_key: bytes  # SubjectPublicKeyInfo (DER) of the key that signs the images
    key_algorithm: str  # p256 | ed25519, from the profile
    key_origin: str  # KeyOrigin, from the profile
    scanned_serials: bool
    least_grades: dict[str, Grade]  # claim -> the least grade with which a unit is complete


class AuthorityPort(Protocol):
    """An authority as a station sees it."""

    async def ask(self, request_id: str, intention: Intention) -> Answer:
        """Decide. Returns when the decision is durable. A refusal is an answer, not an exception.

        Raises :class:`imprint.errors.StorageError` when the outcome is unknown: ask again with the same ID; and
        :class:`imprint.errors.FormatError` for an intention that is out of its limits.
        """
        ...

    async def is_valid(self, certificate: bytes) -> bool:
        """Whether the authority knows that it issued this certificate (DER), and has not revoked it.

        Raises :class:`imprint.errors.StorageError` when no answer can be had now, and
        :class:`imprint.errors.FormatError` for what is not a certificate.
        """
        ...

    async def lot(self, lot: str) -> LotPackage:
        """The lot's package. Raises :class:`imprint.errors.RefusedError` for a lot that is unknown or closed."""
        ...
