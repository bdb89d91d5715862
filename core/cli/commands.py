"""Every command: its name, a line of help, and where it is; light, so that help and completion load no command."""

from __future__ import annotations

import os
import sys
from typing import TypeAlias

ABOUT = "Find, fit, deploy, watch and talk to models on headless GPU servers, over SSH alone."
PROGRAM = "modelyard"

Entry: TypeAlias = "tuple[str, str | dict[str, Entry]]"  # help, and "module:function" or the commands below it

TREE: dict[str, Entry] = {
    "demo": ("Serve a real small model on this machine and talk to it", "core.cli.demo:demo"),
    "models": (
        "The models you can use and deploy",
        {
            "list": ("List and search models", "core.cli.model_lists:list_models"),
            "show": ("Show everything about a model", "core.cli.models:show"),
            "add": ("Add a model", "core.cli.models:add"),
            "add-training": ("Add what a training job left, and deploy it", "core.cli.training:add_training"),
            "edit": ("Change some fields of a model", "core.cli.models:edit"),
            "delete": ("Delete models' records; files stay", "core.cli.model_bulk:delete"),
            "archive": ("Hide models and keep their records", "core.cli.model_bulk:archive"),
            "restore": ("Bring archived models back", "core.cli.model_bulk:restore"),
            "tag": ("Add tags to models, and take others off", "core.cli.model_bulk:tag"),
            "region": ("Put models in a region", "core.cli.model_bulk:region"),
            "import": ("Add records of a file, Ollama or a Hugging Face cache", "core.cli.exchange:import_records"),
            "export": ("Write records as JSON, YAML, TOML or CSV", "core.cli.exchange:export"),
            "history": ("Show who changed what, and when", "core.cli.history:history"),
            "undo": ("Take back the newest change of records", "core.cli.history:undo"),
            "test": ("Test whether models can be used where they should be", "core.cli.connections:test"),
        },
    ),
    "catalog": (
        "The global models, built in and the site's own",
        {
            "list": ("List the catalog's models", "core.cli.catalog:list_catalog"),
            "show": ("Show what the catalog knows of a model", "core.cli.catalog:show"),
            "check": ("Check a catalog file, or the catalog in use", "core.cli.catalog:check"),
        },
    ),
    "download": (
        "Model files from elsewhere; a worker fetches them and outlives the terminal",
        {
            "catalog": ("List what can be fetched by its id", "core.cli.download_catalog:catalog"),
            "look": ("Show what a source offers: files, sizes, licence", "core.cli.download_access:look"),
            "start": ("Download a file, a repository or a folder", "core.cli.downloads:start"),
            "list": ("List downloads", "core.cli.downloads:list_downloads"),
            "show": ("Show everything about a download", "core.cli.downloads:show"),
            "limit": ("Show or set the limit on bandwidth", "core.cli.downloads:limit"),
            "pause": ("Stop a download for now", "core.cli.downloads:pause"),
            "resume": ("Go on with a paused download", "core.cli.downloads:resume"),
            "priority": ("Take a download before or after others", "core.cli.download_queue:priority"),
            "cancel": ("Stop a download; what has come is kept", "core.cli.downloads:cancel"),
            "retry": ("Try a failed or cancelled download again", "core.cli.downloads:retry"),
            "remove": ("Forget a download that is over; files stay", "core.cli.download_queue:remove"),
        },
    ),
    "files": (
        "Model files, here and on hosts",
        {
            "list": ("List what is installed in the models folder", "core.cli.installed:list_installed"),
            "inspect": ("Tell what a model file or folder is", "core.cli.files:inspect"),
            "verify": ("Compare installed files with what was installed", "core.cli.verify:verify"),
            "usage": ("Show what models take on the disk", "core.cli.usage:usage"),
            "adopt": ("Take up model files that were carried into the folder", "core.cli.installed:adopt"),
            "register": ("Add a record of model files, used in place", "core.cli.installed:register"),
            "delete": ("Delete the files of an installed model", "core.cli.installed:delete"),
            "tidy": ("Delete what unfinished downloads and copies left", "core.cli.tidy:tidy"),
            "export": ("Write a training tool's config for an installed model", "core.cli.training_export:export"),
            "base-dir": ("Show or set the models folder of a host", "core.cli.installed:base_dir"),
        },
    ),
    "hosts": (
        "The machines that can serve",
        {
            "list": ("List hosts and ask how they are", "core.cli.hosts:list_hosts"),
            "add": ("Add a host that SSH reaches", "core.cli.hosts:add"),
            "edit": ("Change some fields of a host", "core.cli.hosts:edit"),
            "remove": ("Forget a host; nothing on it is touched", "core.cli.hosts:remove"),
            "check": ("Check everything a host needs", "core.cli.hosts:check"),
            "gpus": ("Show GPUs and their memory", "core.cli.hosts:gpus"),
            "folders": ("List a host's models folder", "core.cli.hosts:folders"),
            "copy": ("Copy model files to hosts, resumed and verified", "core.cli.copies:copy"),
        },
    ),
    "heads": (
        "The gateways that are models' first way in",
        {
            "list": ("List the heads with their regions", "core.cli.heads:list_heads"),
            "show": ("Show everything about a head", "core.cli.heads:show"),
            "add": ("Add a head", "core.cli.heads:add"),
            "edit": ("Change some fields of a head", "core.cli.heads:edit"),
            "remove": ("Forget a head that no model uses", "core.cli.heads:remove"),
        },
    ),
    "regions": (
        "Where models and heads can be",
        {
            "list": ("List your regions and the built-in ones", "core.cli.regions:list_regions"),
            "add": ("Add a region of your own", "core.cli.regions:add"),
            "edit": ("Give one of your regions another name", "core.cli.regions:edit"),
            "remove": ("Remove one of your regions that nothing uses", "core.cli.regions:remove"),
        },
    ),
    "keys": (
        "API keys: where they are kept, and who uses them",
        {
            "list": ("List keys, where they come from and who uses them", "core.cli.keys:list_keys"),
            "set": ("Keep a key; the value is asked for or piped in", "core.cli.keys:set_key"),
            "remove": ("Forget a key", "core.cli.keys:remove"),
            "test": ("See that a key can be read and is accepted", "core.cli.keys:test"),
            "unlock": ("Unlock the vault for this login session", "core.cli.keys:unlock"),
            "lock": ("Lock the vault again", "core.cli.keys:lock"),
            "passphrase": ("Change the vault's passphrase", "core.cli.keys:passphrase"),
        },
    ),
    "plan": ("Dry run: what a deploy would do, and whether it fits", "core.cli.deploy:plan"),
    "deploy": ("Deploy a model to a host", "core.cli.deploy:deploy"),
    "stop": ("Stop a server", "core.cli.deploy:stop"),
    "restart": ("Stop a server and start it again", "core.cli.deploy:restart"),
    "update": ("Deploy again with changed options", "core.cli.deploy:update"),
    "servers": (
        "What is served, and where",
        {
            "list": ("List servers as their hosts show them", "core.cli.servers:list_servers"),
            "show": ("Show everything about a server", "core.cli.servers:show"),
            "logs": ("Show or follow a server's log", "core.cli.servers:logs"),
            "metrics": ("Show what a running server counts", "core.cli.servers:metrics"),
            "remove": ("Remove a stopped server's container and record", "core.cli.servers:remove"),
            "tunnel": ("Open a port here that reaches a server", "core.cli.servers:tunnel"),
        },
    ),
    "routes": (
        "Which served name is answered where",
        {"list": ("List served names, their URLs and their health", "core.cli.routes:list_routes")},
    ),
    "chat": ("Talk to a model", "core.cli.chat:chat"),
    "conversations": (
        "Talks that were kept, and ratings of answers",
        {
            "list": ("List the conversations that were kept", "core.cli.conversations:list_conversations"),
            "show": ("Show a conversation, as Markdown or JSON", "core.cli.conversations:show"),
            "delete": ("Forget a conversation", "core.cli.conversations:delete"),
            "rate": ("Rate an answer from 1 to 5", "core.cli.conversations:rate"),
        },
    ),
    "analytics": (
        "How much models are used, how well they answer, and how fast",
        {
            "show": ("Show requests, success, tokens, times and ratings", "core.cli.analytics:show"),
            "export": ("Write the figures as CSV or JSON", "core.cli.analytics:export"),
        },
    ),
    "doctor": ("Check this machine and the hosts, and say what to do", "core.cli.doctor:doctor"),
}

_OPTIONS = (
    ("--json", "Print JSON on standard output; every command takes it"),
    ("--version", "Show the version"),
    ("-h, --help", "Show this help; every command takes it"),
)


def root_help() -> str:
    """What `modelyard --help` prints."""
    return "\n".join(
        [
            f"Usage: {PROGRAM} [COMMAND] [OPTIONS]",
            "",
            f"  {ABOUT}",
            "  Without a command, on a terminal, it opens the screens.",
            "",
            "Commands:",
            *_aligned([(name, entry[0]) for name, entry in TREE.items()]),
            "",
            "Options:",
            *_aligned(_OPTIONS),
            "",
            "Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 host unreachable, 130 interrupted.",
            'Completion (bash, zsh, fish): eval "$(_MODELYARD_COMPLETE=bash_source modelyard)"',
        ]
    )


def version_line() -> str:
    """What `modelyard --version` prints."""
    return f"{PROGRAM} {_installed_version()}"


def _installed_version() -> str:
    """Read off the name of the folder that pip made; `importlib.metadata` needs 30 ms for it."""
    start, end = f"{PROGRAM}-", ".dist-info"
    for folder in filter(os.path.isdir, sys.path):
        for name in os.listdir(folder):  # noqa: PTH208 - pathlib would cost as much as the rest
            if name.startswith(start) and name.endswith(end):
                return name[len(start) : -len(end)]
    from importlib.metadata import version

    return version(PROGRAM)


def commands_markdown() -> str:
    """The README's table of commands."""
    rows = [f"| `{PROGRAM} {name}` | {text} |" for name, text in _flat("", TREE)]
    return "\n".join(["| Command | What it does |", "| --- | --- |", *rows])


def _flat(prefix: str, entries: dict[str, Entry]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, (text, target) in entries.items():
        rows += _flat(f"{prefix}{name} ", target) if isinstance(target, dict) else [(prefix + name, text)]
    return rows


def _aligned(rows: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name.ljust(width)}  {text}" for name, text in rows]
