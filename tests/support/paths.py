"""Where the files of the project and the modules of the product are."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT / "tests" / "data"
DUMP = DATA / "clearml-backend"
ROOMS = ("schema", "models", "resolvers", "api")


def name_module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_module(path): path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))}
