"""Each setting: its name, default and meaning. The only reader of the environment.

Every setting is an environment variable `TASKQL_<NAME>` and an option of the commands that use it; the option wins.
"""

import ipaddress
from pathlib import Path
from typing import Annotated, Any

from platformdirs import user_data_path
from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

CLEARML_COMPANY = "d1bd92a3b039400cbafc60a7a5b1e52b"


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


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(
        env_prefix="TASKQL_", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    host: Annotated[str, BeforeValidator(_loopback)] = Field(
        default="127.0.0.1",
        validate_default=True,
        description="Address to listen on. Only loopback, until there is authentication.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one and says which.")
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("taskql"),
        description="Folder in which the embedded MongoDB keeps its data. Not used with a MongoDB address.",
    )
    mongodb_uri: SecretStr | None = Field(
        default=None,
        description="Address of a MongoDB to use instead of the embedded one, such as mongodb://localhost:27017.",
    )
    mongodb_database: str = Field(
        default="backend", min_length=1, max_length=63, pattern=r'^[^/\\. "$\x00]+$',
        description="Name of the database; ClearML's is backend.",
    )  # fmt: skip
    company: str = Field(
        default=CLEARML_COMPANY, description="Id of the company whose tasks are shown, besides public ones."
    )
    user: str = Field(default="taskql", description="Id of the user who acts here.")
    max_page: int = Field(default=500, ge=1, le=10_000, description="Most items a page may have.")
    max_time_ms: int = Field(default=5000, ge=1, description="Milliseconds after which MongoDB gives up on a command.")
    graphiql: bool = Field(default=True, description="Whether browsers are shown GraphiQL at /graphql.")
