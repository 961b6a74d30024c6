"""Mutations that write what a caller gives: all of it is right, or nothing is written."""

from typing import Any

from conftest import Client

CREATE = "mutation ($input: TaskCreateInput!) { taskCreate(input: $input) { id replayed task { %s } } }"


async def test_probe(client: Client) -> None:
    q = CREATE % "id name type status project { id } execution { parameters { section name value } modelLabels { key value } artifacts { key mode uri } modelDesc modelId } script { binary repository requirements } hyperparams { name value} created lastUpdate tags"
    ans = await client.answer(q, input={"name": "  abc ", "type": "TRAINING", "tags": ["x"], "execution": {"parameters": [{"name": "a.b", "value": "1"}], "modelLabels": [{"key": "c.$a", "value": 1}], "artifacts": [{"key": "k", "type": "t", "uri": "u"}], "modelDesc": {"a.b": "x", "$ref": "y", "$id": "z"}}, "script": {"requirements": {"pip": "x", "a.$b": {"$x": 1}}}})
    print(ans)
    print(await client.database["task"].find_one())
    id_ = ans["data"]["taskCreate"]["id"]
    print(await client.answer(q, input={"name": "abc", "type": "TRAINING"}))
    print(await client.answer("mutation ($i: TaskEditInput!) { taskEdit(input: $i) { updated fields task { name } } }", i={"task": id_, "name": "new name", "comment": None, "execution": {"parameters": [{"name": "q"}], "model": None, "modelLabels": None}, "outputDest": "s3://x"}))
    print(await client.answer("mutation ($i: TaskUpdateInput!) { taskUpdate(input: $i) { updated fields task { name } } }", i={"task": id_, "name": "abc", "outputError": "x", "created": "2020-01-01T00:00:00Z"}))
    print(await client.answer("mutation ($i: TaskUpdateBatchInput!) { taskUpdateBatch(input: $i) { updated results { updated fields task { name } error { code message extensions } } } }", i={"allOrNothing": False, "items": [{"task": id_, "name": "abcd"}, {"task": "no"}, {"task": id_, "name": "x"}]}))
    print(await client.answer("mutation ($i: TaskSetRequirementsInput!) { taskSetRequirements(input: $i) { updated fields } }", i={"task": id_, "requirements": {"": 1}}))
    print(await client.answer("mutation ($i: TaskSetRequirementsInput!) { taskSetRequirements(input: $i) { updated fields } }", i={"task": id_, "requirements": {"a.b": "$x", "$ref": 1, "$id": 2}}))
    for _ in range(3):
        print(await client.answer("mutation ($i: TaskCloneInput!) { taskClone(input: $i) { id task { name parentId } } }", i={"task": id_}))
    print(await client.answer("mutation ($i: TaskArchiveInput!) { taskArchive(input: $i) { fields task { name parentId } } }", i={"task": id_}))
    print(await client.answer("mutation ($i: TaskUnarchiveInput!) { taskUnarchive(input: $i) { fields task { name parentId } } }", i={"task": id_}))
    print(await client.answer("mutation ($i: ProjectCreateInput!) { projectCreate(input: $i) { id project { name parent { name } path } } }", i={"name": "abc/def/g"}))
    print(await client.answer("mutation ($i: QueueCreateInput!) { queueCreate(input: $i) { id queue { name } } }", i={"name": "abc/def/g"}))
    print(await client.answer("mutation ($i: ModelCreateInput!) { modelCreate(input: $i) { id model { name labels { key value } design ready } } }", i={"name": "abc/def/g", "uri": "x", "labels": [{"key": "a.b", "value": 1}], "design": {"a": {"b.c": 1}}}))
    print(await client.answer("query ($i: TaskValidateInput!) { taskValidate(input: $i) }", i={"name": "abcd", "type": "TRAINING"}))
    print(await client.answer("query ($i: TaskValidateInput!) { taskValidate(input: $i) }", i={"name": "abcde", "type": "TRAINING"}))
    assert 0
