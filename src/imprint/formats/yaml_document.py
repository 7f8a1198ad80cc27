"""YAML files from people: safe values, and the line on which each was written.

Only plain data (YAML's core types); an unknown tag, a duplicate key, an alias or a second document is refused with its
line. ``check`` fits a document to a pydantic model and turns each complaint into ``file:line``.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from imprint.errors import RecipeError

MAX_SIZE = 1 << 20

Path = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """A value and the line (from 1) of every place in it."""

    name: str
    value: Any
    lines: dict[Path, int]

    def where(self, path: Path) -> str:
        """``file:line`` of a place, or of the nearest place around it that was written down."""
        while path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines[path]}"


class _NoAliases(yaml.SafeLoader):
    """A few lines of aliases can stand for gigabytes, or for a value that contains itself."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)


def load(data: bytes, *, name: str) -> YamlDocument:
    """Parse. Raises :class:`RecipeError` with ``file:line`` in its subject."""
    if len(data) > MAX_SIZE:
        raise RecipeError("the file is larger than 1 MiB", subject=name)
    try:
        text = data.decode()
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        raise RecipeError("not UTF-8", subject=f"{name}:{line}", next_step="Save the file as UTF-8") from None
    try:
        node = yaml.compose(text, Loader=_NoAliases)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line = mark.line + 1 if mark else 1
        raise RecipeError(f"not YAML: {problem.problem}", subject=f"{name}:{line}") from None
    except (yaml.YAMLError, RecursionError):
        raise RecipeError("not YAML", subject=name) from None
    if node is None:
        raise RecipeError("the file is empty", subject=name)
    lines: dict[Path, int] = {}
    value = _value(node, (), lines, name)
    return YamlDocument(name=name, value=value, lines=lines)


def check(document: YamlDocument, model: type[T] | TypeAdapter[T]) -> T:
    """The document as ``model``. Raises :class:`RecipeError` for the first complaint, with its line."""
    adapter = model if isinstance(model, TypeAdapter) else TypeAdapter(model)
    try:
        return adapter.validate_python(document.value)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        path: Path = ()
        for part in first["loc"]:  # pydantic's names for its own branches are in it too
            path = (*path, part) if (*path, part) in document.lines else path
        missing = first["loc"][-1:] if first["type"] == "missing" else ()
        field = ".".join(str(part) for part in (*path, *missing))
        message = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{field}: {message}" if field else message, subject=document.where(path)) from None


_SCALARS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null")}


def _value(node: yaml.Node, path: Path, lines: dict[Path, int], name: str) -> Any:
    line = node.start_mark.line + 1
    lines[path] = line
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            place = f"{name}:{key_node.start_mark.line + 1}"
            if not isinstance(key, str) or key_node.tag == "tag:yaml.org,2002:merge":
                raise RecipeError("a key must be plain text", subject=place)
            if key in found:
                raise RecipeError(f"the key '{key}' occurs twice", subject=place)
            found[key] = _value(value_node, (*path, key), lines, name)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), lines, name) for index, item in enumerate(node.value)]
    if node.tag not in _SCALARS:
        raise RecipeError(f"the tag {node.tag} is not allowed; quote the value", subject=f"{name}:{line}")
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (ValueError, KeyError, yaml.YAMLError):
        kind = node.tag.rpartition(":")[2]
        raise RecipeError(f"'{node.value[:40]}' is not of the kind {kind}", subject=f"{name}:{line}") from None
