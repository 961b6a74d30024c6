"""No text has a banned word; each of them hides the actor or the thing, and has a plainer one beside it."""

import re

import pytest

from tests.support.paths import ROOT

BANNED = re.compile(
    r"\b(told|anew|is no|is to be|all the same|by those who|comes to|for ever|of which|what is given|what was)\b",
    re.IGNORECASE,
)
TEXTS = (
    "*.md",
    "docs/*.md",
    "api/**/*.py",
    "api/graphiql/*.*",
    "api/graphiql/examples/*",
    "resolvers/**/*.py",
    "models/**/*.py",
    "schema/*.*",
)


@pytest.mark.parametrize("pattern", TEXTS)
def test_no_text_has_a_banned_word(pattern: str) -> None:
    paths = [path for path in ROOT.glob(pattern) if path.name != "package-lock.json"]
    assert paths
    assert [(str(path), word) for path in paths for word in BANNED.findall(path.read_text())] == []
