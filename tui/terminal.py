"""The line to the terminal: only what changed goes out, and no more than it carries; Escape comes in soon."""

from __future__ import annotations

import curses
import os
import select
import threading
from codecs import getincrementaldecoder
from itertools import chain
from typing import TYPE_CHECKING

from rich.console import COLOR_SYSTEMS
from textual import constants
from textual._ansi_sequences import SYNC_END, SYNC_START
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

from tui.frame import Frame

if TYPE_CHECKING:
    from typing import Any

    from rich.console import RenderableType
    from textual import events
    from textual.driver import Driver
    from textual.geometry import Size
    from textual.screen import Screen

_ESCAPE_S = 0.05  # what begins like a longer key and stays that short is Escape; ESCDELAY says otherwise
_POLL_S = 0.1
_AGAIN_S = 0.01


class Terminal(LinuxDriver):
    """Textual's, which tells when the line is slower than the screens, and takes 0.05 s for Escape instead of 0.1."""

    @property
    def is_behind(self) -> bool:
        """Whether something written earlier is still on its way."""
        return self._writer_thread is not None and not self._writer_thread._queue.empty()

    def start_application_mode(self) -> None:
        """Take the terminal over; if that breaks off, it is given back."""
        try:
            super().start_application_mode()  # type: ignore[no-untyped-call]
        except BaseException:
            if self._writer_thread is not None:
                self.stop_application_mode()
                self.close()  # not before all of it is written
            raise

    def run_input_thread(self) -> None:
        """Turn what is typed into events until the program ends, in whatever way."""
        if "ESCDELAY" not in os.environ:
            constants.ESCAPE_DELAY = _ESCAPE_S  # type: ignore[misc]
        parser, decode = XTermParser(self._debug), getincrementaldecoder("utf-8")(errors="replace").decode
        typed = ""
        while not self.exit_event.is_set() and threading.main_thread().is_alive():
            pause = constants.ESCAPE_DELAY if typed.endswith("\x1b") else _POLL_S
            ready = bool(select.select([self.fileno], [], [], pause)[0])
            typed = decode(os.read(self.fileno, 4096)) if ready else ""
            for event in chain(parser.feed(typed) if typed else (), parser.tick()):
                self.process_message(event)
            if ready and not typed:
                self.exit_event.wait(_POLL_S)  # a terminal that is gone is readable for ever


class DrawsChanges(App[None]):
    """An app that sends its terminal only the cells that changed, and waits while that is behind."""

    def __init__(self) -> None:
        super().__init__()
        system = COLOR_SYSTEMS.get(self.console.color_system or "", COLOR_SYSTEMS["truecolor"])
        self._frame = Frame(system, erases=_erases_in_colour())
        self._told: Size | None = None
        self._is_due = False

    def get_driver_class(self) -> type[Driver]:
        """Ours in place of Textual's for terminals; another one that was asked for stays."""
        chosen = super().get_driver_class()
        return Terminal if chosen is LinuxDriver else chosen

    def on_resize(self, event: events.Resize) -> None:
        """A terminal that changes its size moves its lines about; the same size again comes after a suspension."""
        if event.size == self._told and event.pixel_size is not None:
            return  # the terminal has answered how large it is
        self._told = event.size
        self._frame.forget()
        if event.size == self._frame.size:
            self._send()

    def action_redraw(self) -> None:
        """Write everything again, over what others wrote into the terminal."""
        self._frame.forget()
        self._send()

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if not isinstance(renderable, LayoutUpdate | ChopsUpdate) or not isinstance(self._driver, Terminal):
            super()._display(screen, renderable)
        elif self._running and not self._closed and not self._batch_count:
            self._frame.take(renderable)
            self._send()
            self.post_display_hook()

    def _send(self) -> None:
        """Write what changed, now or as soon as the line is free; until then more may change."""
        driver = self._driver
        if self._is_due or not isinstance(driver, Terminal):
            return
        if driver.is_behind:
            self._is_due = True
            self.set_timer(_AGAIN_S, self._send_late)
        elif changes := self._frame.changes():
            x, y = self.screen.outer_size.clamp_offset(self.cursor_position)
            begin, end = (SYNC_START, SYNC_END) if self._sync_available else ("", "")
            driver.write(f"{begin}{changes}\x1b[{y + 1};{x + 1}H{end}")

    def _send_late(self) -> None:
        self._is_due = False
        self._send()


def _erases_in_colour() -> bool:
    """Whether this kind of terminal erases in the colour of the pen: most do, screen does not."""
    try:
        curses.setupterm()
    except curses.error:
        return False
    return curses.tigetflag("bce") > 0
