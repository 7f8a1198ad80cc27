"""One SMP question and its answer over a line that may lose bytes.

A question is asked again when no usable answer came, with more patience each time; all questions of this project are
safe to repeat (``docs/formats/provisioning-group.md``).
"""

import logging
import unicodedata
from typing import Final

from smpclient import SMPClient
from smpclient.generics import SMPRequest, TEr1, TEr2, TRep, success
from smpclient.requests.os_management import MCUMgrParametersRead

from imprint.errors import UnitError, UnitRefused, UnitSilent
from imprint.station.targets.serial_link import SerialLink

PATIENCE_S: Final = (0.5, 1.0, 2.0, 4.0)  # for an answer that takes no work
WORK_PATIENCE_S: Final = (3.0, 6.0, 12.0)  # for one that needs a signature, a key, a test or an erased block
_LONGEST_TEXT: Final = 100

# smpclient logs whole frames as errors; what passes over a unit's line stays out of every log.
logging.getLogger("smpclient").setLevel(logging.CRITICAL + 1)


class SmpExchange:
    """The line to one unit. ``name`` is what errors call it."""

    def __init__(self, link: SerialLink, *, name: str) -> None:
        self.name: Final = name
        self.link: Final = link
        self._client: Final = SMPClient(link, name)

    async def open(self, timeout_s: float) -> None:
        """Open the line, trying for ``timeout_s``."""
        await self.link.connect(self.name, timeout_s)

    async def close(self) -> None:
        """Close the line."""
        await self.link.disconnect()

    async def learn_buffer_size(self) -> None:
        """Ask how long a frame may be; a unit that cannot say is sent short ones."""
        answer = await self.try_ask(MCUMgrParametersRead())
        if success(answer):
            self.link.initialize(answer.buf_size)

    async def ask(self, request: SMPRequest[TRep, TEr1, TEr2], *, patience_s: tuple[float, ...] = PATIENCE_S) -> TRep:
        """The answer. Raises :class:`UnitRefused` when it is an error, and as :meth:`try_ask`."""
        answer = await self.try_ask(request, patience_s=patience_s)
        if success(answer):
            return answer
        raise refusal(answer, request, self.name)

    async def try_ask(
        self, request: SMPRequest[TRep, TEr1, TEr2], *, patience_s: tuple[float, ...] = PATIENCE_S
    ) -> TRep | TEr1 | TEr2:
        """The answer, or the unit's error. Raises :class:`UnitSilent` after the last of ``patience_s`` (seconds)."""
        what = "no answer"
        for timeout_s in patience_s:
            try:
                return await self._client.request(request, timeout_s)
            except UnitError:
                raise
            except TimeoutError:
                what = "no answer"
            except Exception:  # whatever a hostile or damaged answer makes the decoders raise
                what = "an answer that makes no sense"
        raise UnitSilent(
            f"{what} to {type(request).__name__}",
            subject=self.name,
            next_step="Check power, cable and contacts, then run the unit again",
        )


def refusal(answer: object, request: object, name: str) -> UnitRefused:
    """A unit's error as an exception."""
    code = getattr(getattr(answer, "err", answer), "rc", None)
    label = getattr(code, "name", code)
    reason = printable(getattr(answer, "rsn", None) or "")
    text = f"{label} ({reason})" if reason else str(label)
    return UnitRefused(f"the unit refused {type(request).__name__}: {text}", subject=name)


def printable(text: str) -> str:
    """What a unit says, made fit for a message: no control characters, and not long."""
    clean = "".join(character if unicodedata.category(character)[0] != "C" else "?" for character in text)
    return clean if len(clean) <= _LONGEST_TEXT else f"{clean[: _LONGEST_TEXT - 1]}…"
