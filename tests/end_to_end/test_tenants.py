"""Other companies: whatever is asked, the answer is the same whether they have something or nothing."""

from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.support.client import Client
from tests.support.factories import (
    COMPANY,
    OTHER_COMPANY,
    Document,
    hyperparams,
    last_metrics,
    model,
    project,
    queue,
    task,
    user,
)

MARKED = {
    "name": "secret",
    "hyperparams": hyperparams(("Args", "secret", "1")),
    "last_metrics": last_metrics(("secret", "test", 1.0)),
    "tags": ["secret"],
}
OWN: dict[str, list[Document]] = {
    "project": [project(_id="p", name="p")],
    "task": [
        task(_id="own", project="p", parent="theirs", user="theirs", execution={"queue": "theirs"}),
        task(_id="beside", project="theirs", models={"input": [{"name": "m", "model": "theirs"}], "output": []}),
    ],
    "queue": [queue(_id="q", entries=[{"task": "theirs"}])],
    "model": [model(_id="m", task="theirs", project="theirs", parent="theirs")],
    "user": [user(_id="u")],
}
THEIRS: dict[str, list[Document]] = {
    "project": [project(_id="theirs", name="p/secret", parent="p", path=["p"])],
    "task": [
        task(_id="theirs", project="p", parent="own", **MARKED),
        task(_id="more", project="theirs", **MARKED),
        task(_id="plain", parent="theirs", user="theirs", started=None),
    ],
    "queue": [queue(_id="theirs", name="secret")],
    "model": [model(_id="theirs", name="secret", project="p", task="own")],
    "user": [user(_id="theirs", name="secret")],
}
NODES = "totalCount nodes { id name } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
KINDS = ("task", "project", "queue", "model", "user")
QUESTIONS = [
    *(f'{{ {kind}(id: "theirs") {{ id name }} }}' for kind in KINDS),
    *(f"{{ {kind}s {{ {NODES} }} }}" for kind in KINDS),
    *(f'{{ {kind}s(filter: {{id: ["theirs"]}}) {{ {NODES} }} }}' for kind in ("task", "project", "queue", "model")),
    *(
        f"{{ tasks(filter: {{ {filter_} }}) {{ {NODES} }} }}"
        for filter_ in (
            'name: "secret"',
            'parent: "own"',
            'parent: "theirs"',
            'project: ["p"]',
            'project: ["theirs"]',
            'project: ["-theirs"]',
            'project: ["p"], includeSubprojects: true',
            'user: ["theirs"]',
            'tags: ["secret"]',
            'tags: ["-secret"]',
            'searchText: "secret"',
            '_any_: {pattern: "secret", fields: ["name"]}',
            "isSet: [STARTED]",
            "isUnset: [STARTED]",
            'not: {name: "secret"}',
            'or: [{name: "secret"}, {name: "t"}]',
            'created: {gt: "2000-01-01T00:00:00Z"}',
            'metrics: [{metric: "secret", variant: "test", gt: 0}]',
            'hyperparams: [{section: "Args", name: "secret", isSet: true}]',
        )
    ),
    *(
        f"{{ tasks({arguments}) {{ {NODES} }} }}"
        for arguments in (
            "first: 1",
            "last: 1",
            "page: 1, pageSize: 1",
            "orderBy: [{field: NAME}]",
            'orderBy: [{metric: {metric: "secret", variant: "test"}}]',
            'orderBy: [{hyperparam: {section: "Args", name: "secret"}, nulls: FIRST}]',
        )
    ),
    '{ projects(filter: {parent: "p"}) { totalCount } b: projects(filter: {ancestor: "p"}) { totalCount } }',
    """{ project(id: "p") {
      subprojects { id name }
      taskCounts { total byStatus { status count } }
      all: taskCounts(includeSubprojects: true) { total }
    } }""",
    """{ tasks { nodes {
      parent { id name status project { id name } } user { id name } project { id name taskCounts { total } }
      execution { queue { id name } model { id name } }
    } } }""",
    '{ queue(id: "q") { entries { task { id name status } } } }',
    '{ model(id: "m") { task { id name } project { id name } parent { id name } } }',
    "{ metricNames { totalCount nodes { metric variant taskCount } } }",
    '{ metricNames(filter: {project: ["p"]}, last: 1) { nodes { metric } pageInfo { hasPreviousPage startCursor } } }',
]


async def stored(database: AsyncDatabase[Document], documents: dict[str, list[Document]], company: str) -> None:
    for name, found in documents.items():
        await database[name].insert_many([document | {"company": company} for document in found])


@pytest.mark.slow
@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
async def test_an_answer_does_not_depend_on_what_others_have(
    client: Client, database: AsyncDatabase[Document], question: str
) -> None:
    await stored(database, OWN, COMPANY)
    without: dict[str, Any] = await client.data(question)
    await stored(database, THEIRS, OTHER_COMPANY)
    assert await client.data(question) == without
    assert "secret" not in str(without)


async def test_what_others_have_is_an_answer_to_each_of_these_questions_when_it_is_ones_own(
    client: Client, database: AsyncDatabase[Document]
) -> None:
    await stored(database, OWN, COMPANY)
    without = [await client.data(question) for question in QUESTIONS]
    await stored(database, THEIRS, COMPANY)
    alike = [
        question for question, answer in zip(QUESTIONS, without, strict=True) if await client.data(question) == answer
    ]
    assert alike == []
