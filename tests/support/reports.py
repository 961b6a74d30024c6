"""Reports of metrics, as tests send them."""

from pymongo.asynchronous.database import AsyncDatabase

from models.documents.block import SERIES
from models.metrics.blocks import SeriesCollector
from tests.support.factories import COMPANY, DAY, Document, last_metrics, task

Database = AsyncDatabase[Document]


async def add_report(
    database: Database, id_: str, company: str = COMPANY, **curves: list[tuple[int, float | None]]
) -> None:
    """Insert a task with curves of the metric m, by variant."""
    made = SeriesCollector()
    made.add_events(
        {
            "type": "training_stats_scalar",
            "metric": "m",
            "variant": name,
            "iter": iteration,
            "value": value,
            "timestamp": 1_790_000_000_000 + place,
        }
        for name, points in curves.items()
        for place, (iteration, value) in enumerate(points)
    )
    known = last_metrics(*(("m", name, 0.0) for name in curves))
    await database.task.insert_one(task(_id=id_, company=company, last_metrics=known))
    if blocks := list(made.build_blocks(id_, company, DAY, known)):
        await database[SERIES].insert_many(blocks)
