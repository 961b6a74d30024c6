"""The text of a configuration item → its values by path. The item's type decides the format first, then its text."""

from collections.abc import Callable, Mapping

from resolvers.texts.budget import Budget, RepeatedError, SpentError, UnreadError
from resolvers.texts.hocon_text import read_hocon
from resolvers.texts.json_text import read_json
from resolvers.texts.values import NamePath, ParsedValue, ScalarValue, walk_leaves
from resolvers.texts.yaml_text import read_yaml

ReadText = Callable[[str, Budget], ParsedValue]


def _read_uncertain_yaml(text: str, budget: Budget) -> ParsedValue:
    return read_yaml(text, budget, is_certain=False)


GUESSED: tuple[ReadText, ...] = (read_json, _read_uncertain_yaml, read_hocon)
HOCON_FIRST: tuple[ReadText, ...] = (read_hocon, read_json, _read_uncertain_yaml)
# word of a type such as "OmegaConf YAML" → readers; ClearML writes "dictionary" for a Python dictionary
BY_TYPE: Mapping[str, tuple[ReadText, ...]] = {
    "json": GUESSED,
    "yaml": (read_json, read_yaml),
    "yml": (read_json, read_yaml),
    "hocon": HOCON_FIRST,
    "conf": HOCON_FIRST,
    "dictionary": HOCON_FIRST,
    **dict.fromkeys(("text", "txt", "plain", "md", "markdown", "ini", "cfg", "toml", "xml", "py", "python", "sh"), ()),
}


def read_configuration(text: str, type_: str, budget: Budget) -> dict[NamePath, ScalarValue] | None:
    """Read every value by its path; None when no format reads the text, or reading it costs too much."""
    for read in _choose_readers(type_):
        try:
            value = read(text, budget)
            if isinstance(value, ScalarValue) and value.is_string:
                continue
            return dict(walk_leaves(value, budget))
        except (RepeatedError, SpentError):
            return None
        except UnreadError:
            continue
    return None


def _choose_readers(type_: str) -> tuple[ReadText, ...]:
    words = "".join(letter if letter.isalnum() else " " for letter in type_.lower()).split()
    return next((BY_TYPE[word] for word in reversed(words) if word in BY_TYPE), GUESSED)
