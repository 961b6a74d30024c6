"""The arguments of a page, by cursor or by number. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from resolvers.errors import ErrorCode, InputError, limit_exceeded

DEFAULT_PAGE = 50
# the names of the arguments in HOCON → in the API
PAGING = {
    "first": "first",
    "after": "after",
    "last": "last",
    "before": "before",
    "page": "page",
    "page_size": "pageSize",
}


class RowLimits(NamedTuple):
    """The maximum row at which a page by number may start: where an index has the order, and elsewhere.

    MongoDB walks through, or sorts, all rows before it.
    """

    indexed: int = 100_000
    sorted: int = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """The documents of a page: `limit` from `skip`, after `cursor`; a backward page ends before it instead."""

    limit: int
    skip: int = 0
    cursor: str | None = None
    is_backward: bool = False


def parse_page(arguments: Mapping[str, Any], max_page: int) -> Page:
    """The page of the arguments, by cursor or by number; raises InputError and LimitError."""
    present = {name for name, value in arguments.items() if value is not None}
    if present & {"page", "page_size"}:
        return _parse_numbered_page(arguments, present, max_page)
    if present & {"last", "before"}:
        _refuse_mixture("last", "before", present & {"first", "after"})
        return Page(_read_size(arguments, "last", max_page), cursor=arguments.get("before"), is_backward=True)
    return Page(_read_size(arguments, "first", max_page), cursor=arguments.get("after"))


def _parse_numbered_page(arguments: Mapping[str, Any], present: set[str], max_page: int) -> Page:
    _refuse_mixture("page", "pageSize", present & {"first", "after", "last", "before"})
    if "page_size" not in present:
        raise InputError(ErrorCode.MISSING_REQUIRED_FIELDS, "page needs pageSize.", field="pageSize")
    size = _read_size(arguments, "page_size", max_page)
    number = arguments.get("page") or 0
    if number < 0:
        raise InputError(ErrorCode.VALIDATION_ERROR, "page must be at least 0; the first page is 0.", field="page")
    return Page(size, skip=number * size)


def refuse_deep_page(page: Page, row_limits: RowLimits, *, is_served: bool) -> None:
    """Raises LimitError for a page that starts after the maximum row; `is_served` where an index has its order."""
    limit, maximum = ("rows", row_limits.indexed) if is_served else ("rowsSorted", row_limits.sorted)
    if page.skip <= maximum:
        return
    order = "" if is_served else " in an order without an index"
    message = (
        f"page starts at row {page.skip}; the maximum{order} is row {maximum}. Go on with cursors: first and after."
    )
    raise limit_exceeded(message, field="page", limit=limit, maximum=maximum, actual=page.skip)


def _refuse_mixture(name: str, partner: str, unexpected: set[str]) -> None:
    if unexpected:
        message = f"{name} and {partner} can't be combined with {', '.join(sorted(unexpected))}; leave one kind out."
        raise InputError(ErrorCode.VALIDATION_ERROR, message, field=name)


def _read_size(arguments: Mapping[str, Any], argument: str, max_page: int) -> int:
    size: int | None = arguments.get(argument)
    name = PAGING[argument]
    if size is None:
        return min(DEFAULT_PAGE, max_page)
    if size < 1:
        raise InputError(ErrorCode.VALIDATION_ERROR, f"{name} must be at least 1.", field=name)
    if size > max_page:
        message = f"{name} is {size}; the maximum is {max_page}. Ask for more pages."
        raise limit_exceeded(message, field=name, limit="page", maximum=max_page, actual=size)
    return size
