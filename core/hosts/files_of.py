"""The one way to the model files of any host: this machine's, or those of one behind SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.registry.values import LOCAL_HOST

if TYPE_CHECKING:
    from core.files.model_files import ModelFiles
    from core.hosts.service import HostService
    from core.registry.store import Registry


class FilesOf:
    """Called with a host's name."""

    def __init__(self, here: ModelFiles, hosts: HostService, registry: Registry) -> None:
        self._here = here
        self._hosts = hosts
        self._registry = registry

    async def __call__(self, host: str) -> ModelFiles:
        """Its model files; nothing is asked of it yet.

        Raises:
            NotFound: there is no such host.
        """
        record = await self._registry.get_host(host)
        if record.kind == LOCAL_HOST:
            return self._here
        from core.hosts.files_there import FilesThere

        return FilesThere(record, self._hosts.connection(record), self._registry)
