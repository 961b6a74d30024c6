"""Blocks of points of the series of tasks, in a collection of our own."""

from datetime import datetime
from typing import ClassVar

from beanie import Document as BeanieDocument
from pydantic import Field
from pymongo import IndexModel

SERIES = "taskql_series"  # a collection that ClearML does not have


class Block(BeanieDocument):
    """Up to 256 points of one series, in the order in which they were reported; a gap is NaN.

    Each report appends a chunk of its own, so that it is written without reading the others, and a change event has it
    alone. Only the last block of a series takes more points.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    company: str
    task: str
    metric: str
    variant: str
    number: int
    points: int
    is_last: bool
    last_update: datetime
    chunks: list[bytes]

    class Settings:
        name = SERIES
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("company", 1), ("task", 1), ("metric", 1), ("variant", 1), ("number", 1)]),
            IndexModel(
                [("company", 1), ("task", 1), ("is_last", 1), ("metric", 1), ("variant", 1)],
                partialFilterExpression={"is_last": True},
            ),
        ]
