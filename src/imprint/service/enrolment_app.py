"""Enrolment: the one route for strangers, on a port of its own, so that no stranger reaches the other routes' code."""

import json
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from imprint.assemble import Platform
from imprint.authority.access.account import find_invitation
from imprint.authority.decisions.kernel import Ask
from imprint.encoding import b64, sha256_hex
from imprint.errors import ImprintError
from imprint.protocol.codec import decode_enrolment, encode_answer, encode_enrolment
from imprint.protocol.enrolment import MAX_ENROLMENT
from imprint.service.door import read_body
from imprint.service.problems import TooOften, problem, problem_of
from imprint.service.rates import Rates

_NOBODY: Final = "no invitation with this code is open"


def make_enrolment_app(platform: Platform, *, url: str, rates: Rates) -> Starlette:
    """``GET /v1/authority`` and ``POST /v1/enrol``; ``url`` is where accounts ask. A code that is wrong decides nothing
    and writes nothing: strangers must not be able to."""
    log = structlog.get_logger()
    certificate = platform.reader.access_ca()
    authority = json.dumps({"url": url, "access_ca": b64(certificate)}).encode()

    async def tell(_: Request) -> Response:
        return Response(authority, media_type="application/json")

    async def enrol(request: Request) -> Response:
        try:
            response = await _enrol(platform, rates, request)
        except ImprintError as error:
            response = problem_of(error)
        except ClientDisconnect:
            response = problem(400, "the body did not come whole")
        address = request.client.host if request.client else ""
        log.info("request", operation="enrol", address=address, status=response.status_code)
        return response

    return Starlette(
        routes=[Route("/v1/authority", tell, methods=["GET"]), Route("/v1/enrol", enrol, methods=["POST"])]
    )


async def _enrol(platform: Platform, rates: Rates, request: Request) -> Response:
    wait_s = rates.take("strangers")
    if wait_s:
        raise TooOften(wait_s)
    asked = decode_enrolment(await read_body(request, MAX_ENROLMENT))
    request_id = f"enrol-{sha256_hex(asked.csr)}"
    with platform.reader.store.reading() as store:
        earlier = store.get("requests", actor=asked.name, request_id=request_id)
        if earlier is None and find_invitation(store, asked.name, asked.code, platform.clock()) is None:
            return problem(403, _NOBODY, kind="AccessError", next_step="Ask the owner for a new one")
    ask = Ask(actor=asked.name, request_id=request_id, body=encode_enrolment(asked), request=asked)
    return Response(encode_answer(await platform.ask(ask)), media_type="application/json")
