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
from imprint.protocol.answers import Done, Refused
from imprint.protocol.codec import decode_answer
from imprint.protocol.command_codec import encode_command
from imprint.protocol.commands import KINDS, Command, InviteAccount
from imprint.protocol.person_port import View

CONNECT_S: Final = 5.0
ANSWER_S: Final = 60.0
_AGAIN: Final = "Check the network, then run the same command again: nothing is decided twice"


class RemoteAuthority:
    """:class:`imprint.protocol.person_port.PersonPort` at ``url``, as a context manager.

    Exactly once: the request ID of each command is kept in ``requests`` before it is sent. The IDs are dropped when the
    context ends well or with a refusal, not when an answer comes: whoever is told that the command failed runs it
    again, and must then get the same decisions. An invitation is never asked for in the same words, since its code is
    new, and needs it least: a later code takes the place of the one before.
    """

    def __init__(self, url: str, tls: ssl.SSLContext, *, requests: OpenRequests, access_ca: bytes) -> None:
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        self._client = httpx.Client(base_url=url, verify=tls, timeout=timeout, trust_env=False)
        self._requests = requests
        self._access_ca = access_ca
        self._asked: list[bytes] = []

    def __enter__(self) -> "RemoteAuthority":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        if error is None or isinstance(error, RefusedError):
            for asked in self._asked:
                self._requests.close(asked)

    def command(self, command: Command) -> str:
        """As :meth:`imprint.protocol.person_port.PersonPort.command`. Raises :class:`Unreachable` when there is no
        answer, :class:`AccessError` when this account may not ask, and :class:`FormatError` for what is out of limits.
        """
        name, body = KINDS[type(command)], encode_command(command)
        asked = name.encode() + b"\n" + body
        once = not isinstance(command, InviteAccount)
        request_id = self._requests.open(asked) if once else secrets.token_hex(16)
        try:
            answer = self._send("PUT", f"/v1/commands/{name}/{request_id}", body)
        except FormatError:
            if once:  # it is not taken in this form: there is nothing to ask for again
                self._requests.close(asked)
            raise
        result = decode_answer(answer).result
        if once:
            self._asked.append(asked)
        if isinstance(result, Refused):
            raise RefusedError(result.message, code=result.code, next_step=result.next_step)
        if not isinstance(result, Done):
            raise FormatError(f"the answer is about another thing: {result.kind}", subject="authority")
        return result.state

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

    def _send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            response = self._client.request(method, path, content=body, headers=headers)
        except httpx.TransportError as problem:
            raise Unreachable(
                f"the authority does not answer ({type(problem).__name__})",
                subject=str(self._client.base_url),
                next_step=_AGAIN,
            ) from problem
        if response.status_code == 200:
            return response.content
        error = error_of(response)
        if isinstance(error, Unreachable):
            error.next_step = _AGAIN
        raise error
