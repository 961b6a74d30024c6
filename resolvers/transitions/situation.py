"""The columns of the table of moves, and the situation that decides about one move. The rows are in moves.py."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from models.status import CLEARML, QUEUED, SAME, STATUSES, UNKNOWN
from models.store.writer import Transaction
from models.types import Document
from resolvers.errors import ApiError
from resolvers.transitions.preconditions import Preconditions

LIVE_WORKER = timedelta(seconds=600)
DEVELOPMENT, ARCHIVED = "development", "archived"


class Refusal(NamedTuple):
    """The error that a move ends with, and whether `force: true` overrides it."""

    error: ApiError
    is_forcible: bool


@dataclass(slots=True)
class Outcome:
    """The changes that a move makes beside the status: fields to set and to clear, and its own keys of the answer."""

    set: dict[str, Any]
    unset: tuple[str, ...] = ()
    answer: dict[str, Any] = field(default_factory=dict)


Guard = Callable[["Situation"], ApiError | None]
Effect = Callable[["Situation", Transaction, Outcome], Awaitable[None]]


async def change_nothing(_situation: "Situation", _tx: Transaction, _outcome: Outcome) -> None:
    """The effect of a move that changes the fields of its row only."""


@dataclass(frozen=True, slots=True)
class Move:
    """One row: a mutation, the statuses from which it starts, the status to which it leads, and its consequences.

    A move without a target removes the task.
    """

    accepted: AbstractSet[str]
    target: str | None
    guards: tuple[Guard, ...]  # in the order in which their errors count
    clearml: AbstractSet[str] = frozenset()  # accepted by ClearML's rules only
    has_force: bool = True
    strict_guards: tuple[Guard, ...] = ()  # those that force does not override
    needs: AbstractSet[str] = frozenset()  # the preconditions that guards and effect read
    now: tuple[str, ...] = ()  # fields that are set to the present
    cleared: tuple[str, ...] = ()
    effect: Effect = change_nothing
    can_leave_to_worker: bool = False

    def accepts(self, status: str, rules: str) -> bool:
        return status in self.get_accepted(rules)

    def get_accepted(self, rules: str) -> AbstractSet[str]:
        return self.accepted | self.clearml if rules == CLEARML else self.accepted


@dataclass(frozen=True, slots=True)
class Situation:
    """A task, one move of it, and everything that decides about that move at this moment.

    `mutation` is the public name of the move; without `arguments` no client has asked for it yet.
    """

    move: Move
    mutation: str
    task: Document
    preconditions: Preconditions
    rules: str
    now: datetime
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> Any:
        return self.task.get("status")

    @property
    def target(self) -> str | None:
        """The status afterwards; None when the task is gone then."""
        is_same = self.move.target == SAME or self.is_left_to_worker
        return self.status if is_same else self.move.target

    @property
    def is_left_to_worker(self) -> bool:
        """Whether the task has a live worker, which is asked to stop by itself, in any status."""
        if not self.move.can_leave_to_worker or (self.rules == CLEARML and self.status == QUEUED):
            return False
        last_update = self.task.get("last_update")
        is_live = isinstance(last_update, datetime) and self.now - last_update < LIVE_WORKER
        return is_live and bool(self.task.get("last_worker")) and DEVELOPMENT not in get_system_tags(self.task)

    def find_refusals(self) -> list[Refusal]:
        """All that forbids the move, the weightiest first."""
        errors = [(guard(self), self.move.has_force) for guard in self.move.guards]
        errors += [(guard(self), False) for guard in self.move.strict_guards]
        return [Refusal(error, is_forcible) for error, is_forcible in errors if error]


def get_system_tags(task: Document) -> list[Any]:
    tags = task.get("system_tags")
    return tags if isinstance(tags, list) else []


def format_status(status: Any) -> str:
    """Write a stored status as the API names it."""
    return (status if status in STATUSES else UNKNOWN).upper()


def format_statuses(statuses: Collection[str]) -> list[str]:
    return [status.upper() for status in STATUSES if status in statuses]
