"""The settings as options of commands, made from `Settings`, which spells each of them once."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from api.settings import HEADINGS, PREFIX, Settings, find_heading, list_variables, name_variable
from api.terminal import CommandError, warn


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each of these settings, and the settings themselves as first argument.

    The command warns of variables that look like settings and have no effect.
    """

    def add_options(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            options = {name: arguments.pop(name) for name in names}
            for warning in find_unknown_variables(list_variables()):
                warn(warning)
            command(read_settings(options), **arguments)

        parameters = list(inspect.signature(command).parameters.values())[1:]
        by_heading = sorted(names, key=lambda name: HEADINGS.index(find_heading(name)))
        run.__signature__ = inspect.Signature([*parameters, *map(_make_option, by_heading)])  # type: ignore[attr-defined]
        return run

    return add_options


def read_settings(options: Mapping[str, Any]) -> Settings:
    """Read the settings of the environment and of the options, None for those left out; raises CommandError."""
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        problems = []
        for item in error.errors():
            reason = item["msg"].removeprefix("Value error, ")
            problems.append(f"{name_variable(str(item['loc'][0]))}: {reason}")
        raise CommandError("These settings can't be used: " + "; ".join(problems)) from None


def find_unknown_variables(names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each variable with the prefix of settings that is not one, with the nearest setting."""
    settings = [name.upper() for name in Settings.model_fields]
    for variable in sorted(names):
        name = variable.upper()
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in settings:
            nearest = get_close_matches(name.removeprefix(PREFIX), settings, 1)
            advice = f"The nearest setting is {PREFIX}{nearest[0]}." if nearest else "See `taskql serve --help`."
            yield f"{variable} is not a setting and has no effect. {advice}"


def _make_option(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    type_: Any = field.annotation if field.annotation in (bool, int, float) else str
    flag = name.replace("_", "-")
    option = typer.Option(
        f"--{flag}/--no-{flag}" if type_ is bool else f"--{flag}",
        help=escape(f"{field.description}{_format_default(name)} ({name_variable(name)})"),
        show_default=False,
        rich_help_panel=find_heading(name),
    )
    annotation = Annotated[type_ | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _format_default(name: str) -> str:
    field = Settings.model_fields[name]
    if field.default_factory or field.default in {None, ()}:
        return ""
    default = ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)
    return f" [default: {default.lower() if isinstance(field.default, bool) else default}]"
