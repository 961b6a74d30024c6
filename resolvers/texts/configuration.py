"""The text of a configuration item → its values by path. The item's type decides the format, then the text."""

from collections.abc import Callable, Mapping

from resolvers.texts.budget import Budget, RepeatedError, SpentError, UnreadError
from resolvers.texts.hocon_text import read_hocon
from resolvers.texts.json_text import read_json
from resolvers.texts.values import Path, Scalar, Value, leaves
from resolvers.texts.yaml_text import read_yaml

Read = Callable[[str, Budget], Value]


def _guess_yaml(text: str, budget: Budget) -> Value:
    return read_yaml(text, budget, is_certain=False)


GUESSED: tuple[Read, ...] = (read_json, _guess_yaml, read_hocon)
HOCON_FIRST: tuple[Read, ...] = (read_hocon, read_json, _guess_yaml)
# by the words of a type such as "OmegaConf YAML"; "dictionary" is what ClearML writes of a Python dictionary
BY_TYPE: Mapping[str, tuple[Read, ...]] = {
    "json": GUESSED,
    "yaml": (read_json, read_yaml),
    "yml": (read_json, read_yaml),
    "hocon": HOCON_FIRST,
    "conf": HOCON_FIRST,
    "dictionary": HOCON_FIRST,
    **dict.fromkeys(("text", "txt", "plain", "md", "markdown", "ini", "cfg", "toml", "xml", "py", "python", "sh"), ()),
}


def read_configuration(text: str, type_: str, budget: Budget) -> dict[Path, Scalar] | None:
    """Every value by its path; None when the text is one: no format reads it, or reading it costs too much."""
    for read in _readers(type_):
        try:
            value = read(text, budget)
            if isinstance(value, Scalar) and value.is_text:
                continue
            return dict(leaves(value, budget))
        except (RepeatedError, SpentError):
            return None
        except UnreadError:
            continue
    return None


def _readers(type_: str) -> tuple[Read, ...]:
    words = "".join(letter if letter.isalnum() else " " for letter in type_.lower()).split()
    return next((BY_TYPE[word] for word in reversed(words) if word in BY_TYPE), GUESSED)
