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

from resolvers.validation.limits import DEFAULT_LIMITS, Limits

PREFIX = "TASKQL_"  # of the variables
CLEARML_COMPANY = "d1bd92a3b039400cbafc60a7a5b1e52b"
NAME = r"(?:[a-z0-9_-]+\.)*[a-z0-9_-]+|\[[0-9a-f:.]+\]"
HOST = re.compile(rf"(?:\*\.)?(?:{NAME})")
ORIGIN = re.compile(rf"[a-z][a-z0-9+.-]*://(?:{NAME})(?::\d{{1,5}})?")

# the headings of the options in the help of a command
HEADINGS_OF_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "Addresses": ("host", "port", "allowed_hosts", "allowed_origins"),
    "Database": ("data_dir", "mongodb_uri", "mongodb_database"),
    "Tasks": ("company", "user", "rules", "storages"),
    "Interface": ("graphiql", "introspection"),
}
DEFAULT_HEADING = "Limits"
HEADINGS = (*HEADINGS_OF_SETTINGS, DEFAULT_HEADING)


def find_heading(name: str) -> str:
    """Return the heading under which the help of a command shows a setting."""
    return next((heading for heading, names in HEADINGS_OF_SETTINGS.items() if name in names), DEFAULT_HEADING)


def name_variable(setting: str) -> str:
    return f"{PREFIX}{setting.upper()}"


def list_variables() -> Iterable[str]:
    """Return the names of all variables of the environment."""
    return EnvSettingsSource(Settings, case_sensitive=True).env_vars


# -- values ----------------------------------------------------------------------------------------


def _require_loopback(host: Any) -> Any:
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


def _split_at_commas(value: Any) -> tuple[str, ...]:
    texts = value.split(",") if isinstance(value, str) else value
    return tuple(text.strip() for text in texts if text.strip())


def _make_name_splitter(pattern: re.Pattern[str], meaning: str) -> Callable[[Any], tuple[str, ...]]:
    """Return a reader of names with commas between them; `meaning` is the pattern in words."""

    def split(value: Any) -> tuple[str, ...]:
        names = tuple(name.lower() for name in _split_at_commas(value))
        for name in names:
            if not pattern.fullmatch(name):
                raise ValueError(f"{name!r} is not {meaning}")
        return names

    return split


_split_hosts = _make_name_splitter(HOST, "a host such as data.example.org, *.example.org or [::1], without a port")
# no "*": without authentication it would show the tasks to every site that a person on this machine visits
_split_origins = _make_name_splitter(
    ORIGIN, "an origin such as https://a.example.org or http://localhost:3000; no path"
)

Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_hosts)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_origins)]
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_at_commas)]


# -- the settings ----------------------------------------------------------------------------------


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    host: Annotated[str, BeforeValidator(_require_loopback)] = Field(
        default="127.0.0.1",
        validate_default=True,
        description="Address to listen on; it must be a loopback address until taskql has authentication.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one and prints it.")
    allowed_hosts: Hosts = Field(
        default=("localhost", "127.0.0.1", "[::1]"),
        description="Host headers that are allowed besides the address to listen on, separated by commas.",
    )
    allowed_origins: Origins = Field(
        default=(),
        description="Origins of browser front ends that may send requests besides its own pages, separated by commas.",
    )
    max_body_bytes: int = Field(default=4_000_000, ge=1, description="Maximum number of bytes of a request.")
    max_body_seconds: float = Field(
        default=30, gt=0, description="Maximum number of seconds until a request has arrived."
    )
    max_requests: int = Field(default=500, ge=1, description="Maximum number of requests that are worked on at once.")
    max_subscriptions: int = Field(
        default=2000, ge=0, description="Maximum number of subscriptions that are open at once."
    )
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("taskql"),
        description="Folder for the data of the embedded MongoDB; ignored with a MongoDB address.",
    )
    mongodb_uri: SecretStr | None = Field(
        default=None,
        description="Address of a MongoDB to use instead of the embedded one, such as mongodb://localhost:27017. "
        "Pass a password in the variable: the list of processes shows options.",
    )
    mongodb_database: str = Field(
        default="backend",
        min_length=1,
        max_length=63,
        pattern=r'^[^/\\. "$\x00]+$',
        description="Name of the database; ClearML's is backend.",
    )
    company: str = Field(
        default=CLEARML_COMPANY, description="Id of the company whose tasks are shown besides public ones."
    )
    user: str = Field(default="taskql", description="Id of the user who makes the changes.")
    rules: Literal["documented", "clearml"] = Field(
        default="documented",
        description="Rules for changes of tasks: documented, or clearml for those of a ClearML server.",
    )
    storages: Texts = Field(
        default=(),
        description="Prefixes that an output destination may have, separated by commas; "
        "empty allows any path and any known URI.",
    )
    max_page: int = Field(
        default=DEFAULT_LIMITS.page, ge=1, le=10_000, description="Maximum number of items on a page."
    )
    max_characters: int = Field(
        default=DEFAULT_LIMITS.characters, ge=1, description="Maximum number of characters of a document."
    )
    max_tokens: int = Field(default=DEFAULT_LIMITS.tokens, ge=1, description="Maximum number of tokens of a document.")
    max_depth: int = Field(
        default=DEFAULT_LIMITS.depth,
        ge=1,
        description="Maximum depth of fields; the fields of introspection do not count.",
    )
    max_aliases: int = Field(
        default=DEFAULT_LIMITS.aliases, ge=0, description="Maximum number of aliases of a document."
    )
    max_root_fields: int = Field(
        default=DEFAULT_LIMITS.root_fields, ge=1, description="Maximum number of root fields of an operation."
    )
    max_directives: int = Field(
        default=DEFAULT_LIMITS.directives, ge=0, description="Maximum number of directives of a document."
    )
    max_nesting: int = Field(
        default=DEFAULT_LIMITS.nesting,
        ge=1,
        le=150,
        description="Maximum depth of lists and objects in a variable or an argument.",
    )
    max_cost: int = Field(
        default=DEFAULT_LIMITS.cost,
        ge=1,
        description="Maximum cost of an operation: the number of objects that its answer can have.",
    )
    max_values: int = Field(
        default=DEFAULT_LIMITS.values,
        ge=1,
        description="Maximum number of values in a list, such as the ids of a filter.",
    )
    max_rows: int = Field(
        default=DEFAULT_LIMITS.rows,
        ge=0,
        description="Maximum number of rows before a numbered page, in an order with an index.",
    )
    max_rows_sorted: int = Field(
        default=DEFAULT_LIMITS.rows_sorted,
        ge=0,
        description="Maximum number of rows before a numbered page, in any other order.",
    )
    max_commands: int = Field(
        default=DEFAULT_LIMITS.commands,
        ge=1,
        description="Maximum number of database commands that a request sends at once.",
    )
    introspection: bool = Field(
        default=True,
        description="Allows clients to read the schema, and errors to suggest names from it.",
    )
    max_time_ms: int = Field(
        default=5000, ge=1, description="Maximum number of milliseconds that MongoDB takes for a command."
    )
    graphiql: bool = Field(default=True, description="Shows GraphiQL to browsers at /graphql.")

    @property
    def limits(self) -> Limits:
        return Limits(**{field.name: getattr(self, f"max_{field.name}") for field in dataclasses.fields(Limits)})
