"""The journal: what was decided, written before it is done; and the lease that only one controller can hold.

``model``     lines, lease, and what a journal must promise
``memory``    in this process, for rehearsals
``file``      a folder on this machine, for rehearsals and small teams
``dynamodb``  a table that several machines share
"""

from replay.canary.journal.dynamodb import DynamoJournal
from replay.canary.journal.file import FileJournal
from replay.canary.journal.memory import MemoryJournal
from replay.canary.journal.model import Command, CommandName, Journal, Kind, Lease, Line, leave

__all__ = [
    "Command",
    "CommandName",
    "DynamoJournal",
    "FileJournal",
    "Journal",
    "Kind",
    "Lease",
    "Line",
    "MemoryJournal",
    "leave",
]
