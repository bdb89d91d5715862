"""The Downloads screen."""

from __future__ import annotations

from collections.abc import Mapping

from tui.keys.key import Group, Key

GROUPS: Mapping[str, Group] = {
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
}
