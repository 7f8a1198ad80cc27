"""The service's routes. One handler a kind of operation; what may be asked is data (``permissions.py``)."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from imprint.authority.access.account import Account
from imprint.errors import AccessError, ImprintError, RefusedError
from imprint.protocol.codec import encode_package
from imprint.protocol.command_codec import COMMANDS, most_bytes
from imprint.protocol.intentions import MAX_INTENTION
from imprint.reader import Reader
from imprint.service import views
from imprint.service.door import Door, read_body
from imprint.service.measures import MEDIA_TYPE as METRICS_TYPE
from imprint.service.measures import Measures
from imprint.service.openapi import INTENTIONS, describe
from imprint.service.operation import Operation, parameter
from imprint.service.problems import problem, problem_of
from imprint.service.question import Question, Reply
from imprint.service.rates import Rates

JSON: Final = "application/json"
Read = Callable[[Reader, Request], bytes]
# Raises the error that the reply tells of, and StorageError when the outcome is unknown.
AskAuthority = Callable[[Question], Awaitable[Reply]]


def make_app(reader: Reader, ask: AskAuthority, *, rates: Rates, measures: Measures) -> Starlette:
    """The service for everyone who has an account."""
    return Service(reader, ask, Door(reader, rates), measures).app()


class Service:
    """What the operations share."""

    def __init__(self, reader: Reader, ask: AskAuthority, door: Door, measures: Measures) -> None:
        self._reader = reader
        self._ask = ask
        self._door = door
        self._measures = measures
        self._log = structlog.get_logger()
        self._operations = [
            *(self._deciding(f"/v1/station/{kind}", kind, MAX_INTENTION) for kind in INTENTIONS),
            *(self._deciding(f"/v1/commands/{kind}", kind, most_bytes(kind)) for kind in COMMANDS),
            *self._readings(),
        ]
        self._description = json.dumps(describe(self._operations)).encode()

    def app(self) -> Starlette:
        """All routes, each through the door under the name of its operation."""
        routes = [Route(each.path, self._endpoint(each), methods=[each.method]) for each in self._operations]
        return Starlette(routes=routes, exception_handlers={404: _no_route, 405: _no_method})

    # --- deciding ---

    def _deciding(self, path: str, name: str, most: int) -> Operation:
        async def decide(account: Account, request: Request) -> Response:
            question = Question(
                operation=name,
                actor=account.name,
                request_id=parameter(request, "request_id"),
                certificate=account.certificate,
                body=await read_body(request, most),
            )
            reply = await self._ask(question)
            if reply.refusal is not None:
                self._measures.refusals.labels(reply.refusal).inc()
            return Response(reply.answer, media_type=JSON)

        return Operation(name=name, method="PUT", path=f"{path}/{{request_id}}", work=decide)

    # --- reading ---

    def _readings(self) -> list[Operation]:
        def read(path: str, name: str, look: Read, media_type: str = JSON) -> Operation:
            async def work(_: Account, request: Request) -> Response:
                return Response(await asyncio.to_thread(look, self._reader, request), media_type=media_type)

            return Operation(name=name, method="GET", path=path, work=work)

        def package(reader: Reader, request: Request) -> bytes:
            return encode_package(reader.package(parameter(request, "lot")))

        return [
            *(read(view, name, views.shown(view)) for view, name in views.SHOWN.items()),
            read("/v1/lots/{lot}/package", "read-package", package),
            read("/v1/revocations/{number}", "read-revocations", _revocation),
            read("/v1/crl", "read-revocations", lambda reader, _: reader.crl(), "application/pkix-crl"),
            read("/v1/health", "read-health", lambda reader, _: views.health(reader)),
            read("/v1/metrics", "read-metrics", lambda *_: self._measures.text(), METRICS_TYPE),
            read("/v1/ledger/{path:path}", "read-ledger", _ledger_file, "application/octet-stream"),
            read("/v1/openapi.json", "read-openapi", lambda *_: self._description),
        ]

    # --- around every request ---

    def _endpoint(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await self._through(request, operation)

        return answer

    async def _through(self, request: Request, operation: Operation) -> Response:
        """Past the door, then the work; every error becomes its problem. Counted and logged, by name and never by
        content."""
        began = time.perf_counter()
        who: str | None = None
        try:
            account = self._door.admit(request, operation.name)
            who = account.name
            response = await operation.work(account, request)
        except AccessError as error:
            who, response = who or error.subject or None, problem_of(error)
        except ImprintError as error:
            response = problem_of(error)
            if response.status_code >= 500:
                self._log.error("failed", operation=operation.name, kind=type(error).__name__, what=error.what)
        except ClientDisconnect:
            response = problem(400, "the body did not come whole")
        seconds = time.perf_counter() - began
        self._measures.requests.labels(operation.name, response.status_code).inc()
        self._measures.seconds.labels(operation.name).observe(seconds)
        self._log.info(
            "request",
            operation=operation.name,
            account=who,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
        )
        return response


def _revocation(reader: Reader, request: Request) -> bytes:
    return views.revocation(reader, parameter(request, "number"))


def _ledger_file(reader: Reader, request: Request) -> bytes:
    data = reader.read_ledger_file(parameter(request, "path"))
    if data is None:
        raise RefusedError("there is no such file in the ledger", code="unknown-file", next_step="See checkpoint")
    return data


async def _no_route(*_: object) -> Response:
    return problem(404, "there is no such route", next_step="See /v1/openapi.json")


async def _no_method(_: Request, error: Exception) -> Response:
    headers = getattr(error, "headers", None)
    return problem(405, "the route has other methods", next_step="See /v1/openapi.json", headers=headers)
