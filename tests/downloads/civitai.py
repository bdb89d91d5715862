"""CivitAI's API of our own: models, versions, and downloads that redirect to a CDN, or to a login page."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.downloads.hub import Cdn, reply, reply_json
from tests.downloads.server import Request, Served

_MODEL = re.compile(r"/api/v1/models/(\d+)")
_VERSION = re.compile(r"/api/v1/model-versions/(\d+)")
_DOWNLOAD = re.compile(r"/api/download/models/(\d+)")


class Civitai(Cdn):
    """`versions` by number, as the API tells them; `closed` ones want a token of `tokens`."""

    def __init__(self) -> None:
        super().__init__()
        self.cdn = Cdn()
        self.versions: dict[int, dict[str, Any]] = {}
        self.bodies: dict[tuple[int, str], bytes] = {}
        self.closed: set[int] = set()
        self.tokens: set[str] = set()
        self.busy = 0  # so many answers of the API are 503

    @contextmanager
    def running(self) -> Iterator[Civitai]:
        with super().running(), self.cdn.running():
            yield self

    def add(self, model: int, version: int, files: dict[str, bytes], /, **values: Any) -> dict[str, Any]:
        """A version with files; the first one is the main file."""
        told = {
            "id": version,
            "modelId": model,
            "name": "v1",
            "baseModel": "SDXL 1.0",
            "trainedWords": ["word"],
            "model": {"name": "Painter", "type": "Checkpoint"},
            "files": [self._file(version, number, name, body) for number, (name, body) in enumerate(files.items())],
            **values,
        }
        self.versions[version] = told
        return told

    def _file(self, version: int, number: int, name: str, body: bytes) -> dict[str, Any]:
        fp = "fp16" if number == 0 else "fp32"
        self.bodies[version, fp] = body
        return {
            "id": 100 + number,
            "name": name,
            "type": "Model",
            "primary": number == 0,
            "sizeKB": len(body) / 1024,
            "metadata": {"fp": fp, "size": "pruned", "format": "SafeTensor"},
            "pickleScanResult": "Success",
            "virusScanResult": "Success",
            "hashes": {
                "SHA256": hashlib.sha256(body).hexdigest().upper(),
                "CRC32": f"{zlib.crc32(body):08X}",
                "AutoV2": hashlib.sha256(body).hexdigest()[:10].upper(),
                "BLAKE3": "0" * 64,
            },
            "downloadUrl": f"https://evil.example/api/download/models/{version}?type=Model&fp={fp}",
        }

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(Request(handler.path, dict(handler.headers.items())))
        path = urlsplit(handler.path).path
        if self.busy and path.startswith("/api/v1"):
            self.busy -= 1
            reply(handler, 503, b"busy")
        elif found := _VERSION.fullmatch(path):
            self._tell(handler, self.versions.get(int(found[1])))
        elif found := _MODEL.fullmatch(path):
            of_model = [one for one in self.versions.values() if one["modelId"] == int(found[1])]
            bare = [{key: value for key, value in one.items() if key != "model"} for one in reversed(of_model)]
            self._tell(handler, {**of_model[0]["model"], "id": 1, "modelVersions": bare} if of_model else None)
        elif found := _DOWNLOAD.fullmatch(path):
            self._download(handler, int(found[1]))
        else:
            reply(handler, 200, b"<html>a page for people</html>")

    def _tell(self, handler: BaseHTTPRequestHandler, told: dict[str, Any] | None) -> None:
        if told is None:
            reply(handler, 404, b'{"error":"No model with this id"}')
        else:
            reply_json(handler, told)

    def _download(self, handler: BaseHTTPRequestHandler, version: int) -> None:
        token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        if version in self.closed and token not in self.tokens:
            reply(handler, 307, b"", Location="/login?returnUrl=/models/1&reason=download-auth")
            return
        fp = parse_qs(urlsplit(handler.path).query).get("fp", ["fp16"])[0]
        body = self.bodies[version, fp]
        name = hashlib.sha256(body).hexdigest()
        self.cdn.files.setdefault(name, Served(content=body))
        reply(handler, 307, b"", Location=self.cdn.signed(name))
