"""What the server tells of itself, with its database and without."""

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


def values_of(name: str) -> list[str]:
    found = load().definitions[name]
    assert isinstance(found, EnumSpec)
    return [value.name for value in found.values]


async def told(app: Starlette, query: str) -> dict[str, Any]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        answer: dict[str, Any] = (await http.post("/graphql", json={"query": query})).json()
    assert "errors" not in answer, answer["errors"]
    found: dict[str, Any] = answer["data"]["serverInfo"]
    return found


async def test_the_server_tells_what_it_is(client: Client) -> None:
    found = (await client.data(EVERYTHING))["serverInfo"]
    assert found | {"limits": ..., "mongodb": ...} == {
        "version": VERSION,
        "schemaHash": hashlib.sha256(SDL.read_bytes()).hexdigest(),
        "rules": "DOCUMENTED",
        "limits": ...,
        "features": ["COST", "GRAPHIQL", "INTROSPECTION"],
        "mongodb": ...,
    }
    assert found["limits"] == {
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
    assert found["mongodb"]["topology"] == "REPLICA_SET"
    assert int(found["mongodb"]["version"].split(".")[0]) >= 6


async def test_what_it_tells_are_the_settings_in_force(app: Starlette, mongodb_uri: str) -> None:
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
    found = await told(made, EVERYTHING)
    assert found["rules"] == "CLEARML"
    assert found["features"] == ["COST"]
    expected = {"page": 7, "cost": 2**40, "bodyBytes": 2**41, "bodySeconds": 0.5, "timeMs": 250, "pattern": 256}
    assert {name: found["limits"][name] for name in expected} == expected


async def test_aliases_and_typenames_are_answered_as_everywhere(client: Client) -> None:
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


def test_hocon_names_what_is_told_and_the_settings_know_the_rules() -> None:
    known = describe_server(Settings())
    assert known.keys() | {"schema_hash", "mongodb"} == {
        field.name for field in load().get_object("server_info").fields
    }
    assert known["limits"].keys() == {field.name for field in load().get_object("server_limits").fields}
    assert known["features"] == values_of("server_feature_enum")
    assert [*get_args(Settings.model_fields["rules"].annotation)] == values_of("server_rules_enum")


def test_other_rules_there_are_none() -> None:
    with pytest.raises(ValidationError, match="'documented' or 'clearml'"):
        Settings.model_validate({"rules": "none"})


def test_only_what_needs_the_database_is_lost_when_it_is_away(tmp_path: Path) -> None:
    with standalone(tmp_path) as uri:
        server = serve(mongodb_uri=uri, max_time_ms=1000)
        found = server.__enter__()
        try:
            alone = found.data("{ serverInfo { mongodb { topology } } }")
        except BaseException:
            server.__exit__(None, None, None)
            raise
    try:
        without = found.data("{ serverInfo { version limits { page } } }")
        query = "{ serverInfo { version mongodb { version } again: mongodb { topology } } }"
        answer = HTTP.post(found.address, json={"query": query}).json()
    finally:
        found.process.kill()
        server.__exit__(None, None, None)
    assert alone == {"serverInfo": {"mongodb": {"topology": "STANDALONE"}}}
    assert without == {"serverInfo": {"version": VERSION, "limits": {"page": 500}}}
    assert answer["data"] == {"serverInfo": {"version": VERSION, "mongodb": None, "again": None}}
    assert sorted(error["path"] for error in answer["errors"]) == [["serverInfo", "again"], ["serverInfo", "mongodb"]]
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"DATABASE_UNAVAILABLE"}
