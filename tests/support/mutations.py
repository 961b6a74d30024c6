"""Mutations of tests, and the documents before and after them."""

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.support.client import Client
from tests.support.factories import Document

TASK = """
  id name type status statusReason statusMessage statusChanged comment report tags systemTags created started completed
  published lastUpdate lastChange lastChangedById lastIteration userId companyId parentId projectId activeDuration
  output { destination modelId result error }
  execution {
    queueId modelId modelDesc framework dockerCmd parameters { section name value type description }
    modelLabels { key value }
    artifacts {
      key type mode uri contentSize hash timestamp displayData typeData { preview contentType dataHash }
    }
  }
  script { binary repository tag branch versionNum entryPoint workingDir requirements diff }
  hyperparams { section name value } configuration { name value } container { key value } runtime
  models { input { name modelId } output { name modelId } } lastMetrics { metric variant value }
"""


def mutation(name: str, selected: str) -> str:
    return f"mutation ($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {{ {selected} }} }}"


async def change(client: Client, name: str, selected: str, /, **given: Any) -> dict[str, Any]:
    """The payload of a mutation that is accepted."""
    data = await client.data(mutation(name, selected), input=given)
    payload: dict[str, Any] = data[name]
    return payload


async def get_refusal(client: Client, name: str, /, **given: Any) -> dict[str, Any]:
    """The error of a mutation that is refused, having changed nothing at all."""
    before = await read_documents(client.database)
    error = await client.error(mutation(name, "__typename"), input=given)
    assert await read_documents(client.database) == before
    return error


async def read_task(client: Client, id_: str) -> dict[str, Any]:
    data = await client.data(f"query ($id: ID!) {{ task(id: $id) {{ {TASK} }} }}", id=id_)
    task: dict[str, Any] = data["task"]
    return task


async def read_documents(database: AsyncDatabase[Document]) -> dict[str, list[Document]]:
    """All documents of all collections; a collection without any is as good as none."""
    names = await database.list_collection_names()
    by_collection = {name: await database[name].find().sort("_id").to_list() for name in sorted(names)}
    return {name: documents for name, documents in by_collection.items() if documents}
