"""Resume tokens: the position after the last event that a client has."""

from typing import NamedTuple

from models.store.change_stream import Position
from resolvers.criteria.opaque_token import decode_token, digest_content, encode_token
from resolvers.errors import ErrorCode, InputError

DIGEST = 6  # bytes
PLACE = 11  # bytes of a position


class Mark(NamedTuple):
    """Where a subscription has come to: of what lies behind `after` it has told up to `upto`, but only to this `id`.

    Events that are told together are in the order of their ids, so that a mark is short and exact.
    """

    after: Position
    upto: Position
    id: str | None = None

    @property
    def text(self) -> str:
        positions = [self.upto] if self.id is None else [self.upto, self.after]
        packed = b"".join(map(bytes.fromhex, positions)) + (self.id or "").encode("utf-8", "surrogatepass")
        return encode_token(digest_content(packed, DIGEST) + packed)


def mark_of(text: str) -> Mark:
    """Raises InputError."""
    try:
        known = decode_token(text)
        digest, packed = known[:DIGEST], known[DIGEST:]
        is_intact = digest == digest_content(packed, DIGEST)
        upto, after, id_ = packed[:PLACE].hex(), packed[PLACE : 2 * PLACE].hex(), packed[2 * PLACE :]
        if is_intact and len(packed) == PLACE:
            return Mark(upto, upto)
        if is_intact and len(packed) >= 2 * PLACE:
            return Mark(after, upto, id_.decode("utf-8", "surrogatepass"))
    except ValueError:
        pass
    raise bad_mark("is damaged")


def bad_mark(reason: str) -> InputError:
    message = f"The token {reason}; read what there is now, and subscribe without it."
    return InputError(ErrorCode.BAD_CURSOR, message, field="resumeAfter")
