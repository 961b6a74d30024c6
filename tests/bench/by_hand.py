"""What a careful person would write for just this dashboard, and for just these curves."""

import os
import socket
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import uvicorn
from pymongo import AsyncMongoClient, InsertOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tsdownsample import MinMaxLTTBDownsampler

from api.settings import CLEARML_COMPANY
from models.documents.block import SERIES
from models.layout import hash_name
from models.metrics.blocks import LAST_BLOCK_FIELDS, POINT_TYPE, append_points, build_last_blocks_query
from models.metrics.last_metrics import LastMetrics

FIELDS = (
    "name",
    "type",
    "status",
    "comment",
    "created",
    "started",
    "completed",
    "last_update",
    "last_iteration",
    "tags",
    "project",
    "last_metrics",
)
client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(os.environ["TASKQL_MONGODB_URI"])


def moment(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds") + "Z"


def row(task: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": task["_id"],
        "name": task["name"],
        "type": task["type"].upper(),
        "status": task["status"].upper(),
        "comment": task["comment"],
        "created": moment(task["created"]),
        "started": moment(task["started"]),
        "completed": moment(task["completed"]),
        "lastUpdate": moment(task["last_update"]),
        "lastIteration": task["last_iteration"],
        "tags": task["tags"],
        "projectId": task["project"],
        "lastMetrics": [
            {
                "metric": event["metric"],
                "variant": event["variant"],
                "value": event["value"],
                "minValue": event["min_value"],
                "maxValue": event["max_value"],
            }
            for variants in task["last_metrics"].values()
            for event in variants.values()
        ],
    }


async def dashboard(request: Request) -> Response:
    orjson.loads(await request.body())
    query = {"company": {"$in": [CLEARML_COMPANY, ""]}, "project": "p1", "status": {"$in": ["completed", "stopped"]}}
    cursor = client["backend"]["task"].find(query, dict.fromkeys(FIELDS, 1), limit=100, batch_size=101)
    tasks = await cursor.sort([("last_update", -1), ("_id", -1)]).to_list()
    body = orjson.dumps({"data": {"tasks": {"nodes": [row(task) for task in tasks]}}})
    return Response(body, media_type="application/json")


async def report(request: Request) -> Response:
    """A transaction for each task; points and statistics as taskql stores them."""
    reports = orjson.loads(await request.body())["variables"]["input"]["reports"]
    async with client.start_session() as session:
        for one in reports:
            await session.with_transaction(lambda session: store(session, one))  # noqa: B023
    return Response(
        orjson.dumps({"data": {"metricsReport": {"results": [{"added": len(one["points"])} for one in reports]}}})
    )


async def store(session: AsyncClientSession, one: dict[str, Any]) -> None:
    database, at = client["backend"], datetime.now(UTC).replace(tzinfo=None)
    now = int(at.timestamp() * 1000)
    task = await database["task"].find_one({"_id": one["task"]}, {"last_metrics": 1}, session=session)
    kept, curves, written = LastMetrics(task and task["last_metrics"]), defaultdict(list), {}
    for point in one["points"]:
        curves[point["metric"], point["variant"]].append((point["iteration"], now, point["value"]))
    for (metric, variant), points in curves.items():
        written[f"last_metrics.{hash_name(metric)}.{hash_name(variant)}"] = kept.add_values((metric, variant), points)
        kept.raise_last_iteration(metric, max(points)[0])
    packed = {pair: np.array(points, POINT_TYPE) for pair, points in curves.items()}
    last = (
        await database[SERIES]
        .find(build_last_blocks_query(one["task"], packed), LAST_BLOCK_FIELDS, session=session, batch_size=10_000)
        .to_list()
    )
    updates, made = append_points(one["task"], packed, last, at)
    writes = [
        *(UpdateOne({"_id": id_}, update) for id_, update in updates),
        *(InsertOne(block | {"company": CLEARML_COMPANY}) for block in made),
    ]
    await database[SERIES].bulk_write(writes, session=session)
    set_ = {**written, "last_iteration": kept.last_iteration, "last_update": at}
    await database["task"].update_one({"_id": one["task"]}, {"$set": set_}, session=session)


async def curves(request: Request) -> Response:
    asked = orjson.loads(await request.body())["variables"]
    query = {
        "company": {"$in": [CLEARML_COMPANY, ""]},
        "task": {"$in": asked["ids"]},
        "metric": asked["metric"],
        "variant": asked["variant"],
    }
    tasks: dict[str, list[bytes]] = defaultdict(list)
    for block in await client["backend"][SERIES].find(query, batch_size=10_000).sort("number").to_list():
        tasks[block["task"]] += block["chunks"]
    found = [{"id": id_, "series": [curve(tasks[id_])]} for id_ in sorted(asked["ids"])]
    return Response(orjson.dumps({"data": {"tasks": {"nodes": found}}}))


def curve(chunks: list[bytes]) -> dict[str, Any]:
    points = np.frombuffer(b"".join(chunks), POINT_TYPE)
    points = points[np.argsort(points["iterations"], kind="stable")]
    values = np.ascontiguousarray(points["values"])
    if len(points) > 500:
        chosen = MinMaxLTTBDownsampler().downsample(values, n_out=498)
        points = points[np.union1d(chosen.astype(np.intp), [values.argmin(), values.argmax()])]
    return {"iterations": points["iterations"].tolist(), "values": points["values"].tolist()}


ROUTES = [
    Route(path, answer, methods=["POST"])
    for path, answer in (("/", dashboard), ("/report", report), ("/curves", curves))
]


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    config = uvicorn.Config(Starlette(routes=ROUTES), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
