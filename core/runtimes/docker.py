"""Servers as containers of a Docker-compatible engine, on this machine or behind a forwarded socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import EngineRefused, NotAllowed, NotFound
from core.registry.values import RuntimeName
from core.runtimes import docker_errors, docker_observe, docker_spec, labels
from core.runtimes.base import Happening, Observed, Phase, RuntimeInfo, ServerSpec
from core.runtimes.docker_link import Link, Socket
from core.runtimes.docker_spec import EngineAbilities
from core.runtimes.followers import Decoder
from core.runtimes.lines import FrameSplitter, LastWords, LineSplitter

if TYPE_CHECKING:
    from docker import APIClient
    from requests import Response

_SMALL_FILE = 1024 * 1024
_TAR_ROOM = 16 * 1024
_OURS = {"label": [f"{labels.MANAGED}=1"]}
_IMAGE_USER_KEPT_S = 60.0
_FIRST_SAMPLE_S = 0.2


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """A container as it was inspected, and when (monotonic seconds)."""

    state: str
    server: Observed
    at: float


class DockerRuntime:
    """The `Runtime` of one host's engine; `socket` gives the engine's socket now, and again after a loss."""

    name = RuntimeName.DOCKER

    def __init__(self, socket: Socket, *, host_name: str, answer_within_s: float = 15.0) -> None:
        self._host = host_name
        self._link = Link(socket, host_name=host_name, quick_s=answer_within_s)
        self._abilities: EngineAbilities | None = None
        self._image_users: dict[str, tuple[str, float]] = {}
        self._seen: dict[str, _Seen] = {}
        self._samples: dict[str, Mapping[str, Any]] = {}
        self._undoing: set[asyncio.Task[None]] = set()

    async def info(self) -> RuntimeInfo:
        def work(client: APIClient) -> tuple[dict[str, Any], str]:
            return client.info(), client.api_version

        answer, api_version = await self._link.call(work, doing="ask the engine about itself")
        self._abilities = docker_spec.abilities_of(answer)
        return docker_spec.runtime_info(answer, api_version=api_version)

    async def has_image(self, image: str) -> bool:
        try:
            await self._image_user(image, fresh=True)
        except NotFound:
            return False
        return True

    async def pull(self, image: str) -> AsyncIterator[tuple[int, int | None]]:
        doing = f"fetch {image}"
        progress = docker_observe.PullProgress()
        async for message in self._link.follow(lambda client: _open_pull(client, image), _JsonLines(), doing=doing):
            if "error" in message:
                raise docker_errors.refusal(str(message["error"]), host=self._host, doing=doing)
            if (step := progress.feed(message)) is not None:
                yield step

    async def create(self, spec: ServerSpec, *, files: Mapping[str, bytes] | None = None) -> str:
        doing = f"create {spec.name}"
        abilities = await self._known_abilities()
        config = docker_spec.container_config(spec, abilities)
        user = spec.user or (await self._image_user(spec.image) if files else "")

        def work(client: APIClient) -> str:
            server_id: str = client.create_container_from_config(config, spec.name)["Id"]  # type: ignore[no-untyped-call]
            try:
                if files:
                    _put_secrets(client, server_id, files, user)
            except BaseException:
                _discard(client, server_id)
                raise
            return server_id

        job = asyncio.ensure_future(self._link.call(work, doing=doing, patient=True, repeatable=False))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.shield(self._undo(job))
            raise

    async def start(self, server_id: str) -> None:
        self._seen.pop(server_id, None)
        await self._link.call(lambda client: client.start(server_id), doing=f"start {server_id[:24]}", patient=True)

    async def stop(self, server_id: str, *, timeout_s: float) -> None:
        seconds = max(0, round(timeout_s))
        await self._link.call(
            lambda client: client.stop(server_id, timeout=seconds), doing=f"stop {server_id[:24]}", patient=True
        )

    async def remove(self, server_id: str) -> None:
        doing = f"remove {server_id[:24]}"
        found = await self.inspect(server_id)
        if found is None:
            return
        if not labels.is_managed(found.labels):
            raise NotAllowed(
                f"{found.name} on {self._host} was not made by Modelyard",
                cause=f"It does not carry the label {labels.MANAGED}=1.",
                remedy="Remove it with the tool that made it.",
            )
        with suppress(NotFound):
            await self._link.call(
                lambda client: client.remove_container(found.id, v=True, force=True), doing=doing, patient=True
            )
        self._seen.pop(found.id, None)
        self._samples.pop(found.id, None)

    async def list(self) -> list[Observed]:
        """One request when nothing changed; those that are new or may have changed are inspected."""
        asked_at = time.monotonic()
        rows = await self._link.call(lambda client: client.containers(all=True, filters=_OURS), doing="list servers")
        kept = {row["Id"]: seen for row in rows if (seen := self._unchanged(row, asked_at)) is not None}
        fresh = await asyncio.gather(*(self._look(row["Id"], asked_at) for row in rows if row["Id"] not in kept))
        self._seen = kept | {seen.server.id: seen for seen in fresh if seen is not None}
        return [self._seen[row["Id"]].server for row in rows if row["Id"] in self._seen]

    def _unchanged(self, row: Mapping[str, Any], now: float) -> _Seen | None:
        """What is known of a container, when it has been in its state since before it was inspected."""
        seen = self._seen.get(row["Id"])
        if seen is None or seen.state != row["State"]:
            return None
        settled_s = docker_observe.settled_for(row["Status"])
        is_new = seen.server.phase is Phase.CREATED
        return seen if is_new or (settled_s is not None and settled_s > now - seen.at + 1) else None

    async def _look(self, server_id: str, now: float) -> _Seen | None:
        details = await self._details(server_id)
        if details is None:
            return None
        return _Seen(state=details["State"]["Status"], server=docker_observe.observed(details), at=now)

    async def inspect(self, server_id: str) -> Observed | None:
        """Of any container, also one without our label: the caller sees that it is not ours."""
        details = await self._details(server_id)
        return docker_observe.observed(details) if details else None

    async def _details(self, server_id: str) -> dict[str, Any] | None:
        def work(client: APIClient) -> dict[str, Any]:
            details: dict[str, Any] = client.inspect_container(server_id)
            return details

        try:
            return await self._link.call(work, doing=f"inspect {server_id[:24]}")
        except NotFound:
            return None

    async def logs(
        self, server_id: str, *, tail: int | None = 200, follow: bool = False
    ) -> AsyncIterator[tuple[str, str]]:
        lines = FrameSplitter()
        async for line in self._log(server_id, lines, tail="all" if tail is None else tail, follow=int(follow)):
            yield line
        if follow and not lines.rest:
            async for line in self._log(server_id, LastWords(), tail=1, follow=0):
                yield line

    def _log(
        self, server_id: str, decoder: Decoder[tuple[str, str]], **params: str | int
    ) -> AsyncIterator[tuple[str, str]]:
        return self._link.follow(
            lambda client: _open(client, "GET", f"/containers/{server_id}/logs", {"stdout": 1, "stderr": 1, **params}),
            decoder,
            doing=f"read the log of {server_id[:24]}",
        )

    async def happenings(self) -> AsyncIterator[Happening]:
        filters = {**_OURS, "type": ["container"], "event": list(docker_observe.ACTIONS)}
        stream = self._link.follow(
            lambda client: _open(client, "GET", "/events", {"filters": json.dumps(filters)}),
            _Happenings(),
            doing="follow its events",
            endless=True,
        )
        async for event in stream:
            yield event

    async def read_file(self, server_id: str, path: str) -> bytes:
        content = await self._link.call(
            lambda client: _read_small_file(client, server_id, path), doing=f"read {path} in {server_id[:24]}"
        )
        if content is None:
            raise NotFound(
                f"{path} in {server_id[:24]} on {self._host} is no small file",
                remedy="Only plain files up to 1 MiB are read from a server.",
            )
        return content

    async def stats(self, server_id: str) -> dict[str, float]:
        """CPU since the call before (the first one waits 0.2 s for a second sample); empty when it doesn't run."""
        before = self._samples.get(server_id)
        if before is None:
            before = await self._sample(server_id)
            await asyncio.sleep(_FIRST_SAMPLE_S)
        after = self._samples[server_id] = await self._sample(server_id)
        memory, cpu = docker_observe.memory_in_use(after), docker_observe.cpu_percent(before, after)
        if memory is None:
            del self._samples[server_id]
            return {}
        return {"memory_bytes": memory} | ({} if cpu is None else {"cpu_percent": cpu})

    async def _sample(self, server_id: str) -> Mapping[str, Any]:
        def work(client: APIClient) -> Mapping[str, Any]:
            from docker.utils import version_gte

            one_shot = True if version_gte(client.api_version, "1.41") else None
            try:
                answer: Mapping[str, Any] = client.stats(server_id, stream=False, one_shot=one_shot)
            except ValueError:  # Podman says nothing of a server that doesn't run
                return {}
            return answer

        return await self._link.call(work, doing=f"measure {server_id[:24]}")

    async def close(self) -> None:
        while self._undoing:
            await asyncio.gather(*self._undoing, return_exceptions=True)
        self._link.close()

    async def _known_abilities(self) -> EngineAbilities:
        if self._abilities is None:
            await self.info()
        return self._abilities or EngineAbilities()

    async def _image_user(self, image: str, *, fresh: bool = False) -> str:
        """The user of an image ("" is root); asked again after a minute, since a tag can move."""
        user, asked_at = self._image_users.get(image, ("", float("-inf")))
        if not fresh and time.monotonic() - asked_at < _IMAGE_USER_KEPT_S:
            return user

        def work(client: APIClient) -> str:
            found: dict[str, Any] = client.inspect_image(image)  # type: ignore[no-untyped-call]
            return str((found.get("Config") or {}).get("User") or "")

        user = await self._link.call(work, doing=f"look for the image {image}")
        self._image_users[image] = (user, time.monotonic())
        return user

    def _undo(self, job: asyncio.Future[str]) -> asyncio.Task[None]:
        """Remove what a cancelled `create` will have made, once it is made."""

        async def undo() -> None:
            with suppress(Exception):
                server_id = await job
                await self._link.call(lambda client: _discard(client, server_id), doing="undo a creation")

        task = asyncio.create_task(undo())
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)
        return task


class _JsonLines:
    """Messages of an answer that holds one JSON document per line."""

    def __init__(self) -> None:
        self._lines = LineSplitter()

    def feed(self, piece: bytes) -> Sequence[dict[str, Any]]:
        return [json.loads(line) for line in self._lines.feed(piece) if line]

    def finish(self) -> Sequence[dict[str, Any]]:
        return [json.loads(line) for line in self._lines.finish()]


class _Happenings:
    """Events about the life of servers."""

    def __init__(self) -> None:
        self._lines = LineSplitter()

    def feed(self, piece: bytes) -> Sequence[Happening]:
        return [event for line in self._lines.feed(piece) if (event := docker_observe.happening(line)) is not None]

    def finish(self) -> Sequence[Happening]:
        return ()


def _open(
    client: APIClient,
    method: str,
    path: str,
    params: Mapping[str, Any],
    headers: Mapping[str, str | bytes] | None = None,
) -> Response:
    """A long answer, checked for its status and not yet read; the SDK's own followers don't tell streams apart."""
    from docker.errors import create_api_error_from_http_exception
    from requests import HTTPError

    url = f"{client.base_url}/v{client.api_version}{path}"
    response = client.request(method, url, params=params, headers=headers, stream=True, timeout=client.timeout)
    try:
        response.raise_for_status()
    except HTTPError as error:
        create_api_error_from_http_exception(error)
    return response


def _open_pull(client: APIClient, image: str) -> Response:
    from docker import auth

    registry, _ = auth.resolve_repository_name(image)
    header = auth.get_config_header(client, registry)
    headers: dict[str, str | bytes] = {"X-Registry-Auth": header} if header else {}
    name, _, tag = image.rpartition(":") if ":" in image.rpartition("/")[2] else (image, "", "latest")
    params = {"fromImage": image} if "@" in image else {"fromImage": name, "tag": tag}
    return _open(client, "POST", "/images/create", params, headers=headers)


def _put_secrets(client: APIClient, server_id: str, files: Mapping[str, bytes], user: str) -> None:
    uid, gid = _ids(client, server_id, user)
    archive = docker_spec.secrets_archive(files, uid=uid, gid=gid)
    client.put_archive(server_id, "/", archive)


def _ids(client: APIClient, server_id: str, user: str) -> tuple[int, int]:
    """uid and gid that the server will have; only a name costs a look into the image's /etc/passwd."""
    known = docker_spec.numeric_user(user)
    if known is not None:
        return known[0], known[1] or 0
    passwd = _read_small_file(client, server_id, "/etc/passwd") or b""
    found = docker_spec.look_up_user(user, passwd.decode(errors="replace"))
    if found is None:
        raise EngineRefused(
            f"The image has no user {user!r}",
            cause="Its /etc/passwd does not list the user that the server should run as.",
            remedy="Choose a numeric user, or another image.",
        )
    return found


def _read_small_file(client: APIClient, server_id: str, path: str) -> bytes | None:
    pieces, stat = client.get_archive(server_id, path)
    try:
        if stat.get("size", 0) > _SMALL_FILE:
            return None
        archive = b""
        for piece in pieces:
            archive += piece
            if len(archive) > _SMALL_FILE + _TAR_ROOM:
                return None
    finally:
        pieces.close()
    return docker_spec.only_file(archive)


def _discard(client: APIClient, server_id: str) -> None:
    with suppress(Exception):
        client.remove_container(server_id, v=True, force=True)
