"""What was written, as clients know it: API names and values."""

from collections.abc import Mapping
from typing import Any

from resolvers.shaping import as_json
from schema.spec import EnumSpec, FieldSpec, ObjectSpec, Ref, Spec


def echo(spec: Spec, written: Mapping[str, Any]) -> dict[str, Any]:
    """Stored paths of a task and their values → dotted API names and values; what has no name is left out."""
    names = shown_names(spec.object("task"), spec)
    return {names[path][0]: _value(spec, names[path][1], value) for path, value in written.items() if path in names}


def shown_names(of: ObjectSpec, spec: Spec) -> Mapping[str, tuple[str, FieldSpec]]:
    """Stored path → its name in the API (of a reference that of the id), and the field."""
    return dict(reversed(_names(spec, of, "", "", (of.name,))))  # of two names for a value the first


def _names(
    spec: Spec, of: ObjectSpec, shown: str, stored: str, seen: tuple[str, ...]
) -> list[tuple[str, tuple[str, FieldSpec]]]:
    found: list[tuple[str, tuple[str, FieldSpec]]] = []
    for name, face in of.outputs.items():
        if face.relation or face.loader or face.read:
            continue
        path = face.stored[0] if face.stored else stored + face.name
        found.append((path, (shown + name, face)))
        inner = spec.definitions.get(face.type.name) if isinstance(face.type, Ref) else None
        if isinstance(inner, ObjectSpec) and inner.name not in seen:
            found += _names(spec, inner, f"{shown}{name}.", f"{path}.", (*seen, inner.name))
    return found


def _value(spec: Spec, face: FieldSpec, value: Any) -> Any:
    is_enum = isinstance(face.type, Ref) and isinstance(spec.definitions[face.type.name], EnumSpec)
    return value.upper() if is_enum and isinstance(value, str) else as_json(value)
