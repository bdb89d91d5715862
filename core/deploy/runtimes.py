"""The runtimes of each host, made once and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import NotAllowed
from core.registry.values import LOCAL_HOST, RuntimeName

if TYPE_CHECKING:
    from core.hosts.service import HostService
    from core.registry.records import Host
    from core.runtimes.base import Runtime
    from core.settings import Settings


class Runtimes:
    """One Docker runtime per host, and the process runtime of this machine."""

    def __init__(self, settings: Settings, hosts: HostService) -> None:
        self._settings = settings
        self._hosts = hosts
        self._made: dict[tuple[str, RuntimeName], Runtime] = {}

    def get(self, host: Host, name: RuntimeName) -> Runtime:
        """The runtime of that name on that host.

        Raises:
            NotAllowed: processes are run on this machine only.
        """
        key = (host.id, name)
        if key not in self._made:
            self._made[key] = self._make(host, name)
        return self._made[key]

    def of(self, host: Host) -> list[Runtime]:
        """All that servers of ours may run in on that host."""
        names = list(RuntimeName) if host.kind == LOCAL_HOST else [RuntimeName.DOCKER]
        return [self.get(host, name) for name in names]

    async def forget(self, host_id: str) -> None:
        """Close the runtimes of a host that was removed."""
        for key in [key for key in self._made if key[0] == host_id]:
            await self._made.pop(key).close()

    async def close(self) -> None:
        """Let go of all of them; servers go on."""
        for runtime in self._made.values():
            await runtime.close()
        self._made.clear()

    def _make(self, host: Host, name: RuntimeName) -> Runtime:
        if name is RuntimeName.PROCESS:
            return self._process(host)
        from core.runtimes.docker import DockerRuntime

        return DockerRuntime(self._hosts.connection(host).docker_socket, host_name=host.name)

    def _process(self, host: Host) -> Runtime:
        if host.kind != LOCAL_HOST:
            raise NotAllowed(
                f"Servers on {host.name} run in containers only.",
                remedy="Leave out the process runtime, or deploy to the host named local.",
            )
        from core.runtimes.process import ProcessRuntime

        return ProcessRuntime(self._settings.data_dir / "processes", ephemeral=self._settings.ephemeral)
