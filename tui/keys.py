"""Every key of the screens, in one place: the bindings, the key bar, `?`, the palette and the README come from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, kw_only=True)
class Key:
    """One binding: `keys` as Textual writes them, `label` for the key bar, `needs` when it may be disabled.

    `id` names it in the configuration's `[keymap]`; `weight` says which labels go first when the bar is short
    of room (0: never in the bar).
    """

    id: str
    keys: str
    action: str
    label: str
    help: str
    needs: str = ""
    weight: int = 5
    priority: bool = False

    def shown(self, keymap: Mapping[str, str] | None = None) -> str:
        """The keys as a person reads them, such as `ctrl+p` or `↑ k`."""
        keys = (keymap or {}).get(self.id, self.keys)
        return " ".join(_NAMES.get(key.strip(), key.strip()) for key in keys.split(","))


@dataclass(frozen=True, kw_only=True)
class Group:
    """The keys of one place."""

    title: str
    keys: tuple[Key, ...]


_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "asterisk": "*",
    "number_sign": "#",
    "backspace": "Backspace",
    "right_square_bracket": "]",
    "left_square_bracket": "[",
    "shift+down": "Shift+↓",
    "shift+up": "Shift+↑",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "enter": "Enter",
    "escape": "Esc",
    "space": "Space",
    "tab": "Tab",
    "shift+tab": "Shift+Tab",
    "G": "G",
}

_NEEDS_MODEL = "the model is global or belongs to another user"
_NEEDS_SERVER = "the model has no server"

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
    "models": Group(
        title="Models",
        keys=(
            Key(id="models.search", keys="slash", action="search", label="Search", help="Search as you type", weight=9),
            Key(
                id="models.filter",
                keys="f",
                action="filter",
                label="Filter",
                help="Filter by provider, owner, region, state, ability, archived; they combine",
                weight=7,
            ),
            Key(
                id="models.provider",
                keys="p",
                action="filter('provider:')",
                label="Provider",
                help="Show the models of one provider",
                weight=1,
            ),
            Key(
                id="models.last_off",
                keys="backspace",
                action="last_off",
                label="One filter off",
                help="Take off the last filter or sort",
                weight=0,
            ),
            Key(
                id="models.clear",
                keys="F",
                action="clear",
                label="No filters",
                help="Clear the search and all filters",
                weight=0,
            ),
            Key(id="models.sort", keys="o", action="sort", label="Sort", help="Sort by any column", weight=4),
            Key(
                id="models.reverse",
                keys="O",
                action="reverse",
                label="Reverse",
                help="Sort the other way round",
                weight=0,
            ),
            Key(
                id="models.mark",
                keys="space",
                action="mark",
                label="Mark",
                help="Mark the model, or take its mark off; actions are then for all marked ones",
                weight=3,
            ),
            Key(
                id="models.mark_all",
                keys="asterisk",
                action="mark_all",
                label="Mark all",
                help="Mark all models that are listed, or none",
                weight=0,
            ),
            Key(id="models.add", keys="a", action="do('add')", label="Add", help="Add a model", weight=9),
            Key(
                id="models.mine",
                keys="m",
                action="do('mine')",
                label="Make mine",
                help="Copy a global model into one of your own",
                needs="it is yours already",
                weight=3,
            ),
            Key(
                id="models.own",
                keys="M",
                action="take_off('owner:mine')",
                label="Only mine",
                help="Show only your own models, or all again",
                weight=3,
            ),
            Key(
                id="models.training",
                keys="T",
                action="do('training')",
                label="Training",
                help="Add what a training job left, and deploy it",
                weight=2,
            ),
            Key(
                id="models.import",
                keys="i",
                action="do('import')",
                label="Import",
                help="Add records of a file, Ollama or a Hugging Face cache",
                weight=3,
            ),
            Key(
                id="models.export",
                keys="X",
                action="do('export')",
                label="Export",
                help="Write records as JSON, YAML, TOML or CSV",
                weight=1,
            ),
            Key(
                id="models.undo",
                keys="u",
                action="do('undo')",
                label="Undo",
                help="Take back the newest change of records",
                weight=3,
            ),
            Key(
                id="models.redo",
                keys="U",
                action="do('redo')",
                label="Redo",
                help="Do again what was taken back last",
                weight=1,
            ),
            Key(
                id="models.history",
                keys="H",
                action="do('history')",
                label="History",
                help="Show who changed what, and take it back",
                weight=1,
            ),
            Key(
                id="models.edit",
                keys="e",
                action="do('edit')",
                label="Edit",
                help="Edit the model",
                needs=_NEEDS_MODEL,
                weight=6,
            ),
            Key(
                id="models.deploy",
                keys="d",
                action="do('deploy')",
                label="Deploy",
                help="Deploy the model: options, dry run, confirmation, progress",
                needs="it is global, deployed already, or served by its provider",
                weight=9,
            ),
            Key(
                id="models.stop",
                keys="s",
                action="do('stop')",
                label="Stop",
                help="Stop its server, and free its GPU memory",
                needs=_NEEDS_SERVER,
                weight=8,
            ),
            Key(
                id="models.restart",
                keys="r",
                action="do('restart')",
                label="Restart",
                help="Stop and start its server",
                needs=_NEEDS_SERVER,
            ),
            Key(
                id="models.chat",
                keys="c",
                action="do('chat')",
                label="Chat",
                help="Talk to the model",
                needs="nothing serves it now",
                weight=8,
            ),
            Key(
                id="models.test",
                keys="t",
                action="do('test')",
                label="Test",
                help="Test the connection: reachable, let in, served there, how fast",
                needs="no model is selected",
                weight=6,
            ),
            Key(
                id="models.logs",
                keys="l",
                action="do('logs')",
                label="Logs",
                help="Show what its server writes",
                needs=_NEEDS_SERVER,
                weight=7,
            ),
            Key(
                id="models.delete",
                keys="x",
                action="do('delete')",
                label="Delete",
                help="Delete the record and its servers; files stay",
                needs=_NEEDS_MODEL,
                weight=6,
            ),
            Key(
                id="models.archive",
                keys="z",
                action="do('archive')",
                label="Archive",
                help="Hide the model and keep its record; on an archived one: restore it",
                needs=_NEEDS_MODEL,
                weight=3,
            ),
            Key(
                id="models.archived",
                keys="Z",
                action="archived",
                label="Archived",
                help="Show the archived models, or the others again",
                weight=1,
            ),
            Key(
                id="models.tags",
                keys="number_sign",
                action="do('tags')",
                label="Tags",
                help="Add tags to it or to all marked ones, and take others off",
                needs=_NEEDS_MODEL,
                weight=2,
            ),
            Key(
                id="models.region",
                keys="R",
                action="do('region')",
                label="Region",
                help="Put it or all marked ones in a region",
                needs=_NEEDS_MODEL,
                weight=2,
            ),
            Key(
                id="models.copy",
                keys="C",
                action="do('copy')",
                label="Copy",
                help="Copy the model's files to hosts, resumed and verified",
                weight=2,
            ),
        ),
    ),
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
        ),
    ),
    "downloads": Group(
        title="Downloads and installed models",
        keys=(
            Key(
                id="downloads.view",
                keys="v",
                action="next_view",
                label="View",
                help="Show what is installed, the downloads, what the catalog offers, and round again",
                weight=9,
            ),
            Key(
                id="downloads.search",
                keys="slash",
                action="search",
                label="Search",
                help="Search as you type",
                weight=6,
            ),
            Key(
                id="downloads.filter",
                keys="f",
                action="filter",
                label="Filter",
                help="Show one family, or the downloads of one state",
                weight=4,
            ),
            Key(
                id="downloads.add",
                keys="a",
                action="do('add')",
                label="Download",
                help="Download a model, or take files of this machine: look first, then start",
                weight=9,
            ),
            Key(
                id="downloads.pause",
                keys="p",
                action="do('pause')",
                label="Pause",
                help="Stop a download for now; what has come is kept",
                needs="it is paused, or over",
                weight=7,
            ),
            Key(
                id="downloads.resume",
                keys="r",
                action="do('resume')",
                label="Resume",
                help="Go on with a download, or try it again, from where it was",
                needs="it runs, or is done",
                weight=8,
            ),
            Key(
                id="downloads.cancel",
                keys="c",
                action="do('cancel')",
                label="Cancel",
                help="Stop a download; what has come is kept for a retry",
                needs="it is over",
                weight=6,
            ),
            Key(
                id="downloads.remove",
                keys="x",
                action="do('remove')",
                label="Forget",
                help="Take a download off the list; files stay",
                needs="it is not over",
                weight=4,
            ),
            Key(
                id="downloads.verify",
                keys="V",
                action="do('verify')",
                label="Verify",
                help="Read the files of an installed model, and name those that are missing or changed",
                needs="nothing is known of the file",
                weight=8,
            ),
            Key(
                id="downloads.model",
                keys="m",
                action="do('model')",
                label="Make a model",
                help="Add a record of an installed model, so that it can be deployed",
                needs="nothing is known of the file",
                weight=7,
            ),
            Key(
                id="downloads.adopt",
                keys="u",
                action="do('adopt')",
                label="Take up",
                help="Note size and hash of files that were carried into the folder",
                needs="all files are known",
                weight=4,
            ),
            Key(
                id="downloads.delete",
                keys="D",
                action="do('delete')",
                label="Delete files",
                help="Delete the files of an installed model from the disk, after a question",
                needs="nothing is known of the file",
                weight=5,
            ),
        ),
    ),
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
    "analytics": Group(
        title="Analytics",
        keys=(
            Key(
                id="analytics.search",
                keys="slash",
                action="search",
                label="Search",
                help="Search as you type",
                weight=8,
            ),
            Key(
                id="analytics.period",
                keys="p",
                action="period(1)",
                label="Period",
                help="The next period: hour, day, week, month, all",
                weight=9,
            ),
            Key(
                id="analytics.period_back",
                keys="P",
                action="period(-1)",
                label="Period back",
                help="The period before",
                weight=0,
            ),
            Key(
                id="analytics.by",
                keys="b",
                action="by",
                label="By server",
                help="A line for each model, or for each server",
                weight=8,
            ),
            Key(
                id="analytics.metric",
                keys="m",
                action="metric",
                label="Plot",
                help="The second plot: latency, or tokens",
                weight=7,
            ),
            Key(id="analytics.sort", keys="o", action="sort", label="Sort", help="Sort by any column", weight=6),
            Key(
                id="analytics.reverse",
                keys="O",
                action="reverse",
                label="Reverse",
                help="Sort the other way round",
                weight=0,
            ),
            Key(
                id="analytics.tests",
                keys="t",
                action="tests",
                label="Tests",
                help="Count connection tests as requests, too, or leave them out again",
                weight=4,
            ),
            Key(
                id="analytics.write",
                keys="w",
                action="do('write')",
                label="Write",
                help="Write the figures to a file, as CSV or JSON",
                needs="there are none",
                weight=5,
            ),
        ),
    ),
    "form": Group(
        title="Forms and dialogs",
        keys=(
            Key(
                id="form.next",
                keys="tab",
                action="app.focus_next",
                label="Next",
                help="To the next field",
                weight=0,
                priority=True,
            ),
            Key(
                id="form.previous",
                keys="shift+tab",
                action="app.focus_previous",
                label="Previous",
                help="To the field before",
                weight=0,
                priority=True,
            ),
            Key(
                id="form.submit",
                keys="ctrl+s",
                action="submit",
                label="Go on",
                help="Save the form, or go on to the next step",
                weight=9,
            ),
            Key(id="form.cancel", keys="escape", action="cancel", label="Close", help="Close the dialog", weight=9),
        ),
    ),
    "draft": Group(
        title="Forms with a draft",
        keys=(
            Key(
                id="draft.afresh",
                keys="ctrl+n",
                action="afresh",
                label="Afresh",
                help="Undo all that was typed, and drop the draft",
                weight=3,
            ),
        ),
    ),
    "choose": Group(
        title="Lists that are narrowed by typing",
        keys=(
            Key(id="choose.up", keys="up", action="cursor(-1)", label="Up", help="One line up", weight=0),
            Key(id="choose.down", keys="down", action="cursor(1)", label="Down", help="One line down", weight=0),
            Key(id="choose.page_up", keys="pageup", action="cursor(-10)", label="", help="Ten lines up", weight=0),
            Key(id="choose.page_down", keys="pagedown", action="cursor(10)", label="", help="Ten lines down", weight=0),
            Key(id="choose.take", keys="enter", action="take", label="Choose", help="Choose the line", weight=9),
            Key(id="choose.cancel", keys="escape", action="cancel", label="Close", help="Choose nothing", weight=9),
        ),
    ),
    "check": Group(
        title="Lists to mark in",
        keys=(
            Key(id="check.up", keys="up,k", action="cursor(-1)", label="Up", help="One line up", weight=0),
            Key(id="check.down", keys="down,j", action="cursor(1)", label="Down", help="One line down", weight=0),
            Key(id="check.mark", keys="space", action="mark", label="Mark", help="Mark the line, or not", weight=9),
            Key(id="check.all", keys="a", action="mark_all", label="All", help="Mark all lines, or none", weight=6),
            Key(id="check.take", keys="enter", action="take", label="Take", help="Take what is marked", weight=9),
            Key(id="check.cancel", keys="escape", action="cancel", label="Close", help="Change nothing", weight=9),
        ),
    ),
    "read": Group(
        title="Messages",
        keys=(
            Key(id="read.close", keys="escape,q", action="cancel", label="Close", help="Close the message", weight=9),
        ),
    ),
    "confirm": Group(
        title="Questions",
        keys=(
            Key(id="confirm.yes", keys="y", action="answer(True)", label="Yes", help="Do it", weight=9),
            Key(id="confirm.no", keys="n,escape", action="answer(False)", label="No", help="Leave it", weight=9),
            Key(id="confirm.left", keys="left,h", action="app.focus_previous", label="", help="Other button", weight=0),
            Key(id="confirm.right", keys="right,l", action="app.focus_next", label="", help="Other button", weight=0),
        ),
    ),
    "pick": Group(
        title="Menus",
        keys=(
            Key(id="pick.up", keys="up,k", action="cursor(-1)", label="Up", help="One line up", weight=0),
            Key(id="pick.down", keys="down,j", action="cursor(1)", label="Down", help="One line down", weight=0),
            Key(id="pick.take", keys="enter,space", action="take", label="Choose", help="Choose the line", weight=9),
            Key(id="pick.cancel", keys="escape", action="cancel", label="Close", help="Choose nothing", weight=9),
        ),
    ),
    "copy": Group(
        title="Copies to hosts",
        keys=(
            Key(id="copy.up", keys="up,k", action="cursor(-1)", label="Up", help="One host up", weight=0),
            Key(id="copy.down", keys="down,j", action="cursor(1)", label="Down", help="One host down", weight=0),
            Key(id="copy.mark", keys="space", action="mark", label="Mark", help="Mark the host, or not", weight=8),
            Key(
                id="copy.start",
                keys="enter",
                action="submit",
                label="Copy",
                help="Copy to the marked hosts, or to this one",
                weight=9,
            ),
            Key(
                id="copy.cancel", keys="escape", action="cancel", label="Stop, close", help="Stop, then close", weight=9
            ),
        ),
    ),
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


def keys_of(*groups: str) -> tuple[Key, ...]:
    """The keys of these places, in order."""
    return tuple(key for group in groups for key in GROUPS[group].keys)


_AT_ONCE = frozenset({"app", "list", "view", "models", "servers", "hosts", "heads", "downloads"})


def bindings(*groups: str) -> list[Binding]:
    """What a screen or widget declares as `BINDINGS`.

    Keys of the lists act at once (Textual's `priority`), in the order they were pressed; the screens let them pass
    to a field that is being typed in.
    """
    return [
        Binding(
            key.keys,
            key.action,
            key.label,
            show=key.weight > 0,
            id=key.id,
            tooltip=key.help,
            priority=key.priority or group in _AT_ONCE,
        )
        for group in groups
        for key in keys_of(group)
    ]


def keys_markdown() -> str:
    """The README's tables of keys."""
    return "\n\n".join(_table(group) for group in GROUPS.values())


def _table(group: Group) -> str:
    rows = [f"| `{key.shown()}` | {key.help} | {key.needs} |" for key in group.keys]
    return "\n".join([f"**{group.title}**", "", "| Key | What it does | Not when |", "| --- | --- | --- |", *rows])
