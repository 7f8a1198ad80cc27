"""schemathesis asks the service whatever its OpenAPI description allows, and much that it does not: no error of the
server's, no answer that the description does not know. ``IMPRINT_EXAMPLES=long`` asks for longer."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks, openapi
from schemathesis.specs.openapi import checks as openapi_checks

from imprint.authority.access.account import Role
from imprint.service.app import make_app
from imprint.service.door import CLIENT
from imprint.service.measures import Measures
from imprint.service.permissions import PERMISSIONS
from imprint.service.rates import Rates
from service_line import asker
from soft_factory import Factory, copied_factory, enrol_account, make_template

POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
EXAMPLES = 1000 if os.environ.get("IMPRINT_EXAMPLES") == "long" else 15
CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
]


class Introduced:
    """The service behind something that says whose certificate came: that of a role which the header names."""

    def __init__(self, factory: Factory) -> None:
        self._app = make_app(
            factory.reader,
            asker(factory.platform),
            rates=Rates(time.monotonic, rate=1e6, burst=1e6),
            measures=Measures(),
        )
        self._certificates = {role.value: enrol_account(factory, f"the-{role}", role) for role in Role}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As :class:`imprint.service.listener.TimedProtocol` does."""
        if scope["type"] == "http":
            role = dict(scope["headers"]).get(b"x-role", b"auditor").decode()
            scope = {**scope, "extensions": {CLIENT: self._certificates[role]}}
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("openapi")
    with copied_factory(make_template(folder / "template"), folder / "factory") as factory:
        yield openapi.from_asgi("/v1/openapi.json", Introduced(factory))


@pytest.mark.hypothesis
@pytest.mark.parametrize("operation", sorted(set(PERMISSIONS) - {"read-openapi"}))  # it has read that one
def test_whatever_is_asked(schema: Any, operation: str) -> None:
    role = sorted(PERMISSIONS[operation])[0]
    found = [
        result.ok()
        for result in schema.get_all_operations()
        if result.ok().definition.raw["operationId"].partition(":")[0] == operation
    ]
    assert found, "the description has every operation"
    for each in found:
        raw = each.definition.raw
        can_be_wrong = "requestBody" in raw or bool(raw["parameters"])
        for mode in (POSITIVE, NEGATIVE) if can_be_wrong else (POSITIVE,):
            ask_all(each.as_strategy(generation_mode=mode), role)


def ask_all(cases: Any, role: str) -> None:
    """Ask what the strategy thinks of."""

    @given(case=cases)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        case.call_and_validate(headers={"x-role": role}, checks=CHECKS)

    ask()
