"""``imprint recipe``: the recipes that ship, and a check for your own."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from imprint.cli.output import Json, show
from imprint.errors import InputError
from imprint.station.recipe import parse_recipe
from imprint.storage.files import read_file

app = typer.Typer(add_completion=False, no_args_is_help=True)

MAX_RECIPE = 1 << 20
_SHIPPED = files("imprint.station") / "recipes"


def shipped_recipes() -> dict[str, bytes]:
    """The recipes that come with the program, by name."""
    found = (entry for entry in _SHIPPED.iterdir() if entry.name.endswith(".yaml"))
    return {entry.name.removesuffix(".yaml"): entry.read_bytes() for entry in sorted(found, key=lambda one: one.name)}


def read_recipe(name_or_file: str) -> tuple[str, bytes]:
    """A shipped recipe by its name, else a file; checked. Raises :class:`InputError` with the line."""
    shipped = shipped_recipes()
    if name_or_file in shipped:
        return name_or_file, shipped[name_or_file]
    path = Path(name_or_file)
    if not path.is_file():
        raise InputError(
            "neither a recipe that ships nor a file",
            subject=name_or_file,
            next_step=f"The recipes that ship are {', '.join(shipped)}",
        )
    data = read_file(path, limit=MAX_RECIPE)
    return parse_recipe(data, name=str(path)).name, data


@app.command("list")
def list_(as_json: Json = False) -> None:
    """The recipes that ship.

    Example: imprint recipe list
    """
    rows = [
        {"recipe": name, "steps": len(parse_recipe(data, name=name).steps)} for name, data in shipped_recipes().items()
    ]
    show({"recipes": rows}, as_json=as_json)


@app.command("show")
def show_(name: Annotated[str, typer.Argument(help="A recipe that ships")]) -> None:
    """Print a recipe, to be changed into your own.

    Example: imprint recipe show typical > my-recipe.yaml
    """
    _, data = read_recipe(name)
    typer.echo(data.decode(), nl=False)


@app.command()
def check(file: Annotated[str, typer.Argument(metavar="FILE", help="A recipe file")], as_json: Json = False) -> None:
    """Check a recipe: its schema, and that its steps are in an order that can work.

    Example: imprint recipe check my-recipe.yaml
    """
    name, data = read_recipe(file)
    steps = [
        {"number": number, "step": step.name} for number, step in enumerate(parse_recipe(data, name=file).steps, 1)
    ]
    show({"recipe": name, "steps": steps}, as_json=as_json)
