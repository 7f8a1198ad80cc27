"""What the OpenAPI description says beside the routes themselves."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from imprint.protocol import intentions
from imprint.protocol.answers import Answer
from imprint.service.commands import BODIES
from imprint.service.problems import MEDIA_TYPE

DESCRIPTION: Final = (
    "Decisions of the authority. A request is named by whoever asks: the same ID with the same body gets the same "
    "bytes again, with another body it is a conflict. A refusal is an answer like any other, with a receipt. Bytes are "
    "URL-safe base64."
)

_REF: Final = "#/components/schemas/{model}"
_INTENTIONS: Final[dict[str, TypeAdapter[Any]]] = {
    "claim": TypeAdapter(intentions.ClaimUnit),
    "certify": TypeAdapter(intentions.CertifyKey),
    "permit": TypeAdapter(intentions.PermitStep),
    "complete": TypeAdapter(intentions.CompleteUnit),
    "release": TypeAdapter(intentions.ReleaseUnit),
    "quarantine": TypeAdapter(intentions.QuarantineUnit),
}
_ADAPTERS: Final = {**_INTENTIONS, **BODIES}
_PROBLEM: Final = {
    "type": "object",
    "required": ["status", "title", "kind", "next_step"],
    "properties": {
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "kind": {"type": "string"},
        "next_step": {"type": "string"},
    },
}
_SAID: Final = {
    400: "Not of its form; nothing was decided",
    403: "Not yours to ask, or not any more",
    404: "There is no such thing",
    413: "Too long",
    429: "Too often",
    503: "The outcome is unknown: ask again with the same ID",
}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}}
    for status, text in _SAID.items()
}


def body_of(operation: str) -> dict[str, Any]:
    """The request's body, by reference."""
    schema = {"$ref": _REF.format(model=operation)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI) -> None:
    """Give the app a description with the schemas of all bodies, made once."""
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    for name, adapter in {**_ADAPTERS, "Answer": TypeAdapter(Answer)}.items():
        schema = adapter.json_schema(mode="validation", ref_template=_REF)
        schemas |= schema.pop("$defs", {})
        schemas[name] = schema
    made.setdefault("components", {})["schemas"] = schemas
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            operation["responses"].pop("422", None)
            operation["responses"]["200"] = _ok(path, method)
    app.openapi = lambda: made  # type: ignore[method-assign]


def _ok(path: str, method: str) -> dict[str, Any]:
    if method == "put":
        schema: dict[str, Any] = {"$ref": _REF.format(model="Answer")}
        return {"description": "Decided, durably", "content": {"application/json": {"schema": schema}}}
    if path == "/v1/metrics":
        return {"description": "Counters", "content": {"text/plain": {"schema": {"type": "string"}}}}
    if "/ledger/" in path:
        return {"description": "A file of the ledger", "content": {"application/octet-stream": {}}}
    return {"description": "Found", "content": {"application/json": {"schema": {"type": "object"}}}}
