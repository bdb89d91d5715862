"""The API keys (P8): their names, where each comes from and what uses it; set, test, remove; no value is ever shown."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget

from core.events import Event, RecordChanged
from core.keys.values import Backend, KeyInfo, KeySource
from core.text import clean_line
from tui.keys import bindings, keys_of
from tui.modals.confirm import ConfirmDialog
from tui.modals.dialog import Dialog
from tui.modals.key_form import KeyForm
from tui.modals.passphrase import PassphraseDialog, ensure_unlocked, open_vault
from tui.modals.pick import PickDialog
from tui.show import toned
from tui.widgets.chrome import KeyBar
from tui.widgets.columns import fit
from tui.widgets.picker import Option
from tui.widgets.plain import Flow, Plain
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from textual import events
    from textual.app import App
    from textual.binding import BindingType

    from core.app import Modelyard

_NAME, _FROM = 24, 20  # cells
_OTHER_LINES = 14  # of the dialog and the screen around the list
_NEW = "\n"  # no key has this name
_SOURCES = {KeySource.MISSING: ("✗ not set", "bad"), KeySource.LOCKED: ("? vault is locked", "warn")}
_ON_A_KEY = {"keys.set", "keys.test", "keys.remove"}


class KeysDialog(Dialog[None]):
    """A list of keys, and what can be done with the selected one."""

    HEADING = "API keys"
    KEYS = ("keys",)
    CSS_PATH: ClassVar = ["dialog.tcss", "keys.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("keys")]

    def __init__(self, yard: Modelyard) -> None:
        super().__init__()
        self._yard = yard
        self._keys: Sequence[KeyInfo] = ()
        self._backend: Backend | None = None
        self._at = 0
        self._wanted = ""  # the key to select once it is there

    def body(self) -> Iterable[Widget]:
        yield Plain("Looking for a keyring…", id="backend")
        yield Plain(id="rows")
        with Horizontal(id="outcome-line"):
            yield Spinner()
            yield Flow(id="outcome")

    def on_mount(self) -> None:
        self.modelyard.core_events.subscribe(self, self._on_core)
        self.load_soon()

    def on_resize(self, event: events.Resize) -> None:
        """As many lines as fit."""
        self._draw()

    def _on_core(self, event: Event | None) -> None:
        if isinstance(event, RecordChanged):
            self.load_soon()

    # What is there

    def load_soon(self) -> None:
        """Read the list again; the cursor stays on its key."""
        self.modelyard.guard(self._load(), group="keys")

    async def _load(self, select: str | None = None) -> None:
        self._wanted = select or self._wanted
        keys, backend = await self._yard.keys.names(), await self._yard.keys.backend()
        chosen, self._wanted = self._wanted or (self.key.name if self.key else ""), ""
        self._keys, self._backend = keys, backend
        names = [key.name for key in keys]
        self._at = names.index(chosen) if chosen in names else max(0, min(self._at, len(names) - 1))
        self._draw()

    @property
    def key(self) -> KeyInfo | None:
        """The selected one."""
        return self._keys[self._at] if self._keys else None

    def _draw(self) -> None:
        if self._backend is None:
            return
        self.query_one("#backend", Plain).show(_backend_text(self._backend))
        self.query_one("#rows", Plain).show(Content("\n").join(self._lines()))
        self.query_one(KeyBar).renew()

    def _lines(self) -> list[Content]:
        if not self._keys:
            return [Content.styled("No key yet. Press a to add one.", "$quiet")]
        room = max(3, self.app.size.height - _OTHER_LINES)
        first = max(0, min(self._at - room // 2, len(self._keys) - room))
        head = f"  {fit('NAME', _NAME)}  {fit('FROM', _FROM)}  USED BY"
        shown = range(first, min(first + room, len(self._keys)))
        return [Content.styled(head, "$quiet"), *(self._line(number) for number in shown)]

    def _line(self, number: int) -> Content:
        key, here = self._keys[number], number == self._at
        source, tone = _SOURCES.get(key.source, (key.detail or key.source.value, ""))
        used = ", ".join(key.used_by) if key.used_by else "-"
        used = fit(clean_line(used if key.uses < 2 else f"{key.uses:,}: {used}"), 20).rstrip()
        return Content.assemble(
            (f"{'▌' if here else ' '} ", "$text-primary"),
            (fit(clean_line(key.name), _NAME), "bold $text-primary" if here else ""),
            "  ",
            toned(fit(clean_line(source), _FROM), tone) if tone else fit(clean_line(source), _FROM),
            (f"  {used}", "$quiet"),
        )

    # What can be done

    def why_not(self, key_id: str) -> str:
        key, backend = self.key, self._backend
        if backend is None:
            return "The keys are being read."
        if key_id in _ON_A_KEY and key is None:
            return "No key is selected."
        kept = key is not None and key.source in {KeySource.VAULT, KeySource.KEYRING}
        outside, vault = backend.kind == "environment", backend.kind == "vault" and not backend.new
        reasons = {
            "keys.remove": (not kept, "It is not kept by Modelyard."),
            "keys.add": (outside, "Keys come from the environment only."),
            "keys.set": (outside, "Keys come from the environment only."),
            "keys.unlock": (not backend.locked, "Nothing is locked."),
            "keys.passphrase": (not vault, "There is no vault."),
        }
        applies, reason = reasons.get(key_id, (False, ""))
        return reason if applies else ""

    def action_cursor(self, step: int) -> None:
        """By lines, round the ends."""
        if self._keys:
            self._at = (self._at + step) % len(self._keys)
            self._draw()

    def action_do(self, name: str) -> None:
        """Do it, or say why not."""
        key = next(key for key in keys_of("keys") if key.id == f"keys.{name}")
        if reason := self.why_not(key.id):
            self.modelyard.toast(f"{key.label}: {reason}", tone="warning")
        else:
            self._say("", "dim")
            self.modelyard.guard(getattr(self, f"do_{name}")(), hold=True)

    async def do_add(self) -> None:
        """A new key."""
        await self._form("")

    async def do_set(self) -> None:
        """Another value for the selected key."""
        await self._form(self.key.name if self.key else "")

    async def _form(self, name: str) -> None:
        saved = await self.app.push_screen_wait(KeyForm(self._yard.keys, name))
        if saved is not None:
            await self._load(saved)
            self._say(f"✓ {saved} is set.", "good")

    async def do_remove(self) -> None:
        """Forget it, after a question that names what uses it."""
        if (key := self.key) is None:
            return
        used = [f"Used by {', '.join(key.used_by)}."] if key.uses else ["Nothing refers to it."]
        dialog = ConfirmDialog(f"Remove the key {key.name}?", details=used, yes="Remove")
        if await self.app.push_screen_wait(dialog) and await open_vault(self.app, self._yard.keys):
            await self._yard.keys.remove(key.name)
            self._say(f"Removed {key.name}.", "dim")

    async def do_test(self) -> None:
        """Whether it can be read, and is accepted where it is used."""
        from core.connections.key_check import check_key

        key = self.key
        if key is None or not await open_vault_for(self.app, self._yard, key):
            return
        spinner = self.query_one(Spinner)
        spinner.start()
        self._say(f"Asking whether {key.name} is accepted…", "dim")
        try:
            check = await check_key(self._yard.keys, self._yard.connections, key)
        finally:
            spinner.stop()
            self._say("", "dim")
        mark, tone = {True: ("✓", "good"), False: ("✗", "bad"), None: ("?", "warn")}[check.accepted]
        self._say(f"{mark} {check.reason}" + (f" ({check.asked})" if check.asked else ""), tone)

    async def do_unlock(self) -> None:
        """Ask for the passphrase."""
        if await open_vault(self.app, self._yard.keys):
            await self._load()

    async def do_passphrase(self) -> None:
        """Another passphrase for the vault, which is unlocked first."""
        if not await open_vault(self.app, self._yard.keys):
            return
        if await self.app.push_screen_wait(PassphraseDialog(self._yard.keys, "change")):
            self._say("✓ The vault has a new passphrase.", "good")

    def _say(self, text: str, tone: str) -> None:
        self.query_one("#outcome", Flow).flow(lambda _: toned(clean_line(text), tone))


async def open_vault_for(app: App[None], yard: Modelyard, key: KeyInfo) -> bool:
    """Unlock the vault where the key may be in it."""
    return key.source is not KeySource.LOCKED or await open_vault(app, yard.keys)


async def pick_key(
    app: App[None], heading: str = "Key", *, current: str = "", none: str = "", leave_out: Container[str] = ()
) -> str | None:
    """The name of a key that the user picked, or has just made; `none` offers "" in these words. For a worker."""
    yard = app.yard  # type: ignore[attr-defined]
    await ensure_unlocked(app)
    known = [option for option in await key_options(yard) if option.key not in leave_out]
    options = [(f"{option.label}  {option.detail}", option.key) for option in known]
    others = [*([(none, "")] if none else []), ("A new key…", _NEW)]
    picked = await app.push_screen_wait(PickDialog(heading, [*options, *others], current))
    return await app.push_screen_wait(KeyForm(yard.keys)) if picked == _NEW else picked


async def key_options(yard: Modelyard) -> Sequence[Option]:
    """The keys there are, to pick one by its name."""
    return [
        Option(key.name, key.name, _SOURCES.get(key.source, (key.detail or key.source.value, ""))[0])
        for key in await yard.keys.names()
    ]


def _backend_text(backend: Backend) -> Content:
    where = {"keyring": "in your keyring", "vault": "in an encrypted vault", "environment": "outside"}[backend.kind]
    state = " It is locked: press u." if backend.locked else ""
    return Content.assemble((f"Kept {where}.", "bold"), (f" {clean_line(backend.detail)}", "$quiet"), state)
