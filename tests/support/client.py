"""A client that speaks GraphQL to the served application."""

from typing import Any

import httpx
from pymongo.asynchronous.database import AsyncDatabase


class Client:
    """Speaks GraphQL over HTTP to the served application."""

    def __init__(self, http: httpx.AsyncClient, database: AsyncDatabase[dict[str, Any]]) -> None:
        self.http = http
        self.database = database

    async def answer(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer."""
        response = await self.http.post("/graphql", json={"query": query, "variables": variables})
        answer: dict[str, Any] = response.json()
        return answer

    async def data(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer without errors."""
        answer = await self.answer(query, **variables)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    async def error(self, query: str, **variables: Any) -> dict[str, Any]:
        """The one error of an answer, its message beside its extensions."""
        answer = await self.answer(query, **variables)
        [error] = answer["errors"]
        return {"message": error["message"], **error["extensions"]}
