"""Enrolment: the one route for strangers, on a port of its own, so that no stranger reaches the other routes' code."""

import json
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from imprint.authority.access.account import find_invitation
from imprint.clock import Clock
from imprint.encoding import b64, sha256_hex
from imprint.errors import ImprintError
from imprint.protocol.codec import decode_enrolment
from imprint.protocol.enrolment import MAX_ENROLMENT
from imprint.reader import Reader
from imprint.service.app import AskAuthority
from imprint.service.door import read_body
from imprint.service.problems import TooOften, problem, problem_of
from imprint.service.question import ENROL, Question
from imprint.service.rates import Rates

_NOBODY: Final = "no invitation with this code is open"


def make_enrolment_app(reader: Reader, ask: AskAuthority, *, url: str, rates: Rates, clock: Clock) -> Starlette:
    """``GET /v1/authority`` and ``POST /v1/enrol``; ``url`` is where accounts ask. A code that is wrong decides nothing
    and writes nothing: strangers must not be able to."""
    log = structlog.get_logger()
    certificate = reader.access_ca()
    authority = json.dumps({"url": url, "access_ca": b64(certificate)}).encode()

    async def tell(_: Request) -> Response:
        return Response(authority, media_type="application/json")

    async def enrol(request: Request) -> Response:
        try:
            response = await _enrol(request)
        except ImprintError as error:
            response = problem_of(error)
        except ClientDisconnect:
            response = problem(400, "the body did not come whole")
        address = request.client.host if request.client else ""
        log.info("request", operation="enrol", address=address, status=response.status_code)
        return response

    async def _enrol(request: Request) -> Response:
        wait_s = rates.take("strangers")
        if wait_s:
            raise TooOften(wait_s)
        body = await read_body(request, MAX_ENROLMENT)
        asked = decode_enrolment(body)
        request_id = f"enrol-{sha256_hex(asked.csr)}"
        with reader.store.reading() as store:
            earlier = store.get("requests", actor=asked.name, request_id=request_id)
            if earlier is None and find_invitation(store, asked.name, asked.code, clock()) is None:
                return problem(403, _NOBODY, kind="AccessError", next_step="Ask the owner for a new one")
        question = Question(operation=ENROL, actor=asked.name, request_id=request_id, certificate=None, body=body)
        return Response((await ask(question)).answer, media_type="application/json")

    return Starlette(
        routes=[Route("/v1/authority", tell, methods=["GET"]), Route("/v1/enrol", enrol, methods=["POST"])]
    )
