"""Forms, choices and confirmations."""

from __future__ import annotations

from collections.abc import Mapping

from tui.keys.key import Group, Key

GROUPS: Mapping[str, Group] = {
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
    "model_picker": Group(
        title="Installed models to pick from",
        keys=(
            Key(
                id="model_picker.type",
                keys="ctrl+t",
                action="filter('type')",
                label="Type",
                help="Only models of a type: text, image, embedding and so on",
                weight=8,
                priority=True,
            ),
            Key(
                id="model_picker.family",
                keys="ctrl+f",
                action="filter('family')",
                label="Family",
                help="Only models of a family",
                weight=8,
                priority=True,
            ),
            Key(
                id="model_picker.host",
                keys="ctrl+g",
                action="host",
                label="Host",
                help="The models of another host, or of this machine",
                weight=7,
                priority=True,
            ),
            Key(
                id="model_picker.clear",
                keys="ctrl+n",
                action="clear",
                label="All",
                help="Take the filters and what was typed away",
                weight=4,
                priority=True,
            ),
            Key(
                id="model_picker.export",
                keys="ctrl+e",
                action="export",
                label="Export",
                help="Write a training tool's config for the model",
                needs="nothing is selected",
                weight=6,
                priority=True,
            ),
        ),
    ),
    "installed_files": Group(
        title="Forms that ask for a model's files",
        keys=(
            Key(
                id="installed_files.pick",
                keys="ctrl+o",
                action="pick_installed",
                label="Installed",
                help="Pick an installed model; the fields are filled in from it",
                weight=7,
                priority=True,
            ),
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
                id="copy.cancel", keys="escape", action="cancel", label="Close", help="Close it; copies go on", weight=9
            ),
        ),
    ),
}
