"""The regions a model can be in, and the heads: gateways that are a model's way in (R1, R2)."""

from __future__ import annotations

from core.registry.base import Store


class HeadRecords(Store):
    """Regions and heads."""
