"""The facts of a server about itself, with its database and without."""

import hashlib
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette

from api.app import create_app
from api.server_info import VERSION, describe_server
from api.settings import Settings
from schema.load import load
from schema.spec import EnumSpec
from tests.support.client import Client
from tests.support.paths import ROOT
from tests.support.servers import HTTP, serve, standalone

SDL = ROOT / "schema" / "schema.graphql"
LIMITS = load().get_object("server_limits").output_fields
EVERYTHING = f"""{{ serverInfo {{
  version schemaHash rules limits {{ {" ".join(LIMITS)} }} features mongodb {{ version topology }}
}} }}"""


def list_enum_values(name: str) -> list[str]:
    definition = load().definitions[name]
    assert isinstance(definition, EnumSpec)
    return [value.name for value in definition.values]


async def read_server_info(app: Starlette, query: str) -> dict[str, Any]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        answer: dict[str, Any] = (await http.post("/graphql", json={"query": query})).json()
    assert "errors" not in answer, answer["errors"]
    info: dict[str, Any] = answer["data"]["serverInfo"]
    return info


async def test_the_server_describes_itself(client: Client) -> None:
    info = (await client.data(EVERYTHING))["serverInfo"]
    assert info | {"limits": ..., "mongodb": ...} == {
        "version": VERSION,
        "schemaHash": hashlib.sha256(SDL.read_bytes()).hexdigest(),
        "rules": "DOCUMENTED",
        "limits": ...,
        "features": ["COST", "GRAPHIQL", "INTROSPECTION"],
        "mongodb": ...,
    }
    assert info["limits"] == {
        "page": 500,
        "characters": 100_000,
        "tokens": 4000,
        "depth": 12,
        "aliases": 100,
        "rootFields": 20,
        "directives": 100,
        "nesting": 64,
        "cost": 500_000,
        "values": 1000,
        "rows": 100_000,
        "rowsSorted": 10_000,
        "commands": 4,
        "pattern": 256,
        "search": 1000,
        "filterDepth": 16,
        "conditions": 500,
        "subprojects": 10_000,
        "orderKeys": 8,
        "bodyBytes": 4_000_000,
        "bodySeconds": 30,
        "requests": 500,
        "subscriptions": 2000,
        "timeMs": 60_000,
    }
    assert info["mongodb"]["topology"] == "REPLICA_SET"
    assert int(info["mongodb"]["version"].split(".")[0]) >= 6


async def test_its_limits_and_features_are_the_settings_in_force(app: Starlette, mongodb_uri: str) -> None:
    settings = Settings(
        mongodb_uri=SecretStr(mongodb_uri),
        rules="clearml",
        graphiql=False,
        introspection=False,
        max_page=7,
        max_cost=2**40,
        max_body_bytes=2**41,
        max_body_seconds=0.5,
        max_time_ms=250,
    )
    made = create_app(settings)
    made.state.database = app.state.database
    info = await read_server_info(made, EVERYTHING)
    assert info["rules"] == "CLEARML"
    assert info["features"] == ["COST"]
    expected = {"page": 7, "cost": 2**40, "bodyBytes": 2**41, "bodySeconds": 0.5, "timeMs": 250, "pattern": 256}
    assert {name: info["limits"][name] for name in expected} == expected


async def test_aliases_and_type_names_are_answered(client: Client) -> None:
    data = await client.data("""{ serverInfo {
      __typename v: version limits { __typename } small: limits { page }
      mongodb { __typename } again: mongodb { topology }
    } }""")
    assert data["serverInfo"] == {
        "__typename": "ServerInfo",
        "v": VERSION,
        "limits": {"__typename": "ServerLimits"},
        "small": {"page": 500},
        "mongodb": {"__typename": "ServerMongodb"},
        "again": {"topology": "REPLICA_SET"},
    }


def test_hocon_names_every_fact_and_the_settings_know_the_rules() -> None:
    facts = describe_server(Settings())
    assert facts.keys() | {"schema_hash", "mongodb"} == {
        field.name for field in load().get_object("server_info").fields
    }
    assert facts["limits"].keys() == {field.name for field in load().get_object("server_limits").fields}
    assert facts["features"] == list_enum_values("server_feature_enum")
    assert [*get_args(Settings.model_fields["rules"].annotation)] == list_enum_values("server_rules_enum")


def test_another_set_of_rules_is_refused() -> None:
    with pytest.raises(ValidationError, match="'documented' or 'clearml'"):
        Settings.model_validate({"rules": "none"})


@pytest.mark.slow
def test_a_lost_database_takes_only_the_facts_that_need_it(tmp_path: Path) -> None:
    with standalone(tmp_path) as uri:
        server = serve(mongodb_uri=uri, max_time_ms=1000)
        server_process = server.__enter__()
        try:
            alone = server_process.data("{ serverInfo { mongodb { topology } } }")
        except BaseException:
            server.__exit__(None, None, None)
            raise
    try:
        without = server_process.data("{ serverInfo { version limits { page } } }")
        query = "{ serverInfo { version mongodb { version } again: mongodb { topology } } }"
        answer = HTTP.post(server_process.address, json={"query": query}).json()
    finally:
        server_process.process.kill()
        server.__exit__(None, None, None)
    assert alone == {"serverInfo": {"mongodb": {"topology": "STANDALONE"}}}
    assert without == {"serverInfo": {"version": VERSION, "limits": {"page": 500}}}
    assert answer["data"] == {"serverInfo": {"version": VERSION, "mongodb": None, "again": None}}
    assert sorted(error["path"] for error in answer["errors"]) == [["serverInfo", "again"], ["serverInfo", "mongodb"]]
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"DATABASE_UNAVAILABLE"}
