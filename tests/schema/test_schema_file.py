"""schema/schema.graphql is the schema: an API change is a diff."""

from resolvers.root import build_schema
from schema.load import load
from tests.support.paths import ROOT

FILE = ROOT / "schema" / "schema.graphql"


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    printed = build_schema(load()).as_str() + "\n"
    assert FILE.read_text() == printed, "run: uv run taskql schema print > schema/schema.graphql"
