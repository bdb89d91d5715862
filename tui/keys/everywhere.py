"""What works on every screen, in every list and in the views beside one."""

from __future__ import annotations

from collections.abc import Mapping

from tui.keys.key import Group, Key

GROUPS: Mapping[str, Group] = {
    "app": Group(
        title="Everywhere",
        keys=(
            Key(id="app.models", keys="1", action="go('models')", label="Models", help="Go to the models", weight=0),
            Key(
                id="app.servers", keys="2", action="go('servers')", label="Servers", help="Go to the servers", weight=0
            ),
            Key(id="app.hosts", keys="3", action="go('hosts')", label="Hosts", help="Go to the hosts", weight=0),
            Key(
                id="app.analytics",
                keys="4",
                action="go('analytics')",
                label="Analytics",
                help="Go to the figures of use",
                weight=0,
            ),
            Key(
                id="app.heads",
                keys="5",
                action="go('heads')",
                label="Heads",
                help="Go to the heads and regions",
                weight=0,
            ),
            Key(
                id="app.downloads",
                keys="6",
                action="go('downloads')",
                label="Downloads",
                help="Go to the downloads and the models folder",
                weight=0,
            ),
            Key(id="app.keys", keys="K", action="keys", label="API keys", help="List and set API keys", weight=1),
            Key(
                id="app.palette",
                keys="ctrl+p",
                action="command_palette",
                label="Palette",
                help="Find any action by its name",
                weight=2,
                priority=True,
            ),
            Key(
                id="app.redraw",
                keys="ctrl+l",
                action="redraw",
                label="Redraw",
                help="Write the whole screen again; in a chat, begin a new talk",
                weight=0,
                priority=True,
            ),
            Key(id="app.help", keys="question_mark,f1", action="help", label="Help", help="Show the keys", weight=10),
            Key(id="app.quit", keys="q,ctrl+q", action="leave", label="Quit", help="Leave; servers go on", weight=3),
        ),
    ),
    "list": Group(
        title="Lists",
        keys=(
            Key(id="list.up", keys="up,k", action="cursor(-1)", label="Up", help="One line up", weight=0),
            Key(id="list.down", keys="down,j", action="cursor(1)", label="Down", help="One line down", weight=0),
            Key(id="list.page_up", keys="pageup", action="page(-1)", label="Page up", help="One page up", weight=0),
            Key(
                id="list.page_down", keys="pagedown", action="page(1)", label="Page down", help="A page down", weight=0
            ),
            Key(id="list.first", keys="home,g", action="first", label="First", help="To the first line", weight=0),
            Key(id="list.last", keys="end,G", action="last", label="Last", help="To the last line", weight=0),
        ),
    ),
    "view": Group(
        title="Every screen with a list",
        keys=(
            Key(
                id="view.details",
                keys="enter",
                action="details",
                label="Details",
                help="Show the details of the selected line, larger, or not",
                weight=4,
            ),
            Key(
                id="view.card_down",
                keys="right_square_bracket,shift+down",
                action="scroll_card(3)",
                label="Read on",
                help="Further down in the details",
                weight=0,
            ),
            Key(
                id="view.card_up",
                keys="left_square_bracket,shift+up",
                action="scroll_card(-3)",
                label="Read back",
                help="Further up in the details",
                weight=0,
            ),
            Key(
                id="view.reload",
                keys="ctrl+r,f5",
                action="reload",
                label="Reload",
                help="Read again, and ask the hosts again",
                weight=1,
            ),
            Key(
                id="view.back",
                keys="escape",
                action="back",
                label="Back",
                help="Close the details, or clear the search",
                weight=0,
            ),
        ),
    ),
}
