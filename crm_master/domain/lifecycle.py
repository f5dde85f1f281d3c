"""The states that a system, a record, and a delivery go through."""

from __future__ import annotations

from enum import StrEnum


class SystemState(StrEnum):
    """How far a system takes part (RULES 16)."""

    JOINING = "joining"  # read and matched; neither causes nor receives writes until approved
    ACTIVE = "active"
    OBSERVE = "observe"  # read and counted, never written


class RecordStatus(StrEnum):
    """What became of a source record."""

    LIVE = "live"
    DELETED = "deleted"  # its claims remain as last words
    ALIAS = "alias"  # merged into another record of its system
    LEFT = "left"  # left the scope in which the hub had made it: neither heard nor told any more


class DeletePolicy(StrEnum):
    """What a deletion that speaks for the customer does elsewhere."""

    IGNORE = "ignore"  # nothing; a person is told
    UNLINK = "unlink"  # what the record said counts no longer
    ARCHIVE = "archive"  # the customer is kept, and nobody is told of it any more
    PROPAGATE = "propagate"  # archived, and deleted wherever the manifest says how


class Leaving(StrEnum):
    """What becomes of a record that the hub has made when the condition for that ends."""

    KEEP = "keep"  # linked and updated as before
    ARCHIVE = (
        "archive"  # not written while the condition does not hold; what people say there counts
    )
    UNLINK = "unlink"  # left to itself for good


class Origin(StrEnum):
    """Who made a source record."""

    SOURCE = "source"
    HUB = "hub"


class InboxState(StrEnum):
    """What became of an observation."""

    PENDING = "pending"
    DONE = "done"
    PARKED = "parked"  # equals a create whose answer is still open (RULES 24)
    DEAD = "dead"


class DeliveryVerb(StrEnum):
    """What a delivery does to its target."""

    WRITE = "write"  # make it, or bring it to the golden record
    DELETE = "delete"
    ERASE = "erase"  # a record of an erased customer: the message is under the receipt's name, and holds its key


class DeliveryState(StrEnum):
    """How far a delivery is: intent, sent, and what stands in its way."""

    PENDING = "pending"
    LEASED = "leased"
    SENT = "sent"  # the intent is committed; the answer is not
    UNKNOWN = "unknown"  # a create whose answer was lost: look before anything else
    HELD = "held"  # waits for a person
    REFUSED = "refused"  # waits for the golden record or the mapping to change
    WAITING = "waiting"  # waits until what it refers to is known to the system
    OVERTAKEN = "overtaken"  # waits for a newer state of the record to be reconciled


class TaskKind(StrEnum):
    """What a person is asked."""

    CONFLICT = "conflict"  # claims that policy cannot decide between
    MATCH = "match"  # a record that may belong to one or more customers
    CLEAR = "clear"  # an emptied field, where the lens says review
    QUARANTINE = "quarantine"  # a field that its system keeps undoing
    UNKNOWN = "unknown"  # a write that cannot be known to have happened
    GONE = "gone"  # a record that vanished from its system
    MERGE = "merge"  # a record that its system merged into another, or may have
    DEAD_LETTER = "dead_letter"  # a row or field that could not be read
    REFUSED = "refused"  # a write that a system will not take
    INEFFECTIVE = "ineffective"  # a write that a system took and did not keep
    FUSE = "fuse"  # a run that stopped, because it was about to do more of something than policy allows
    REVERTED = "reverted"  # an edit that an owner's value replaced
    ERASE = "erase"  # records of an erased customer that a person must erase in their system
