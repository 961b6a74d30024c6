"""The rooms import one way: schema and models ← resolvers ← api."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "schema": {"schema"},
    "models": {"models"},
    "resolvers": {"resolvers", "schema", "models"},
    "api": {"api", "resolvers", "schema", "models"},
}
FOREIGN = {
    "schema": {"pymongo", "bson", "beanie", "starlette"},
    "models": {"strawberry", "graphql", "starlette"},
    "resolvers": {"starlette", "os"},
    "api": set(),
}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_file_reaches_into_a_room_above_its_own(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        names = set(imported(path))
        assert names & MAY_IMPORT.keys() <= MAY_IMPORT[room], path
        assert not names & FOREIGN[room], path


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        path.name
        for room in MAY_IMPORT
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"\benviron\b|getenv", path.read_text())
    }
    assert not readers  # pydantic-settings does, in api/settings.py
