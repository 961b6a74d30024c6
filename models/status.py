"""The statuses of a task, and the two sets of rules. Pure."""

DOCUMENTED, CLEARML = "documented", "clearml"

CREATED, QUEUED, IN_PROGRESS, STOPPED = "created", "queued", "in_progress", "stopped"
PUBLISHING, PUBLISHED, CLOSED, FAILED = "publishing", "published", "closed", "failed"
COMPLETED, UNKNOWN = "completed", "unknown"
SAME = "same"  # the target of a move that leaves the status as it is
STATUSES = (CREATED, QUEUED, IN_PROGRESS, STOPPED, PUBLISHING, PUBLISHED, CLOSED, FAILED, COMPLETED, UNKNOWN)
