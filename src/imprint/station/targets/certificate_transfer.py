"""A certificate, longer than a frame, to and from a unit in pieces."""

from typing import Final

from smpclient.generics import success

from imprint.errors import UnitFailed
from imprint.formats.provisioning_group import ProvisioningErr
from imprint.station.targets.requests import CertificateRead, CertificateWrite
from imprint.station.targets.smp_exchange import WORK_PATIENCE_S, SmpExchange, refusal

_LONGEST: Final = 1 << 14
_MOST_STARTS: Final = 4
_LENGTH_OF_BYTES: Final = 3  # CBOR's head for a byte string of up to 65,535 bytes


async def read(line: SmpExchange) -> bytes | None:
    """The stored certificate (DER), or None when there is none. Raises :class:`UnitFailed` for pieces that clash."""
    found = b""
    while True:
        piece = await line.ask(CertificateRead(off=len(found)))
        if piece.len == 0 and not found:
            return None
        fits = piece.off == len(found) and 0 < len(piece.data) <= piece.len - len(found) and piece.len <= _LONGEST
        if not fits:
            raise UnitFailed("the pieces of the certificate do not fit together", subject=line.name)
        found += piece.data
        if len(found) == piece.len:
            return found


async def write(line: SmpExchange, certificate: bytes) -> None:
    """Store a certificate. A piece whose answer was lost makes the unit see it twice and refuse it; then all is sent
    again from the start, a few times."""
    for _ in range(_MOST_STARTS):
        if await _write_from_start(line, certificate):
            return
    raise UnitFailed("the unit never took the whole certificate", subject=line.name, next_step="Check the cable")


async def _write_from_start(line: SmpExchange, certificate: bytes) -> bool:
    offset = 0
    while offset < len(certificate):
        head = CertificateWrite(off=offset, len=len(certificate), data=b"")
        room = line.link.max_unencoded_size - len(head.BYTES) - _LENGTH_OF_BYTES
        request = CertificateWrite(off=offset, len=len(certificate), data=certificate[offset : offset + room])
        answer = await line.try_ask(request, patience_s=WORK_PATIENCE_S)
        if not success(answer):
            if getattr(getattr(answer, "err", None), "rc", None) == ProvisioningErr.BAD_OFFSET:
                return False
            raise refusal(answer, request, line.name)
        if answer.off != offset + len(request.data):
            return False
        offset = answer.off
    return True
