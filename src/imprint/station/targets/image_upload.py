"""Sending a firmware image over SMP's image group, through losses, resets and a full second of silence.

The unit says after each piece which offset it wants next, and the station sends that. The first piece carries the
image's SHA-256, by which a unit that has a part of it from before goes on there. A line that loses bytes gets shorter
frames: the shorter, the likelier to arrive.
"""

from typing import Final

from smpclient.requests.image_management import ImageUploadWrite

from imprint.encoding import sha256
from imprint.errors import UnitFailed, UnitSilent
from imprint.station.targets.smp_exchange import SmpExchange
from imprint.station.targets.target import Progress

_SHORTEST_PIECE: Final = 64
_LENGTH_OF_BYTES: Final = 3
_PATIENCE_S: Final = (0.5, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # the first piece may erase the whole slot
_MOST_STANDSTILLS: Final = 12  # pieces in a row after which the unit still wants the same offset or an earlier one


async def upload(line: SmpExchange, image: bytes, progress: Progress) -> None:
    """Send ``image``; ``progress`` is told how many bytes have arrived. Raises :class:`UnitSilent`,
    :class:`imprint.errors.UnitRefused`, or :class:`UnitFailed` when the unit makes no headway."""
    digest, offset, arrived, standstills, losses = sha256(image), 0, 0, 0, 0
    room = longest = line.link.max_unencoded_size
    while offset < len(image):
        request = _piece(image, offset, room, digest)
        try:
            answer = await line.ask(request, patience_s=(_PATIENCE_S[losses],))
        except UnitSilent:
            losses, room = losses + 1, max(room // 2, _SHORTEST_PIECE)
            if losses == len(_PATIENCE_S):
                raise
            continue
        wanted, losses, room = answer.off, 0, min(longest, room + room // 8)
        if wanted is None or not 0 <= wanted <= len(image) or answer.match is False:
            raise UnitFailed(f"the unit does not take the image (offset {wanted})", subject=line.name)
        standstills = 0 if wanted > arrived else standstills + 1
        if standstills > _MOST_STANDSTILLS:
            raise UnitFailed(f"the upload stands still at {arrived} bytes", subject=line.name)
        offset, arrived = wanted, max(arrived, wanted)
        progress(offset)


def _piece(image: bytes, offset: int, room: int, digest: bytes) -> ImageUploadWrite:
    first = offset == 0
    known = {"off": offset, "len": len(image), "sha": digest, "image": 0} if first else {"off": offset}
    head = len(ImageUploadWrite(**known, data=b"").BYTES)
    size = max(room - head - _LENGTH_OF_BYTES, _SHORTEST_PIECE)
    return ImageUploadWrite(**known, data=image[offset : offset + size])
