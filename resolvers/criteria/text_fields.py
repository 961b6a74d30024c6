"""The text fields of a definition, which patterns may search. Pure."""

from collections.abc import Iterator

from models.types import Query
from resolvers.criteria.sort_keys import VIEWS
from schema.spec import EnumSpec, FieldSpec, ListOf, ObjectSpec, Ref, ScalarType, Spec

Text = str | Query  # the stored path of a text, or an expression of it


def find_text_fields(spec: Spec, definition: ObjectSpec) -> dict[str, Text]:
    """GraphQL path → stored text, for every string, id, enum and list of them below a definition."""
    return dict(_walk_texts(spec, definition, "", "", {definition.name}))


def _walk_texts(
    spec: Spec, definition: ObjectSpec, graphql_prefix: str, stored_prefix: str, outer_names: set[str]
) -> Iterator[tuple[str, Text]]:
    """`outer_names` are the definitions around this one, so that a recursive one ends."""
    for name, output in definition.output_fields.items():
        if output.layout_reader and output.layout_reader in VIEWS:
            yield graphql_prefix + name, VIEWS[output.layout_reader]
        if output.layout_reader or output.map_view or output.relation or output.related:
            continue
        path = output.stored_paths[0] if output.stored_paths else stored_prefix + output.name
        inner = spec.definitions.get(output.type.name) if isinstance(output.type, Ref) else None
        if _is_text(spec, output):
            yield graphql_prefix + name, path
        elif isinstance(inner, ObjectSpec) and inner.name not in outer_names:
            yield from _walk_texts(spec, inner, f"{graphql_prefix}{name}.", f"{path}.", outer_names | {inner.name})


def _is_text(spec: Spec, output: FieldSpec) -> bool:
    item_type = output.type.item if isinstance(output.type, ListOf) else output.type
    if isinstance(item_type, Ref):
        return isinstance(spec.definitions[item_type.name], EnumSpec)
    return item_type in (ScalarType("String"), ScalarType("ID"))
