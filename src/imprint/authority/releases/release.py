"""Releases: signed images that lots may pin. Checked as the boot loader will check them, before they are accepted."""

from typing import Final

from imprint.authority.decisions.outcome import Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.releases.entries import RELEASE_ADDED
from imprint.encoding import sha256_hex
from imprint.errors import InputError
from imprint.formats.mcuboot import verify
from imprint.protocol.answers import Done
from imprint.protocol.commands import AddRelease
from imprint.protocol.refusals import Code

ROLES: Final = ("production", "diagnostic")


class AddReleaseRule:
    """Decides :class:`AddRelease`."""

    def __init__(self, boot_key: bytes) -> None:
        self._boot_key = boot_key

    def __call__(self, moment: Moment, store: Reading, command: AddRelease) -> Outcome:
        """Refuses an image that a unit would refuse, an unknown product, and a version that is taken."""
        if command.role not in ROLES:
            raise Refusal(Code.BAD_REQUEST, f"a release is for {' or '.join(ROLES)}, not {command.role}")
        if store.get("products", product=command.product) is None:
            raise Refusal(
                Code.UNKNOWN_PRODUCT, f"there is no product {command.product}", next_step="See 'imprint product list'"
            )
        try:
            image = verify(command.image, self._boot_key, least_security_counter=0)
        except InputError as problem:
            raise Refusal(Code.BAD_REQUEST, f"a unit would refuse this image: {problem}") from None
        key = {"product": command.product, "role": command.role, "version": str(image.version)}
        if store.get("releases", **key) is not None:
            raise Refusal(
                Code.NAME_TAKEN,
                f"{command.product} has a {command.role} release {image.version} already",
                next_step="Give the new image a new version",
            )
        private = {
            **key,
            "image": sha256_hex(command.image),
            "image_hash": image.image_hash.hex(),
            "security_counter": image.security_counter or 0,
        }
        return Outcome((Event(RELEASE_ADDED, private, blobs=(command.image,)),), Done(state="added"))
