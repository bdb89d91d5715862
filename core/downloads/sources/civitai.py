"""CivitAI (D3): a model's or version's page tells the files and their hashes, its CDN gives them.

What the site says is not trusted with the token: addresses are built here, on the site's own host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from core.downloads.sources import site
from core.downloads.sources.base import Listing, SourceFile
from core.downloads.sources.hub_address import chosen
from core.downloads.values import Address, RemoteFile
from core.errors import DownloadDenied, DownloadFailed, InvalidInput, SourceGone, SourceLost
from core.text import clean_line, said_line

if TYPE_CHECKING:
    from httpx import AsyncClient, Response

KINDS = (".safetensors", ".gguf", ".ckpt", ".pth", ".pt", ".bin", ".onnx", ".yaml", ".yml", ".json", ".txt")
_HOME = "https://civitai.com"
_HOSTS = {"civitai.com", "www.civitai.com", "civitai.green", "civitai.red"}
_AIR = re.compile(r"(?i)urn:air:[^:]+:[^:]+:civitai:(\d+)(?:@(\d+))?")
_PATHS = (
    (re.compile(r"/models/(\d+)(?:/.*)?"), "model"),
    (re.compile(r"/api/v1/models/(\d+)/?"), "model"),
    (re.compile(r"/api/v1/model-versions/(\d+)/?"), "version"),
    (re.compile(r"/api/download/models/(\d+)/?"), "version"),
)
_TOGETHER = {"VAE", "Config", "Text Encoder", "Negative"}  # kinds of files that a version's main file works with
_FAMILIES = (
    (re.compile(r"(?i)flux"), "flux"),
    (re.compile(r"(?i)sdxl|pony|illustrious|noobai"), "sdxl"),
    (re.compile(r"(?i)qwen"), "qwen"),
    (re.compile(r"(?i)z.?image"), "zimage"),
)
_FOLDERS = {"lora": "lora", "locon": "lora", "dora": "lora", "lycoris": "lora", "vae": "vae", "controlnet": "adapter"}
_SELECTORS = ("type", "format", "size", "fp", "quantType")
_AUTO_V2 = re.compile("[0-9a-f]{10}")
_UNSCANNED = {"", "success", "pending", "none"}


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A model and which of its versions (0 for the newest), or a version alone; `selected` picks one of its files."""

    model: int = 0
    version: int = 0
    selected: tuple[tuple[str, str], ...] = ()


def endpoint() -> str:
    """The site, or what `MODELYARD_CIVITAI_ENDPOINT` names instead."""
    return site.endpoint("MODELYARD_CIVITAI_ENDPOINT", _HOME)


class CivitaiSource:
    """`civitai:VERSION`, the pages of models and versions, download addresses, and AIR names."""

    name = "civitai"
    key = "civitai"

    def understands(self, text: str) -> bool:
        parts = urlsplit(text)
        on_site = parts.hostname in _HOSTS or parts.netloc == urlsplit(endpoint()).netloc
        return text.lower().startswith(("civitai:", "urn:air:")) or (parts.scheme in {"http", "https"} and on_site)

    async def listing(self, text: str, *, patterns: Sequence[str] = (), token: str = "") -> Listing:
        from httpx import AsyncClient

        asked = _parse(text)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with AsyncClient(base_url=endpoint(), headers=headers, timeout=site.PATIENCE_S) as client:
            version = await _version(client, asked)
            listing = _listing(version, asked, patterns)
            largest = max(listing.files, key=lambda file: file.size or 0)
            await _refuse_closed(client, largest.url, str(listing.metadata["page"]))
        return listing

    def remote(self, listing: Listing, file: SourceFile, *, token: str = "") -> RemoteFile:
        address = Address(url=file.url, headers={"Authorization": f"Bearer {token}"} if token else {})
        told = listing.metadata.get("hashes", {}).get(file.path, {})
        begins = "" if file.sha256 else _begins(told)
        return RemoteFile(
            address=lambda: address, size=file.size, sha256=file.sha256, sha256_begins=begins, name=file.path
        )


def _parse(text: str) -> _Asked:
    if text.lower().startswith("civitai:") and text[8:].isdigit():
        return _Asked(version=int(text[8:]))
    if air := _AIR.fullmatch(text):
        return _Asked(model=int(air[1]), version=int(air[2] or 0))
    parts = urlsplit(text)
    query = parse_qs(parts.query)
    if "token" in query or parts.username:
        raise InvalidInput({"source": "an address must not hold a token: give it apart from it"})
    selected = tuple((name, query[name][0]) for name in _SELECTORS if name in query)
    for shape, kind in _PATHS:
        if found := shape.fullmatch(parts.path):
            version = query.get("modelVersionId", [""])[0]
            if kind == "version":
                return _Asked(version=int(found[1]), selected=selected)
            return _Asked(model=int(found[1]), version=int(version) if version.isdigit() else 0)
    raise InvalidInput({"source": "the page of a model is meant: https://civitai.com/models/NUMBER"})


async def _version(client: AsyncClient, asked: _Asked) -> Mapping[str, Any]:
    """The version's record, with its model's name and type."""
    if asked.version:
        found = await _get(client, f"/api/v1/model-versions/{asked.version}")
        if asked.model and found.get("modelId") not in {None, asked.model}:
            raise SourceGone(f"Version {asked.version} is not one of model {asked.model}.", remedy="Check the address.")
        return found
    model = await _get(client, f"/api/v1/models/{asked.model}")
    versions = model.get("modelVersions") or []
    if not versions:
        raise SourceGone(f"Model {asked.model} has no versions that can be had.", remedy=_page(asked.model))
    return {**versions[0], "model": model, "modelId": asked.model}


async def _get(client: AsyncClient, path: str) -> Mapping[str, Any]:
    response = await site.ask(client, path, site=endpoint())
    if response.status_code != 200:
        raise _refusal(response, endpoint() + path)
    try:
        found = response.json()
    except ValueError as error:
        raise _strange(path) from error
    if not isinstance(found, dict):
        raise _strange(path)
    return found


async def _refuse_closed(client: AsyncClient, url: str, page: str) -> None:
    """See that the main file is given to us: without a right to it, the site redirects to its login page."""
    from httpx import HTTPError

    try:
        async with client.stream("GET", url, headers={"Range": "bytes=0-0"}) as response:
            target = urlsplit(response.headers.get("Location", ""))
            if response.status_code in {401, 403} or (response.is_redirect and target.path.startswith("/login")):
                raise _denied(response, page)
            if response.status_code >= 400 and response.status_code not in site.BUSY:
                raise _refusal(response, page)
    except HTTPError as error:
        raise SourceLost(
            f"{endpoint()} does not give the file.", cause=clean_line(str(error)), remedy="Try again."
        ) from error


def _refusal(response: Response, shown: str) -> DownloadFailed:
    status = response.status_code
    cause = f"It answered {status}."
    if status in {401, 403}:
        return _denied(response, shown)
    if status in {404, 410}:
        return SourceGone(
            "CivitAI has no such model or version.", cause=cause, remedy="Check the number in the address."
        )
    if status in site.BUSY:
        return site.busy(endpoint(), cause)
    return DownloadFailed(f"{endpoint()} refused to tell about it.", cause=cause, remedy=f"Look at {shown}.")


def _denied(response: Response, page: str) -> DownloadDenied:
    had_token = "Authorization" in response.request.headers
    return DownloadDenied(
        "CivitAI does not give this file to the token's account." if had_token else "CivitAI wants a token for this.",
        cause=f"It answered {response.status_code}.",
        remedy=f"See {page}: it may want a login or be sold for now. API keys are made at {endpoint()}/user/account.",
    )


def _strange(path: str) -> SourceLost:
    return site.strange(f"{endpoint()}{path}", "CivitAI")


def _page(model: object, version: object = None) -> str:
    return f"{endpoint()}/models/{model}" + (f"?modelVersionId={version}" if version else "")


def _listing(version: Mapping[str, Any], asked: _Asked, patterns: Sequence[str]) -> Listing:
    try:
        number = int(version["id"])
        offered = _named(number, [file for file in version.get("files") or () if isinstance(file, dict)])
        wanted = _wanted(offered, asked, patterns)
        model = version.get("model") if isinstance(version.get("model"), dict) else {}
        return _described(number, version, model or {}, offered, wanted)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _strange(f"/api/v1/model-versions/{version.get('id')}") from error


def _named(version: int, files: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The files by name; those that share one get their number in it."""
    if not files:
        raise SourceGone(f"Version {version} has no files.", remedy="Another version of the model may have some.")
    names = [_plain(file["name"]) for file in files]
    return {
        name if names.count(name) == 1 else f"{PurePosixPath(name).stem}-{file['id']}{PurePosixPath(name).suffix}": file
        for name, file in zip(names, files, strict=True)
    }


def _wanted(offered: Mapping[str, dict[str, Any]], asked: _Asked, patterns: Sequence[str]) -> list[str]:
    """By pattern, by what a download address says, or the main file and what works with it alone."""
    if patterns:
        return sorted(_known_kinds(chosen(list(offered), patterns), refuse=True))
    if asked.selected:
        fitting = [name for name, file in offered.items() if _fits(file, asked.selected)]
        return sorted(_known_kinds(fitting[:1] or [_main(offered)], refuse=True))
    beside = (name for name, file in offered.items() if file.get("type") in _TOGETHER)
    return sorted({*_known_kinds([_main(offered)], refuse=True), *_known_kinds(beside, refuse=False)})


def _main(offered: Mapping[str, dict[str, Any]]) -> str:
    return next((name for name, file in offered.items() if file.get("primary")), next(iter(offered)))


def _fits(file: Mapping[str, Any], selected: Sequence[tuple[str, str]]) -> bool:
    told = {**(file.get("metadata") or {}), "type": file.get("type")}
    return all(str(told.get(name)).casefold() == value.casefold() for name, value in selected)


def _known_kinds(names: Sequence[str] | set[str] | Iterator[str], *, refuse: bool) -> Iterator[str]:
    for name in names:
        if name.lower().endswith(KINDS):
            yield name
        elif refuse:
            raise InvalidInput({"source": f"{name!r} is not a model's file: {', '.join(KINDS)} are taken"})


def _described(
    number: int,
    version: Mapping[str, Any],
    model: Mapping[str, Any],
    offered: Mapping[str, dict[str, Any]],
    wanted: Sequence[str],
) -> Listing:
    kind, base = _plain(model.get("type")), _plain(version.get("baseModel"))
    title = " ".join(filter(None, (_plain(model.get("name")), _plain(version.get("name"))))) or f"civitai {number}"
    folder = _folder(kind, base)
    return Listing(
        source=f"civitai:{number}",
        title=title,
        folder=folder if len(wanted) == 1 else f"{folder}/{_slug(title)}",
        files=tuple(_file(number, name, offered[name]) for name in wanted),
        revision=str(number),
        key=CivitaiSource.key,
        metadata={
            "page": _page(int(version.get("modelId") or 0), number),
            "type": kind,
            "base_model": base,
            "trigger_words": [_plain(word) for word in version.get("trainedWords") or ()][:50],
            "hashes": {name: _hashes(offered[name]) for name in wanted},
            "scans": {name: _scans(offered[name]) for name in wanted},
            "left_out": [name for name in offered if name not in wanted],
            "warnings": [line for name in wanted for line in _warnings(name, offered[name])],
        },
    )


def _folder(kind: str, base: str) -> str:
    """By type for what is added to a model, else by the family of the base."""
    family = next((family for shape, family in _FAMILIES if shape.search(base)), "custom")
    return _FOLDERS.get(kind.casefold(), family if kind.casefold() == "checkpoint" else "custom")


def _file(version: int, name: str, file: Mapping[str, Any]) -> SourceFile:
    size = float(file.get("sizeKB") or 0) * 1024
    query = dict(parse_qsl(urlsplit(str(file.get("downloadUrl") or "")).query))
    selected = urlencode({key: query[key] for key in _SELECTORS if key in query})
    return SourceFile(
        path=name,
        size=int(size) if size > 0 and size.is_integer() else None,
        sha256=_hashes(file).get("SHA256", "").lower(),
        url=f"{endpoint()}/api/download/models/{version}" + (f"?{selected}" if selected else ""),
    )


def _hashes(file: Mapping[str, Any]) -> dict[str, str]:
    return {_plain(kind): _plain(value) for kind, value in (file.get("hashes") or {}).items()}


def _begins(hashes: Mapping[str, str]) -> str:
    """AutoV2 is the SHA-256's first ten digits."""
    told = hashes.get("AutoV2", "").lower()
    return told if _AUTO_V2.fullmatch(told) else ""


def _scans(file: Mapping[str, Any]) -> dict[str, str]:
    return {kind: _plain(file.get(f"{kind}ScanResult")) for kind in ("pickle", "virus")}


def _warnings(name: str, file: Mapping[str, Any]) -> Iterator[str]:
    for kind, result in _scans(file).items():
        if result.casefold() not in _UNSCANNED:
            yield f"{name}: CivitAI's {kind} scan says {result}"
    if not (hashes := _hashes(file)).get("SHA256"):
        checked = "its first ten digits (AutoV2) are" if _begins(hashes) else "the size is"
        yield f"{name}: CivitAI tells no SHA256, so that only {checked} checked"


def _slug(title: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", title).strip("-.")[:80] or "model"


def _plain(value: object) -> str:
    """One short harmless line; "" for nothing."""
    return said_line(str(value)) if value is not None else ""
