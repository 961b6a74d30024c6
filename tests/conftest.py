"""One real MongoDB and one served application for all tests; an empty database for each."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from pymongo import monitoring
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette

from api.app import create_app
from api.mongod import embedded
from api.settings import Settings
from models.db import Database
from models.status import CLEARML, DOCUMENTED
from schema.load import load
from schema.spec import ObjectSpec

DATA = Path(__file__).parent / "data"
NAME = "taskql_tests"
# (type, field) of what is not stored in a document, and changes with others
LOADED = {
    (definition.graphql_name, name)
    for definition in load().definitions.values() if isinstance(definition, ObjectSpec)
    for name, face in definition.outputs.items() if face.loader
}  # fmt: skip


class Commands(monitoring.CommandListener):
    """Notes every command that the driver sends to a database."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in {
            "find",
            "aggregate",
            "getMore",
            "count",
            "insert",
            "update",
            "delete",
            "findAndModify",
        }:
            self.seen.append(dict(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


LISTENER = Commands()
monitoring.register(LISTENER)


class Client:
    """Speaks GraphQL over HTTP to the served application."""

    def __init__(self, http: httpx.AsyncClient, database: AsyncDatabase[dict[str, Any]]) -> None:
        self.http = http
        self.database = database

    async def answer(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer."""
        response = await self.http.post("/graphql", json={"query": query, "variables": variables})
        answer: dict[str, Any] = response.json()
        return answer

    async def data(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer without errors."""
        answer = await self.answer(query, **variables)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    async def error(self, query: str, **variables: Any) -> dict[str, Any]:
        """The one error of an answer, its message beside its extensions."""
        answer = await self.answer(query, **variables)
        [error] = answer["errors"]
        return {"message": error["message"], **error["extensions"]}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded(tmp_path_factory.mktemp("mongodb")) as uri:
        yield uri


@pytest.fixture(scope="session")
async def app(mongodb_uri: str) -> AsyncIterator[Starlette]:
    # time enough for a machine that is busy with other things
    settings = Settings(mongodb_uri=SecretStr(mongodb_uri), mongodb_database=NAME, max_time_ms=60_000)
    made = create_app(settings)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def database(app: Starlette) -> AsyncDatabase[dict[str, Any]]:
    """The served database, without a document."""
    found: AsyncDatabase[dict[str, Any]] = app.state.database.database
    await empty(found)
    return found


@pytest.fixture
async def client(app: Starlette, database: AsyncDatabase[dict[str, Any]]) -> AsyncIterator[Client]:
    """A client of the served application over an empty database."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        yield Client(http, database)


@cache  # to make one takes a quarter of a second
def application(mongodb_uri: str, **settings: Any) -> Starlette:
    """An application without a database; what it is used with is its `state.database`."""
    return create_app(Settings(mongodb_uri=SecretStr(mongodb_uri), mongodb_database=NAME, **settings))


@pytest.fixture
async def beside(app: Starlette, mongodb_uri: str) -> AsyncIterator[Callable[..., Client]]:
    """Clients of further applications, with settings of their own, over the same connection to the same database."""
    made = []

    def another(database: Database | None = None, **settings: Any) -> Client:
        other = application(mongodb_uri, **settings)
        other.state.database = database or app.state.database
        made.append(httpx.AsyncClient(transport=httpx.ASGITransport(other), base_url="http://localhost"))
        return Client(made[-1], other.state.database.database)

    yield another
    for http in made:
        await http.aclose()


@pytest.fixture(params=[DOCUMENTED, CLEARML])
def rules(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def ruled(database: AsyncDatabase[dict[str, Any]], beside: Callable[..., Client], rules: str) -> Client:  # noqa: ARG001 - to be empty
    """A client of the application under either set of rules."""
    return beside(rules=rules)


@pytest.fixture
def commands() -> Commands:
    """The commands that the driver sends from here on."""
    LISTENER.seen.clear()
    return LISTENER


async def found_by(database: AsyncDatabase[dict[str, Any]], *stages: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What these stages find in each collection that has some, in one command: most tests fill few of them."""

    def asked(name: str) -> list[dict[str, Any]]:
        return [*stages, {"$project": {"_id": 0, "name": {"$literal": name}, "document": "$$ROOT"}}]

    first, *others = sorted(await database.list_collection_names())
    unions = [{"$unionWith": {"coll": name, "pipeline": asked(name)}} for name in others]
    found: dict[str, list[dict[str, Any]]] = {}
    async for row in await database[first].aggregate([*asked(first), *unions]):
        found.setdefault(row["name"], []).append(row["document"])
    return found


async def empty(database: AsyncDatabase[dict[str, Any]]) -> None:
    """Delete all documents."""
    for name in await found_by(database, {"$limit": 1}, {"$replaceWith": {}}):  # not all that is stored can be read
        await database[name].delete_many({})
