"""What a client would rather be sent, by its header Accept."""


def prefers(accept: str, kind: str, other: str) -> bool:
    """Tells whether the header ranks a media type above another one; not when it ranks them the same."""
    return _quality(accept, kind) > _quality(accept, other)


def liked(accept: str, *kinds: str) -> str | None:
    """The media type that the header ranks highest, of equals the first; None when it allows none of them."""
    best = max(kinds, key=lambda kind: _quality(accept, kind))
    return best if _quality(accept, best) > 0 else None


def _quality(accept: str, kind: str) -> float:
    """The rank of a media type: what the most specific range says that it falls under, and 0 without one."""
    ranges = dict(_range(part) for part in accept.split(","))
    fitting = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    return next((ranges[name] for name in fitting if name in ranges), 0)


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weights = [piece.removeprefix("q=") for piece in parameters if piece.startswith("q=")]
    try:
        return name, float(weights[0]) if weights else 1
    except ValueError:
        return name, 0
