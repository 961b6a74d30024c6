"""The commands that the driver sends."""

from typing import Any

from pymongo import monitoring


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
