"""Resume tokens: each says up to which event a client has received a subscription."""

from typing import NamedTuple

from models.store.change_stream import OplogPosition
from resolvers.criteria.opaque_token import decode_token, digest_content, encode_token
from resolvers.errors import ErrorCode, InputError

CHECKSUM_SIZE = 6  # bytes
POSITION_SIZE = 11  # bytes


class ResumeToken(NamedTuple):
    """The last event that a client has: of the changes after `after` and up to `until`, the one with this `id`.

    Without an id it is the last event of these changes. Events that are delivered together are in the order of their
    ids, so that a token is short and exact.
    """

    after: OplogPosition
    until: OplogPosition
    id: str | None = None

    def write(self) -> str:
        positions = [self.until] if self.id is None else [self.until, self.after]
        packed = b"".join(map(bytes.fromhex, positions)) + (self.id or "").encode("utf-8", "surrogatepass")
        return encode_token(digest_content(packed, CHECKSUM_SIZE) + packed)


def read_resume_token(text: str) -> ResumeToken:
    """Raises InputError."""
    try:
        decoded = decode_token(text)
        checksum, packed = decoded[:CHECKSUM_SIZE], decoded[CHECKSUM_SIZE:]
        is_intact = checksum == digest_content(packed, CHECKSUM_SIZE)
        until, after = packed[:POSITION_SIZE].hex(), packed[POSITION_SIZE : 2 * POSITION_SIZE].hex()
        if is_intact and len(packed) == POSITION_SIZE:
            return ResumeToken(until, until)
        if is_intact and len(packed) >= 2 * POSITION_SIZE:
            return ResumeToken(after, until, packed[2 * POSITION_SIZE :].decode("utf-8", "surrogatepass"))
    except ValueError:
        pass
    raise build_token_error("is damaged")


def build_token_error(reason: str) -> InputError:
    message = f"The token of resumeAfter {reason}. Read the current state, then subscribe without it."
    return InputError(ErrorCode.BAD_CURSOR, message, field="resumeAfter")
