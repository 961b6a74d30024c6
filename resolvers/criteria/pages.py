"""The arguments of a page, by cursor or by number. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from resolvers.errors import ErrorCode, InputError, limit_exceeded

DEFAULT_PAGE = 50
PAGING = {
    "first": "first", "after": "after", "last": "last", "before": "before", "page": "page", "page_size": "pageSize",
}  # fmt: skip


class Rows(NamedTuple):
    """The row at which a page may start that is asked for by its number: where an index has the order, and elsewhere.

    MongoDB walks through, or sorts, all rows before it.
    """

    served: int = 100_000
    sorted: int = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """What to fetch: `limit` documents from `skip`, behind `cursor`, from the back when `backward`."""

    limit: int
    skip: int = 0
    cursor: str | None = None
    backward: bool = False


def page_of(given: Mapping[str, Any], max_page: int) -> Page:
    """The page asked for by cursors or by number; raises InputError and LimitError."""
    asked = {name for name, value in given.items() if value is not None}
    if asked & {"page", "page_size"}:
        return _numbered(given, asked, max_page)
    if asked & {"last", "before"}:
        if wrong := asked & {"first", "after"}:
            raise _contradiction("last", "before", wrong)
        return Page(_size(given.get("last"), "last", max_page), cursor=given.get("before"), backward=True)
    return Page(_size(given.get("first"), "first", max_page), cursor=given.get("after"))


def _numbered(given: Mapping[str, Any], asked: set[str], max_page: int) -> Page:
    if wrong := asked & {"first", "after", "last", "before"}:
        raise _contradiction("page", "pageSize", wrong)
    if "page_size" not in asked:
        raise InputError(ErrorCode.MISSING_REQUIRED_FIELDS, "page needs pageSize.", field="pageSize")
    size, page = _size(given["page_size"], "pageSize", max_page), given.get("page") or 0
    if page < 0:
        raise InputError(ErrorCode.VALIDATION_ERROR, "page counts from 0.", field="page")
    return Page(size, skip=page * size)


def refuse_deep(page: Page, rows: Rows, *, is_served: bool) -> None:
    """Raises LimitError for a page that starts too far in."""
    limit, maximum = ("rows", rows.served) if is_served else ("rowsSorted", rows.sorted)
    if page.skip > maximum:
        order = "" if is_served else " of an order without an index"
        message = (
            f"page starts at row {page.skip}; a page{order} that is asked for by its number starts at row {maximum} at "
            "most. Go on with cursors: first and after."
        )
        raise limit_exceeded(message, field="page", limit=limit, maximum=maximum, actual=page.skip)


def _contradiction(one: str, other: str, wrong: set[str]) -> InputError:
    message = f"{one} and {other} don't go with {', '.join(sorted(wrong))}."
    return InputError(ErrorCode.VALIDATION_ERROR, message, field=one)


def _size(value: int | None, name: str, max_page: int) -> int:
    if value is None:
        return min(DEFAULT_PAGE, max_page)
    if value < 1:
        raise InputError(ErrorCode.VALIDATION_ERROR, f"{name} is at least 1.", field=name)
    if value > max_page:
        message = f"{name} is at most {max_page}; ask for more pages."
        raise limit_exceeded(message, field=name, limit="page", maximum=max_page, actual=value)
    return value
