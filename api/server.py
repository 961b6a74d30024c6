"""uvicorn as taskql runs it: on a socket that listens already, and with an orderly stop."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from api.protocol import HttpProtocol
from api.settings import Settings
from api.terminal import CommandError, out, say


@contextmanager
def open_listener(settings: Settings) -> Iterator[socket.socket]:
    """Yield a socket that listens on the host and port of the settings; raises CommandError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise CommandError(
            f"Can't listen on {settings.host} port {settings.port}: {os.strerror(error.errno or 0)}. Stop the program "
            "that does, or take another port with --port or TASKQL_PORT (0 takes a free one)."
        ) from None
    with listener:
        yield listener


def run_server(app: Starlette, listener: socket.socket, max_body_bytes: int) -> None:
    """Serve the application until a signal stops it."""
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws="websockets-sansio",
        ws_max_size=max_body_bytes,
        ws_per_message_deflate=False,
        log_config=None,
        log_level="warning",
        lifespan="on",
        server_header=False,
    )
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/graphql"
    try:
        Server(config, address, app.state.stopping).run(sockets=[listener])
    except KeyboardInterrupt:
        say(out, "Stopped.")


class Server(uvicorn.Server):
    """uvicorn's server, with a line when it is ready, and an orderly stop even at a second Ctrl-C."""

    def __init__(self, config: uvicorn.Config, address: str, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._address = address
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            say(out, f"taskql answers at {self._address}  (Ctrl-C stops it)")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Wait for the running requests at the first signal, abort their connections at the next.

        At the second signal uvicorn would print the requests that it cancels.
        """
        if self.should_exit:
            asyncio.get_running_loop().call_soon_threadsafe(self._abort_connections)
        else:
            super().handle_exit(sig, frame)

    def _abort_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
