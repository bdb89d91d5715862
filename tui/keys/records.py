"""Dialogs around records: training output, history, API keys."""

from __future__ import annotations

from collections.abc import Mapping

from tui.keys.key import Group, Key

GROUPS: Mapping[str, Group] = {
    "training": Group(
        title="Training output",
        keys=(
            Key(
                id="training.deploy",
                keys="ctrl+d",
                action="deploy",
                label="Add and deploy",
                help="Add the output, and go on to its deploy",
                needs="it is an adapter alone, or damaged",
                weight=8,
                priority=True,
            ),
        ),
    ),
    "history": Group(
        title="History",
        keys=(
            Key(
                id="history.undo",
                keys="u",
                action="undo",
                label="Take back",
                help="Take back the selected change; of an undo, do it again",
                needs="it is taken back already, or another user did it",
                weight=9,
            ),
            Key(id="history.close", keys="escape,H", action="cancel", label="Close", help="Close it", weight=8),
        ),
    ),
    "keys": Group(
        title="API keys",
        keys=(
            Key(id="keys.up", keys="up,k", action="cursor(-1)", label="Up", help="One line up", weight=0),
            Key(id="keys.down", keys="down,j", action="cursor(1)", label="Down", help="One line down", weight=0),
            Key(id="keys.add", keys="a", action="do('add')", label="Add", help="Add a key", weight=9),
            Key(id="keys.set", keys="e,enter", action="do('set')", label="Set", help="Give it another value", weight=8),
            Key(
                id="keys.test",
                keys="t",
                action="do('test')",
                label="Test",
                help="See whether it can be read, and is accepted where it is used",
                weight=7,
            ),
            Key(
                id="keys.remove",
                keys="x",
                action="do('remove')",
                label="Remove",
                help="Forget the key; the records that refer to it stay",
                needs="it comes from the environment",
                weight=6,
            ),
            Key(
                id="keys.unlock",
                keys="u",
                action="do('unlock')",
                label="Unlock",
                help="Unlock the vault until you leave",
                needs="it is open, or there is none",
                weight=5,
            ),
            Key(
                id="keys.passphrase",
                keys="p",
                action="do('passphrase')",
                label="Passphrase",
                help="Change the vault's passphrase",
                needs="there is no vault",
                weight=4,
            ),
            Key(id="keys.close", keys="escape", action="cancel", label="Close", help="Close the dialog", weight=9),
        ),
    ),
}
