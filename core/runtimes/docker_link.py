"""The conversation with one engine: clients per socket and a bounded pool for their blocking requests.

The docker SDK (166 ms to import) is imported when the first request is made.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.runtimes import docker_errors
from core.runtimes.followers import Decoder, Follower
from core.runtimes.workers import Workers

if TYPE_CHECKING:
    from docker import APIClient
    from requests import Response

T = TypeVar("T")
Socket = Callable[[], Awaitable[Path]]

_WORKERS = 8


class Link:
    """Requests to one engine; survives a change of its socket.

    `quick_s` bounds questions (list, inspect), `patient_s` work (create, remove); both are per read.
    """

    def __init__(self, socket: Socket, *, host_name: str, quick_s: float = 15.0, patient_s: float = 90.0) -> None:
        self.host_name = host_name
        self._ask_socket = socket
        self._limits = {False: quick_s, True: patient_s}
        self._clients: dict[bool, APIClient] = {}
        self._path: Path | None = None
        self._version: str | None = None
        self._guard = threading.Lock()
        self._opening = threading.Lock()
        self._pool = Workers(_WORKERS, name=f"docker-{host_name}")
        self._followers: set[Follower[Any]] = set()
        self._closed = False

    async def call(
        self, work: Callable[[APIClient], T], *, doing: str, patient: bool = False, repeatable: bool = True
    ) -> T:
        """Run `work` in the pool; when the socket is dead it is asked for again, once.

        A request that isn't `repeatable` is only repeated when it can't have reached the engine.
        """
        path = self._path or await self._ask_socket()
        try:
            return await self._submit(path, work, patient=patient)
        except Exception as error:
            again = docker_errors.is_dead_socket(error) if repeatable else docker_errors.never_sent(error)
            if not again:
                raise docker_errors.translate(error, host=self.host_name, doing=doing) from error
        self.forget()
        path = await self._ask_socket()
        try:
            return await self._submit(path, work, patient=patient)
        except Exception as error:
            self.forget()
            raise docker_errors.translate(error, host=self.host_name, doing=doing) from error

    async def follow(
        self, opened: Callable[[APIClient], Response], decoder: Decoder[T], *, doing: str, endless: bool = False
    ) -> AsyncIterator[T]:
        """The items of a long answer, read by a thread of its own, which ends when the iterator is closed.

        An `endless` answer that ends, and any that breaks off, is an error: the host's when it can't be
        reached any more, else the engine's.
        """
        response = await self.call(opened, doing=doing, patient=True)
        follower = Follower(response, decoder)
        self._followers.add(follower)
        broken: Exception | None = None
        try:
            async for items in follower.batches():
                for item in items:
                    yield item
        except OSError as error:  # requests derives its errors from it
            broken = error
        except ValueError as error:
            raise docker_errors.translate(error, host=self.host_name, doing=doing) from error
        finally:
            follower.close()
            self._followers.discard(follower)
        if (endless or broken is not None) and not self._closed:
            self.forget()
            await self._ask_socket()
            raise docker_errors.gone(self.host_name, doing=doing) from broken

    def forget(self) -> None:
        """Drop the clients, so that the next request asks for the socket again."""
        with self._guard:
            clients, self._clients = self._clients, {}
            self._path = self._version = None
        for client in clients.values():
            client.close()

    def close(self) -> None:
        """End followers and requests that wait; those under way end by their time limits."""
        self._closed = True
        for follower in list(self._followers):
            follower.close()
        self.forget()
        self._pool.close()

    async def _submit(self, path: Path, work: Callable[[APIClient], T], *, patient: bool) -> T:
        def job() -> T:
            return work(self._client(path, patient=patient))

        return await self._pool.run(job)

    def _client(self, path: Path, *, patient: bool) -> APIClient:
        with self._opening:
            with self._guard:
                version = self._version if path == self._path else None
                known = self._clients.get(patient) if version else None
            if known is not None:
                return known
            client = _new_client(path, version, self._limits[patient])
            with self._guard:
                if path != self._path:
                    self._clients.clear()
                self._path, self._version = path, client.api_version
                self._clients[patient] = client
            return client


def _new_client(path: Path, version: str | None, limit_s: float) -> APIClient:
    """Without a version the SDK asks for it: one request, once per socket."""
    import docker

    client = docker.APIClient(base_url=f"unix://{path}", version=version, timeout=limit_s)  # type: ignore[arg-type]
    client.trust_env = False  # a Unix socket has no proxy, and looking for one costs more than the request
    return client
