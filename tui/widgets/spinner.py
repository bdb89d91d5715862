"""One cell that turns while something is under way, and sends nothing when nothing is."""

from __future__ import annotations

from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget

_TURNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TURN_S = 0.1


class Spinner(Widget):
    """Two cells wide with its gap; `idle` stands there while nothing goes on."""

    DEFAULT_CSS = "Spinner { width: 2; height: 1; color: $text-accent; }"

    def __init__(self, *, idle: str = " ") -> None:
        super().__init__()
        self._idle = idle
        self._turn = -1
        self._timer: Timer | None = None

    def start(self) -> None:
        """Turn."""
        if self._timer is None:
            self._turn = 0
            self._timer = self.set_interval(_TURN_S, self._step)
            self.refresh()

    def stop(self) -> None:
        """Stand still."""
        if self._timer is not None:
            self._timer.stop()
            self._timer, self._turn = None, -1
            self.refresh()

    def _step(self) -> None:
        self._turn = (self._turn + 1) % len(_TURNS)
        self.refresh()

    def render(self) -> Content:
        return Content(self._idle if self._turn < 0 else _TURNS[self._turn])
