"""Lines of requirements → one requirement for each package; lines without a package stay as they are."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from resolvers.texts.budget import Budget

MAX_LINE = 1000  # characters of a requirement that is parsed, without its options
OPTION = " --"  # before each option of a requirement, such as --hash


class RequiredPackage(NamedTuple):
    """A requirement: `package` is equal for all spellings of its name, `key` for all layouts of its text."""

    package: str
    name: str
    key: str
    text: str


def join_lines(text: str, budget: Budget) -> Iterator[str]:
    """Yield the lines of a text, joining one that ends with a backslash outside a comment with the next."""
    pieces: list[str] = []
    for line in text.removeprefix("\ufeff").splitlines():
        budget.check_time()
        is_continued = line.endswith("\\") and _strip_comment(line) == line.strip()
        pieces.append(line[:-1] if is_continued else line)
        if not is_continued:
            yield "".join(pieces)
            pieces.clear()
    yield "".join(pieces)


def read_requirements(lines: Iterable[str], budget: Budget) -> Iterator[RequiredPackage]:
    """Yield one requirement for each package, and one for each line without a package; raises OverdueError."""
    packages: dict[str, list[RequiredPackage]] = {}
    for line in filter(None, map(_strip_comment, lines)):
        budget.check_time()
        required = _parse_requirement(line) or _parse_conda(line) or _read_unknown_line(line)
        packages.setdefault(required.package, []).append(required)
    for package, requirements in packages.items():
        key = "\n".join(sorted({each.key for each in requirements}))
        text = "\n".join(dict.fromkeys(each.text for each in requirements))
        yield RequiredPackage(package, requirements[0].name, key, text)


def _read_unknown_line(line: str) -> RequiredPackage:
    words = " ".join(line.split())
    return RequiredPackage(words, words, words, line)


def _normalize_options(options: Iterable[str]) -> list[str]:
    """Bring options into one order and layout."""
    return sorted(" ".join(option.split()) for option in options)


def _strip_comment(line: str) -> str:
    """Cut a line at a `#` that begins it or stands after a blank, as pip does."""
    ends = [end for mark in (" #", "\t#") if (end := line.find(mark)) >= 0]
    return "" if line.startswith("#") else line[: min(ends, default=None)].strip()


def _parse_requirement(line: str) -> RequiredPackage | None:
    source, *options = line.split(OPTION)
    if len(source) > MAX_LINE:
        return None
    try:
        requirement = Requirement(source)
    except (InvalidRequirement, RecursionError):
        return None
    name = requirement.name
    specifier, url, marker = requirement.specifier, requirement.url or "", requirement.marker or ""
    key = f"{sorted(requirement.extras)} {specifier} {url} {marker} {_normalize_options(options)}"
    return RequiredPackage(canonicalize_name(name), name, key, line[len(name) :].strip())


def _parse_conda(line: str) -> RequiredPackage | None:
    """Parse a requirement of conda, such as `scipy=1.0` or `scipy=1.0=py39_0`."""
    name, equals, version = line.partition("=")
    if not equals or len(version.split()) != 1:
        return None
    required = _parse_requirement(name)
    if required is None or required.text:
        return None
    text = equals + version.strip()
    return required._replace(key=text, text=text)
