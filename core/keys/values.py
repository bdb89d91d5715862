"""The words of the keys: where one comes from, what is in use, and which names mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.errors import InvalidInput
from core.registry.checks import check_key_name

# The provider's key by our name, and the variables that its own tools read.
ALIASES = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "huggingface": ("HF_TOKEN",),
    "civitai": ("CIVITAI_TOKEN",),
}
_LONGEST = 16_384  # characters


class KeySource(StrEnum):
    """Where a key's value is read."""

    ENVIRONMENT = "environment"
    FILE = "file"
    KEYRING = "keyring"
    VAULT = "vault"
    MISSING = "missing"  # a record refers to it, and nothing holds it
    LOCKED = "locked"  # perhaps in the vault, which is locked


@dataclass(frozen=True, kw_only=True)
class KeyInfo:
    """A key without any part of its value; `detail` names the variable or file; `used_by` holds some of `uses`."""

    name: str
    source: KeySource
    detail: str = ""
    used_by: tuple[str, ...] = ()
    uses: int = 0

    def as_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return {
            "name": self.name,
            "source": self.source.value,
            "detail": self.detail,
            "used_by": list(self.used_by),
            "uses": self.uses,
        }


@dataclass(frozen=True, kw_only=True)
class Backend:
    """What keeps the keys: `kind` is "environment", "keyring" or "vault", `detail` says why in a sentence.

    `new` for a vault that is not there yet: unlocking it makes it.
    """

    kind: str
    detail: str
    locked: bool = False
    new: bool = False

    def as_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return {"kind": self.kind, "detail": self.detail, "locked": self.locked, "new": self.new}


def check_name(name: str) -> str:
    """The name, if a key can have it.

    Raises:
        InvalidInput: it can't.
    """
    if problem := check_key_name(name):
        raise InvalidInput({"name": problem})
    return name


def check_value(value: str) -> str:
    """The value, if it can be sent as a key: what no HTTP header can hold would fail later, and less clearly.

    Raises:
        InvalidInput: it is empty, too long, or holds other characters than printable ASCII.
    """
    if not value:
        raise InvalidInput({"value": "Empty."})
    if len(value) > _LONGEST:
        raise InvalidInput({"value": f"Longer than {_LONGEST} characters: this is no key."})
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        raise InvalidInput({"value": "Only printable ASCII without spaces at the ends can be sent as a key."})
    return value


def variables_of(name: str) -> tuple[str, ...]:
    """The environment variables that may hold the key of this name, the first one wins."""
    return (name, *ALIASES.get(name, ()))


def stored_names(name: str) -> tuple[str, ...]:
    """The names under which it may be kept: `OPENAI_API_KEY` is `openai`, too."""
    return (name, *(ours for ours, variables in ALIASES.items() if name in variables))
