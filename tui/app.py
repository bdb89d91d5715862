"""The screens' life cycle: modes, themes, the core behind them, toasts, and one place where errors are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.signal import Signal

from core.errors import ModelyardError
from core.events import Event, HostChanged, RecordChanged, ServerChanged
from core.registry.values import ServerStatus
from core.text import clean_line
from tui.bridge import CoreEvent, Opener, WatchFailed, YardFailed, YardOpened, live, open_yard
from tui.endings import run_until_ended
from tui.keys import bindings
from tui.stylesheet import KeptStylesheet
from tui.terminal import DrawsChanges
from tui.theme import MODELYARD, plain_tones
from tui.typeahead import HoldsKeys
from tui.widgets.plain import TextField

if TYPE_CHECKING:
    from textual.command import Provider
    from textual.screen import Screen
    from textual.worker import Worker

    from core.app import Modelyard
    from core.settings import Settings

_CLOSE_TIMEOUT_S = 5.0
_WIDE = 100  # cells
_MOST_PROBLEMS = 3
_FOR_LISTS = frozenset({"go", "help", "keys", "leave"})


def _models() -> Screen[None]:
    from tui.screens.models import ModelsScreen

    return ModelsScreen()


def _servers() -> Screen[None]:
    from tui.screens.servers import ServersScreen

    return ServersScreen()


def _hosts() -> Screen[None]:
    from tui.screens.hosts import HostsScreen

    return HostsScreen()


def _analytics() -> Screen[None]:
    from tui.screens.analytics import AnalyticsScreen

    return AnalyticsScreen()


def _heads() -> Screen[None]:
    from tui.screens.heads import HeadsScreen

    return HeadsScreen()


def _downloads() -> Screen[None]:
    from tui.screens.downloads import DownloadsScreen

    return DownloadsScreen()


def _actions() -> type[Provider]:
    from tui.palette import Actions

    return Actions


class ModelyardApp(HoldsKeys, DrawsChanges):
    """Modelyard on a terminal; `opener` gives the core (another one in tests)."""

    TITLE = "Modelyard"
    CSS_PATH: ClassVar = ["app.tcss", "screens/models.tcss"]  # the first screen's here: its own would be a second parse
    MODES: ClassVar = {
        "models": _models,
        "servers": _servers,
        "hosts": _hosts,
        "analytics": _analytics,
        "heads": _heads,
        "downloads": _downloads,
    }
    DEFAULT_MODE = "models"
    COMMANDS: ClassVar = {_actions}
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012 - declared so by Textual

    def __init__(self, settings: Settings, *, opener: Opener = open_yard, chat_with: str | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.keymap: dict[str, str] = dict(settings.keymap)
        self.yard: Modelyard | None = None
        self.problem: ModelyardError | None = None
        self.summary = Content()
        self.core_events: Signal[Event | None] = Signal(self, "core events")
        self.summary_changed: Signal[Content] = Signal(self, "summary")
        self._opener = opener
        self._chat_with = chat_with
        self._core: Worker[None] | None = None
        self._not_begun: set[Coroutine[object, object, object]] = set()
        self.register_theme(MODELYARD)
        self.theme = settings.theme if settings.theme in self.available_themes else MODELYARD.name
        self.stylesheet = KeptStylesheet(self.get_css_variables())

    def get_css_variables(self) -> dict[str, str]:
        """The theme's, and two greys that text can take, which Textual's own muted colours are not."""
        variables = super().get_css_variables()
        return {**variables, **plain_tones(variables)}

    @property
    def is_wide(self) -> bool:
        """Whether there is room for a card beside the list."""
        return self.size.width >= _WIDE

    def on_mount(self) -> None:
        self.animation_level = "none"
        self.set_keymap(self.keymap)

    def begin(self) -> None:
        """The first frame is out: now the core may take the processor."""
        if self._core is None:
            self.open_core()

    def open_core(self) -> None:
        """Open the core; also the retry after a failure."""
        self.problem = None
        self._core = self.run_worker(live(self, self.settings, self._opener), group="core", exit_on_error=True)

    async def on_unmount(self) -> None:
        """Let the core close its connections; quitting never waits long for it."""
        for work in self._not_begun:
            work.close()
        if self._core is not None and self._core._task is not None:
            self._core.cancel()
            await asyncio.wait([self._core._task], timeout=_CLOSE_TIMEOUT_S)

    # What the core says

    def on_yard_opened(self, message: YardOpened) -> None:
        """The lists can load."""
        self.yard = message.yard
        self.yard.keys.ask_with(self._ask_passphrase)
        self.core_events.publish(None)
        self._summarise()
        for problem in message.yard.catalog.problems[:_MOST_PROBLEMS]:
            self.toast(f"The catalog: {problem.text}", tone="warning", timeout=12)
        if self._chat_with:
            self.guard(self._open_chat(self._chat_with))

    async def _ask_passphrase(self, new: bool, _problem: str) -> str | None:
        from tui.modals.passphrase import ask_in_dialog

        if self.yard is not None:
            await ask_in_dialog(self, self.yard.keys, new)
        return None

    def on_yard_failed(self, message: YardFailed) -> None:
        """The lists show why, and how to try again."""
        self.yard, self.problem = None, message.error
        self.core_events.publish(None)

    def on_watch_failed(self, message: WatchFailed) -> None:
        """Live changes are missing until it works again: say so."""
        self.toast(f"The hosts can't be followed: {message.error.message}", tone="warning")

    def on_core_event(self, message: CoreEvent) -> None:
        """Tell every screen; changes of servers and hosts are toasts, too."""
        event = message.event
        self.core_events.publish(event)
        if isinstance(event, ServerChanged | HostChanged | RecordChanged):
            self._summarise()
        if isinstance(event, ServerChanged) and event.before != event.after:
            self._toast_server(event)
        elif isinstance(event, HostChanged):
            self._toast_host(event)

    def _toast_host(self, event: HostChanged) -> None:
        if event.detail:
            self.toast(event.detail, tone="warning")
        else:
            self.toast(f"{event.host} is {'fine again' if event.reachable else 'not reachable'}")

    def _toast_server(self, event: ServerChanged) -> None:
        name = f"{event.model_name} on {event.host}"
        if event.after == ServerStatus.RUNNING:
            self.toast(f"{name} is running\n{event.url}", timeout=8)
        elif event.after == ServerStatus.FAILED:
            remedy = f"\n→ {event.remedy}" if event.remedy else ""
            self.toast(f"{name} failed: {event.detail}{remedy}", tone="error", timeout=12)
        else:
            self.toast(f"{name}: {event.before or 'new'} → {event.after}", timeout=3)

    def toast(self, text: str, *, tone: str = "information", timeout: float = 5) -> None:
        """A short note; `tone` is "information", "warning" or "error"; foreign text is harmless in it."""
        severity = {"warning": "warning", "error": "error"}.get(tone, "information")
        lines = "\n".join(clean_line(part) for part in text.split("\n"))
        self.notify(lines, severity=severity, timeout=timeout, markup=False)  # type: ignore[arg-type]

    def _summarise(self) -> None:
        self.guard(self._count, group="summary")

    async def _count(self) -> None:
        from tui.summary import summarise

        if self.yard is not None:
            self.summary = await summarise(self.yard)
            self.summary_changed.publish(self.summary)

    # Errors

    def guard(
        self,
        work: Coroutine[object, object, object] | Callable[[], Coroutine[object, object, object]],
        *,
        group: str = "action",
        hold: bool = False,
        exclusive: bool = False,
    ) -> Worker[None]:
        """Run in a worker; whatever goes wrong is shown, and the program goes on.

        `hold` for an action that may open a dialog: keys pressed meanwhile go there. `exclusive` for work that
        replaces what runs in its group; it comes as a function, since it may be replaced before it begins.
        """
        if hold:
            self.hold_keys()
        if not callable(work):
            self._not_begun.add(work)
        return self.run_worker(partial(self._guarded, work, hold), group=group, exclusive=exclusive, exit_on_error=True)

    async def _guarded(
        self, work: Coroutine[object, object, object] | Callable[[], Coroutine[object, object, object]], hold: bool
    ) -> None:
        try:
            if not callable(work):
                self._not_begun.discard(work)
            await (work() if callable(work) else work)
        except ModelyardError as error:
            self.show_error(error)
        except Exception as error:  # noqa: BLE001 - one screen's fault must not take the terminal down
            if self.is_running:  # while the program ends, work finds its widgets gone
                self.show_error(fault(error))
        finally:
            if hold:
                self.release_keys()

    def show_error(self, error: ModelyardError) -> None:
        """What happened, the likely cause, what to do."""
        from tui.modals.error import ErrorDialog

        if self.is_running:
            self.push_screen(ErrorDialog(error))

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In a dialog or a field, the letters and numbers belong there."""
        if action in _FOR_LISTS:
            return not (self.screen.is_modal or isinstance(self.focused, TextField))
        if action == "redraw":
            return not (self.screen.is_modal and hasattr(self.screen, "action_clear"))  # a chat's key
        return True

    async def action_leave(self) -> None:
        """Quit; what was deployed goes on."""
        await self.action_quit()

    def action_go(self, place: str) -> None:
        """To a screen; an open dialog stays in front."""
        if not self.screen.is_modal:
            self.switch_mode(place)

    def action_help(self) -> None:
        """The keys."""
        from tui.modals.help import HelpDialog

        if not isinstance(self.screen, HelpDialog):
            self.hold_keys()
            self.push_screen(HelpDialog())

    def action_keys(self) -> None:
        """The API keys."""
        from tui.modals.keys import KeysDialog

        if self.yard is not None:
            self.hold_keys()
            self.push_screen(KeysDialog(self.yard))

    def action_command_palette(self) -> None:
        """Find an action by its name."""
        from tui.palette import Palette

        if self.use_command_palette and not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette", placeholder="Search for an action"))

    async def _open_chat(self, ref: str) -> None:
        from tui.modals.chat import ChatDialog

        if self.yard is not None:
            model = await self.yard.registry.get_model(ref)
            self.push_screen(ChatDialog(model.id, model.name))


def fault(error: Exception) -> ModelyardError:
    """A defect of the program itself, in the words of every other error."""
    return ModelyardError(
        f"Something went wrong inside Modelyard: {type(error).__name__}: {error}",
        cause="This is a fault of the program, not yours.",
        remedy="Try again; if it comes back, report it with this text.",
    )


def run_screens(settings: Settings, *, chat_with: str | None = None) -> int:
    """Open the screens until the user leaves, and return the exit code; `chat_with` opens a talk with that model."""
    return run_until_ended(ModelyardApp(settings, chat_with=chat_with))
