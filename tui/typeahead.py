"""Keys that arrive in one burst, over a bad line or from a fast typist, act in the order they were pressed.

While an action is on its way to opening a dialog, further keys wait for that dialog: `x` and `y` in one burst answer
the question, and a name typed after `a` lands in the form instead of running a command for each of its letters.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from textual import events
from textual.app import App

if TYPE_CHECKING:
    from textual.timer import Timer

_PATIENCE_S = 1.5  # an action that opens nothing must not keep the keyboard


class HoldsKeys(App[None]):
    """Holds key presses between `hold_keys` and `release_keys`."""

    def __init__(self) -> None:
        super().__init__()
        self._holding = False
        self._held: deque[events.Key] = deque()
        self._given_back = 0
        self._patience: Timer | None = None

    def hold_keys(self) -> None:
        """An action may open a dialog: keys wait for it, but not for long."""
        if not self._holding:
            self._holding = True
            self._given_back = 0
            self._patience = self.set_timer(_PATIENCE_S, self.release_keys)

    def give_back(self, event: events.Key) -> None:
        """A key that was on its way to a widget before the holding began: it goes before those held since."""
        key = events.Key(event.key, event.character)
        if self._holding:
            self._held.insert(self._given_back, key)
            self._given_back += 1
        else:
            self.post_message(key)

    def release_keys(self) -> None:
        """The dialog is there, or there will be none."""
        if self._patience is not None:  # of this hold, not the next one's
            self._patience.stop()
            self._patience = None
        if self._holding:
            self.call_next(self._replay)

    async def _replay(self) -> None:
        self._holding = False
        while self._held and not self._holding and self.is_running:
            await super().on_event(self._held.popleft())

    async def on_event(self, event: events.Event) -> None:
        """Every key passes here first."""
        if isinstance(event, events.Key) and not event.is_forwarded and self._holding:
            self._held.append(event)
        else:
            await super().on_event(event)
