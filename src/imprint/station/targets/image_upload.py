"""Sending a firmware image over SMP's image group, through losses, resets and a full second of silence.

The unit says after each piece which offset it wants next, and the station sends that. The first piece carries the
image's SHA-256, by which a unit that has a part of it from before goes on there. A line that loses bytes gets shorter
frames: the shorter, the likelier to arrive.
"""

from time import monotonic
from typing import Final

from smpclient.requests.image_management import ImageUploadWrite

from imprint.encoding import sha256
from imprint.errors import UnitFailed, UnitSilent
from imprint.station.targets.smp_exchange import SmpExchange
from imprint.station.targets.target import Progress

_SHORTEST_PIECE: Final = 64
_LENGTH_OF_BYTES: Final = 3
_FIRST_PATIENCE_S: Final = 0.5
_LEAST_PATIENCE_S: Final = 0.05
_SILENCE_S: Final = 30.0  # the first piece may erase the whole slot
_MOST_STANDSTILLS: Final = 12  # pieces in a row after which the unit still wants the same offset or an earlier one


async def upload(line: SmpExchange, image: bytes, progress: Progress) -> None:
    """Send ``image``; ``progress`` is told how many bytes have arrived. Raises :class:`UnitSilent`,
    :class:`imprint.errors.UnitRefused`, or :class:`UnitFailed` when the unit makes no headway."""
    digest, offset, arrived, standstills = sha256(image), 0, 0, 0
    pace = _Pace(line.link.max_unencoded_size)
    while offset < len(image):
        request = _piece(image, offset, pace.room, digest)
        began = monotonic()
        try:
            answer = await line.ask(request, patience_s=(pace.patience_s,))
        except UnitSilent:
            pace.lost()
            if pace.silence_s > _SILENCE_S:
                raise
            continue
        pace.arrived(monotonic() - began)
        wanted = answer.off
        if wanted is None or not 0 <= wanted <= len(image) or answer.match is False:
            raise UnitFailed(f"the unit does not take the image (offset {wanted})", subject=line.name)
        standstills = 0 if wanted > arrived else standstills + 1
        if standstills > _MOST_STANDSTILLS:
            raise UnitFailed(f"the upload stands still at {arrived} bytes", subject=line.name)
        offset, arrived = wanted, max(arrived, wanted)
        progress(offset)


class _Pace:
    """How long the next message may be, and how long its answer is waited for: learned from those before."""

    def __init__(self, room: int) -> None:
        self._most: Final = room
        self.room = room
        self.patience_s = _FIRST_PATIENCE_S
        self.silence_s = 0.0

    def lost(self) -> None:
        """No answer: shorter, and more patient."""
        self.silence_s += self.patience_s
        self.patience_s *= 2
        self.room = max(self.room // 2, _SHORTEST_PIECE)

    def arrived(self, took_s: float) -> None:
        """An answer after ``took_s``: a little longer, and as patient as answers ask for."""
        self.silence_s = 0.0
        self.patience_s = max(_LEAST_PATIENCE_S, 8 * took_s)
        self.room = min(self._most, self.room + self.room // 8)


def _piece(image: bytes, offset: int, room: int, digest: bytes) -> ImageUploadWrite:
    first = offset == 0
    known = {"off": offset, "len": len(image), "sha": digest, "image": 0} if first else {"off": offset}
    head = len(ImageUploadWrite(**known, data=b"").BYTES)
    size = max(room - head - _LENGTH_OF_BYTES, _SHORTEST_PIECE)
    return ImageUploadWrite(**known, data=image[offset : offset + size])
