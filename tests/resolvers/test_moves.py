"""The table of moves, read as a table."""

import re
from collections.abc import Set as AbstractSet
from typing import Any

import pytest

from models.dates import now
from models.status import CLEARML, DOCUMENTED, SAME, STATUSES
from resolvers.transitions.moves import MOVES, draw_diagram
from resolvers.transitions.preconditions import CHILDREN, MODELS, QUEUES, Preconditions
from resolvers.transitions.situation import Situation
from schema.load import load
from schema.spec import EnumSpec
from tests.support.documents import find_blocks
from tests.support.factories import task

TABLE = """
    | move      | accepted                                                        | clearml               | target      | force |
    | started   | created queued in_progress stopped completed                    |                       | in_progress | yes   |
    | stop      | in_progress stopped closed failed                               | queued                | stopped     | yes   |
    | stopped   | in_progress stopped closed failed                               | queued                | stopped     | yes   |
    | failed    | in_progress stopped closed failed                               |                       | failed      | yes   |
    | close     | stopped closed                                                  |                       | closed      | yes   |
    | completed | in_progress stopped completed                                   |                       | completed   | yes   |
    | publish   | stopped publishing closed failed completed                      |                       | published   | yes   |
    | enqueue   | created                                                         | queued stopped failed | queued      | no    |
    | dequeue   | queued                                                          |                       | created     | no    |
    | reset     | created queued in_progress stopped closed failed completed      |                       | created     | yes   |
    | edit      | created                                                         |                       | same        | yes   |
    | delete    | created                                                         |                       | gone        | yes   |
"""  # noqa: E501


def test_the_table_of_moves_is_this_one() -> None:
    _, *rows = [[cell.strip() for cell in line.strip(" |").split("|")] for line in TABLE.strip().splitlines()]
    assert {name: cells for name, *cells in rows} == {
        name: [
            _list_statuses(move.accepted),
            _list_statuses(move.clearml),
            move.target or "gone",
            "yes" if move.has_force else "no",
        ]
        for name, move in MOVES.items()
    }


def _list_statuses(statuses: AbstractSet[str]) -> str:
    return " ".join(status for status in STATUSES if status in statuses)


class NotingPreconditions:
    """Preconditions without a document, which note what a guard reads of them."""

    def __init__(self) -> None:
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(Preconditions(), name)


NEED_OF_PRECONDITION = {
    "children": CHILDREN,
    "published_children": CHILDREN,
    "ready_models": MODELS,
    "last_model": MODELS,
    "queue_id": QUEUES,
    "queues": QUEUES,
}


@pytest.mark.parametrize("rules", [DOCUMENTED, CLEARML])
@pytest.mark.parametrize("name", MOVES)
def test_a_move_needs_the_preconditions_that_its_guards_read(name: str, rules: str) -> None:
    """A guard finds nothing against a move whose row does not name what the guard needs."""
    noting: Any = NotingPreconditions()
    Situation(MOVES[name], name, task(), noting, rules, now()).find_refusals()
    assert {NEED_OF_PRECONDITION[read] for read in noting.read} == MOVES[name].needs


def test_the_statuses_are_those_of_the_schema() -> None:
    statuses = load().definitions["task_status_enum"]
    assert isinstance(statuses, EnumSpec)
    assert {status.name for status in statuses.values} == set(STATUSES)


def test_every_move_is_an_endpoint_of_the_schema() -> None:
    assert {("tasks", name) for name in MOVES} <= load().endpoints.keys()


def test_a_move_has_force_when_its_endpoint_has() -> None:
    requests = {name: load().endpoints["tasks", name].request for name in MOVES}
    with_force = {
        name for name, request in requests.items() if request and "force" in [field.name for field in request.fields]
    }
    assert with_force == {name for name, move in MOVES.items() if move.has_force}


def test_no_move_starts_from_published_without_force() -> None:
    assert not [name for name, move in MOVES.items() if move.accepts("published", CLEARML)]


def test_no_move_starts_from_an_unknown_status_without_force() -> None:
    assert not [
        name for name, move in MOVES.items() for status in ("unknown", "weird") if move.accepts(status, CLEARML)
    ]


@pytest.mark.parametrize("name", MOVES)
def test_clearml_accepts_all_that_the_documented_rules_accept(name: str) -> None:
    move = MOVES[name]
    assert move.get_accepted(DOCUMENTED) <= move.get_accepted(CLEARML) <= set(STATUSES)
    assert not move.accepted & move.clearml


def test_the_diagram_of_the_docs_is_the_table() -> None:
    assert find_blocks("mutations", "mermaid") == [draw_diagram() + "\n"]


def test_the_diagram_has_an_arrow_for_each_move_between_two_statuses() -> None:
    arrows = re.findall(r"^    (\S+) --> (\S+): (.*)$", draw_diagram(), re.MULTILINE)
    drawn = {
        (start, end, label.removesuffix(" (clearml)")) for start, end, labels in arrows for label in labels.split(", ")
    }
    assert drawn == {("[*]", "CREATED", "create")} | {
        (status.upper(), (move.target or "[*]").upper(), name)
        for name, move in MOVES.items()
        if move.target != SAME
        for status in move.get_accepted(CLEARML)
        if status != move.target
    }
    assert len({(start, end) for start, end, _ in arrows}) == len(arrows)
