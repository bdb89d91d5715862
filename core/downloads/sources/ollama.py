"""Models of Ollama's library: a manifest names blobs by their hashes; the model among them is a GGUF for any engine."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from core.downloads.sources import site
from core.downloads.sources.base import Listing, SourceFile
from core.downloads.sources.hub_address import chosen
from core.downloads.values import Address, RemoteFile
from core.errors import DownloadDenied, DownloadFailed, InvalidInput, SourceGone
from core.text import said_line

if TYPE_CHECKING:
    from httpx import AsyncClient, Response

_HOME, _PAGES = "https://registry.ollama.ai", "https://ollama.com"
_HOSTS = {"ollama.com", "www.ollama.com", "ollama.ai"}
_LIBRARY, _NEWEST = "library", "latest"
_WORD = r"[A-Za-z0-9_][\w.-]{0,79}"
_NAME = re.compile(rf"(?:(?P<space>{_WORD})/)?(?P<model>{_WORD})(?::(?P<tag>{_WORD}))?", re.ASCII)
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_KIND = "application/vnd.ollama.image."
_FILES = {
    "model": "{name}.gguf",
    "projector": "mmproj-{name}.gguf",
    "adapter": "{name}-adapter.gguf",
    "template": "template.txt",
    "system": "system.txt",
    "license": "LICENSE.txt",
    "params": "params.json",
    "messages": "messages.json",
}
_MOST_TOLD = 1 << 20  # bytes of a manifest, a config or a licence


@dataclass(frozen=True, kw_only=True)
class _Name:
    """`model:tag` of the library, or of a user's space."""

    space: str = _LIBRARY
    model: str
    tag: str = _NEWEST

    def __str__(self) -> str:
        return f"{'' if self.space == _LIBRARY else f'{self.space}/'}{self.model}:{self.tag}"

    @property
    def path(self) -> str:
        """Of what the registry has under the name."""
        return f"/v2/{self.space}/{self.model}"

    @property
    def page(self) -> str:
        return f"{_PAGES}/{self.space}/{self.model}:{self.tag}"

    @property
    def tags(self) -> str:
        """The page of all tags."""
        return f"{_PAGES}/{self.space}/{self.model}/tags"

    @property
    def folder(self) -> str:
        return f"ollama/{'' if self.space == _LIBRARY else f'{self.space}/'}{self.file}"

    @property
    def file(self) -> str:
        """What its files are called after."""
        return f"{self.model}-{self.tag}"


@dataclass(frozen=True, kw_only=True)
class _Layer:
    kind: str
    sha256: str
    size: int


def endpoint() -> str:
    """Ollama's registry, or the mirror that `MODELYARD_OLLAMA_ENDPOINT` names."""
    return site.endpoint("MODELYARD_OLLAMA_ENDPOINT", _HOME)


class OllamaSource:
    """`ollama:[user/]model[:tag]` and the pages of ollama.com."""

    name = "ollama"
    key = ""

    def understands(self, text: str) -> bool:
        parts = urlsplit(text)
        return text.startswith("ollama:") or (parts.scheme in {"http", "https"} and parts.hostname in _HOSTS)

    async def listing(self, text: str, *, patterns: Sequence[str] = (), token: str = "") -> Listing:
        from httpx import AsyncClient

        del token
        name = _parse(text)
        async with AsyncClient(base_url=endpoint(), timeout=site.PATIENCE_S, follow_redirects=True) as client:
            body = await _get(client, f"{name.path}/manifests/{name.tag}", name, Accept=_MANIFEST)
            config, layers = _read(body, name)
            files = dict(_named(layers, name))
            wanted = sorted(chosen(list(files), patterns))
            licence = next((layer for layer in layers if layer.kind == "license"), None)
            return Listing(
                source=f"ollama:{name}",
                title=str(name),
                folder=name.folder,
                files=tuple(_file(path, files[path], name) for path in wanted),
                revision=hashlib.sha256(body).hexdigest(),
                licence=_first_line(await _told(client, licence, name)),
                metadata={"page": name.page, **_about(await _told(client, config, name))},
            )

    def remote(self, listing: Listing, file: SourceFile, *, token: str = "") -> RemoteFile:
        del listing, token
        address = Address(url=file.url)
        return RemoteFile(address=lambda: address, size=file.size, sha256=file.sha256, name=file.path)


def _parse(text: str) -> _Name:
    told = text.removeprefix("ollama:").removeprefix("//")
    if not text.startswith("ollama:"):
        parts = urlsplit(text)
        if parts.username or parts.password:
            raise InvalidInput({"source": "an address must not hold a password"})
        told = unquote(parts.path).strip("/").removesuffix("/tags")
    if told.startswith(("hf.co/", "huggingface.co/")):
        repo, _, pattern = told.partition("/")[2].partition(":")
        raise InvalidInput({"source": f"it is a repository of the Hub: hf:{repo}{pattern and f':{pattern}'}"})
    told = told.removeprefix("registry.ollama.ai/")
    if (found := _NAME.fullmatch(told)) is None:
        raise InvalidInput({"source": "ollama:model:tag or ollama:user/model:tag is meant, as ollama.com has it"})
    return _Name(space=found["space"] or _LIBRARY, model=found["model"], tag=found["tag"] or _NEWEST)


async def _get(client: AsyncClient, path: str, name: _Name, **headers: str) -> bytes:
    response = await site.ask(client, path, site=endpoint(), headers=headers)
    if response.status_code != 200:
        raise _refusal(response, name)
    if len(response.content) > _MOST_TOLD:
        raise site.strange(endpoint() + path, "Ollama's registry")
    return response.content


def _refusal(response: Response, name: _Name) -> DownloadFailed:
    status, cause = response.status_code, f"{endpoint()} answered {response.status_code}."
    if status in {401, 403}:
        return DownloadDenied(
            f"{name} is not given to everybody.", cause=cause, remedy="Its owner can make it public; a mirror may ask."
        )
    if status in {404, 410}:
        return SourceGone(
            f"Ollama's registry has no {name}.", cause=cause, remedy=f"See which tags there are: {name.tags}"
        )
    if status in site.BUSY:
        return site.busy(endpoint(), cause)
    return DownloadFailed(f"{endpoint()} refused to tell about {name}.", cause=cause, remedy=f"See {name.page}")


def _read(body: bytes, name: _Name) -> tuple[_Layer, list[_Layer]]:
    """The manifest's config, and its layers of known kinds.

    Raises:
        SourceLost: it is none. DownloadFailed: it is of a kind that only Ollama loads.
    """
    try:
        told = json.loads(body)
        config, layers = _layer(told["config"]), [_layer(one) for one in told["layers"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise site.strange(endpoint() + name.path, "Ollama's registry") from error
    if not any(layer.kind == "model" for layer in layers):
        raise DownloadFailed(
            f"{name} is not kept as a GGUF file.",
            cause="Its files are of a kind that Ollama alone loads, or it runs on Ollama's own servers.",
            remedy=f"See {name.page} for another tag.",
        )
    return config, [layer for layer in layers if layer.kind in _FILES]


def _layer(told: Mapping[str, Any]) -> _Layer:
    digest, size = _DIGEST.fullmatch(told["digest"]), told["size"]
    if digest is None or not isinstance(size, int) or size < 0:
        raise ValueError("no digest, or no size")
    return _Layer(kind=str(told["mediaType"]).removeprefix(_KIND), sha256=digest[1], size=size)


def _named(layers: Sequence[_Layer], name: _Name) -> Iterator[tuple[str, _Layer]]:
    """By kind; from the second one of a kind on with its number."""
    seen: Counter[str] = Counter()
    for layer in layers:
        seen[layer.kind] += 1
        stem, _, kind = _FILES[layer.kind].format(name=name.file).rpartition(".")
        number = f"-{seen[layer.kind]}" if seen[layer.kind] > 1 else ""
        yield f"{stem}{number}.{kind}", layer


def _file(path: str, layer: _Layer, name: _Name) -> SourceFile:
    url = f"{endpoint()}{name.path}/blobs/sha256:{layer.sha256}"
    return SourceFile(path=path, size=layer.size, sha256=layer.sha256, url=url)


async def _told(client: AsyncClient, layer: _Layer | None, name: _Name) -> bytes:
    """A small blob, if it is what its digest says; nothing without one."""
    if layer is None or layer.size > _MOST_TOLD:
        return b""
    body = await _get(client, f"{name.path}/blobs/sha256:{layer.sha256}", name)
    return body if hashlib.sha256(body).hexdigest() == layer.sha256 else b""


def _first_line(text: bytes) -> str:
    """Of a licence: its name."""
    lines = (said_line(line, 100) for line in text[:4096].decode("utf-8", "replace").splitlines())
    return next((line for line in lines if line), "")


def _about(config: bytes) -> dict[str, Any]:
    """What the config tells of the model."""
    try:
        told = json.loads(config)
        facts = {"family": told.get("model_family"), "size": told.get("model_type"), "type": told.get("file_type")}
    except (ValueError, AttributeError, RecursionError):
        return {}
    return {key: said_line(str(value)) for key, value in facts.items() if value}
