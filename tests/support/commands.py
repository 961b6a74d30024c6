"""The commands that the driver sends."""

from typing import Any

from pymongo import monitoring

NOTED_COMMANDS = {"find", "aggregate", "getMore", "count", "insert", "update", "delete", "findAndModify"}


class Commands(monitoring.CommandListener):
    """Notes every command that the driver sends to a database, but not the reading of a change stream.

    One stream serves a whole process, at its own pace: no request sends those commands.
    """

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in NOTED_COMMANDS and event.command.get("collection") != "$cmd.aggregate":
            self.seen.append(dict(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


LISTENER = Commands()
monitoring.register(LISTENER)
