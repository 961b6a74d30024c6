"""One real MongoDB and one served application for all tests; an empty database for each."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from pymongo.asynchronous.database import AsyncDatabase
from starlette.applications import Starlette

from api.app import create_app
from api.embedded_mongodb import run_embedded_mongodb
from api.settings import Settings
from models.status import CLEARML, DOCUMENTED
from models.store.database import Database
from tests.support.client import Client
from tests.support.commands import LISTENER, Commands
from tests.support.database import NAME, delete_all

PATIENT: dict[str, Any] = {"max_time_ms": 60_000}  # for a machine that is busy with other things


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the tests marked slow, too")


def pytest_configure(config: pytest.Config) -> None:
    """Leave out the slow tests where neither --all nor a file asks for them."""
    names_files = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    if not (config.option.all or names_files or config.option.markexpr):
        config.option.markexpr = "not slow"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_embedded_mongodb(tmp_path_factory.mktemp("mongodb")) as uri:
        yield uri


@pytest.fixture(scope="session")
async def app(mongodb_uri: str) -> AsyncIterator[Starlette]:
    settings = Settings(mongodb_uri=SecretStr(mongodb_uri), mongodb_database=NAME, **PATIENT)
    created = create_app(settings)
    async with created.router.lifespan_context(created):
        yield created


@pytest.fixture
async def database(app: Starlette) -> AsyncDatabase[dict[str, Any]]:
    """The served database, without a document."""
    served: AsyncDatabase[dict[str, Any]] = app.state.database.database
    await delete_all(served)
    return served


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
        app_beside = application(mongodb_uri, **PATIENT | settings)
        app_beside.state.database = database or app.state.database
        made.append(httpx.AsyncClient(transport=httpx.ASGITransport(app_beside), base_url="http://localhost"))
        return Client(made[-1], app_beside.state.database.database)

    yield another
    for http in made:
        await http.aclose()


@pytest.fixture(params=[DOCUMENTED, CLEARML])
def rules(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def ruled(database: AsyncDatabase[dict[str, Any]], beside: Callable[..., Client], rules: str) -> Client:  # noqa: ARG001 - to be empty
    """A client of the application under either set of rules."""
    return beside(rules=rules)


@pytest.fixture
def commands() -> Commands:
    """The commands that the driver sends from here on."""
    LISTENER.seen.clear()
    return LISTENER
