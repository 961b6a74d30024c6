"""The program on one screen: lifespan, routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.graphiql.serving import find_built, graphiql_routes
from api.graphql import GraphQLView
from api.settings import Settings
from api.start import open_database
from models.reading import Viewer
from resolvers.context import Context
from resolvers.root import build_schema
from schema.load import load


def create_app(settings: Settings) -> Starlette:
    """The ASGI application; `settings.mongodb_uri` says where its database is."""
    spec = load()
    viewer = Viewer(user=settings.user, company=settings.company, role="admin")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_database(settings, spec) as database:
            app.state.database = database
            yield

    def new_context(request: Request) -> Context:
        reader = request.app.state.database.reader(viewer, settings.max_time_ms)
        return Context(viewer, reader, spec, settings.max_page)

    return Starlette(
        lifespan=lifespan,
        routes=[
            *(graphiql_routes(find_built()) if settings.graphiql else ()),
            Route("/graphql", GraphQLView(build_schema(spec), new_context).answer, methods=["GET", "POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
        ],
    )


async def healthz(_request: Request) -> Response:
    """The process is there."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Queries will be answered: 200, or 503 while the database does not answer."""
    try:
        await request.app.state.database.ping()
    except PyMongoError:
        return JSONResponse({"status": "the database does not answer"}, 503)
    return JSONResponse({"status": "ready"})
