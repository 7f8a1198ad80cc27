"""Listening: TLS 1.3, client certificates, and a limit on how long a client may take for anything.

uvicorn speaks HTTP; what it does not offer is added here: the client's certificate in the scope, a deadline for each
request from its first byte to its last, one for a client that never begins, and one for the TLS handshake.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from imprint.encoding import sha256_hex
from imprint.errors import InputError, KeyStoreError
from imprint.service.door import CLIENT

HANDSHAKE_S: Final = 10.0
FIRST_BYTE_S: Final = 10.0
REQUEST_S: Final = 30.0  # from a request's first byte to its last
ANSWER_S: Final = 300.0  # from a request's first byte to the last of its answer
IDLE_S: Final = 75
MOST_CONNECTIONS: Final = 1000
MOST_OF_ONE: Final = 128  # connections of one account; a station has one for each fixture at the most
BACKLOG: Final = 1024


class TimedProtocol(HttpToolsProtocol):
    """HTTP/1.1 for a client that must not take for ever."""

    _deadline: asyncio.TimerHandle | None = None
    _client_certificate: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the certificate once for the connection; too many connections, of all or of one, are ended at once."""
        super().connection_made(transport)
        tls = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        der = tls.getpeercert(binary_form=True) if tls else None
        self._client_certificate = sha256_hex(der) if der else None
        if len(self.connections) > MOST_CONNECTIONS or self._is_one_too_many():
            transport.abort()
            return
        self._give(FIRST_BYTE_S)

    def _is_one_too_many(self) -> bool:
        if self._client_certificate is None:
            return False
        others = cast("set[TimedProtocol]", self.connections)
        return sum(each._client_certificate == self._client_certificate for each in others) > MOST_OF_ONE

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer outlives its connection."""
        self._give(None)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._give(REQUEST_S)
        super().on_message_begin()
        if self._client_certificate is not None:
            cast("dict[str, Any]", self.scope)["extensions"] = {CLIENT: self._client_certificate}

    def on_message_complete(self) -> None:
        """The request is here; its answer may take longer, since the client may be slow to read it."""
        self._give(ANSWER_S)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written; from here uvicorn's own timer watches an idle connection."""
        self._give(None)
        super().on_response_complete()

    def _give(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)


class Listener:
    """One port that serves one application until it is stopped."""

    def __init__(self, app: Any, *, tls: ssl.SSLContext, bound: socket.socket) -> None:
        self._config = Config(
            app,
            http=TimedProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_S,
            ws="none",
        )
        self._config.load()
        self._tls = tls
        self._bound = bound
        self._state = ServerState()

    async def start(self) -> asyncio.Server:
        """Take connections from now on."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            self._protocol, sock=self._bound, ssl=self._tls, backlog=BACKLOG, ssl_handshake_timeout=HANDSHAKE_S
        )

    async def finish(self, patience_s: float) -> None:
        """Let requests that are under way end, for so long."""
        for connection in list(self._state.connections):
            cast("TimedProtocol", connection).shutdown()
        ends = asyncio.get_running_loop().time() + patience_s
        while self._state.tasks and asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(0.05)

    def _protocol(self) -> asyncio.Protocol:
        return TimedProtocol(config=self._config, server_state=self._state, app_state={})


def bind(address: str) -> socket.socket:
    """A socket that listens at ``HOST:PORT``. Raises :class:`InputError` for an address that is none or is taken."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise InputError("not an address", subject=repr(address), next_step="Write it as HOST:PORT, like 0.0.0.0:8443")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, target = found[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(target)
    except OSError as problem:
        raise InputError(
            f"cannot listen: {problem.strerror}", subject=address, next_step="Choose another address or port"
        ) from problem
    bound.setblocking(False)
    return bound


def server_tls(certificate: Path, key: bytes, *, clients: Path | None) -> ssl.SSLContext:
    """TLS 1.3 and nothing older, with a certificate and its key (PEM, not encrypted). With ``clients``, only clients
    come in whose certificate this CA (PEM) issued."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        with _in_memory(key) as path:
            context.load_cert_chain(certificate, path)
        if clients is not None:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
    except (ssl.SSLError, OSError) as problem:
        raise KeyStoreError(
            "the service's key or certificate cannot be used",
            subject=str(certificate),
            next_step="Restore keys and certs from one backup",
        ) from problem
    return context


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """The path of a file that is on no disk: the TLS library reads keys from files only."""
    descriptor = os.memfd_create("imprint", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def addresses(bound: Sequence[socket.socket]) -> list[str]:
    """Where these sockets listen, as HOST:PORT."""
    return [f"{name[0]}:{name[1]}" for name in (each.getsockname() for each in bound)]
