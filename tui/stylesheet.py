"""The stylesheet of an app, parsed once: Textual parses it again for every screen and whenever a theme is set."""

from __future__ import annotations

from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet

_SOURCES = 1024  # Textual keeps 64, fewer than there are: each of them would be gone before it is needed again


class KeptStylesheet(Stylesheet):
    """Keeps what it has parsed for as long as the theme's variables are the same."""

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._parse_cache = LRUCache(_SOURCES)

    def set_variables(self, variables: dict[str, str]) -> None:
        """Other variables need everything parsed again; the same ones nothing."""
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        """Parse what is new, or everything when the variables have changed."""
        self.parse()
