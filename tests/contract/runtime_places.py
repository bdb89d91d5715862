"""The two places where the runtime contract is held: a real Docker engine on a test host, and this machine."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from core.runtimes.base import Observed, Phase, Runtime, ServerSpec
from core.runtimes.docker import DockerRuntime
from core.runtimes.labels import make_labels
from core.runtimes.process import ProcessRuntime
from tests.fleet.host import FleetHost
from tests.fleet.image import BUSYBOX_IMAGE

T = TypeVar("T")
LABELS = make_labels(deployment="d1", model="m1", served_name="tiny", engine="llamacpp", owner="ada")


async def until(question: Callable[[], Awaitable[T | None]], *, what: str, within_s: float = 20.0) -> T:
    """The first answer that isn't empty, asked for again and again until the deadline."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := await question():
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {within_s} s: {what}")


def closable(iterator: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """What a runtime's followers are: generators, which a caller can close."""
    assert isinstance(iterator, AsyncGenerator)
    return iterator


@dataclass(kw_only=True)
class Place:
    """A runtime and how a test looks at what it does; `spec` runs a script of the shell."""

    runtime: Runtime
    image: str = ""
    _ports: int = field(default=0)

    def spec(self, script: str, *, name: str = "llamacpp-model-m1", **more: Any) -> ServerSpec:
        made = ServerSpec(name=name, image=self.image, argv=("sh", "-c", script), labels=LABELS, restart=False)
        return replace(made, **more)

    def web_spec(self, *, port: int, **more: Any) -> ServerSpec:
        """A server that answers HTTP on the port."""
        raise NotImplementedError

    def free_port(self) -> int:
        """One on which nothing listens there."""
        raise NotImplementedError

    def get(self, port: int) -> str:
        """What the server on a loopback port answers, empty when it doesn't."""
        raise NotImplementedError

    def listeners(self, port: int) -> set[str]:
        """The addresses on which something listens at a port."""
        raise NotImplementedError

    def processes(self) -> list[psutil.Process]:
        """All that could show a secret there."""
        raise NotImplementedError

    async def phase(self, server_id: str, wanted: Phase) -> Observed:
        """The server once it is in this phase."""

        async def look() -> Observed | None:
            found = await self.runtime.inspect(server_id)
            return found if found is not None and found.phase is wanted else None

        return await until(look, what=f"{server_id} is {wanted}")

    async def run_to_end(self, spec: ServerSpec) -> Observed:
        """Create and start; the server once it has ended."""
        server_id = await self.runtime.create(spec)
        await self.runtime.start(server_id)
        return await self.phase(server_id, Phase.EXITED)


@dataclass(kw_only=True)
class DockerPlace(Place):
    """A real engine."""

    host: FleetHost

    def web_spec(self, *, port: int, **more: Any) -> ServerSpec:
        script = "echo hello from it >/tmp/index.html; exec httpd -f -p 8000 -h /tmp"
        return self.spec(script, port=port, container_port=8000, **more)

    def free_port(self) -> int:
        self._ports += 1
        return 21000 + self._ports

    def get(self, port: int) -> str:
        done = self.host.attempt(["busybox", "wget", "-q", "-O", "-", f"http://127.0.0.1:{port}/"])
        return done.stdout

    def listeners(self, port: int) -> set[str]:
        rows = [line.split() for line in self.host.exec(["ss", "-Hltn"]).splitlines()]
        return {row[3].rpartition(":")[0] for row in rows if row[3].endswith(f":{port}")}

    def processes(self) -> list[psutil.Process]:
        return self.host.processes()


@dataclass(kw_only=True)
class ProcessPlace(Place):
    """This machine."""

    folder: Path

    def web_spec(self, *, port: int, **more: Any) -> ServerSpec:
        pages = self.folder / "pages"
        pages.mkdir(exist_ok=True)
        (pages / "index.html").write_text("hello from it\n")
        argv = ("python3", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(pages))
        return replace(self.spec("", port=port, **more), argv=argv)

    def free_port(self) -> int:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return int(probe.getsockname()[1])

    def get(self, port: int) -> str:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/", timeout=2).text
        except httpx.TransportError:
            return ""

    def listeners(self, port: int) -> set[str]:
        rows = psutil.net_connections("tcp")
        return {row.laddr.ip for row in rows if row.laddr and row.laddr.port == port and row.status == "LISTEN"}

    def processes(self) -> list[psutil.Process]:
        return list(psutil.process_iter())


def docker_place(host: FleetHost) -> DockerPlace:
    """Over the engine's own socket."""

    async def its_socket() -> Path:
        return host.docker_socket

    return DockerPlace(runtime=DockerRuntime(its_socket, host_name=host.name), image=BUSYBOX_IMAGE, host=host)


def process_place(folder: Path) -> ProcessPlace:
    """With its state in a folder of the test."""
    return ProcessPlace(runtime=ProcessRuntime(folder / "processes"), folder=folder)
