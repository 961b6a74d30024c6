"""The README and the pages of docs/, and the examples in them."""

import re

from tests.support.paths import ROOT

DOCS = {path.stem: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}


def find_blocks(page: str, language: str) -> list[str]:
    """Reads the fenced blocks of a language from a page, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS[page], re.DOTALL | re.MULTILINE)


def find_examples() -> list[str]:
    """Reads every GraphQL document of every page: blocks, bodies of curl, arguments of export, strings of Python."""
    examples = [block for page in DOCS for block in find_blocks(page, "graphql")]
    for text in DOCS.values():
        examples += [re.sub(r"\s+", " ", query) for query in re.findall(r'"query":\s*"(.*?)"[,}]', text, re.DOTALL)]
        examples += re.findall(r"taskql export .*?'(\{.*?\})'", text)
        examples += re.findall(r"query=(\{.*?\})'", text)
        examples += re.findall(r"""query = ["'](\{.*?\})["']$""", text, re.MULTILINE)
    return [example.replace('\\"', '"') for example in examples]
