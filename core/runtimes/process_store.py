"""The folders of the servers that run as processes: made whole or not at all, found by id or name."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from core.errors import EngineRefused, NotAllowed, NotFound
from core.runtimes import labels
from core.runtimes import process_files as files
from core.runtimes.base import Observed, ServerSpec
from core.runtimes.process_observe import observed

_ID = re.compile(r"[0-9a-f]{12}")
_PASSED_ON = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|TZ|TMPDIR|LD_LIBRARY_PATH|VIRTUAL_ENV|"
    r"(LC|XDG|CUDA|NVIDIA|HIP|ROCR|ROCM|VK|OMP|MKL)_\w+"
)


class ProcessStore:
    """The servers below one folder of this user."""

    def __init__(self, folder: Path) -> None:
        self._dir = folder

    def folder(self, server_id: str) -> Path:
        """By id or name.

        Raises:
            NotFound: there is no such server.
        """
        folder = self._dir / server_id
        if _ID.fullmatch(server_id) and (folder / files.SERVER).is_file():
            return folder
        for candidate in self._folders():
            if files.read_json(candidate / files.SERVER).get("spec", {}).get("name") == server_id:
                return candidate
        raise NotFound(f"No server {server_id!r} runs as a process here", remedy="Refresh: it may have been removed.")

    def _folders(self) -> list[Path]:
        if not self._dir.is_dir():
            return []
        return sorted(f for f in self._dir.iterdir() if _ID.fullmatch(f.name) and (f / files.SERVER).is_file())

    def servers(self) -> list[Observed]:
        """All of ours."""
        found = (observed(folder) for folder in self._folders())
        return [server for server in found if server is not None and labels.is_managed(server.labels)]

    def create(self, spec: ServerSpec, given: Mapping[str, bytes]) -> str:
        """A new server's folder, complete or not at all; its id.

        Raises:
            NotFound: the engine's program is missing. EngineRefused: a mount is, or the name is taken.
        """
        self._check(spec)
        server_id = secrets.token_hex(6)
        folder = self._dir / f".{server_id}"
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            (folder / files.SECRETS).mkdir(mode=0o700, parents=True)
            folder.chmod(0o700)
            self._fill(folder, spec, given, final=self._dir / server_id)
            folder.rename(self._dir / server_id)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise EngineRefused(
                f"Could not create {spec.name} in {self._dir}",
                cause=str(error),
                remedy="Check the rights on this folder and the space on its disk.",
            ) from error
        return server_id

    def _check(self, spec: ServerSpec) -> None:
        if shutil.which(spec.argv[0], path=_environment(spec)["PATH"]) is None:
            raise NotFound(
                f"Could not create {spec.name}: there is no program {spec.argv[0]} on this machine",
                cause="It is not installed, or not on PATH.",
                remedy="Install the engine (`pip install modelyard[demo]` brings llama-server), or deploy with Docker.",
            )
        for mount in spec.mounts:
            if not Path(mount.source).exists():
                raise EngineRefused(
                    f"Could not create {spec.name}: {mount.source} does not exist",
                    cause="A file or folder that the server needs does not exist on this machine.",
                    remedy="Check the model's path; copy or download the model first.",
                )
        if any(server.name == spec.name for server in self.servers()):
            raise EngineRefused(
                f"Could not create {spec.name}: another server has this name",
                cause="It was created before and not removed.",
                remedy="Remove that server, or choose another name.",
            )

    def _fill(self, folder: Path, spec: ServerSpec, given: Mapping[str, bytes], *, final: Path) -> None:
        real = {path: str(final / files.SECRETS / str(number)) for number, path in enumerate(given)}
        for path, content in given.items():
            files.write_private(folder / files.SECRETS / Path(real[path]).name, content)
        server = {
            "spec": replace(spec, image="process").as_dict(),
            "created_at": files.now(),
            "argv": [_with_real_paths(argument, real) for argument in spec.argv],
            "env": {name: _with_real_paths(value, real) for name, value in _environment(spec).items()},
            "files": real,
        }
        files.write_json(folder / files.SERVER, server)

    def ours(self, server_id: str) -> Path | None:
        """The folder of a server that may be removed, None when there is none.

        Raises:
            NotAllowed: it does not carry our label.
        """
        try:
            folder = self.folder(server_id)
        except NotFound:
            return None
        server = observed(folder)
        if server is None or not labels.is_managed(server.labels):
            raise NotAllowed(
                f"{server_id} was not made by Modelyard",
                cause=f"It does not carry the label {labels.MANAGED}=1.",
                remedy="Remove it with the tool that made it.",
            )
        return folder


def _environment(spec: ServerSpec) -> dict[str, str]:
    """What an engine needs of ours, without keys and tokens; only the chosen GPUs are visible to it."""
    ours = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    return {"PATH": os.defpath, **ours, "CUDA_VISIBLE_DEVICES": ",".join(spec.gpus), **spec.env}


def _with_real_paths(text: str, real: Mapping[str, str]) -> str:
    """Paths as they would be in a container, replaced by where the files are."""
    for path, place in real.items():
        pieces = re.split(rf"(?<![\w./-]){re.escape(path)}(?![\w./-])", text)
        text = place.join(pieces)
    return text
