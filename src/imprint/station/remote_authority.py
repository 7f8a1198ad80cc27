"""The authority over HTTPS with mutual TLS: the same port as the one in this process."""

import json
import ssl
from types import TracebackType
from typing import Final

import httpx

from imprint.encoding import sha256_hex
from imprint.errors import Unreachable
from imprint.formats.x509 import number_of
from imprint.https import error_of
from imprint.protocol.answers import Answer
from imprint.protocol.codec import decode_answer, decode_package, encode_intention
from imprint.protocol.intentions import Intention
from imprint.protocol.port import LotPackage

CONNECT_S: Final = 5.0
ANSWER_S: Final = 25.0
MAX_PACKAGE: Final = 64 << 20  # bytes


class RemoteAuthority:
    """:class:`imprint.protocol.port.AuthorityPort` at ``url``. Use it as an async context manager."""

    def __init__(self, url: str, tls: ssl.SSLContext) -> None:
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        limits = httpx.Limits(max_connections=32, keepalive_expiry=30)
        self._client = httpx.AsyncClient(base_url=url, verify=tls, timeout=timeout, limits=limits, trust_env=False)

    async def __aenter__(self) -> "RemoteAuthority":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def ask(self, request_id: str, intention: Intention) -> Answer:
        """As :meth:`imprint.protocol.port.AuthorityPort.ask`. Raises :class:`Unreachable` when there is no answer, or
        none yet, and :class:`AccessError` when this station may not ask."""
        body = encode_intention(intention)
        headers = {"content-type": "application/json"}
        path = f"/v1/station/{intention.kind}/{request_id}"
        return decode_answer(await self._send("PUT", path, content=body, headers=headers))

    async def is_valid(self, certificate: bytes) -> bool:
        """As :meth:`imprint.protocol.port.AuthorityPort.is_valid`."""
        number = number_of(certificate)
        found = json.loads(await self._send("GET", f"/v1/revocations/{number:x}"))
        return found["certificate"] == sha256_hex(certificate) and not found["revoked"]

    async def lot(self, lot: str) -> LotPackage:
        """As :meth:`imprint.protocol.port.AuthorityPort.lot`."""
        return decode_package(await self._send("GET", f"/v1/lots/{lot}/package"))

    async def _send(
        self, method: str, path: str, *, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> bytes:
        try:
            response = await self._client.request(method, path, content=content, headers=headers)
        except httpx.TransportError as problem:
            raise Unreachable(
                f"the authority does not answer ({type(problem).__name__})",
                subject=str(self._client.base_url),
                next_step="Check the network; nothing is lost",
            ) from problem
        if response.status_code == 200:
            return response.content
        raise error_of(response)
