"""Settings and fixtures of all tests."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from soft_factory import Factory

# A machine that is shared is slow at times: how long things take is for the benchmarks to say. The short form runs with
# every change, the long one with ``make fuzz``.
settings.register_profile("short", deadline=None, max_examples=25)
settings.register_profile("long", deadline=None, max_examples=5000, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("IMPRINT_EXAMPLES", "short"))


@pytest.fixture(scope="session")
def factory_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one lot, to be copied."""
    from soft_factory import make_template

    return make_template(tmp_path_factory.mktemp("template") / "workspace")


@pytest.fixture
def factory(factory_template: Path, tmp_path: Path) -> Iterator["Factory"]:
    """A factory with one lot, all of its own."""
    from soft_factory import copied_factory

    with copied_factory(factory_template, tmp_path / "factory") as made:
        yield made
