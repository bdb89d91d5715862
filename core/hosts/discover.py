"""What is found out of a host when it is added: its models folder and its container engine's socket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import CommandFailed, InvalidInput
from core.hosts import engine_socket
from core.hosts.connection import Connection
from core.hosts.process import Output
from core.hosts.remote import script
from core.text import clean_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.registry.records import Host

# Prints the folder as an absolute path. Without one: /srv/models where it exists, else "models" at home.
_MODELS_DIR = """
case $1 in
  '') [ -d /srv/models ] && d=/srv/models || d=$HOME/models;;
  '~') d=$HOME;;
  '~/'*) d=$HOME/${1#'~/'};;
  /*) d=$1;;
  *) d=$HOME/$1;;
esac
printf '%s' "$d"
"""


def config_path(given: str) -> str:
    """The file for ssh -F as an absolute path; empty for none.

    Raises:
        InvalidInput: there is no such file.
    """
    if not given:
        return ""
    path = Path(given).expanduser().absolute()
    if not path.is_file():
        raise InvalidInput({"ssh_config": f"there is no file {clean_line(str(path))}"})
    return str(path)


async def complete(host: Host, connection: Connection, *, models_dir: str) -> None:
    """Fill in what the host itself knows.

    Raises:
        CommandFailed: its shell does not work. InvalidInput: the folder has a name that can't be used.
    """

    async def run(argv: Sequence[str]) -> Output:
        done = await connection.run(argv, timeout_s=30)
        return Output(code=done.code, stdout=done.stdout.encode(), stderr=done.stderr.encode())

    found = (await connection.run(script(_MODELS_DIR, models_dir), timeout_s=30)).stdout
    if not found.startswith("/"):
        raise CommandFailed(
            f"{host.name}: the login works, and its shell does not run commands.",
            cause=clean_line(found[:200]),
            remedy="Give the user there an ordinary shell: sudo chsh -s /bin/bash USER",
        )
    if not found.isprintable():
        raise InvalidInput({"models_dir": "the path has characters that can't be shown"})
    host.models_dir = found.rstrip("/") or "/"
    host.docker_socket = await engine_socket.discover(run)
