"""What can be picked in the forms: regions, heads with their regions, hosts, stored keys by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core.registry.values import LOCAL_HOST
from tui.widgets.picker import Load, Option

if TYPE_CHECKING:
    from textual.app import App

    from core.app import Modelyard


def loader(yard: Modelyard, kind: str) -> Load | None:
    """The options of a kind of field; None for kinds that are typed."""
    make = _LOADERS.get(kind)
    return None if make is None else make(yard)


def _regions(yard: Modelyard) -> Load:
    async def load() -> Sequence[Option]:
        return [Option(region.id, region.id, region.name) for region in await yard.registry.regions()]

    return load


def _heads(yard: Modelyard) -> Load:
    async def load() -> Sequence[Option]:
        heads = await yard.registry.heads()
        return [Option(head.name, head.name, "  ".join(filter(None, (head.region, head.url)))) for head in heads]

    return load


def _hosts(yard: Modelyard) -> Load:
    async def load() -> Sequence[Option]:
        hosts = await yard.registry.hosts()
        return [Option(h.name, h.name, "this machine" if h.name == LOCAL_HOST else h.target) for h in hosts]

    return load


def _keys(yard: Modelyard) -> Load:
    async def load() -> Sequence[Option]:
        from tui.modals.keys import key_options

        return await key_options(yard)

    return load


async def new_key(app: App[None], yard: Modelyard) -> str | None:
    """The name of a key that was just stored; call it in a worker."""
    from tui.modals.key_form import KeyForm

    return await app.push_screen_wait(KeyForm(yard.keys))


_LOADERS: dict[str, Callable[[Modelyard], Load]] = {
    "region": _regions,
    "head": _heads,
    "host": _hosts,
    "key": _keys,
}
