"""Which key a model uses (P7)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from core.registry.records import Model

_HOMES = {"openai": "openai.com", "anthropic": "anthropic.com", "google": "googleapis.com"}


def key_name(model: Model) -> str:
    """The one set on the record, else its provider's global one, "" for none.

    The provider's global key goes to the provider only: a personal model with an endpoint elsewhere gets none
    unless it names one.
    """
    return model.api_key_ref or own_key(model)


def own_key(model: Model) -> str:
    """The key that a model without a choice of the user's is asked with: its catalog's, else its provider's."""
    if model.catalog_key:
        return model.catalog_key
    home = _HOMES.get(model.provider, "")
    return model.provider if home and (model.is_global or _is_at(model.endpoint, home)) else ""


def _is_at(endpoint: str, home: str) -> bool:
    if not endpoint:
        return True
    parts = urlsplit(endpoint)
    return parts.scheme == "https" and f".{parts.hostname or ''}".endswith(f".{home}")
