"""The authority over HTTPS with mutual TLS, as a person asks it: the same port as the one on its own machine."""

import json
import secrets
import ssl
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

import httpx

from imprint.errors import FormatError, RefusedError, Unreachable
from imprint.https import error_of
from imprint.person.open_requests import OpenRequests
from imprint.protocol.answers import Done, Refused, Result
from imprint.protocol.codec import decode_answer
from imprint.protocol.command_codec import encode_command
from imprint.protocol.commands import (
    KINDS,
    CloseLot,
    Command,
    ExpireClaims,
    InviteAccount,
    RevokeUnit,
    ScrapUnit,
    SignCrl,
    SuspendAccount,
)
from imprint.protocol.person_port import View

CONNECT_S: Final = 5.0
ANSWER_S: Final = 60.0

# What takes trust away, or only tells of it, is decided by how things stand when it is asked: an old answer would say
# that it is done when somebody has undone it since. All else gives something, and a second decision could give it twice
# or give back what was taken away since. A new invitation's code is new, so it is never asked in the same words.
ASKED_ANEW: Final[frozenset[type[Command]]] = frozenset(
    {CloseLot, ExpireClaims, InviteAccount, RevokeUnit, ScrapUnit, SignCrl, SuspendAccount}
)

_AGAIN: Final = "Check the network, then run the same command again"
_AGAIN_ANEW: Final = f"{_AGAIN}: if it was decided, a refusal may say so"
_AGAIN_ONCE: Final = f"{_AGAIN}: it is decided once"


class RemoteAuthority:
    """:class:`imprint.protocol.person_port.PersonPort` at ``url``, as a context manager.

    Exactly once: the request ID of a command that is not in :data:`ASKED_ANEW` is kept in ``requests`` before it is
    sent. The IDs are dropped when the context ends well or with a refusal, not when an answer comes: whoever is told
    that the command failed runs it again, and must then get the same decision, and be told that it is an earlier one.
    """

    def __init__(self, url: str, tls: ssl.SSLContext, *, requests: OpenRequests, access_ca: bytes) -> None:
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        self._client = httpx.Client(base_url=url, verify=tls, timeout=timeout, trust_env=False)
        self._requests = requests
        self._access_ca = access_ca
        self._asked: list[bytes] = []
        self._earlier: str | None = None

    def __enter__(self) -> "RemoteAuthority":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        if error is None or isinstance(error, RefusedError):
            for asked in self._asked:
                self._requests.close(asked)

    @property
    def earlier(self) -> str | None:
        """When the authority decided the last command (RFC 3339), if an earlier run had asked it already."""
        return self._earlier

    def command(self, command: Command) -> str:
        """As :meth:`imprint.protocol.person_port.PersonPort.command`. Raises :class:`Unreachable` when there is no
        answer, :class:`AccessError` when this account may not ask, and :class:`FormatError` for what is out of limits.
        """
        self._earlier = None
        name, body = KINDS[type(command)], encode_command(command)
        if type(command) in ASKED_ANEW:
            return _state(decode_answer(self._ask(name, secrets.token_hex(16), body, again=_AGAIN_ANEW)).result)
        return self._once(name, body)

    def _once(self, name: str, body: bytes) -> str:
        asked = name.encode() + b"\n" + body
        is_repeat = self._requests.is_open(asked)
        try:
            sent = self._ask(name, self._requests.open(asked), body, again=_AGAIN_ONCE)
        except FormatError:  # it is not taken in this form: there is nothing to ask for again
            self._requests.close(asked)
            raise
        answer = decode_answer(sent)
        if is_repeat and isinstance(answer.result, Refused):  # nothing was done, and things may stand otherwise now
            self._requests.close(asked)
            return self._once(name, body)
        self._asked.append(asked)
        self._earlier = answer.receipt.time if is_repeat else None
        return _state(answer.result)

    def _ask(self, name: str, request_id: str, body: bytes, *, again: str) -> bytes:
        return self._send("PUT", f"/v1/commands/{name}/{request_id}", body, again=again)

    def read(self, view: View, **names: str) -> dict[str, Any]:
        """As :meth:`imprint.protocol.person_port.Views.read`, and raises as :meth:`command`."""
        path = view.format(**{name: quote(text, safe="") for name, text in names.items()})
        try:
            found = json.loads(self._send("GET", path))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise FormatError("the answer is no JSON object", subject="authority")
        return found

    def crl(self) -> bytes:
        """As :meth:`imprint.protocol.person_port.PersonPort.crl`."""
        return self._send("GET", "/v1/crl")

    def access_ca(self) -> bytes:
        """As :meth:`imprint.protocol.person_port.PersonPort.access_ca`; known since this folder was enrolled."""
        return self._access_ca

    def _send(self, method: str, path: str, body: bytes | None = None, *, again: str = _AGAIN) -> bytes:
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            response = self._client.request(method, path, content=body, headers=headers)
        except httpx.TransportError as problem:
            raise Unreachable(
                f"the authority does not answer ({type(problem).__name__})",
                subject=str(self._client.base_url),
                next_step=again,
            ) from problem
        if response.status_code == 200:
            return response.content
        error = error_of(response)
        if isinstance(error, Unreachable):
            error.next_step = again
        raise error


def _state(result: Result) -> str:
    if isinstance(result, Refused):
        raise RefusedError(result.message, code=result.code, next_step=result.next_step)
    if not isinstance(result, Done):
        raise FormatError(f"the answer is about another thing: {result.kind}", subject="authority")
    return result.state
