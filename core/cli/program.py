"""The commands as click sees them: a command's module is imported when it is called, never for a list of names."""

from __future__ import annotations

from importlib import import_module

import click
from click.shell_completion import CompletionItem

from core.cli.commands import ABOUT, PROGRAM, TREE, Entry, root_help, version_line

JSON_KEY = "modelyard.json"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def json_option() -> click.Option:
    """`--json`, which every command and group takes; see `wants_json`."""
    return click.Option(
        ["--json"], is_flag=True, expose_value=False, callback=_note_json, help="Print JSON on standard output."
    )


def wants_json(context: click.Context) -> bool:
    """Whether `--json` was said anywhere on the line."""
    return bool(context.meta.get(JSON_KEY))


def _note_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.meta[JSON_KEY] = True


class LazyGroup(click.Group):
    """A group whose commands are rows of the table until one is called."""

    def __init__(self, name: str, entries: dict[str, Entry], *, about: str) -> None:
        super().__init__(name, context_settings=CONTEXT, params=[json_option()], help=about)
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        text, target = entry
        if isinstance(target, dict):
            return LazyGroup(cmd_name, target, about=f"{text}.")
        module, _, function = target.partition(":")
        command: click.Command = getattr(import_module(module), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self._entries and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}.{self._closest(args[0])}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[0]) for name, entry in self._entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        rows = self._entries.items()
        return [CompletionItem(name, help=entry[0]) for name, entry in rows if name.startswith(incomplete)]

    def _closest(self, word: str) -> str:
        from difflib import get_close_matches

        found = get_close_matches(word, self._entries, n=1)
        return f" Did you mean {found[0]!r}?" if found else ""


class _Root(LazyGroup):
    def get_help(self, ctx: click.Context) -> str:
        return root_help()


def program() -> click.Group:
    """The whole command line."""
    root = _Root(PROGRAM, TREE, about=ABOUT)
    root.params.append(
        click.Option(["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_print_version)
    )
    return root


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        click.echo(version_line())
        context.exit()
