"""Enrolment: the one thing that a stranger may ask, with a code that the owner handed over by another way."""

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from annotated_types import MaxLen

from imprint.errors import FormatError
from imprint.protocol.evidence import Word
from imprint.protocol.intentions import Der

MAX_ENROLMENT: Final = 1 << 15  # bytes of a whole request
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}"  # of a station or another account
_CODE: Final = re.compile(rf"({NAME}):([A-Z2-7]{{26}}):([0-9a-f]{{64}})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """I am ``name``: here is my code, and a PKCS#10 request (DER) for my TLS key."""

    kind: Literal["enrol"] = "enrol"
    name: Word
    code: Annotated[str, MaxLen(100)]
    csr: Der


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What the owner hands over: who, the code, and the access CA by the SHA-256 of its certificate (hexadecimal), by
    which the newcomer knows the authority before telling it the code."""

    name: str
    code: str
    access_ca: str

    def encode(self) -> str:
        """One word that can be copied."""
        return f"{self.name}:{self.code}:{self.access_ca}"


def parse_invitation(text: str) -> Invitation:
    """An invitation, or :class:`FormatError`, which does not repeat it."""
    found = _CODE.fullmatch(text)
    if found is None:
        raise FormatError("not an invitation", subject="invitation", next_step="Copy all of it: NAME:CODE:FINGERPRINT")
    name, code, access_ca = found.groups()
    return Invitation(name=name, code=code, access_ca=access_ca)
