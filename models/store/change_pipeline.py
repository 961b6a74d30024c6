"""The pipeline of the change stream: which events MongoDB sends, and the parts of them that are needed."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.documents.block import SERIES
from models.documents.transition import TRANSITIONS

TASKS = "task"
DOCUMENT_OPERATIONS = ("insert", "update", "replace", "delete")
COLLECTION_OPERATIONS = ("drop", "rename")  # a rename also replaces the collection that had the name
MAX_ID_BYTES = 10_000  # of an id with its name; an event holds it three times
MAX_TRANSITION_BYTES = 16_000_000  # leaves room for the rest of the event

UPDATED_FIELDS = "$updateDescription.updatedFields"
IS_TRANSITION: Mapping[str, Any] = {
    "$and": [{"$eq": ["$ns.coll", TRANSITIONS]}, {"$lte": [{"$bsonSize": "$fullDocument"}, MAX_TRANSITION_BYTES]}]
}
# Only the first name of each path is read: one report of metrics writes thousands of paths below it.
TOP_FIELDS: Mapping[str, Any] = {
    "$setUnion": {
        "$map": {
            "input": {
                "$concatArrays": [
                    {"$ifNull": [{"$map": {"input": {"$objectToArray": UPDATED_FIELDS}, "in": "$$this.k"}}, []]},
                    {"$ifNull": ["$updateDescription.removedFields", []]},
                    {"$ifNull": ["$updateDescription.truncatedArrays.field", []]},
                ]
            },
            "in": {"$first": {"$split": ["$$this", "."]}},
        }
    }
}
PIPELINE: Sequence[Mapping[str, Any]] = (
    {
        "$match": {
            "$or": [{"ns.coll": {"$in": [TASKS, TRANSITIONS, SERIES]}}, {"to.coll": {"$in": [TASKS, SERIES]}}],
            "operationType": {"$in": [*DOCUMENT_OPERATIONS, *COLLECTION_OPERATIONS]},
        }
    },
    # A document whose id is not text has no name in the API, and a longer id would make the stream fail.
    {
        "$match": {
            "$or": [
                {"operationType": {"$in": COLLECTION_OPERATIONS}},
                {
                    "documentKey._id": {"$type": "string"},
                    "$expr": {"$lte": [{"$bsonSize": "$documentKey"}, MAX_ID_BYTES]},
                },
            ]
        }
    },
    # No values: a configuration may be long, and a subscriber reads only the documents that it may see.
    {
        "$project": {
            "operationType": 1,
            "clusterTime": 1,
            "ns.coll": 1,
            "to.coll": 1,
            "documentKey._id": 1,
            "fields": TOP_FIELDS,
            "transition": {"$cond": [IS_TRANSITION, "$fullDocument", "$$REMOVE"]},
        }
    },
)
