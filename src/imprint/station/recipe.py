"""A recipe: the ordered steps for a product, as data. ``docs/formats/recipe.md`` is the specification."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from imprint.errors import RecipeError
from imprint.formats import yaml_document
from imprint.formats.yaml_document import YamlDocument
from imprint.protocol.intentions import KeyOrigin
from imprint.station.recipe_order import find_disorder
from imprint.station.steps import STEPS
from imprint.station.steps.firmware import LoadOptions
from imprint.station.steps.step import Options, Step

FORMAT: Final = "imprint-recipe/1"
SHIPPED: Final = Path(__file__).parent / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeStep:
    """A step with its options."""

    name: str
    options: Options

    @property
    def step(self) -> Step:
        """What the step does."""
        return STEPS[self.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A checked recipe: its steps are known, their options fit, and their order makes sense."""

    name: str
    steps: tuple[RecipeStep, ...]

    @property
    def step_names(self) -> frozenset[str]:
        """The steps that occur."""
        return frozenset(step.name for step in self.steps)


class _RecipeFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal["imprint-recipe/1"]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    steps: list[Any] = Field(min_length=1, max_length=200)


def parse_recipe(data: bytes, *, name: str) -> Recipe:
    """A recipe from YAML. ``name`` is what errors call the file. Raises :class:`RecipeError` with ``file:line``."""
    document = yaml_document.load(data, name=name)
    file = yaml_document.check(document, _RecipeFile)
    steps = tuple(_step(document, index, item) for index, item in enumerate(file.steps))
    disorder = find_disorder(steps)
    if disorder is not None:
        raise RecipeError(disorder.what, subject=document.where(("steps", disorder.index)), next_step=disorder.remedy)
    return Recipe(name=file.name, steps=steps)


def _step(document: YamlDocument, index: int, item: Any) -> RecipeStep:
    path: yaml_document.Path = ("steps", index)
    if isinstance(item, str):
        name, options = item, None
    elif isinstance(item, dict) and len(item) == 1:
        name, options = next(iter(item.items()))
        path = (*path, name)
    else:
        raise RecipeError(
            "a step is a name, or one name with its options",
            subject=document.where(path),
            next_step="Write '- make-key' or '- load-firmware: {image: production}'",
        )
    step = STEPS.get(name)
    if step is None:
        raise RecipeError(
            f"there is no step '{name}'", subject=document.where(path), next_step=f"The steps are {', '.join(STEPS)}"
        )
    inner = YamlDocument(
        name=document.name,
        value={} if options is None else options,
        lines={place[len(path) :]: line for place, line in document.lines.items() if place[: len(path)] == path},
    )
    return RecipeStep(name=name, options=yaml_document.check(inner, step.options))


def check_fits(
    recipe: Recipe, *, name: str, key_origin: str, has_diagnostic: bool, least_grades: Collection[str]
) -> None:
    """Raise :class:`RecipeError` when a lot cannot be made with this recipe.

    ``name`` is what errors call the recipe; ``least_grades`` holds the claims for which the product asks evidence.
    """
    names = recipe.step_names
    preprovisioned = key_origin == KeyOrigin.PREPROVISIONED
    wanted, other = ("check-identity", "make-key") if preprovisioned else ("make-key", "check-identity")
    if other in names:
        raise RecipeError(
            f"the profile's key origin is {key_origin}, but the recipe has '{other}'",
            subject=name,
            next_step=f"Use '{wanted}', or another profile",
        )
    diagnostic = any(
        isinstance(step.options, LoadOptions) and step.options.image == "diagnostic" for step in recipe.steps
    )
    if diagnostic and not has_diagnostic:
        raise RecipeError(
            "the recipe loads the diagnostic image, and the lot has none",
            subject=name,
            next_step="Create the lot with --diagnostic VERSION, or use a recipe that does not load it",
        )
    if "debug" in least_grades and "lock-debug" not in names:
        raise RecipeError(
            "the product asks for evidence of a locked debug port, and the recipe does not lock it",
            subject=name,
            next_step="Add 'lock-debug', or set the product's evidence for 'debug' to none",
        )
