"""What a front may ask of copies to hosts: the files of a model, to several hosts at once, right or not at all."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from core.downloads.copying import CopyDone, CopyFailed, CopyProgress, HostCopy, noticed
from core.downloads.outgoing import Hashing, Outgoing, OutgoingFile, find
from core.errors import InvalidInput, ModelyardError, NotAllowed
from core.hosts.ssh import SshConnection
from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from core.files.service import FilesService
    from core.hosts.service import HostService
    from core.registry.records import Host, Model
    from core.registry.store import Registry

PATIENCE_S = 300.0
_HOSTS_AT_ONCE = 8

CopyEvent = CopyProgress | CopyDone | CopyFailed


class CopyService:
    """Copies go over each host's own SSH connection, into its models folder."""

    def __init__(self, registry: Registry, hosts: HostService, files: FilesService) -> None:
        self._registry = registry
        self._hosts = hosts
        self._files = files

    async def find(self, ref: str, *, folder: str = "") -> Outgoing:
        """The files that `ref` (a registered or installed model, or a path) means, and their places on a host.

        Raises:
            NotFound: there is none. NotAllowed: it is on another host. FileProblem: a file can't be copied.
        """
        return await find(ref, registry=self._registry, files=self._files, folder=folder)

    async def copy(
        self,
        ref: str,
        hosts: Sequence[str],
        *,
        folder: str = "",
        register: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> AsyncGenerator[CopyEvent, None]:
        """Copy to all hosts at once; each ends with one CopyDone or CopyFailed, ending the iteration stops them.

        A broken line is waited for, `patience_s` seconds at most. With `register` the model's record is made to
        tell the place on the host, where it does not yet.

        Raises:
            ModelyardError: nothing could be begun: no such model or host, a host without a models folder.
        """
        outgoing = await self.find(ref, folder=folder)
        records = [await self._host(name) for name in dict.fromkeys(hosts)]
        if register:
            _refuse_record(outgoing, records)
        news: asyncio.Queue[CopyEvent] = asyncio.Queue()
        with _Hashes() as hashes:
            copies = [self._host_copy(outgoing, host, hashes, patience_s) for host in records]
            tasks = [
                asyncio.create_task(self._run(copy, host, outgoing, news, register=register))
                for copy, host in zip(copies, records, strict=True)
            ]
            try:
                left = len(tasks)
                while left:
                    event = await news.get()
                    left -= not isinstance(event, CopyProgress)
                    yield event
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _host(self, name: str) -> Host:
        host = await self._registry.get_host(name)
        if host.kind == LOCAL_HOST:
            raise NotAllowed("The files are on this machine already.", remedy="Name another host: modelyard hosts list")
        if not host.models_dir.startswith("/"):
            raise NotAllowed(
                f"{host.name} has no models folder.", remedy=f"modelyard files base-dir FOLDER --host {host.name}"
            )
        return host

    def _host_copy(self, outgoing: Outgoing, host: Host, hashes: _Hashes, patience_s: float) -> HostCopy:
        connection = self._hosts.connection(host)
        assert isinstance(connection, SshConnection)
        return HostCopy(outgoing, connection, host.models_dir, hashes=hashes, pool=hashes.pool, patience_s=patience_s)

    async def _run(
        self, copy: HostCopy, host: Host, outgoing: Outgoing, news: asyncio.Queue[CopyEvent], *, register: bool
    ) -> None:
        try:
            async with aclosing(copy.run()) as reports:
                async for report in reports:
                    news.put_nowait(report)
            done = copy.done()
            if register and outgoing.model is not None:
                done = replace(done, registered=await self._register(outgoing.model, host, outgoing, copy.path))
        except ModelyardError as error:
            news.put_nowait(CopyFailed.of(host.name, copy.path, error))
        except Exception as error:  # noqa: BLE001 - whoever waits for this host has to hear of its end
            unknown = ModelyardError(f"{host.name}: the copy met an unknown error.", cause=repr(error)[:300])
            news.put_nowait(CopyFailed.of(host.name, copy.path, unknown))
        else:
            news.put_nowait(done)

    async def _register(self, model: Model, host: Host, outgoing: Outgoing, path: str) -> bool:
        """Whether the record had to be changed for the copy to be found on the host."""
        if _is_found(model, host, path):
            return False
        changes = {"path": outgoing.place} if outgoing.is_relative else {"path": path, "host": host.name}
        current = await self._registry.get_model(model.id)
        if current.path == changes["path"]:
            return False
        await self._registry.edit_model(model.id, changes)
        return True


def _is_found(model: Model, host: Host, path: str) -> bool:
    """Whether a deploy to the host looks there: at the model's own path, or for its name in the models folder."""
    name = posixpath.basename(model.path)
    return path in {posixpath.join(host.models_dir, model.path), posixpath.join(host.models_dir, name)}


def _refuse_record(outgoing: Outgoing, hosts: Sequence[Host]) -> None:
    """Before anything is copied: a record that can't tell the place."""
    model = outgoing.model
    if model is None:
        raise InvalidInput(
            {"register": "only a registered model has a record"}, remedy="modelyard models add --host HOST --path PATH"
        )
    if model.is_global:
        raise NotAllowed(f"{model.name} is a global model.", remedy=f"modelyard models add NAME --from {model.name}")
    lost = [one for one in hosts if not _is_found(model, one, posixpath.join(one.models_dir, outgoing.place))]
    if len(lost) > 1 and not outgoing.is_relative:
        raise InvalidInput(
            {"register": "a record tells one place: copy to one host, or leave --folder out"}, remedy="See --help."
        )


class _Hashes:
    """The SHA-256 of each file here, read once for all hosts; a noted one is trusted until a host disagrees."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(_HOSTS_AT_ONCE + 2, thread_name_prefix="copy")
        self._known: dict[str, asyncio.Future[str]] = {}
        self._reading: list[Hashing] = []

    def __enter__(self) -> _Hashes:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._reading:
            one.cancel()
        self.pool.shutdown(wait=False, cancel_futures=True)

    async def expected(self, file: OutgoingFile) -> str:
        return file.noted or await self.reread(file)

    async def reread(self, file: OutgoingFile) -> str:
        """Raises:
        WrongBytes: the file changed since the copy began. FileProblem: it is not what was installed.
        """
        if file.place not in self._known:
            self._reading.append(hashing := Hashing(file))
            self._known[file.place] = asyncio.get_running_loop().run_in_executor(self.pool, hashing.run)
            self._known[file.place].add_done_callback(noticed)
        return await asyncio.shield(self._known[file.place])
