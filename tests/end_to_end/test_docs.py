"""What the README says is so."""

import json
import re

from api.imports import SAMPLE
from api.settings import Settings
from models.imports.importer import import_files
from models.rules import RULES
from resolvers.errors import ErrorCode
from tests.support.client import Client
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```graphql\n(.*?)```", README, re.DOTALL)


def test_every_setting_stands_in_the_readme_with_its_sentence() -> None:
    rows = re.findall(r"^\| `TASKQL_(\w+)` \|.*\| (.*) \|$", README, re.MULTILINE)
    expected = [(name.upper(), field.description) for name, field in Settings.model_fields.items()]
    assert rows == expected


def test_every_error_code_stands_in_the_readme_with_its_meaning() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", README, re.MULTILINE)
    assert [(name, said) for name, said in rows if not name.startswith("TASKQL_")] == [
        (code.name, code.value) for code in ErrorCode
    ]


async def test_the_first_query_has_the_answer_that_is_printed(client: Client) -> None:
    asked = re.search(r"-d '(\{.*?\})'\n", README, re.DOTALL)
    printed = re.search(r"```json\n(.*?)```", README, re.DOTALL)
    assert asked
    assert printed
    await _import_sample(client)
    response = await client.http.post("/graphql", content=asked[1].replace("\n", ""), headers=JSON)
    assert json.loads(printed[1]) == response.json()


async def test_every_query_of_the_readme_is_answered(client: Client) -> None:
    await _import_sample(client)
    queries = [query for query in EXAMPLES if not query.startswith("mutation")]
    *lists, groups = [await client.data(query) for query in queries]
    assert [answer["tasks"].get("totalCount") or len(answer["tasks"]["nodes"]) for answer in lists] == [4, 12, 4, 5, 2]
    assert all(task["series"] and task["metricAt"] is not None for task in lists[-1]["tasks"]["nodes"])
    assert sum(row["count"] for row in groups["taskStats"]) == 12
    assert groups["compareTasks"]["items"]


async def test_every_mutation_of_the_readme_does_what_is_said_of_it(client: Client) -> None:
    await _import_sample(client)
    create, clone, edit, report = [await client.data(query) for query in EXAMPLES if query.startswith("mutation")]
    assert create["taskCreate"]["task"] | {"id": ""} == {
        "id": "", "status": "CREATED", "hyperparams": [{"section": "General", "name": "alpha", "value": "0.002"}],
    }  # fmt: skip
    cloned = clone["taskClone"]["task"]
    assert cloned["name"] == f"Clone of {cloned['parent']['name']}"
    assert (cloned["status"], len(cloned["hyperparams"])) == ("CREATED", 9)
    edited = edit["taskEdit"]
    assert edited["task"] == {"comment": None, "tags": ["retry"], "execution": {"framework": "scikit-learn"}}
    assert edited["fields"].items() >= {"comment": None, "execution.framework": "scikit-learn"}.items()
    [result] = report["metricsReport"]["results"]
    assert result == {"succeeded": True, "added": 3, "badPoints": [], "error": None}


def test_every_rule_stands_in_the_readme_with_its_sentence() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", README, re.MULTILINE)
    assert [row for row in rows if row[0] in RULES] == list(RULES.items())


JSON = {"Content-Type": "application/json"}


async def _import_sample(client: Client) -> None:
    report = await import_files(client.database, [SAMPLE], company=Settings().company, user="test", shown={})
    assert report.problems == []


def test_every_file_that_contributing_names_is_there() -> None:
    named = re.findall(
        r"`((?:\.ci|api|models|resolvers|schema|tests)/[\w./]*)`", (ROOT / "CONTRIBUTING.md").read_text()
    )
    assert len(named) > 40
    assert [name for name in named if not (ROOT / name).exists()] == []
