"""A folder imports only those that ARROWS allows it, there is no circle, and each file is loaded once."""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests import conftest
from tests.support import factories
from tests.support.paths import MODULES, ROOT

# A room is a folder, or a module beside folders; within a room any import is allowed, without a circle.
ARROWS: Mapping[str, str] = {
    "schema": "",
    "models.types": "",
    "models.layout": "",
    "models.codecs": "",
    "models.dates": "",
    "models.extended_json": "models.dates",
    "models.status": "",
    "models.rules": "models.status",
    "models.documents": "models.dates",
    "models.metrics": "models.types models.layout",
    "models.imports": """
        models.types models.layout models.codecs models.dates models.documents models.metrics models.store
    """,
    "models.store": "models.types models.codecs models.dates models.documents",
    "resolvers.errors": "models.store",
    "resolvers.texts": "",
    "resolvers.criteria": """
        schema models.types models.layout models.codecs models.dates models.extended_json models.store
        resolvers.errors
    """,
    "resolvers.validation": "schema resolvers.errors resolvers.criteria",
    "resolvers.execution": """
        schema models.types models.layout models.dates models.status models.extended_json models.store
        resolvers.errors resolvers.criteria
    """,
    "resolvers.transitions": """
        models.types models.layout models.status models.rules models.documents models.store resolvers.errors
    """,
    "resolvers.fields": """
        schema models resolvers.errors resolvers.criteria resolvers.execution resolvers.transitions
    """,
    "resolvers.queries": """
        schema models.types models.layout resolvers.errors resolvers.texts resolvers.criteria resolvers.execution
        resolvers.fields
    """,
    "resolvers.mutations": """
        schema models resolvers.errors resolvers.execution resolvers.transitions
    """,
    "resolvers.subscriptions": """
        schema models resolvers.errors resolvers.criteria resolvers.execution resolvers.fields
    """,
    "resolvers.schema": """
        resolvers.errors resolvers.validation resolvers.execution resolvers.subscriptions
    """,
    "resolvers.root": """
        schema resolvers.validation resolvers.execution resolvers.transitions resolvers.fields resolvers.queries
        resolvers.mutations resolvers.subscriptions resolvers.schema
    """,
    "api": "schema models resolvers",
}
FOREIGN: Mapping[str, set[str]] = {
    "schema": {"pymongo", "bson", "beanie", "starlette"},
    "models": {"strawberry", "graphql", "starlette"},
    "resolvers": {"starlette", "os"},
}
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports; of a package the module that is taken from it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, path
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def room_of(module: str) -> str | None:
    return next((room for room in ARROWS if module == room or module.startswith(f"{room}.")), None)


def leads_to(arrow: str, room: str) -> bool:
    return room == arrow or room.startswith(f"{arrow}.")


def test_every_module_is_in_a_room() -> None:
    assert {name for name in MODULES if room_of(name) is None} <= {"models", "resolvers"}


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_those_that_its_arrows_lead_to(room: str) -> None:
    used = {
        (name, other)
        for name, path in MODULES.items()
        if room_of(name) == room
        for found in imports(path)
        if (other := room_of(found)) and other != room
    }
    allowed = ARROWS[room].split()
    assert {pair for pair in used if not any(leads_to(arrow, pair[1]) for arrow in allowed)} == set()
    assert {arrow for arrow in allowed if not any(leads_to(arrow, other) for _, other in used)} == set()


def test_no_module_is_imported_by_what_it_imports() -> None:
    graph = {name: {found for found in imports(path) if found in MODULES} for name, path in MODULES.items()}
    TopologicalSorter({name: found - PACKAGES for name, found in graph.items()}).prepare()


@pytest.mark.parametrize("room", FOREIGN)
def test_a_room_knows_no_library_that_another_room_hides(room: str) -> None:
    for name, path in MODULES.items():
        if name.partition(".")[0] == room:
            assert not {found.partition(".")[0] for found in imports(path)} & FOREIGN[room], name


def test_only_the_settings_read_the_environment() -> None:
    # pydantic-settings does, in api/settings.py
    assert not [name for name, path in MODULES.items() if re.search(r"\benviron\b|getenv", path.read_text())]


def test_each_file_of_the_tests_is_one_module(request: pytest.FixtureRequest) -> None:
    files = [file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]
    ours = [file for file in files if Path(file).is_relative_to(ROOT / "tests")]
    assert sorted(ours) == sorted(set(ours))
    assert conftest in request.config.pluginmanager.get_plugins()


def test_all_tests_have_the_same_absent() -> None:
    """`ABSENT` is compared by identity, so a second one would be stored as a value."""
    holders = [module for module in list(sys.modules.values()) if "ABSENT" in vars(module)]
    assert factories in holders
    assert all(module.ABSENT is factories.ABSENT for module in holders)
