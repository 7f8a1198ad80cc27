"""Certifying: the key of a claimed unit gets the unit's identity."""

from imprint.authority.decisions.changes import Row
from imprint.authority.decisions.outcome import Event, Moment, Outcome, Refusal
from imprint.authority.decisions.transaction import Reading
from imprint.authority.issuance.issuer import DeviceCa
from imprint.authority.production.catalogue import Catalogue
from imprint.authority.production.claim import CHALLENGE_SIZE, contested_fields
from imprint.authority.production.entries import UNIT_CERTIFICATE_REPEATED, UNIT_CERTIFIED
from imprint.authority.production.held_unit import HeldUnit, hold
from imprint.authority.production.life_cycle import Move
from imprint.authority.production.revocation import find_revocation
from imprint.clock import from_text
from imprint.encoding import from_b64, sha256_hex
from imprint.errors import FormatError, InputError, WeakKeyError, WrongKeyError
from imprint.formats.crl import Reason
from imprint.formats.x509 import check_csr, check_vendor_certificate
from imprint.protocol.answers import Certified
from imprint.protocol.intentions import CertifyKey, KeyOrigin
from imprint.protocol.refusals import Code


class CertifyRule:
    """Decides :class:`CertifyKey`. One certificate for one epoch of a unit; one unit, in all epochs, for one key."""

    def __init__(self, catalogue: Catalogue, ca: DeviceCa) -> None:
        self._catalogue = catalogue
        self._ca = ca

    def __call__(self, moment: Moment, store: Reading, request: CertifyKey) -> Outcome:
        """Refuses with bad-request, weak-key, wrong-key, key-taken, key-compromised and what :func:`hold` refuses."""
        unit = hold(self._catalogue, moment, store, request, Move.CERTIFY)
        spki = _checked_key(moment, store, unit, request)
        public_key = sha256_hex(spki)
        if unit.row["certificate"] is not None:
            return self._repeat(moment, store, unit, public_key)
        owner = store.get("public_keys", public_key=public_key)
        if owner is not None:
            _refuse_another_units(store, owner, request, public_key)
        certificate = self._ca.issue(
            profile=unit.lot.product.profile,
            number=int(unit.row["number"], 16),
            not_before=from_text(unit.row["not_before"]),
            serial=unit.row["serial"],
            hardware_id=bytes.fromhex(request.hardware_id),
            spki=spki,
        )
        challenge = moment.random(CHALLENGE_SIZE)
        private = {
            **unit.key(),
            "public_key": public_key,
            "known_key": owner is not None,
            "certificate": sha256_hex(certificate),
            "number": unit.row["number"],
            "origin": request.origin.value,
            "challenge": challenge.hex(),
        }
        result = Certified(certificate=certificate, chain=self._ca.chain, challenge=challenge)
        return Outcome((Event(UNIT_CERTIFIED, private, blobs=(certificate,)),), result)

    def _repeat(self, moment: Moment, store: Reading, unit: HeldUnit, public_key: str) -> Outcome:
        if unit.row["public_key"] != public_key:
            raise Refusal(
                Code.WRONG_KEY,
                f"unit {unit.row['serial']} has a certificate for another key",
                next_step="Scrap the unit; it cannot have two identities",
            )
        challenge = moment.random(CHALLENGE_SIZE)
        certificate = store.blob(unit.row["certificate"])
        event = Event(UNIT_CERTIFICATE_REPEATED, {**unit.key(), "challenge": challenge.hex()})
        result = Certified(certificate=certificate, chain=self._ca.chain, challenge=challenge)
        return Outcome((event,), result)


def _checked_key(moment: Moment, store: Reading, unit: HeldUnit, request: CertifyKey) -> bytes:
    profile = unit.lot.product.profile
    if request.origin != profile.key_origin:
        raise Refusal(Code.WRONG_KEY, f"the profile wants a key of origin {profile.key_origin}, not {request.origin}")
    try:
        spki = check_csr(request.csr, algorithm=profile.key_algorithm)
        if request.origin is KeyOrigin.PREPROVISIONED and not _is_its_own(store, request.hardware_id, spki):
            if request.vendor_certificate is None:
                raise FormatError("the vendor's certificate is missing", subject="vendor certificate")
            roots = [from_b64(root, subject="vendor root") for root in unit.lot.product.file.vendor_roots]
            check_vendor_certificate(request.vendor_certificate, spki, roots, now=moment.now)
    except WeakKeyError as problem:
        raise Refusal(Code.WEAK_KEY, str(problem)) from None
    except WrongKeyError as problem:
        raise Refusal(Code.WRONG_KEY, str(problem)) from None
    except InputError as problem:
        raise Refusal(Code.BAD_REQUEST, str(problem)) from None
    return spki


def _is_its_own(store: Reading, hardware_id: str, spki: bytes) -> bool:
    """The vendor has vouched for the key in an earlier epoch. Its certificate may have made room for ours since."""
    return store.get("public_keys", public_key=sha256_hex(spki), hardware_id=hardware_id) is not None


def _refuse_another_units(store: Reading, owner: Row, request: CertifyKey, public_key: str) -> None:
    """A unit that was reworked may keep its key, unless somebody else may have it too."""
    if owner["hardware_id"] != request.hardware_id:
        raise _taken(store, owner["hardware_id"], public_key)
    for epoch in store.find("units", hardware_id=request.hardware_id, public_key=public_key):
        end = find_revocation(store, epoch)
        if end is not None and end["reason"] == Reason.KEY_COMPROMISE:
            raise Refusal(
                Code.KEY_COMPROMISED,
                f"this key of unit {epoch['serial']} was revoked as compromised",
                next_step="Have the unit make a new key if it can; else scrap it",
            )


def _taken(store: Reading, hardware_id: str, public_key: str) -> Refusal:
    """The key's owner is marked: two boards with one key are clones, or their generator is broken."""
    owner = store.find("units", hardware_id=hardware_id)[-1]
    return Refusal(
        Code.KEY_TAKEN,
        f"this public key belongs to unit {owner['serial']}",
        next_step="Keep both boards aside: they are clones, or their random generator is broken",
        private={
            "contested": contested_fields(owner),
            "public_key": public_key,
        },
    )
