"""The settings as options of commands, made from `Settings`, which spells each of them once."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from api.settings import HEADINGS, PREFIX, Settings, group_of, variables
from api.terminal import CommandError, warn


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command an option for each of these settings, and the settings themselves as first argument.

    The command names variables that look like settings and are none.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            given = {name: value for name in names if (value := arguments.pop(name)) is not None}
            for warning in find_unknown(variables()):
                warn(warning)
            command(read_settings(given), **arguments)

        own = list(inspect.signature(command).parameters.values())[1:]
        options = map(_option, sorted(names, key=lambda name: HEADINGS.index(group_of(name))))
        run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
        return run

    return decorate


def read_settings(given: dict[str, Any]) -> Settings:
    """The settings of the environment and of the options; raises CommandError."""
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = [
            f"{PREFIX}{str(item['loc'][0]).upper()}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        ]
        raise CommandError("These settings can't be used: " + "; ".join(problems)) from None


def find_unknown(names: Iterable[str]) -> Iterator[str]:
    """A sentence for each variable that begins as a setting does and is none, with the setting that is nearest."""
    known = [name.upper() for name in Settings.model_fields]
    for variable in sorted(names):
        name = variable.upper()
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known:
            nearest = get_close_matches(name.removeprefix(PREFIX), known, 1)
            advice = f"The nearest setting is {PREFIX}{nearest[0]}." if nearest else "See `taskql serve --help`."
            yield f"{variable} is not a setting and has no effect. {advice}"


def _option(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    kind: Any = field.annotation if field.annotation in (bool, int, float) else str
    flag = name.replace("_", "-")
    option = typer.Option(
        f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}",
        help=escape(f"{field.description}{_default(name)} ({PREFIX}{name.upper()})"),
        show_default=False,
        rich_help_panel=group_of(name),
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _default(name: str) -> str:
    field = Settings.model_fields[name]
    if field.default_factory or field.default in {None, ()}:
        return ""
    value = ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)
    return f" [default: {value.lower() if isinstance(field.default, bool) else value}]"
