"""The one way in to the records. Every change is one transaction and one event on the bus."""

from __future__ import annotations

from core.registry.calls import CallRecords
from core.registry.heads import HeadRecords
from core.registry.hosts import HostRecords
from core.registry.models import ModelRecords
from core.registry.servers import ServerRecords


class Registry(ModelRecords, HostRecords, ServerRecords, HeadRecords, CallRecords):
    """All records of one user."""
