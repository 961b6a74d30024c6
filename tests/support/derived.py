"""Facts that the definitions in HOCON state about derived types."""

from schema.load import load
from schema.spec import ObjectSpec

# (type, field) of what is not stored in a document, and changes with others
LOADED = {
    (definition.graphql_name, name)
    for definition in load().definitions.values()
    if isinstance(definition, ObjectSpec)
    for name, output_field in definition.output_fields.items()
    if output_field.related
}
