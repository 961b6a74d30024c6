"""Lines of requirements → what each package is required to be, and the other lines as they stand."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from resolvers.texts.budget import Budget

MAX_LINE = 1000  # characters of a requirement that is taken apart, without its options
OPTION = " --"  # before each option of a requirement, such as --hash


class Required(NamedTuple):
    """`package` is the same for all spellings of a name; `key` for all layouts of a requirement."""

    package: str
    name: str
    key: str
    shown: str


def lines_of(text: str, budget: Budget) -> Iterator[str]:
    """The lines of requirements; one that ends with a backslash, which is in no comment, goes on in the next."""
    parts: list[str] = []
    for line in text.removeprefix("\ufeff").splitlines():
        budget.check_time()
        goes_on = line.endswith("\\") and _without_comment(line) == line.strip()
        parts.append(line[:-1] if goes_on else line)
        if not goes_on:
            yield "".join(parts)
            parts.clear()
    yield "".join(parts)


def read_requirements(lines: Iterable[str], budget: Budget) -> Iterator[Required]:
    """One for each package, its lines together, and one for each line that names none. Raises OverdueError."""
    packages: dict[str, list[Required]] = {}
    for line in filter(None, map(_without_comment, lines)):
        budget.check_time()
        required = _requirement(line) or _conda(line) or _unknown(line)
        packages.setdefault(required.package, []).append(required)
    for package, together in packages.items():
        key = "\n".join(sorted({each.key for each in together}))
        shown = "\n".join(dict.fromkeys(each.shown for each in together))
        yield Required(package, together[0].name, key, shown)


def _unknown(line: str) -> Required:
    words = " ".join(line.split())
    return Required(words, words, words, line)


def _without_blanks(options: Iterable[str]) -> list[str]:
    """The options in one order and layout."""
    return sorted(" ".join(option.split()) for option in options)


def _without_comment(line: str) -> str:
    """The line up to a `#` that begins it or stands after a blank, as pip reads it."""
    ends = [end for mark in (" #", "\t#") if (end := line.find(mark)) >= 0]
    return "" if line.startswith("#") else line[: min(ends, default=None)].strip()


def _requirement(line: str) -> Required | None:
    required, *options = line.split(OPTION)
    if len(required) > MAX_LINE:
        return None
    try:
        found = Requirement(required)
    except (InvalidRequirement, RecursionError):
        return None
    key = f"{sorted(found.extras)} {found.specifier} {found.url or ''} {found.marker or ''} {_without_blanks(options)}"
    return Required(canonicalize_name(found.name), found.name, key, line[len(found.name) :].strip())


def _conda(line: str) -> Required | None:
    """`scipy=1.0` or `scipy=1.0=py39_0`."""
    name, equals, version = line.partition("=")
    if not equals or len(version.split()) != 1 or (found := _requirement(name)) is None or found.shown:
        return None
    return found._replace(key=equals + version.strip(), shown=equals + version.strip())
