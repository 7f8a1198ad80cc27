"""What the OpenAPI description says beside the routes themselves."""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import TypeAdapter

from imprint.protocol import intentions
from imprint.protocol.answers import Answer
from imprint.protocol.command_codec import COMMANDS
from imprint.service.operation import PARAMETERS, Operation
from imprint.service.problems import MEDIA_TYPE

DESCRIPTION: Final = (
    "Decisions of the authority. A request is named by whoever asks: the same ID with the same body gets the same "
    "bytes again, with another body it is a conflict. A refusal is an answer like any other, with a receipt. Bytes are "
    "URL-safe base64."
)

_REF: Final = "#/components/schemas/{model}"
INTENTIONS: Final[dict[str, TypeAdapter[Any]]] = {
    "claim": TypeAdapter(intentions.ClaimUnit),
    "take-over": TypeAdapter(intentions.TakeOverUnit),
    "certify": TypeAdapter(intentions.CertifyKey),
    "permit": TypeAdapter(intentions.PermitStep),
    "complete": TypeAdapter(intentions.CompleteUnit),
    "release": TypeAdapter(intentions.ReleaseUnit),
    "quarantine": TypeAdapter(intentions.QuarantineUnit),
}
_ADAPTERS: Final = {**INTENTIONS, **COMMANDS}
_PROBLEM: Final = {
    "type": "object",
    "required": ["status", "title", "kind", "code", "next_step"],
    "properties": {
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "kind": {"type": "string"},
        "code": {"type": "string"},
        "next_step": {"type": "string"},
    },
}
_OTHER_MEDIA: Final = {
    "/v1/metrics": "text/plain",
    "/v1/ledger/{path:path}": "application/octet-stream",
    "/v1/crl": "application/pkix-crl",
}
_SAID: Final = {
    400: "Not of its form; nothing was decided",
    403: "Not yours to ask, or not any more",
    404: "There is no such thing",
    413: "Too long",
    429: "Too often",
    503: "The outcome is unknown: ask again with the same ID",
}
_PROBLEMS: Final = {
    str(status): {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}}
    for status, text in _SAID.items()
}


def describe(operations: Iterable[Operation]) -> dict[str, Any]:
    """The OpenAPI description (3.1)."""
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    for name, adapter in {**_ADAPTERS, "Answer": TypeAdapter(Answer)}.items():
        schema = adapter.json_schema(mode="validation", ref_template=_REF)
        schemas |= schema.pop("$defs", {})
        schemas[name] = schema
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = operation.path.replace(":path}", "}")
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, path)
    info = {"title": "Imprint authority", "version": "1", "description": DESCRIPTION}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _operation(operation: Operation, path: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name if operation.method == "PUT" else f"{operation.name}:{path}",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": PARAMETERS[name]}}
            for name in operation.parameters
        ],
        "responses": {"200": _ok(operation), **_PROBLEMS},
    }
    if operation.method == "PUT":
        schema = {"$ref": _REF.format(model=operation.name)}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _ok(operation: Operation) -> dict[str, Any]:
    if operation.method == "PUT":
        schema: dict[str, Any] = {"$ref": _REF.format(model="Answer")}
        return {"description": "Decided, durably", "content": {"application/json": {"schema": schema}}}
    media_type = _OTHER_MEDIA.get(operation.path, "application/json")
    described = {"schema": {"type": "object"}} if media_type == "application/json" else {}
    return {"description": "Found", "content": {media_type: described}}
