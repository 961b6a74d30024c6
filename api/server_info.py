"""Describe the server for `serverInfo`, from the settings in force."""

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from api.settings import Settings
from resolvers.criteria.filters import MAX_FILTER_CONDITIONS, MAX_FILTER_DEPTH
from resolvers.criteria.operators import MAX_PATTERN, MAX_SEARCH
from resolvers.criteria.ordering import MAX_KEYS
from resolvers.criteria.subprojects import MAX_SUBPROJECTS

VERSION = importlib.metadata.version("taskql")


def describe_server(settings: Settings) -> Mapping[str, Any]:
    """Return the fields of `server_info` by their names in HOCON; a limit has its setting's name less `max_`."""
    limits = {name.removeprefix("max_"): value for name, value in settings if name.startswith("max_")}
    features = {"cost": True, "graphiql": settings.graphiql, "introspection": settings.introspection}
    return {
        "version": VERSION,
        "rules": settings.rules,
        "limits": {
            **limits,
            "pattern": MAX_PATTERN,
            "search": MAX_SEARCH,
            "filter_depth": MAX_FILTER_DEPTH,
            "conditions": MAX_FILTER_CONDITIONS,
            "subprojects": MAX_SUBPROJECTS,
            "order_keys": MAX_KEYS,
        },
        "features": [name for name, is_on in features.items() if is_on],
    }
