"""Sealing: a firmware payload becomes a signed image, or is refused."""

from imprint.errors import KeyStoreError
from imprint.formats import mcuboot
from imprint.keys.signer import Algorithm, Signer


def seal(payload: bytes, *, version: str, security_counter: int, signer: Signer) -> bytes:
    """A signed image in MCUboot's format, which a boot loader with this key would start.

    ``version`` is ``major.minor.revision`` with an optional ``+build``. The finished image has passed
    :func:`imprint.formats.mcuboot.verify`, which refuses what the boot loader would refuse; a faulty or foreign signer
    is noticed here and not on the line. Raises :class:`imprint.errors.FormatError` for values that the format cannot
    hold, :class:`imprint.errors.InputError` for an image that would not start, and :class:`KeyStoreError` for a key
    that is not P-256, or a signer that fails.
    """
    if signer.algorithm is not Algorithm.P256:
        raise KeyStoreError(
            f"a {signer.algorithm} key cannot sign firmware yet", subject="firmware key", next_step="Use a p256 key"
        )
    return mcuboot.build(
        payload,
        version=mcuboot.parse_version(version),
        security_counter=security_counter,
        key_spki=signer.public_key,
        sign=signer.sign,
    )
