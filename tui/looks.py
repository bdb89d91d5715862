"""How a cell looks, and the fewest bytes that take a terminal from one look to another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from rich.color import ColorSystem
from rich.style import Style

_ON_BY_NAME = {
    "bold": 1,
    "dim": 2,
    "italic": 3,
    "underline": 4,
    "blink": 5,
    "blink2": 6,
    "reverse": 7,
    "conceal": 8,
    "strike": 9,
    "underline2": 21,
    "frame": 51,
    "encircle": 52,
    "overline": 53,
}
_OFF = {1: 22, 2: 22, 3: 23, 4: 24, 5: 25, 6: 25, 7: 27, 8: 28, 9: 29, 21: 24, 51: 54, 52: 54, 53: 55}
_SEEN_ON_SPACES = frozenset({4, 7, 9, 21, 51, 52, 53})
_OWN_INK, _OWN_GROUND = "39", "49"  # the terminal's own colours


@dataclass(frozen=True, eq=False)
class Look:
    """Attributes and colours as codes of SGR; there is one object for each, so that identity is equality."""

    attributes: tuple[int, ...] = ()
    ink: str = _OWN_INK
    ground: str = _OWN_GROUND
    link: str = ""

    @cached_property
    def marks_spaces(self) -> bool:
        """Whether more than the ground is seen where there is no glyph."""
        return not _SEEN_ON_SPACES.isdisjoint(self.attributes)

    def goes_with(self, other: Look) -> bool:
        """Whether spaces of one can be written as the other."""
        marked = self.marks_spaces or other.marks_spaces
        return self.ground == other.ground and self.link == other.link and not marked

    @cached_property
    def blank(self) -> Look:
        """What is seen of this look on a space."""
        return self if self.marks_spaces else look((), _OWN_INK, self.ground, self.link)


@lru_cache(maxsize=4096)
def look(attributes: tuple[int, ...], ink: str, ground: str, link: str) -> Look:
    """The one object of this look."""
    return Look(attributes, ink, ground, link)


PLAIN = look((), _OWN_INK, _OWN_GROUND, "")
Cell = tuple[str, Look]  # of a wide character the left one has it, and the right one ""


@lru_cache(maxsize=8192)
def look_of(style: Style | None, system: ColorSystem) -> Look:
    """How a style looks on a terminal with these colours."""
    if style is None:
        return PLAIN
    attributes = tuple(code for name, code in _ON_BY_NAME.items() if getattr(style, name))
    ink = style.color.downgrade(system).get_ansi_codes() if style.color else (_OWN_INK,)
    ground = style.bgcolor.downgrade(system).get_ansi_codes(foreground=False) if style.bgcolor else (_OWN_GROUND,)
    return look(attributes, ";".join(ink), ";".join(ground), style.link or "")


@lru_cache(maxsize=8192)
def switch(before: Look, after: Look) -> str:
    """What to send; the shorter one of starting anew and of changing what differs."""
    anew = f"\x1b[{';'.join(('', *_codes(after)))}m" if after is not PLAIN else "\x1b[m"
    changed = ";".join(_differing(before, after))
    codes = min(anew, f"\x1b[{changed}m" if changed else "", key=len)
    return codes if before.link == after.link else f"{codes}\x1b]8;;{after.link}\x1b\\"


def _codes(wanted: Look) -> tuple[str, ...]:
    colours = tuple(code for code in (wanted.ink, wanted.ground) if code not in {_OWN_INK, _OWN_GROUND})
    return (*map(str, wanted.attributes), *colours)


def _differing(before: Look, after: Look) -> tuple[str, ...]:
    off = {_OFF[code] for code in before.attributes if code not in after.attributes}
    on = [code for code in after.attributes if code not in before.attributes or _OFF[code] in off]
    ink = (after.ink,) if after.ink != before.ink else ()
    ground = (after.ground,) if after.ground != before.ground else ()
    return (*map(str, sorted(off)), *map(str, on), *ink, *ground)
