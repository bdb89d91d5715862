"""The program's own look; every other theme of Textual can be chosen too, the terminal's own colours among them."""

from __future__ import annotations

from collections.abc import Mapping

from textual.color import Color
from textual.theme import Theme

MODELYARD = Theme(
    name="modelyard",
    primary="#6cb6c4",
    secondary="#8ea6d6",
    accent="#d7b56d",
    success="#86c28b",
    warning="#dba25c",
    error="#e27878",
    foreground="#d3dae3",
    background="#10151b",
    surface="#161d25",
    panel="#1d2630",
    dark=True,
    variables={
        "border": "#3a4a59",
        "border-blurred": "#2a3642",
        "block-cursor-background": "#28424d",
        "block-cursor-foreground": "#eaf1f5",
        "block-cursor-blurred-background": "#1d2a34",
        "input-cursor-background": "#d3dae3",
        "input-cursor-foreground": "#10151b",
        "input-selection-background": "#33566a",
        "scrollbar": "#33424f",
        "scrollbar-background": "#131a21",
        "scrollbar-corner-color": "#131a21",
    },
)


def plain_tones(variables: Mapping[str, str]) -> dict[str, str]:
    """`quiet` and `faint`, between the theme's text and its background; a terminal's own colours have one grey."""
    foreground, background = variables["foreground"], variables["background"]
    if "ansi" in foreground or "ansi" in background:
        return {"quiet": "ansi_bright_black", "faint": "ansi_bright_black"}
    text, ground = Color.parse(foreground), Color.parse(background)
    return {"quiet": ground.blend(text, 0.6).hex, "faint": ground.blend(text, 0.38).hex}
