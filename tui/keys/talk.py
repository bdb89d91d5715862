"""Logs, chats, ratings and tests of connections."""

from __future__ import annotations

from collections.abc import Mapping

from tui.keys.key import Group, Key

GROUPS: Mapping[str, Group] = {
    "logs": Group(
        title="Logs",
        keys=(
            Key(
                id="logs.follow", keys="f", action="follow", label="Follow", help="Follow new lines, or stop", weight=9
            ),
            Key(id="logs.search", keys="slash", action="search", label="Search", help="Search in the lines", weight=9),
            Key(id="logs.next", keys="n", action="hit(1)", label="Next", help="To the next hit", weight=6),
            Key(id="logs.previous", keys="N", action="hit(-1)", label="Previous", help="To the hit before", weight=5),
            Key(id="logs.save", keys="w", action="save", label="Save", help="Write the lines to a file", weight=8),
            Key(id="logs.close", keys="escape", action="cancel", label="Close", help="Close the logs", weight=9),
        ),
    ),
    "chat": Group(
        title="Chat",
        keys=(
            Key(id="chat.send", keys="enter", action="send", label="Send", help="Send what you wrote", weight=9),
            Key(
                id="chat.stop",
                keys="escape",
                action="stop",
                label="Stop or close",
                help="Stop the answer; when none is coming, close the chat",
                weight=9,
                priority=True,
            ),
            Key(
                id="chat.rate",
                keys="ctrl+r",
                action="rate",
                label="Rate",
                help="Rate the last answer from 1 to 5",
                needs="nothing was said yet",
                weight=8,
            ),
            Key(
                id="chat.keep",
                keys="ctrl+s",
                action="keep",
                label="Keep",
                help="Keep the talk, which is forgotten otherwise",
                needs="nothing was said yet",
                weight=7,
            ),
            Key(
                id="chat.settings",
                keys="ctrl+t",
                action="settings",
                label="Settings",
                help="System prompt, temperature, top-p, an image, tools",
                needs="an answer is coming",
                weight=8,
            ),
            Key(
                id="chat.open",
                keys="ctrl+o",
                action="open",
                label="Open",
                help="Go on with a talk that was kept",
                needs="an answer is coming",
                weight=5,
            ),
            Key(id="chat.clear", keys="ctrl+l", action="clear", label="Clear", help="Begin a new talk", weight=6),
            Key(id="chat.up", keys="pageup", action="page(-1)", label="Page up", help="Scroll back", weight=0),
            Key(id="chat.down", keys="pagedown", action="page(1)", label="Page down", help="Scroll on", weight=0),
        ),
    ),
    "rate": Group(
        title="Rating",
        keys=(
            Key(id="rate.1", keys="1", action="rate(1)", label="", help="Of no use", weight=0),
            Key(id="rate.2", keys="2", action="rate(2)", label="", help="Poor", weight=0),
            Key(id="rate.3", keys="3", action="rate(3)", label="", help="Fair", weight=0),
            Key(id="rate.4", keys="4", action="rate(4)", label="", help="Good", weight=0),
            Key(id="rate.5", keys="5", action="rate(5)", label="", help="Excellent", weight=0),
            Key(id="rate.none", keys="0", action="rate(0)", label="No rating", help="Take the rating back", weight=8),
            Key(id="rate.cancel", keys="escape", action="cancel", label="Close", help="Leave it as it is", weight=9),
        ),
    ),
    "test": Group(
        title="Test of a connection",
        keys=(
            Key(id="test.again", keys="r", action="again", label="Again", help="Test again", weight=9),
            Key(id="test.close", keys="escape,q", action="cancel", label="Close", help="Close", weight=9),
        ),
    ),
}
