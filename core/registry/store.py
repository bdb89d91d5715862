"""The one way in to the records. Every change is one transaction and one event on the bus."""

from __future__ import annotations

from core.registry.calls import CallRecords
from core.registry.changes import ChangeRecords
from core.registry.conversations import ConversationRecords
from core.registry.figures import FigureRecords
from core.registry.globals import GlobalRecords
from core.registry.heads import HeadRecords
from core.registry.hosts import HostRecords
from core.registry.imports import ImportRecords
from core.registry.jobs import JobRecords
from core.registry.key_use import KeyUses
from core.registry.lists import ModelLists
from core.registry.models import ModelRecords
from core.registry.routed import RoutedRecords
from core.registry.servers import ServerRecords


class Registry(
    ModelRecords,
    ModelLists,
    HostRecords,
    ServerRecords,
    HeadRecords,
    CallRecords,
    FigureRecords,
    ChangeRecords,
    ImportRecords,
    ConversationRecords,
    GlobalRecords,
    RoutedRecords,
    JobRecords,
    KeyUses,
):
    """All records of one user."""
