"""The program on one screen: lifespan, middleware, routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from api.about import about
from api.errors import RefusedError, shown
from api.export import ExportView, export_context
from api.graphiql.serving import find_built, graphiql_routes
from api.graphql import GraphQLView
from api.lingering import Lingering
from api.middleware import AcceptedGzip, MaskedFaults, OneShape
from api.requests import METHODS
from api.settings import Settings
from api.start import open_database
from api.streams import Sockets
from models.types import Viewer
from resolvers.criteria.pages import Rows
from resolvers.errors import ErrorCode
from resolvers.execution.context import Context
from resolvers.queries.export import ExportContext
from resolvers.root import RELATED_FIELDS, build_schema
from schema.load import load

GZIP_FROM = 1400  # bytes: less fits into one packet as it is
GZIP_LEVEL = 1  # of a 500 KB answer: 29 % in 2.7 ms of CPU; Starlette's level 9 takes 20 ms for 24 %
# what a front end in a browser may read beside the headers that all may
EXPOSED = ("Retry-After", "Content-Disposition", "Allow", "Accept-Post")


def create_app(settings: Settings) -> Starlette:
    """The ASGI application; `settings.mongodb_uri` says where its database is."""
    spec = load()
    schema = build_schema(spec, settings.limits, introspection=settings.introspection, about=about(settings))
    viewer = Viewer(user=settings.user, company=settings.company, role="admin")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_database(settings, spec) as database:
            app.state.database = database
            yield

    def new_context(asked: HTTPConnection) -> Context:
        database, max_time_ms = asked.app.state.database, settings.max_time_ms
        reader = database.create_reader(viewer, max_time_ms, settings.max_commands)
        writer = database.create_writer(viewer, max_time_ms)
        return Context(
            viewer, reader, writer, database.changes, spec, settings.max_page, settings.rules, settings.storages,
            Rows(settings.max_rows, settings.max_rows_sorted),
            related_fields=RELATED_FIELDS,
        )  # fmt: skip

    @asynccontextmanager
    async def new_export(request: Request) -> AsyncIterator[ExportContext]:
        async with export_context(request.app.state.database, viewer, settings, spec) as context:
            yield context

    graphql = GraphQLView(schema, new_context, settings)
    app = Starlette(
        lifespan=lifespan,
        routes=[
            *(graphiql_routes(find_built()) if settings.graphiql else ()),
            Route("/graphql", graphql),
            WebSocketRoute("/graphql", Sockets(graphql.stream, new_context, settings.allowed_origins)),
            Route("/export", ExportView(schema, new_export, settings, graphql.at_once)),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
        ],
        middleware=middleware(settings),
    )
    app.state.stopping = graphql.stopping
    return app


def middleware(settings: Settings) -> list[Middleware]:
    """What every request goes through, from the outside in."""
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    return [
        Middleware(Lingering),
        Middleware(OneShape),
        Middleware(TrustedHostMiddleware, allowed_hosts=[*settings.allowed_hosts, own], www_redirect=False),
        Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=METHODS.split(", "),
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=EXPOSED,
        ),
        Middleware(AcceptedGzip),
        Middleware(GZipMiddleware, minimum_size=GZIP_FROM, compresslevel=GZIP_LEVEL),
        Middleware(MaskedFaults),
    ]


async def healthz(_request: Request) -> Response:
    """The process is there."""
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Queries will be answered: 200, or 503 while the database does not answer."""
    try:
        await request.app.state.database.ping()
    except PyMongoError:
        refusal = RefusedError(503, "The database does not answer.", ErrorCode.DATABASE_UNAVAILABLE)
        return JSONResponse({"errors": [shown(refusal)]}, refusal.status)
    return JSONResponse({"status": "ready"})
