"""The Servers, Hosts and Heads screens."""

from __future__ import annotations

from collections.abc import Mapping

from tui.keys.key import Group, Key

GROUPS: Mapping[str, Group] = {
    "servers": Group(
        title="Servers",
        keys=(
            Key(id="servers.logs", keys="l", action="do('logs')", label="Logs", help="Show what it writes", weight=9),
            Key(
                id="servers.stop",
                keys="s",
                action="do('stop')",
                label="Stop",
                help="Stop it, and free its GPU memory",
                needs="it is stopped or failed already",
                weight=8,
            ),
            Key(id="servers.restart", keys="r", action="do('restart')", label="Restart", help="Stop and start it"),
            Key(
                id="servers.chat",
                keys="c",
                action="do('chat')",
                label="Chat",
                help="Talk to its model",
                needs="it doesn't run",
                weight=8,
            ),
            Key(
                id="servers.remove",
                keys="x",
                action="do('remove')",
                label="Remove",
                help="Remove its container and its record; model files stay",
                needs="it is not stopped or failed",
                weight=6,
            ),
        ),
    ),
    "hosts": Group(
        title="Hosts",
        keys=(
            Key(id="hosts.add", keys="a", action="do('add')", label="Add", help="Add a host, by SSH", weight=9),
            Key(
                id="hosts.check",
                keys="h",
                action="do('check')",
                label="Check health",
                help="Run the doctor on the host",
                needs="no host is selected",
                weight=9,
            ),
            Key(
                id="hosts.refresh",
                keys="r",
                action="do('refresh')",
                label="Refresh",
                help="Ask the host again",
                needs="no host is selected",
                weight=7,
            ),
            Key(
                id="hosts.remove",
                keys="x",
                action="do('remove')",
                label="Remove",
                help="Forget the host; nothing on it is touched",
                needs="it is this machine, or servers are known on it",
                weight=6,
            ),
        ),
    ),
    "heads": Group(
        title="Heads and regions",
        keys=(
            Key(
                id="heads.view",
                keys="v",
                action="next_view",
                label="View",
                help="Show the heads, the regions, the routes, and round again",
                weight=8,
            ),
            Key(id="heads.search", keys="slash", action="search", label="Search", help="Search as you type", weight=7),
            Key(id="heads.add", keys="a", action="do('add')", label="Add", help="Add a head or a region", weight=9),
            Key(
                id="heads.edit",
                keys="e",
                action="do('edit')",
                label="Edit",
                help="Edit it",
                needs="the region is built in",
                weight=8,
            ),
            Key(
                id="heads.remove",
                keys="x",
                action="do('remove')",
                label="Remove",
                help="Remove it; nothing is stopped",
                needs="the region is built in, or models or heads still use it",
                weight=6,
            ),
            Key(
                id="heads.undo",
                keys="u",
                action="do('undo')",
                label="Undo",
                help="Take back the newest change of heads and regions",
                weight=3,
            ),
            Key(
                id="heads.redo",
                keys="U",
                action="do('redo')",
                label="Redo",
                help="Do again what was taken back last",
                weight=1,
            ),
            Key(
                id="heads.history",
                keys="H",
                action="do('history')",
                label="History",
                help="Show who changed what, and take it back",
                weight=1,
            ),
        ),
    ),
}
