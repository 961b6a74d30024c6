"""Idempotency keys: what a request did is kept in the transaction that does it, and told when it comes again."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from models.store.writer import IDEMPOTENCY_KEYS, Transaction
from models.types import Document, Viewer
from resolvers.errors import ConflictError, ErrorCode, InputError

LONGEST = 128


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a request, or of one part of it.

    A part that is done keeps its own answer, so a call that broke off midway goes on where it ended; beside the first
    of them the whole call is kept, so that no other request takes its key.
    """

    call: str
    request: str
    own: str

    def part(self, name: str) -> "Key":
        return replace(self, own=_digest([self.call, name]))

    async def known(self, tx: Transaction) -> Mapping[str, Document]:
        """What is kept of it; raises ConflictError when it is of another request."""
        found = await tx.read_own(IDEMPOTENCY_KEYS, {"_id": {"$in": [self.call, self.own]}})
        if any(kept["request"] != self.request for kept in found):
            message = "This idempotencyKey was given with another request; use a new one."
            raise ConflictError(ErrorCode.IDEMPOTENCY_KEY_REUSED, message, field="idempotencyKey")
        return {kept["_id"]: kept for kept in found}

    def answer(self, known: Mapping[str, Document]) -> Document | None:
        """The answer that is kept, if any."""
        answer: Document | None = orjson.loads(known[self.own]["answer"]) if self.own in known else None
        return answer

    async def keep(self, tx: Transaction, known: Mapping[str, Document], answer: Document, at: datetime) -> None:
        if self.call not in {self.own, *known}:
            await tx.insert(IDEMPOTENCY_KEYS, {"_id": self.call, "request": self.request, "at": at})
        kept = {"_id": self.own, "request": self.request, "answer": orjson.dumps(answer), "at": at}
        await tx.insert(IDEMPOTENCY_KEYS, kept)


def key_of(viewer: Viewer, mutation: str, asked: Mapping[str, Any]) -> Key | None:
    """The viewer's key of this request, if it has one; raises InputError when it is none."""
    given = asked.get("idempotency_key")
    if given is None:
        return None
    if not 0 < len(given) <= LONGEST:
        message = f"idempotencyKey has 1 to {LONGEST} characters."
        raise InputError(ErrorCode.VALIDATION_ERROR, message, field="idempotencyKey")
    call = _digest([viewer.company, viewer.user, given])
    return Key(call, _digest([mutation, {**asked, "idempotency_key": None}]), call)


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
