"""Models that come from elsewhere: a global one made mine (P7), what a training job left (P18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.registry.records import Model
    from tui.screens.model_actions import ModelActions


async def make_mine(screen: ModelActions, model: Model) -> None:
    """A personal copy, which is then selected."""
    from tui.modals.copy_form import CopyForm

    saved = await screen.app.push_screen_wait(CopyForm(screen.yard, model))
    if saved is not None:
        screen.show_new(saved)


async def add_training(screen: ModelActions) -> None:
    """Register an output; the new row is selected, and deployed if that was asked for."""
    from tui.modals.deploy import DeployDialog
    from tui.modals.training import TrainingDialog

    hosts = [host.name for host in await screen.yard.registry.hosts()]
    added = await screen.app.push_screen_wait(TrainingDialog(screen.yard, hosts))
    if added is None:
        return
    model = await screen.yard.registry.get_model(added.model_id)
    screen.show_new(model.id)
    screen.modelyard.toast(f"Added {model.name}, {model.model_id}")
    if added.deploy:
        await screen.app.push_screen_wait(DeployDialog(screen.yard, model))
        screen.reload_soon(select=model.id)


async def choose_key(screen: ModelActions, model: Model) -> None:
    """One of the stored keys, a new one, or again the one that it has by itself; keys of providers go to them only."""
    from core.keys.choice import own_key
    from core.keys.values import ALIASES
    from tui.modals.keys import pick_key

    own = own_key(model)
    current = model.api_key_ref if model.api_key_ref != own else ""
    none = f"the usual one: {own}" if own else "none"
    picked = await pick_key(screen.app, f"The key of {model.name}", current=current, none=none, leave_out={*ALIASES})
    picked = "" if picked == own else picked
    if picked is not None and picked != current:
        changed = await screen.yard.registry.edit_model(model.id, {"api_key_ref": picked})
        screen.modelyard.toast(f"{model.name} is asked with {changed.api_key_ref or own or 'no key'}; u takes it back")
        screen.reload_soon(select=model.id)
