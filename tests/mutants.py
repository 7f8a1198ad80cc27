"""Small wrong versions of a module, one change each. What no test notices is either untested or without effect.

Functions, and module-level tables too: what a state machine does is in its table. Left alone are docstrings, imports,
annotations and what is written for people: text with a space in it, and formatted text.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
}
_LEFT_ALONE: Final = (ast.Import, ast.ImportFrom, ast.JoinedStr)
_ANNOTATIONS: Final = frozenset({"annotation", "returns", "decorator_list", "ctx", "type_params"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A module with one change. ``change`` names it in the same words for as long as that line stays as it is."""

    line: int
    change: str
    source: str


def mutants_of(source: str) -> Iterator[Mutant]:
    """Every change that is tried, from the first line to the last."""
    tree = ast.parse(source)
    for parent, field, index, node, function in _places(tree, ""):
        for new in _replacements(node):
            _put(parent, field, index, new)
            changed = ast.unparse(ast.fix_missing_locations(tree))
            _put(parent, field, index, node)
            change = f"{function or 'module'}: {_short(node)} -> {_short(new)}"
            yield Mutant(line=node.lineno, change=change, source=changed)


Node = ast.expr | ast.stmt
_Place = tuple[ast.AST, str, int | None, Node, str]


def _places(parent: ast.AST, function: str) -> Iterator[_Place]:
    for field, value in ast.iter_fields(parent):
        if field in _ANNOTATIONS:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, _LEFT_ALONE) or _is_docstring(child):
                continue
            inside = function
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inside = f"{function}.{child.name}" if function else child.name
            elif isinstance(child, ast.expr | ast.stmt):
                yield parent, field, index, child, function
            yield from _places(child, inside)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _put(parent: ast.AST, field: str, index: int | None, node: Node) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _replacements(node: Node) -> Iterator[Node]:
    if isinstance(node, ast.stmt):
        yield from _other_statements(node)
    elif isinstance(node, ast.Constant):
        yield from _other_constants(node)
    elif isinstance(node, ast.Dict | ast.List | ast.Tuple | ast.Set):
        yield from _other_collections(node)
    else:
        yield from _other_expressions(node)


def _other_statements(node: ast.stmt) -> Iterator[ast.stmt]:
    if isinstance(node, ast.Expr | ast.Raise | ast.AugAssign | ast.Break | ast.Continue):
        yield ast.copy_location(ast.Pass(), node)
    if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield ast.copy_location(ast.Return(value=ast.Constant(value=None)), node)
    if isinstance(node, ast.If | ast.While):
        for value in (True, False):
            if not isinstance(node, ast.While) or not value:
                changed = copy.copy(node)
                changed.test = ast.Constant(value=value)
                yield changed


def _other_constants(node: ast.Constant) -> Iterator[ast.expr]:
    value = node.value
    if isinstance(value, bool):
        yield ast.copy_location(ast.Constant(value=not value), node)
    elif isinstance(value, int):
        yield ast.copy_location(ast.Constant(value=value + 1), node)
    elif isinstance(value, str) and " " not in value:
        yield ast.copy_location(ast.Constant(value=value + "x"), node)


def _other_collections(node: ast.Dict | ast.List | ast.Tuple | ast.Set) -> Iterator[ast.expr]:
    """Without each of its items in turn; and a dictionary with the value of the next entry in place of each."""
    if isinstance(node, ast.Dict):
        size = len(node.keys)
        for gone in range(size):
            kept = [index for index in range(size) if index != gone]
            keys, values = [node.keys[index] for index in kept], [node.values[index] for index in kept]
            yield ast.copy_location(ast.Dict(keys=keys, values=values), node)
            following = node.values[(gone + 1) % size]
            if node.keys[gone] is not None and ast.dump(following) != ast.dump(node.values[gone]):
                values = [following if index == gone else node.values[index] for index in range(size)]
                yield ast.copy_location(ast.Dict(keys=node.keys, values=values), node)
        return
    if isinstance(getattr(node, "ctx", ast.Load()), ast.Load) and len(node.elts) > 1:
        for gone in range(len(node.elts)):
            changed = copy.copy(node)
            changed.elts = [item for index, item in enumerate(node.elts) if index != gone]
            yield changed


def _other_expressions(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            changed = copy.copy(node)
            changed.ops = [*node.ops[:index], _COMPARISONS[type(operator)](), *node.ops[index + 1 :]]
            yield changed
    elif isinstance(node, ast.BoolOp):
        swapped = copy.copy(node)
        swapped.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield swapped
        for gone in range(len(node.values)):
            kept = [value for index, value in enumerate(node.values) if index != gone]
            yield kept[0] if len(kept) == 1 else ast.copy_location(ast.BoolOp(op=node.op, values=kept), node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        changed_operator = copy.copy(node)
        changed_operator.op = _OPERATORS[type(node.op)]()
        yield changed_operator
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.Call):
        for gone in range(len(node.keywords)):
            changed_call = copy.copy(node)
            changed_call.keywords = [item for index, item in enumerate(node.keywords) if index != gone]
            if not _for_people(node.keywords[gone].value):
                yield changed_call


def _for_people(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and " " in str(node.value))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _short(node: Node) -> str:
    """The node on one line. A statement with a body is its head."""
    text = ast.unparse(node).splitlines()[0]
    return text if len(text) <= 100 else f"{text[:97]}..."
