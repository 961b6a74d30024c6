"""Each setting: its name, default and meaning. The only reader of the environment.

Every setting is an environment variable `TASKQL_<NAME>` and an option of the commands that use it; the option wins.
"""

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_data_path
from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict

from resolvers.validation.limits import DEFAULTS, Limits

PREFIX = "TASKQL_"  # of the variables
CLEARML_COMPANY = "d1bd92a3b039400cbafc60a7a5b1e52b"
NAME = r"(?:[a-z0-9_-]+\.)*[a-z0-9_-]+|\[[0-9a-f:.]+\]"
HOST = re.compile(rf"(?:\*\.)?(?:{NAME})")
ORIGIN = re.compile(rf"[a-z][a-z0-9+.-]*://(?:{NAME})(?::\d{{1,5}})?")


def _loopback(host: Any) -> Any:
    if host == "localhost":
        return host
    try:
        is_loopback = ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(
            f"{host!r} is not a loopback address. taskql has no authentication yet, so it only listens on this "
            "machine: use 127.0.0.1, ::1 or localhost, and reach it from elsewhere through an SSH tunnel"
        )
    return host


def _listed(form: re.Pattern[str], meant: str) -> Callable[[Any], tuple[str, ...]]:
    """Reads names with commas between them, each of this form; `meant` says which in words."""

    def read(given: Any) -> tuple[str, ...]:
        names = given.split(",") if isinstance(given, str) else given
        found = tuple(name.strip().lower() for name in names if name.strip())
        for name in found:
            if not form.fullmatch(name):
                raise ValueError(f"{name!r} is not {meant}")
        return found

    return read


def _texts(given: Any) -> tuple[str, ...]:
    texts = given.split(",") if isinstance(given, str) else given
    return tuple(text.strip() for text in texts if text.strip())


Hosts = Annotated[
    tuple[str, ...], NoDecode,
    BeforeValidator(_listed(HOST, "a host such as data.example.org, *.example.org or [::1], without a port")),
]  # fmt: skip
# no "*": without authentication it would show the tasks to every site that a person on this machine visits
Origins = Annotated[
    tuple[str, ...], NoDecode,
    BeforeValidator(_listed(ORIGIN, "an origin such as https://a.example.org or http://localhost:3000; no path")),
]  # fmt: skip


# the headings of the options in the help of a command
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Addresses": ("host", "port", "allowed_hosts", "allowed_origins"),
    "Database": ("data_dir", "mongodb_uri", "mongodb_database"),
    "Tasks": ("company", "user", "rules", "storages"),
    "Interface": ("graphiql", "introspection"),
}
OTHERS = "Limits"
HEADINGS = (*GROUPS, OTHERS)


def group_of(name: str) -> str:
    """The heading under which the help of a command shows a setting."""
    return next((group for group, names in GROUPS.items() if name in names), OTHERS)


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    host: Annotated[str, BeforeValidator(_loopback)] = Field(
        default="127.0.0.1",
        validate_default=True,
        description="Address to listen on. Only loopback, until there is authentication.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one and says which.")
    allowed_hosts: Hosts = Field(
        default=("localhost", "127.0.0.1", "[::1]"),
        description="Hosts, with commas between them, under which it may be addressed, besides the one it listens on.",
    )
    allowed_origins: Origins = Field(
        default=(),
        description="Origins, with commas between them, of front ends in browsers that may ask, besides its own pages.",
    )
    max_body_bytes: int = Field(default=4_000_000, ge=1, description="Most bytes that a request may have.")
    max_body_seconds: float = Field(default=30, gt=0, description="Seconds in which a request must have arrived.")
    max_requests: int = Field(default=500, ge=1, description="Most requests that are worked on at once.")
    max_subscriptions: int = Field(default=2000, ge=0, description="Most subscriptions that are open at once.")
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("taskql"),
        description="Folder in which the embedded MongoDB keeps its data. Not used with a MongoDB address.",
    )
    mongodb_uri: SecretStr | None = Field(
        default=None,
        description="Address of a MongoDB to use instead of the embedded one, such as mongodb://localhost:27017. "
        "A password is safer in the variable: the list of processes shows options.",
    )
    mongodb_database: str = Field(
        default="backend", min_length=1, max_length=63, pattern=r'^[^/\\. "$\x00]+$',
        description="Name of the database; ClearML's is backend.",
    )  # fmt: skip
    company: str = Field(
        default=CLEARML_COMPANY, description="Id of the company whose tasks are shown, besides public ones."
    )
    user: str = Field(default="taskql", description="Id of the user who acts here.")
    rules: Literal["documented", "clearml"] = Field(
        default="documented",
        description="Rules for changes of tasks: documented, or clearml for what a ClearML server does.",
    )
    storages: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_texts)] = Field(
        default=(),
        description="Beginnings, with commas between them, of where output may go; when empty, any path or known URI.",
    )
    max_page: int = Field(default=DEFAULTS.page, ge=1, le=10_000, description="Most items a page may have.")
    max_characters: int = Field(
        default=DEFAULTS.characters, ge=1, description="Maximum number of characters of a document."
    )
    max_tokens: int = Field(default=DEFAULTS.tokens, ge=1, description="Most tokens a document may have.")
    max_depth: int = Field(
        default=DEFAULTS.depth, ge=1,
        description="Most levels of fields; what introspection needs does not count.",
    )  # fmt: skip
    max_aliases: int = Field(default=DEFAULTS.aliases, ge=0, description="Most aliases a document may have.")
    max_root_fields: int = Field(default=DEFAULTS.root_fields, ge=1, description="Most fields at the root.")
    max_directives: int = Field(default=DEFAULTS.directives, ge=0, description="Most directives a document may have.")
    max_nesting: int = Field(
        default=DEFAULTS.nesting, ge=1, le=150,
        description="Most lists and objects, one inside the other, in a variable or an argument.",
    )  # fmt: skip
    max_cost: int = Field(default=DEFAULTS.cost, ge=1, description="Most objects that an answer may come to.")
    max_values: int = Field(
        default=DEFAULTS.values, ge=1, description="Maximum number of values in a list, such as the ids of a filter."
    )
    max_rows: int = Field(
        default=DEFAULTS.rows, ge=0,
        description="Maximum number of rows before a page that is asked for by its number, in an order with an index.",
    )  # fmt: skip
    max_rows_sorted: int = Field(
        default=DEFAULTS.rows_sorted, ge=0,
        description="Maximum number of rows before a page that is asked for by its number, in any other order.",
    )  # fmt: skip
    max_commands: int = Field(
        default=DEFAULTS.commands, ge=1, description="Maximum number of database commands of one request at once."
    )
    introspection: bool = Field(
        default=True,
        description="Whether clients may ask for the schema, and errors suggest names from it.",
    )
    max_time_ms: int = Field(default=5000, ge=1, description="Milliseconds after which MongoDB gives up on a command.")
    graphiql: bool = Field(default=True, description="Whether browsers are shown GraphiQL at /graphql.")

    @property
    def limits(self) -> Limits:
        return Limits(**{field.name: getattr(self, f"max_{field.name}") for field in dataclasses.fields(Limits)})


def variables() -> Iterable[str]:
    """The names of all variables of the environment."""
    return EnvSettingsSource(Settings, case_sensitive=True).env_vars
