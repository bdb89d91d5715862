"""What may be done with a model now, and why not (P10): one answer for screens and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.registry.values import ACTIVE, DEPLOYABLE, Action, Provider, ServerStatus

if TYPE_CHECKING:
    from core.registry.records import Model, Server


ADAPTER_ALONE = "It is an adapter alone; merge it into its base model first."


def actions(model: Model, server: Server | None, *, user_id: str) -> list[Action]:
    """Every action of a model's card, allowed or with the reason."""
    status = ServerStatus(server.status) if server else None
    not_mine = _not_mine(model, user_id)
    return [
        Action(name="deploy", why_not=not_mine or _no_deploy(model, status)),
        Action(name="stop", why_not=_needs(status, ACTIVE - {ServerStatus.STOPPING}, "It is not deployed.")),
        Action(name="restart", why_not=_no_restart(status)),
        Action(name="chat", why_not=_no_chat(model, status)),
        Action(name="test"),
        Action(name="logs", why_not="" if server else "It was never deployed."),
        *([Action(name="mine")] if model.is_global else []),
        Action(name="edit", why_not=not_mine),
        Action(name="key", why_not="" if model.is_global else not_mine),
        Action(name="delete", why_not=not_mine),
        Action(name="archive", why_not=not_mine),
    ]


def _not_mine(model: Model, user_id: str) -> str:
    if model.is_global:
        return "It is a global model: make it yours first."
    return "" if model.user_id == user_id else "It belongs to another user."


def _no_deploy(model: Model, status: ServerStatus | None) -> str:
    if model.provider not in DEPLOYABLE:
        return f"{model.provider} serves it itself."
    if model.archived_at is not None:
        return "It is archived."
    if model.extra.get("adapter"):
        return ADAPTER_ALONE
    return f"It is {status} already." if status in ACTIVE else ""


def _no_restart(status: ServerStatus | None) -> str:
    if status is None:
        return "It was never deployed."
    return "It is being worked on." if status in {ServerStatus.STARTING, ServerStatus.STOPPING} else ""


def _no_chat(model: Model, status: ServerStatus | None) -> str:
    """A provider's own service, Ollama's included, needs no endpoint on the record."""
    if model.task != "generate":
        return f"It is for another task than talking: {model.task}."
    if model.endpoint or model.provider not in DEPLOYABLE - {Provider.OLLAMA}:
        return ""
    return _needs(status, {ServerStatus.RUNNING}, "It is not running.")


def _needs(status: ServerStatus | None, wanted: set[ServerStatus] | frozenset[ServerStatus], why: str) -> str:
    return "" if status in wanted else why
