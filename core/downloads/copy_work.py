"""A copy to a host as the worker's work: the files, then the note of them in the host's models folder."""

from __future__ import annotations

import posixpath
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from core.downloads.copy_events import CopyProgress
from core.downloads.copying import HostCopy
from core.downloads.entries import told_by
from core.downloads.outgoing import OutgoingFile
from core.downloads.work import AsyncWork
from core.errors import ModelyardError, NotAllowed
from core.hosts.installed_there import note
from core.hosts.ssh import SshConnection

if TYPE_CHECKING:
    from core.downloads.bandwidth import Bandwidth
    from core.downloads.hashes import Hashes
    from core.hosts.service import HostService
    from core.registry.jobs import Job
    from core.registry.records import Host, Model
    from core.registry.store import Registry


class CopyWork(AsyncWork):
    """One attempt to copy a job's files to its host."""

    def __init__(
        self,
        job: Job,
        *,
        registry: Registry,
        hosts: HostService,
        hashes: Hashes,
        bandwidth: Bandwidth | None = None,
    ) -> None:
        super().__init__()
        self._job = job
        self._spec = job.spec
        self._files = [OutgoingFile.from_dict(file) for file in job.spec["files"]]
        self._root = str(job.spec["root"])
        self._registry = registry
        self._hosts = hosts
        self._hashes = hashes
        self._bandwidth = bandwidth
        self._copy: HostCopy | None = None
        self._newest: CopyProgress | None = None

    @property
    def received(self) -> int:
        """Bytes that were sent."""
        return self._copy.sent if self._copy else 0

    @property
    def files_done(self) -> int:
        """How many files are there and right."""
        return len(self._copy.hashes) if self._copy else 0

    def told(self, *, files: bool) -> dict[str, Any]:
        """See `Work.told`."""
        told: dict[str, Any] = {}
        if (newest := self._newest) is not None:
            state = "verifying" if newest.state == "verifying" else "running"
            told = {"bytes_done": newest.done, "doing": newest.text, "state": state}
            told["result"] = {"phase": newest.state, "sent": self.received}
        return {**told, "files": self._told_files()} if files else told

    def _told_files(self) -> list[dict[str, Any]]:
        hashes = self._copy.hashes if self._copy else {}
        there = [file for file in self._files if file.place in hashes]
        return [{"path": file.place, "size": file.size, "sha256": hashes[file.place]} for file in there]

    async def _run(self) -> dict[str, Any]:
        host = await self._registry.get_host(self._job.host)
        connection = self._hosts.connection(host)
        if not isinstance(connection, SshConnection):
            raise NotAllowed(f"{host.name} is this machine.")
        self._copy = HostCopy(
            self._files,
            connection,
            self._root,
            hashes=self._hashes,
            replace=bool(self._spec.get("replace")),
            bandwidth=self._bandwidth,
        )
        async with aclosing(self._copy.run()) as reports:
            async for report in reports:
                self._newest = report
        told = await self._noted(connection)
        return {**told, "bytes_done": self._job.bytes_total or 0, "result": await self._result(host)}

    async def _noted(self, connection: SshConnection) -> dict[str, Any]:
        """The files are there and right: a note that can't be written is told, and fails nothing."""
        try:
            await note(connection, self._root, told_by(self._spec["entries"], self._told_files()))
        except ModelyardError as error:
            return {
                "error": f"The files are there and right; {error.message}",
                "error_code": error.code,
                "cause": error.cause,
                "remedy": error.remedy,
            }
        return {}

    async def _result(self, host: Host) -> dict[str, Any]:
        registered = await self._register(host) if self._spec.get("register") else False
        return {"path": self._job.folder, "sent": self.received, "registered": registered}

    async def _register(self, host: Host) -> bool:
        """Whether the record had to be changed for the copy to be found on the host."""
        model = await self._registry.get_model(self._spec["model"])
        if is_found(model, host, self._job.folder):
            return False
        is_relative = self._spec["is_relative"]
        changes = {"path": self._spec["place"]} if is_relative else {"path": self._job.folder, "host": host.name}
        if model.path == changes["path"]:
            return False
        await self._registry.edit_model(model.id, changes)
        return True


def is_found(model: Model, host: Host, path: str) -> bool:
    """Whether a deploy to the host looks there: at the model's own path, or for its name in the models folder."""
    name = posixpath.basename(model.path)
    return path in {posixpath.join(host.models_dir, model.path), posixpath.join(host.models_dir, name)}
