"""The README and the pages of docs/ say what is so."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType, GraphQLScalarType, build_schema, parse, specified_scalar_types, validate

from api.import_command import SAMPLE
from api.settings import Settings
from models.imports.importer import import_files
from models.rules import RULES
from resolvers.errors import ErrorCode
from schema.dialect import KEYS_OF_KINDS
from schema.load import load
from schema.spec import ObjectSpec
from tests.support.client import Client
from tests.support.documents import DOCS, find_blocks, find_examples
from tests.support.paths import ROOT

JSON = {"Content-Type": "application/json"}
SCHEMA = build_schema((ROOT / "schema" / "schema.graphql").read_text())


def test_every_setting_stands_in_the_docs_with_its_sentence() -> None:
    rows = re.findall(r"^\| `TASKQL_(\w+)` \|.*\| (.*) \|$", DOCS["settings"], re.MULTILINE)
    assert rows == [(name.upper(), field.description) for name, field in Settings.model_fields.items()]


def test_every_error_code_stands_in_the_docs_with_its_meaning() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", DOCS["errors"], re.MULTILINE)
    assert rows == [(code.name, code.value) for code in ErrorCode]


def test_every_rule_stands_in_the_docs_with_its_sentence() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", DOCS["mutations"], re.MULTILINE)
    assert [row for row in rows if row[0] in RULES] == list(RULES.items())


def test_every_annotation_stands_in_the_docs() -> None:
    rows = re.findall(r"^\| (`x-.*`) \|", DOCS["schema"], re.MULTILINE)
    keys = {key for keys_of_kind in KEYS_OF_KINDS.values() for key in keys_of_kind if key.startswith("x-")}
    assert set(re.findall(r"`(x-[a-z-]+)`", " ".join(rows))) == keys


async def test_the_first_query_has_the_answer_that_is_printed(client: Client) -> None:
    body = re.search(r"-d '(\{.*?\})'\n", DOCS["README"], re.DOTALL)
    assert body
    [printed] = find_blocks("README", "json")
    await _import_sample(client)
    response = await client.http.post("/graphql", content=body[1].replace("\n", ""), headers=JSON)
    assert json.loads(printed) == response.json()


async def test_the_refused_query_has_the_answer_that_is_printed(client: Client) -> None:
    [query] = re.findall(r"`([^`]*)` is answered with:", DOCS["errors"])
    [printed] = find_blocks("errors", "json")
    assert json.loads(printed) == await client.answer(query)


@pytest.mark.parametrize("example", find_examples())
def test_every_example_fits_the_schema(example: str) -> None:
    assert validate(SCHEMA, parse(example)) == []


def test_every_example_has_a_test() -> None:
    """A new example needs a row in one of the tests below."""
    expected = {"README": 4, "lists": 3, "metrics": 3, "mutations": 2}
    assert {page: len(find_blocks(page, "graphql")) for page in DOCS if find_blocks(page, "graphql")} == expected


@pytest.mark.parametrize(("page", "counts"), [("README", [4, 12, 2]), ("lists", [4, 5])])
async def test_every_list_of_the_docs_is_answered(client: Client, page: str, counts: list[int]) -> None:
    await _import_sample(client)
    answers = [await client.data(query) for query in _find_queries(page)]
    assert [_count_tasks(answer["tasks"]) for answer in answers if "tasks" in answer] == counts


async def test_every_curve_of_the_docs_has_points(client: Client) -> None:
    await _import_sample(client)
    for query in (_find_queries("README")[-1], _find_queries("metrics")[0]):
        tasks = (await client.data(query))["tasks"]["nodes"]
        assert len(tasks) == 2
        assert all(task["series"] and task["metricAt"] is not None for task in tasks)


async def test_statistics_comparisons_and_names_of_the_docs_are_answered(client: Client) -> None:
    await _import_sample(client)
    statistics = await client.data(_find_queries("metrics")[1])
    assert sum(row["count"] for row in statistics["taskStats"]) == 12
    assert statistics["compareTasks"]["items"]
    names = await client.data(_find_queries("lists")[2])
    assert {"metric": "accuracy", "variant": "test", "taskCount": 8} in names["metricNames"]["nodes"]


async def test_every_mutation_of_the_docs_does_what_its_page_says(client: Client) -> None:
    await _import_sample(client)
    [create], [clone, edit], [report] = [
        [await client.data(query) for query in find_blocks(page, "graphql") if query.startswith("mutation")]
        for page in ("README", "mutations", "metrics")
    ]
    assert create["taskCreate"]["task"].pop("id")
    assert create["taskCreate"]["task"] == {
        "status": "CREATED",
        "hyperparams": [{"section": "General", "name": "alpha", "value": "0.002"}],
    }
    cloned = clone["taskClone"]["task"]
    assert cloned["name"] == f"Clone of {cloned['parent']['name']}"
    assert (cloned["status"], len(cloned["hyperparams"])) == ("CREATED", 9)
    edited = edit["taskEdit"]
    assert edited["task"] == {"comment": None, "tags": ["retry"], "execution": {"framework": "scikit-learn"}}
    assert edited["fields"].items() >= {"comment": None, "execution.framework": "scikit-learn"}.items()
    [result] = report["metricsReport"]["results"]
    assert result == {"succeeded": True, "added": 3, "badPoints": [], "error": None}


def test_the_caches_of_clients_know_the_types_of_this_schema() -> None:
    """The types with an `id` of their own, the lists with pages, the parts of a task, and the scalars."""
    apollo, urql, relay, _, codegen = find_blocks("clients", "ts")
    definitions = [spec for spec in load().definitions.values() if isinstance(spec, ObjectSpec)]
    stored = {spec.graphql_name for spec in definitions if spec.collection and "id" in spec.output_fields}
    assert set(re.findall(r"(\w+): (?:byId|\{ \.\.\.byId)", apollo)) == stored
    for block in (urql, relay):
        [listed] = re.findall(r"^const stored = (.*);$", block, re.MULTILINE)
        assert set(json.loads(listed)) == stored
    assert SCHEMA.query_type
    fields = SCHEMA.query_type.fields.items()
    lists = {name for name, field in fields if str(field.type).endswith("Connection!")}
    assert set(re.findall(r"(\w+): (?:list|relayStylePagination)\b", apollo)) == lists | {"children", "transitions"}
    assert set(re.findall(r"(\w+): relayPagination", urql)) == lists | {"children", "transitions"}
    for name in re.findall(r"(\w+): \{ merge: true \}", apollo):
        part = SCHEMA.type_map[name]
        assert isinstance(part, GraphQLObjectType)
        assert "id" not in part.fields
    scalars = {
        name
        for name, kind in SCHEMA.type_map.items()
        if isinstance(kind, GraphQLScalarType) and name not in specified_scalar_types
    }
    [in_codegen] = re.findall(r"scalars: \{(.*?)\}", codegen)
    assert set(re.findall(r"(\w+): ", in_codegen)) == scalars
    [in_relay] = find_blocks("clients", "json")
    assert json.loads(in_relay)["customScalarTypes"].keys() == scalars


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/(\w+)\.md\)", DOCS["README"]))
    assert linked == DOCS.keys() - {"README"}


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.stem)
def test_every_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    for name, anchor in re.findall(r"\]\((?!https?:)([\w./]*)#?([\w-]*)\)", path.read_text()):
        target = path.parent / name if name else path
        assert target.is_file(), name
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        assert not anchor or anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_every_file_that_contributing_names_is_there() -> None:
    named = re.findall(
        r"`((?:\.ci|api|docs|models|resolvers|schema|tests)/[\w./]*)`", (ROOT / "CONTRIBUTING.md").read_text()
    )
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_name_that_contributing_places_in_a_file_is_there() -> None:
    pairs = re.findall(r"`(\w+)`\s+in\s+`([\w./]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(pairs) > 5
    assert [pair for pair in pairs if not re.search(rf"\b{pair[0]}\b", (ROOT / pair[1]).read_text())] == []


def _find_queries(page: str) -> list[str]:
    return [query for query in find_blocks(page, "graphql") if not query.startswith("mutation")]


def _count_tasks(connection: dict[str, Any]) -> int:
    return connection.get("totalCount") or len(connection["nodes"])


async def _import_sample(client: Client) -> None:
    report = await import_files(client.database, [SAMPLE], company=Settings().company, user="test", shown_fields={})
    assert report.problems == []
