"""The words of the product: none that is banned, no name for two things, no line that a reader must take apart."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import MODULES, ROOT

# instead: delivered, again, not a, must be, anyway, by its readers, becomes, forever; "what" begins no clause
BANNED = re.compile(
    r"\b(told|anew|is no|is to be|all the same|by those who|comes to|for ever|of which|what is given|what was)\b",
    re.IGNORECASE,
)
PROSE = ("*.md", "docs/*.md", "schema/*.conf", "schema/*.graphql", "api/graphiql/*.*", "api/graphiql/examples/*")
FILES = [*MODULES.values(), *(path for pattern in PROSE for path in ROOT.glob(pattern) if "lock" not in path.name)]
SOURCES = [pytest.param(path, id=name) for name, path in MODULES.items()]
DENSE = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.IfExp)


def find_dense(node: ast.AST, depth: int = 0) -> Iterator[int]:
    """The lines of comprehensions and conditional expressions that stand inside two others."""
    depth += isinstance(node, DENSE)
    if depth > 2 and isinstance(node, ast.expr):
        yield node.lineno
    for child in ast.iter_child_nodes(node):
        yield from find_dense(child, depth)


def list_definitions(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_has_no_banned_word(path: Path) -> None:
    assert [line for line in path.read_text().splitlines() if BANNED.search(line)] == []


def test_a_name_stands_for_one_thing_in_the_whole_product() -> None:
    modules = defaultdict(list)
    for module, path in MODULES.items():
        for name in list_definitions(path):
            modules[name].append(module)
    assert {name: found for name, found in modules.items() if len(found) > 1} == {}


def test_the_formatter_lays_out_every_line() -> None:
    paths = [*MODULES.values(), *(ROOT / "tests").rglob("*.py")]
    assert [path for path in paths if re.search(r"# fmt[:]", path.read_text())] == []


@pytest.mark.parametrize("path", SOURCES)
def test_at_most_one_comprehension_or_condition_stands_inside_another(path: Path) -> None:
    assert list(find_dense(ast.parse(path.read_text()))) == []
