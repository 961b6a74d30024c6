"""Idempotency keys: the answer of a mutation is stored in its transaction, and sent again when the request is."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from models.store.writer import IDEMPOTENCY_KEYS, Transaction
from models.types import Document, Viewer
from resolvers.errors import ConflictError, ErrorCode, InputError

MAX_KEY_LENGTH = 128


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key of a request, or of one item of it.

    A batch stores an answer for each item, so a batch that broke off continues after its last item. Beside the first
    answer it stores an entry for the whole request, so that no other request can take its key.
    """

    request_id: str
    request_hash: str
    answer_id: str

    def derive(self, item: str) -> "IdempotencyKey":
        """Derive the key of one item of the request."""
        return replace(self, answer_id=_hash_json([self.request_id, item]))

    async def read_entries(self, tx: Transaction) -> Mapping[str, Document]:
        """Read the stored entries of this key by id; raises ConflictError when they belong to another request."""
        entries = await tx.read_own(IDEMPOTENCY_KEYS, {"_id": {"$in": [self.request_id, self.answer_id]}})
        if any(entry["request"] != self.request_hash for entry in entries):
            message = "This idempotencyKey belongs to another request. Use a new one."
            raise ConflictError(ErrorCode.IDEMPOTENCY_KEY_REUSED, message, field="idempotencyKey")
        return {entry["_id"]: entry for entry in entries}

    def find_answer(self, entries: Mapping[str, Document]) -> Document | None:
        if self.answer_id not in entries:
            return None
        answer: Document = orjson.loads(entries[self.answer_id]["answer"])
        return answer

    async def store_answer(
        self, tx: Transaction, entries: Mapping[str, Document], answer: Document, now: datetime
    ) -> None:
        if self.request_id not in {self.answer_id, *entries}:
            await tx.insert(IDEMPOTENCY_KEYS, {"_id": self.request_id, "request": self.request_hash, "at": now})
        entry = {"_id": self.answer_id, "request": self.request_hash, "answer": orjson.dumps(answer), "at": now}
        await tx.insert(IDEMPOTENCY_KEYS, entry)


def read_idempotency_key(viewer: Viewer, mutation: str, arguments: Mapping[str, Any]) -> IdempotencyKey | None:
    """Read the key of a request, None without one; raises InputError for one that is empty or too long."""
    key = arguments.get("idempotency_key")
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY_LENGTH:
        message = f"idempotencyKey must have 1 to {MAX_KEY_LENGTH} characters."
        raise InputError(ErrorCode.VALIDATION_ERROR, message, field="idempotencyKey")
    request_id = _hash_json([viewer.company, viewer.user, key])
    request_hash = _hash_json([mutation, {**arguments, "idempotency_key": None}])
    return IdempotencyKey(request_id, request_hash, request_id)


def _hash_json(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
