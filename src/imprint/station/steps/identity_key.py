"""The unit's key and its certificate."""

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

from imprint.errors import FormatError
from imprint.formats.provisioning_group import KeyAlgorithm
from imprint.protocol.intentions import CertifyKey, KeyOrigin
from imprint.station.run import Run
from imprint.station.steps.step import Options


async def make_key(run: Run, _options: Options) -> str:
    """Have the unit make its identity key; a key that is there stays."""
    before = await run.target.public_key()
    public_key = await run.target.make_key(KeyAlgorithm[run.package.key_algorithm.upper()])
    if before is not None and before != public_key:
        raise run.fail("the unit replaced its identity key", next_step="Fix the firmware: a key is made once")
    return "was there" if before else "made"


async def check_identity(run: Run, _options: Options) -> str:
    """The chip's vendor has put a key and a certificate in; they must belong together."""
    public_key, certificate = await run.target.public_key(), await run.target.certificate()
    if public_key is None or certificate is None:
        missing = "key" if public_key is None else "certificate"
        raise run.fail(f"there is no {missing} from the chip's vendor", next_step="Check the chip's part number")
    if certified_key(certificate) != public_key:
        raise run.fail("the certificate in the unit is for another key", next_step="Keep the board aside")
    return "key and certificate belong together"


async def certify(run: Run, _options: Options) -> str:
    """Have the unit's key certified."""
    origin = KeyOrigin(run.package.key_origin)
    csr = await run.target.csr()
    vendor_certificate = await run.target.certificate() if origin is KeyOrigin.PREPROVISIONED else None
    await run.same_unit()
    await run.ask(
        CertifyKey(
            lot=run.package.lot,
            hardware_id=run.hardware_id,
            fence=run.place.fence,
            origin=origin,
            csr=csr,
            vendor_certificate=vendor_certificate,
        )
    )
    return "certified"


async def write_certificate(run: Run, _options: Options) -> str:
    """Store the certificate in the unit, if it is not there, and read it back."""
    wanted = run.identity.certificate
    if await run.target.public_key() != certified_key(wanted):
        raise run.fail("the unit's key is not the one that was certified", next_step="Keep the board aside")
    if await run.target.certificate() == wanted:
        return "was there"
    await run.target.write_certificate(wanted)
    if await run.target.certificate() != wanted:
        raise run.fail("the certificate reads back differently", next_step="Look at the unit's flash")
    return f"{len(wanted)} bytes"


def certified_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo (DER) in a certificate, or :class:`FormatError`."""
    try:
        key = load_der_x509_certificate(certificate).public_key()
    except Exception as problem:  # cryptography raises several types on hostile bytes
        raise FormatError("not a certificate in DER", subject="certificate") from problem
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
