"""What a careful person would write for just this one dashboard."""

import os
import socket
from datetime import datetime
from typing import Any

import orjson
import uvicorn
from pymongo import AsyncMongoClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.settings import CLEARML_COMPANY

FIELDS = (
    "name", "type", "status", "comment", "created", "started", "completed", "last_update", "last_iteration", "tags",
    "project", "last_metrics",
)  # fmt: skip
client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(os.environ["TASKQL_MONGODB_URI"])


def moment(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds") + "Z"


def row(task: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": task["_id"], "name": task["name"], "type": task["type"].upper(), "status": task["status"].upper(),
        "comment": task["comment"], "created": moment(task["created"]), "started": moment(task["started"]),
        "completed": moment(task["completed"]), "lastUpdate": moment(task["last_update"]),
        "lastIteration": task["last_iteration"], "tags": task["tags"], "projectId": task["project"],
        "lastMetrics": [
            {"metric": event["metric"], "variant": event["variant"], "value": event["value"],
             "minValue": event["min_value"], "maxValue": event["max_value"]}
            for variants in task["last_metrics"].values() for event in variants.values()
        ],
    }  # fmt: skip


async def dashboard(request: Request) -> Response:
    orjson.loads(await request.body())
    query = {"company": {"$in": [CLEARML_COMPANY, ""]}, "project": "p1", "status": {"$in": ["completed", "stopped"]}}
    cursor = client["backend"]["task"].find(query, dict.fromkeys(FIELDS, 1), limit=100, batch_size=101)
    tasks = await cursor.sort([("last_update", -1), ("_id", -1)]).to_list()
    body = orjson.dumps({"data": {"tasks": {"nodes": [row(task) for task in tasks]}}})
    return Response(body, media_type="application/json")


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    config = uvicorn.Config(Starlette(routes=[Route("/", dashboard, methods=["POST"])]), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
