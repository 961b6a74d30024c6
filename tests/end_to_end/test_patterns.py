"""No regular expression of ours backtracks: each takes little time for 100 KB of its worst."""

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

ROOMS = ("api", "models", "resolvers", "schema")
LENGTH = 100_000
SECONDS = 0.5  # of the processor
# by module and name: beginnings and what is repeated after them, chosen to match as far and as long as can be
WORST: dict[str, list[tuple[str, str]]] = {
    "api.requests.NO_NUMBER": [("", "-"), ("", "Na"), ("", "Infinit"), ("", " -Inf")],
    "api.requests.LONG_DIGITS": [("", "1"), ("", "1" * 307 + ","), ("", "1" * 400 + ","), ("", "-1")],
    "api.accepts.ITEM": [("", ","), ("", "a,"), ("", '"'), ("", '"\\'), ("", '",'), ('"', '\\"')],
    "api.accepts.PIECE": [("", ";"), ("", "a;"), ("", '"'), ("", '"\\'), ("", '";'), ('"', '\\"')],
    "api.accepts.WEIGHT": [("", " "), ("q=0.", "0"), ("0.", "0"), ("", "0"), ("q=0.000", " "), ("", "1.")],
    "api.settings.HOST": [("", "a."), ("", "a"), ("*.", "a-"), ("[", ":"), ("", "a_.")],
    "api.settings.ORIGIN": [("a://", "a."), ("", "a+"), ("a://a:", "1"), ("a://[", ":")],
    "models.layout._ESCAPE": [("", "%"), ("", "%2"), ("", "%_")],
    "models.metrics.last_metrics._SURROGATE": [("", "x"), ("", "é")],
    "models.imports.sdk_session._DRIVE": [("", "a"), ("", ":")],
    "models.imports.sdk_session._ID": [("", "a"), ("", "-")],
    "models.rules.URI": [("", "a"), ("", "a+"), ("", "a.")],
    "resolvers.criteria.dates.COMPACT_DATE": [("", "1")],
    "resolvers.criteria.dates.CONSTRAINT": [("", " "), (">=", " "), ("", ">="), ("", "\n"), ("<", " \t")],
    "resolvers.criteria.dates.DATE": [("2026-01-01T00:00:00.", "1"), ("", "1"), ("2026-01-01 ", "0")],
    "resolvers.criteria.dates.NUMBER": [("", "1"), ("-", "1"), ("1.", "1"), ("", "1.")],
    "resolvers.texts.hocon_text.BLANKS": [("", " "), ("", "#"), ("", "/"), ("", "\t\r"), ("", "//")],
    "resolvers.texts.hocon_text.GAP": [("", "\n"), ("", ","), ("", "#\n"), ("", "//\n"), ("", " /")],
    "resolvers.texts.hocon_text.NAME": [("", "a"), ('"', "a"), ('"', '\\"'), ('"', "\\")],
    "resolvers.texts.hocon_text.TOKEN": [
        ("", "a"),
        ("", " "),
        ("", ":"),
        ('"', '\\"'),
        ('"', "\\"),
        ("${", "a"),
        ("${", "${"),
    ],
    "resolvers.texts.values.NUMBER": [
        ("", "1"),
        ("", "0"),
        ("1.", "1"),
        ("1e", "1"),
        (".", "0"),
        ("-", "1"),
        ("1e", "1e"),
    ],
    "resolvers.errors.BEFORE_REASON": [("", "i"), ("", "invalid:"), ("", "regexMatch:")],
    "schema.moments.SECONDS": [("", "1"), ("", ":11"), ("", ":11:11"), (":11:11.", "1")],
    "schema.moments.RFC_3339": [("2026-01-01T00:00:00.", "1"), ("", "1"), ("2026-01-01T", "0:")],
    "schema.dialect.ENUM_VALUE": [("", "a")],
    "schema.dialect.NAME": [("", "a"), ("", "_")],
    "schema.dialect.VERSION": [("", "1"), ("", "1."), ("", "1.1")],
}
# these read files of ours and what our own mongod writes, never a stored or a client's text
OWN = {
    "api/mongod.py": "the embedded mongod's version, log and command line",
    "schema/sources.py": "the files of schema/",
}


# all others are only matched from where a text begins
SEARCHED = {
    "api.requests.LONG_DIGITS": "sub",
    "api.accepts.ITEM": "findall",
    "api.accepts.PIECE": "findall",
    "models.layout._ESCAPE": "sub",
    "models.metrics.last_metrics._SURROGATE": "search",
    "resolvers.errors.BEFORE_REASON": "split",
    "schema.moments.SECONDS": "search",
}


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Every compiled pattern at the top of a module, by its name."""
    for path in modules():
        name = module_name(path)
        found = vars(importlib.import_module(name))
        for constant in constants(path):
            if isinstance(found[constant], re.Pattern):
                yield f"{name}.{constant}", found[constant]


def modules() -> Iterator[Path]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if f"{room}/{path.name}" not in OWN and path.name != "__main__.py":
                yield path


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def constants(path: Path) -> Iterator[str]:
    """The names that a module assigns at its top."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id


PATTERNS = dict(patterns())


def test_every_pattern_has_its_worst_text() -> None:
    assert PATTERNS.keys() == WORST.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_takes_little_time_for_its_worst_text(name: str) -> None:
    pattern = PATTERNS[name]
    uses = [pattern.search, pattern.findall] if name in SEARCHED else [pattern.match, pattern.fullmatch]
    for start, repeated in WORST.get(name, []):
        for end in ("", "!", "\n", '"', " x"):
            text = start + (repeated * LENGTH)[: LENGTH - len(start) - len(end)] + end
            for use in uses:
                assert seconds(use, text_for(pattern, text)) < SECONDS, (
                    use.__name__,
                    start,
                    repeated,
                    end,
                )


def text_for(pattern: re.Pattern[Any], text: str) -> str | bytes:
    return text if isinstance(pattern.pattern, str) else text.encode()


def seconds(use: Callable[[Any], object], text: str | bytes) -> float:
    began = time.process_time()
    use(text)
    return time.process_time() - began


def test_every_pattern_is_a_constant_of_its_module() -> None:
    """Inside a function it could be made of a client's text; patterns of clients run in MongoDB alone."""
    for path in modules():
        tree = ast.parse(path.read_text())
        at_top = {id(node.value) for node in tree.body if isinstance(node, ast.Assign)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
                assert id(node) in at_top, f"{path}:{node.lineno}"
            assert not (isinstance(node, ast.ImportFrom) and node.module == "re"), path


def test_only_known_patterns_are_searched_for() -> None:
    """A pattern that begins with a repetition takes quadratic time when it is searched for."""
    searching = {"search", "sub", "subn", "split", "findall", "finditer"}
    for path in modules():
        names = {name.rsplit(".", 1)[1] for name in PATTERNS if name.startswith(f"{module_name(path)}.")}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in searching and ast.unparse(node.value) in names:
                assert SEARCHED[f"{module_name(path)}.{ast.unparse(node.value)}"] == node.attr
