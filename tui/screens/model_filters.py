"""The models' search, filters and sort: what is chosen, how it is shown as chips, and how it is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.style import Style

from core.registry.values import Capability, ModelQuery, ModelSort, Ownership, Provider, ServerStatus
from core.text import clean_line
from tui.widgets.plain import Plain, TextField

if TYPE_CHECKING:
    from textual.visual import VisualType

    from tui.widgets.picker import Option

SORT_WORDS = {
    ModelSort.NAME: "name",
    ModelSort.PROVIDER: "provider",
    ModelSort.MODEL_ID: "model id",
    ModelSort.CONTEXT: "context length",
    ModelSort.REGION: "region",
    ModelSort.STATUS: "state of the server",
    ModelSort.UPDATED: "last change",
    ModelSort.OWNER: "owner, your own first",
}
NO_FILTERS: Mapping[str, Any] = {
    "provider": None,
    "ownership": Ownership.ALL,
    "region": None,
    "state": None,
    "capabilities": frozenset[Capability](),
    "archived": False,
}


@dataclass(frozen=True)
class Chip:
    """A filter or a sort that is on; `key` takes it off again."""

    key: str
    label: str


def chips(query: ModelQuery) -> list[Chip]:
    """What is on, in a fixed order."""
    found = [Chip(f"provider:{query.provider}", f"provider {query.provider}")] if query.provider else []
    if query.ownership is not Ownership.ALL:
        found.append(Chip(f"owner:{query.ownership}", f"owner {query.ownership}"))
    if query.region is not None:
        found.append(Chip(f"region:{query.region}", f"region {query.region or 'none'}"))
    if query.state is not None:
        found.append(Chip(f"state:{query.state}", f"state {query.state}"))
    found += [Chip(f"can:{able}", f"can {able}") for able in Capability if able in query.capabilities]
    if query.archived:
        found.append(Chip("archived:", "archived"))
    if query.sort is not ModelSort.NAME or query.descending:
        found.append(Chip("sort:", f"by {SORT_WORDS[query.sort]} {'▼' if query.descending else '▲'}"))
    return found


def filtered(query: ModelQuery) -> bool:
    """Whether anything but the sort narrows or changes what is listed."""
    return bool(query.text) or any(chip.key != "sort:" for chip in chips(query))


def without_filters(query: ModelQuery) -> ModelQuery:
    """Everything listed again, in the order that was chosen."""
    return ModelQuery(sort=query.sort, descending=query.descending)


def toggled(query: ModelQuery, key: str) -> ModelQuery:
    """The same with one filter on or, where it was on, off."""
    kind, _, value = key.partition(":")
    if kind == "sort":
        return replace(query, sort=ModelSort.NAME, descending=False)
    if kind == "archived":
        return replace(query, archived=not query.archived)
    if kind == "can":
        return replace(query, capabilities=query.capabilities ^ {Capability(value)})
    on = any(chip.key == key for chip in chips(query))
    name, chosen = _single(kind, value)
    return replace(query, **{name: NO_FILTERS[name] if on else chosen})


def _single(kind: str, value: str) -> tuple[str, Any]:
    if kind == "provider":
        return kind, Provider(value)
    if kind == "owner":
        return "ownership", Ownership(value)
    return (kind, value) if kind == "region" else ("state", ServerStatus(value))


def filter_options(query: ModelQuery, regions: Sequence[str]) -> list[Option]:
    """Every filter there is, for a list that is narrowed by typing."""
    from tui.widgets.picker import Option

    on = {chip.key for chip in chips(query)}
    keys = [
        *(f"provider:{provider}" for provider in Provider),
        *(f"owner:{owner}" for owner in Ownership if owner is not Ownership.ALL),
        *(f"state:{state}" for state in ServerStatus),
        *(f"can:{able}" for able in Capability),
        "archived:",
        *(f"region:{region}" for region in regions),
    ]
    return [
        Option(key, key.replace(":", " ").strip(), "on; choose it to take it off" if key in on else "") for key in keys
    ]


def sort_options(query: ModelQuery) -> list[tuple[str, str]]:
    """The columns, for a menu; the one in use says what choosing it again does."""
    again = " (reverse)"
    return [
        (word.capitalize() + (again if sort is query.sort else ""), sort.value) for sort, word in SORT_WORDS.items()
    ]


def sorted_by(query: ModelQuery, column: str) -> ModelQuery:
    """Sorted by a column; by the one in use, the other way round."""
    sort = ModelSort(column)
    return replace(query, sort=sort, descending=sort is query.sort and not query.descending)


# Kept from one run to the next


def as_kept(query: ModelQuery) -> dict[str, Any]:
    """Filters and sort as JSON; what was searched for is not kept."""
    return {
        "filters": [chip.key for chip in chips(query) if chip.key != "sort:"],
        "sort": query.sort.value,
        "descending": query.descending,
    }


def from_kept(kept: Mapping[str, Any]) -> ModelQuery:
    """The inverse; what a damaged file or another version says and is not understood is left out."""
    query = ModelQuery(descending=kept.get("descending") is True)
    if str(kept.get("sort")) in set(ModelSort):
        query = replace(query, sort=ModelSort(str(kept["sort"])))
    filters = kept.get("filters")
    for key in filters if isinstance(filters, list) else ():
        try:
            query = toggled(query, str(key))
        except ValueError:
            continue
    return query


# Shown


class FilterBar(Horizontal):
    """The search field, and how many models are shown."""

    def __init__(self) -> None:
        super().__init__(id="filters")

    def compose(self) -> ComposeResult:
        yield Plain("/", id="search-mark")
        yield TextField(placeholder="search names, ids and tags", id="search")
        yield Steady(id="count")

    def say_count(self, text: str) -> None:
        """How many are shown."""
        self.query_one(Steady).show(text)


class Steady(Plain):
    """Text in a place of fixed size: what changes in it moves nothing else on the screen."""

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        super().update(content, layout=False)


class Chips(Plain):
    """The filters that are on; a click on one, or its key, takes it off. Nothing on: no line."""

    def __init__(self) -> None:
        super().__init__(id="chips")
        self.display = False

    def show_query(self, query: ModelQuery) -> None:
        """Say which filters are on."""
        self.show_chips(chips(query))

    def show_chips(self, on: Sequence[Chip]) -> None:
        """Say these."""
        self.display = bool(on)
        self.show(Content(" ").join(_drawn(on)))

    async def on_click(self, event: events.Click) -> None:
        """A click takes it off."""
        if action := event.style.meta.get("does"):
            await self.run_action(action)


def _drawn(on: Iterable[Chip]) -> Iterable[Content]:
    for chip in on:
        text = Content.assemble(
            (f" {clean_line(chip.label)} ", "$foreground on $panel"), ("✕ ", "$text-accent on $panel")
        )
        yield text.stylize(Style.from_meta({"does": f"screen.take_off({chip.key!r})"}))
