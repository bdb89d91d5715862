"""Import and export of records: read, show what would happen, write by batches."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import CommandFailed
from core.events import Event, EventBus, Progress
from core.exchange import hf_cache, ollama, readers, writers
from core.exchange.litellm import LiteLLM
from core.exchange.portable import incoming, portable
from core.exchange.values import KINDS, VERSION, Exported, Format, Imported, Item, Preview, Reading, unreadable
from core.registry.import_values import Incoming, OnConflict, Outcome
from core.registry.values import ModelQuery, Ownership

if TYPE_CHECKING:
    from core.registry.records import Head, Model, Region
    from core.registry.store import Registry

BATCH = 500  # records in a transaction
_ORDER = {"region": 0, "head": 1, "model": 2}
_NAMED = 20
_ALL = 10**9
T = TypeVar("T")


class ExchangeService:
    """Records out of and into the registry."""

    def __init__(self, registry: Registry, bus: EventBus) -> None:
        self._registry = registry
        self._bus = bus

    # Reading

    async def read_file(self, path: str, *, form: Format | None = None) -> Reading:
        """The records of a JSON, YAML, TOML or CSV file, or of LiteLLM's configuration.

        Raises:
            UsageError: it can't be read; the message names the line.
        """

        def work(stop: Flag) -> Reading:
            data, known = readers.load(path, form)
            return _parsed(data, known, path, stop)

        return await self._checked(await _in_thread(work))

    async def read_text(self, data: bytes, form: Format, *, source: str = "standard input") -> Reading:
        """The same of bytes that are here already."""
        readers.check_size(data, source, form)
        return await self._checked(await _in_thread(partial(_parsed, data, form, source)))

    async def read_ollama(self, folder: Path | None = None) -> Reading:
        """What Ollama has pulled on this machine.

        Raises:
            NotFound: there is no store.
        """
        place = folder or ollama.store()
        return await self._checked(await _in_thread(partial(_listed, f"Ollama ({place})", ollama.read_ollama, place)))

    async def read_hf_cache(self, folder: Path | None = None) -> Reading:
        """What Hugging Face's tools have downloaded on this machine.

        Raises:
            NotFound: there is no cache.
        """
        place = folder or hf_cache.hub()
        return await self._checked(
            await _in_thread(partial(_listed, f"Hugging Face ({place})", hf_cache.read_hf_cache, place))
        )

    async def _checked(self, reading: Reading) -> Reading:
        """Names that come twice, and regions and heads that are nowhere; in the order in which they are written."""
        regions, heads = await self._registry.places()
        regions |= {one.name for one in reading.records if one.kind == "region" and not one.problems}
        heads |= {one.name for one in reading.records if one.kind == "head" and not one.problems}
        seen: dict[tuple[str, str], Incoming] = {}
        checked = []
        for one in reading.records:
            problems = _place_problems(one, regions, heads)
            first = seen.setdefault((one.kind, one.name), one)
            if first is not one and one.name:
                place = f"line {first.line}" if first.line else "before"
                problems["name"] = f"There is one of this name already: {place}."
            checked.append(replace(one, problems={**problems, **one.problems}) if problems else one)
        return replace(reading, records=sorted(checked, key=lambda one: _ORDER[one.kind]))

    # Importing

    async def preview(self, reading: Reading, rule: OnConflict = OnConflict.SKIP) -> Preview:
        """What an import would do with each record."""
        decisions = await self._registry.plan_import(reading.records, rule)
        return Preview(source=reading.source, rule=rule, decisions=decisions, notes=reading.notes)

    async def apply(self, preview: Preview) -> AsyncIterator[Event]:
        """Write what was shown, in batches that are each there wholly or not at all; ends with `Imported`.

        Closing the stream, or cancelling, stops between two batches; what is written stays, and can be undone.
        Records that changed since the preview are decided anew, by the same rule.
        """
        entry = self._registry.import_entry(preview.source)
        records = [one.incoming for one in preview.decisions]
        counts: Counter[str] = Counter()
        names: list[str] = []
        for start in range(0, len(records), BATCH):
            done = await self._registry.import_batch(records[start : start + BATCH], preview.rule, entry)
            counts.update(one.outcome.value for one in done)
            names += [one.name for one in done if one.outcome is Outcome.ADD and one.incoming.kind == "model"]
            del names[_NAMED:]
            reached = min(start + BATCH, len(records))
            yield self._tell(
                Progress(task="import", text="Importing", done=reached, total=len(records), unit="records")
            )
        shown = {outcome.value: counts[outcome.value] for outcome in Outcome}
        yield self._tell(Imported(source=preview.source, batch=entry.batch, counts=shown, names=tuple(names)))

    def _tell(self, event: Event) -> Event:
        self._bus.publish(event)
        return event

    # Exporting

    async def export(
        self,
        form: Format,
        write: Callable[[str], object],
        *,
        query: ModelQuery | None = None,
        kinds: Sequence[str] = KINDS,
    ) -> Exported:
        """Write the user's own records in pieces; of models all, archived ones too, or those that `query` finds.

        Values that look like secrets are left out; keys are only named. CSV takes one of the `kinds`.
        """
        lost: list[str] = []
        counts: dict[str, int] = {}
        sections = []
        for kind in kinds:
            records = await self._records(kind, query)
            counts[kind] = len(records)
            sections.append((kind, (portable(record, lost) for record in records)))
        pieces = writers.write(form, sections)
        while some := await asyncio.to_thread(_some, pieces):
            write(some)
        return Exported(counts=counts, left_out=tuple(lost))

    async def export_file(
        self, path: str, form: Format, *, query: ModelQuery | None = None, kinds: Sequence[str] = KINDS
    ) -> Exported:
        """The same into a file, mode 0600, which is put in its place when it is whole.

        Raises:
            CommandFailed: it can't be written.
        """
        with _replacing(Path(path)) as write:
            return await self.export(form, write, query=query, kinds=kinds)

    async def _records(self, kind: str, query: ModelQuery | None) -> Sequence[Model | Head | Region]:
        if kind == "heads":
            return await self._registry.heads()
        if kind == "regions":
            return [region for region in await self._registry.regions() if not region.builtin]
        queries = [query] if query else [ModelQuery(), ModelQuery(archived=True)]
        found: list[Model] = []
        for one in queries:
            names = await self._registry.model_names(replace(one, ownership=Ownership.MINE), most=_ALL)
            found += await self._registry.models_of([*names])
        return found


@contextmanager
def _replacing(path: Path) -> Iterator[Callable[[str], object]]:
    """Write beside the file and put it in its place at the end, so that a failure leaves what was there."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        beside = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                yield file.write
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise CommandFailed(
            f"{path} can't be written: {error.strerror}", remedy="Choose a folder that you may write to."
        ) from error


def _some(pieces: Iterator[str], size: int = 1 << 18) -> str:
    """About as much text as is worth a trip to a thread and back; "" at the end."""
    parts: list[str] = []
    length = 0
    for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if length >= size:
            break
    return "".join(parts)


async def _in_thread(work: Callable[[Flag], T]) -> T:
    """In a thread that stops soon after one no longer waits for it."""
    stop = Flag()
    try:
        return await asyncio.to_thread(work, stop)
    finally:
        stop.set()


def _listed(source: str, read: Callable[[Path], Iterable[Incoming]], place: Path, stop: Flag) -> Reading:
    return Reading(source=source, records=list(_until(read(place), stop)))


def _until(items: Iterable[T], stop: Flag) -> Iterator[T]:
    for item in items:
        if stop.is_set():
            return
        yield item


def _parsed(data: bytes, form: Format, source: str, stop: Flag) -> Reading:
    litellm = LiteLLM(source)
    records: list[Incoming] = []
    notes: list[str] = []
    for item in _until(readers.read(data, form, source), stop):
        if item.kind == "litellm":
            records.append(litellm.read(item))
        elif item.kind:
            loose = form is Format.CSV
            records.append(incoming(item.kind, item.value, where=source, line=item.line, loose=loose))
        elif item.key == "modelyard":
            _check_version(item, source)
        elif item.key != "exported_at":
            notes.append(f"{item.key} is not read")
    if not records and not stop.is_set() and any(note for note in notes):
        raise unreadable(source, "it holds no records", remedy="Known are models, heads, regions and model_list.")
    return Reading(source=source, records=records, notes=tuple(notes))


def _check_version(item: Item, source: str) -> None:
    if not isinstance(item.value, int) or item.value > VERSION:
        raise unreadable(
            source,
            "a newer Modelyard wrote it",
            line=item.line,
            remedy="Upgrade Modelyard on this machine.",
        )


def _place_problems(one: Incoming, regions: set[str], heads: set[str]) -> dict[str, str]:
    values: Mapping[str, Any] = one.columns
    problems = {}
    if values.get("region") and values["region"] not in regions:
        problems["region"] = "There is no such region: add it first, or put it into the file."
    if values.get("head") and values["head"] not in heads:
        problems["head"] = "There is no such head: add it first, or put it into the file."
    return problems
