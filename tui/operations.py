"""Actions on servers and models that more than one screen offers: each asks first where something would be lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from core.events import Event
from core.text import clean_line

if TYPE_CHECKING:
    from textual.app import App

    from core.registry.records import Model, Server
    from tui.app import ModelyardApp


T = TypeVar("T")
_MOMENT_S = 0.4  # an answer within it needs no dialog


@asynccontextmanager
async def closing(stream: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close a stream of the core as soon as one stops reading, not when it happens to be collected."""
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


async def confirm(app: ModelyardApp, question: str, *, details: list[str], yes: str) -> bool:
    """Ask; True when the user said yes. The safe answer has the focus."""
    from tui.modals.confirm import ConfirmDialog

    return await app.push_screen_wait(ConfirmDialog(question, details=details, yes=yes))


async def asked(app: App[Any], work: Coroutine[Any, Any, T], what: str) -> T | None:
    """What a host answers; where it takes a moment `what` is said, and Escape gives up: None, the work is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=_MOMENT_S)
        if not task.done():
            from tui.modals.asking import AskingDialog

            if not await app.push_screen_wait(AskingDialog(task, what)):
                return None
        return task.result()
    finally:
        task.cancel()


async def finish(events: AsyncIterator[Event]) -> None:
    """Follow an operation to its end; the screens hear of its events by the bus."""
    async for _ in events:
        pass


async def stop(app: ModelyardApp, server: Server) -> None:
    """Stop a server after a question."""
    details = [
        f"{_place(server)} gets time to finish, then it is stopped.",
        "Open connections end. Model files and the record stay.",
    ]
    if app.yard and await confirm(app, f"Stop {server.model_name} on {server.host_name}?", details=details, yes="Stop"):
        await finish(app.yard.deploys.stop(server.id))


async def restart(app: ModelyardApp, server: Server) -> None:
    """Stop and start a server after a question."""
    details = [f"{_place(server)} stops and starts again with the same settings.", "Until it runs, nothing answers."]
    question = f"Restart {server.model_name} on {server.host_name}?"
    if app.yard and await confirm(app, question, details=details, yes="Restart"):
        await finish(app.yard.deploys.restart(server.id))


async def remove_server(app: ModelyardApp, server: Server) -> None:
    """Remove a stopped or failed server after a question."""
    details = [f"Removed: {_place(server)}, its logs and its record.", "Model files on the host stay."]
    question = f"Remove the {server.status} server of {server.model_name}?"
    if app.yard and await confirm(app, question, details=details, yes="Remove"):
        await app.yard.deploys.remove_server(server.id)
        app.toast(f"Removed the server of {server.model_name} on {server.host_name}")


async def delete_model(app: ModelyardApp, model: Model) -> None:
    """Delete a model's record and its servers after a question that names them."""
    if app.yard is None:
        return
    servers = await app.yard.registry.servers(model_id=model.id)
    lost = [f"Stopped and removed: {_place(server)} on {server.host_name} ({server.status})" for server in servers]
    kept = f"Kept: its files{f' at {model.path}' if model.path else ''}."
    details = [f"Deleted: the record {model.name} ({model.model_id})", *lost, kept]
    if await confirm(app, f"Delete the model {model.name}?", details=details, yes="Delete"):
        await app.yard.deploys.delete_model(model.id)
        app.toast(f"Deleted {model.name}; its files stay")


async def show_logs(app: ModelyardApp, server: Server) -> None:
    """Open the logs of a server."""
    from tui.modals.logs import LogDialog

    app.push_screen(LogDialog(server.id, f"{server.model_name} on {server.host_name}"))


async def chat(app: ModelyardApp, model_id: str, name: str) -> None:
    """Open a talk with a model."""
    from tui.modals.chat import ChatDialog

    app.push_screen(ChatDialog(model_id, name))


def _place(server: Server) -> str:
    return f"the container {clean_line(server.container_name)}" if server.container_name else "its server"
