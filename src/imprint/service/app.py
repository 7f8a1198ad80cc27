"""The service's routes. One handler a kind of operation; what may be asked is data (``permissions.py``)."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

import structlog
from fastapi import FastAPI, Path
from fastapi.exceptions import RequestValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from imprint.assemble import Platform
from imprint.authority.access.account import Account
from imprint.authority.decisions.kernel import Ask
from imprint.errors import AccessError, FormatError, ImprintError, RefusedError
from imprint.protocol.answers import Answer, Refused
from imprint.protocol.codec import encode_answer, encode_intention, encode_package, parse_intention
from imprint.protocol.intentions import MAX_INTENTION
from imprint.service import views
from imprint.service.commands import BODIES, MAX_BODY, read_command
from imprint.service.door import Door, TooLarge, TooOften, read_body, too_large, too_often
from imprint.service.measures import MEDIA_TYPE as METRICS_TYPE
from imprint.service.measures import Measures
from imprint.service.openapi import DESCRIPTION, RESPONSES, body_of, describe
from imprint.service.problems import problem, problem_of
from imprint.service.rates import Rates

JSON: Final = "application/json"
INTENTIONS: Final = ("claim", "certify", "permit", "complete", "release", "quarantine")
REQUEST_ID: Final = r"^[A-Za-z0-9._~-]{1,200}$"
NUMBER: Final = r"^[0-9a-f]{1,40}$"  # RFC 5280 section 4.1.2.2: at most 20 bytes
_LEDGER_FILE: Final = re.compile(r"checkpoint|vkey|tile(/[0-9a-z]+(\.p)?)+", re.ASCII)

RequestId = Annotated[str, Path(pattern=REQUEST_ID, description="The asker's own name for this request")]
Name = Annotated[str, Path(max_length=100)]
Handler = Callable[..., Awaitable[Response]]


def make_app(platform: Platform, *, rates: Rates, measures: Measures) -> FastAPI:
    """The service for everyone who has an account."""
    return Routes(platform, Door(platform, rates), measures).app()


class Routes:
    """The handlers, and what they share."""

    def __init__(self, platform: Platform, door: Door, measures: Measures) -> None:
        self._platform = platform
        self._door = door
        self._measures = measures
        self._log = structlog.get_logger()

    def app(self) -> FastAPI:
        """All routes, each through the door under the name of its operation."""
        app = FastAPI(
            title="Imprint authority",
            version="1",
            description=DESCRIPTION,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
        )
        for kind in INTENTIONS:
            self._add(app, "PUT", f"/v1/station/{kind}/{{request_id}}", kind, self._intention(kind))
        for kind in BODIES:
            self._add(app, "PUT", f"/v1/commands/{kind}/{{request_id}}", kind, self._command(kind))
        for path, operation, read in self._readings():
            self._add(app, "GET", path, operation, read)
        describe(app)
        app.add_exception_handler(404, _no_route)
        app.add_exception_handler(405, _no_method)
        app.add_exception_handler(RequestValidationError, _bad_path)
        return app

    def _add(self, app: FastAPI, method: str, path: str, operation: str, handler: Handler) -> None:
        app.add_api_route(
            path,
            handler,
            methods=[method],
            name=operation,
            operation_id=f"{operation}:{path}" if method == "GET" else operation,
            response_class=Response,
            responses=RESPONSES,
            openapi_extra=body_of(operation) if method == "PUT" else None,
        )

    # --- deciding ---

    def _intention(self, kind: str) -> Handler:
        async def ask(request_id: RequestId, request: Request) -> Response:
            async def decide(account: Account) -> Response:
                intention = parse_intention(await read_body(request, MAX_INTENTION))
                if intention.kind != kind:
                    raise FormatError(f"kind is {intention.kind}, the path says {kind}", subject="body")
                return await self._decided(account, request_id, encode_intention(intention), intention)

            return await self._through(request, kind, decide)

        return ask

    def _command(self, kind: str) -> Handler:
        async def ask(request_id: RequestId, request: Request) -> Response:
            async def decide(account: Account) -> Response:
                body, make = read_command(kind, await read_body(request, MAX_BODY))
                command = await asyncio.to_thread(make, self._platform)
                return await self._decided(account, request_id, body, command)

            return await self._through(request, kind, decide)

        return ask

    async def _decided(self, account: Account, request_id: str, body: bytes, request: object) -> Response:
        ask = Ask(
            actor=account.name, request_id=request_id, body=body, request=request, certificate=account.certificate
        )
        answer: Answer = await self._platform.ask(ask)
        if isinstance(answer.result, Refused):
            self._measures.refusals.labels(answer.result.code).inc()
        return Response(encode_answer(answer), media_type=JSON)

    # --- reading ---

    def _readings(self) -> list[tuple[str, str, Handler]]:
        async def lots(request: Request) -> Response:
            return await self._read(request, "read-lots", views.lots)

        async def lot(lot: Name, request: Request) -> Response:
            return await self._read(request, "read-lots", lambda platform: views.lot(platform, lot))

        async def package(lot: Name, request: Request) -> Response:
            return await self._read(request, "read-package", lambda platform: encode_package(platform.package(lot)))

        async def unit(name: Name, request: Request) -> Response:
            return await self._read(request, "read-units", lambda platform: views.unit(platform, name))

        async def revocation(number: Annotated[str, Path(pattern=NUMBER)], request: Request) -> Response:
            return await self._read(request, "read-revocations", lambda platform: views.revocation(platform, number))

        async def crl(request: Request) -> Response:
            return await self._read(request, "read-revocations", views.crl, "application/pkix-crl")

        async def accounts(request: Request) -> Response:
            return await self._read(request, "read-accounts", views.accounts)

        async def health(request: Request) -> Response:
            return await self._read(request, "read-health", views.health)

        async def metrics(request: Request) -> Response:
            return await self._read(request, "read-metrics", lambda _: self._measures.text(), METRICS_TYPE)

        async def ledger(path: Annotated[str, Path(max_length=200)], request: Request) -> Response:
            return await self._read(request, "read-ledger", lambda p: _ledger_file(p, path), "application/octet-stream")

        async def openapi(request: Request) -> Response:
            return await self._read(request, "read-openapi", lambda _: json.dumps(request.app.openapi()).encode())

        return [
            ("/v1/lots", "read-lots", lots),
            ("/v1/lots/{lot}", "read-lots", lot),
            ("/v1/lots/{lot}/package", "read-package", package),
            ("/v1/units/{name}", "read-units", unit),
            ("/v1/revocations/{number}", "read-revocations", revocation),
            ("/v1/crl", "read-revocations", crl),
            ("/v1/accounts", "read-accounts", accounts),
            ("/v1/health", "read-health", health),
            ("/v1/metrics", "read-metrics", metrics),
            ("/v1/ledger/{path:path}", "read-ledger", ledger),
            ("/v1/openapi.json", "read-openapi", openapi),
        ]

    async def _read(
        self, request: Request, operation: str, read: Callable[[Platform], bytes], media_type: str = JSON
    ) -> Response:
        async def answer(_: Account) -> Response:
            return Response(await asyncio.to_thread(read, self._platform), media_type=media_type)

        return await self._through(request, operation, answer)

    # --- around every request ---

    async def _through(
        self, request: Request, operation: str, work: Callable[[Account], Awaitable[Response]]
    ) -> Response:
        """Past the door, then the work; every error becomes its problem. Counted and logged, by name and never by
        content."""
        began = time.perf_counter()
        who: str | None = None
        try:
            account = self._door.admit(request, operation)
            who = account.name
            response = await work(account)
        except TooOften as error:
            response = too_often(error)
        except TooLarge as error:
            response = too_large(error)
        except AccessError as error:
            who, response = who or error.subject, problem_of(error)
        except ImprintError as error:
            response = problem_of(error)
            if response.status_code >= 500:
                self._log.error("failed", operation=operation, kind=type(error).__name__, what=error.what)
        except ClientDisconnect:
            response = problem(400, "the body did not come whole")
        seconds = time.perf_counter() - began
        self._measures.requests.labels(operation, response.status_code).inc()
        self._measures.seconds.labels(operation).observe(seconds)
        self._log.info(
            "request",
            operation=operation,
            account=who,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
        )
        return response


def _ledger_file(platform: Platform, path: str) -> bytes:
    data = platform.reader.read_ledger_file(path) if _LEDGER_FILE.fullmatch(path) else None
    if data is None:
        raise RefusedError("there is no such file in the ledger", code="unknown-file", next_step="See checkpoint")
    return data


async def _no_route(*_: Any) -> Response:
    return problem(404, "there is no such route", next_step="See /v1/openapi.json")


async def _no_method(_: Request, error: Any) -> Response:
    headers: Mapping[str, str] = error.headers or {}
    return problem(405, "the route has other methods", next_step="See /v1/openapi.json", headers=headers)


async def _bad_path(*_: Any) -> Response:
    return problem(400, "the path is not of its form", next_step="See /v1/openapi.json")
