"""Ollama's registry of our own: manifests by name and tag, blobs by their digests from a CDN of another host."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.downloads.hub import Cdn, reply
from tests.downloads.server import FileServer, Request, Served

KIND = "application/vnd.ollama.image."
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = {"model_format": "gguf", "model_family": "llama", "model_type": "135M", "file_type": "Q8_0"}


class OllamaRegistry(FileServer):
    """`manifests` by `space/model:tag`; every blob is given by a signed redirect."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__(address)
        self.cdn = Cdn(address)
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.busy = 0  # so many answers are 503

    @contextmanager
    def running(self) -> Iterator[OllamaRegistry]:
        with super().running(), self.cdn.running():
            yield self

    def add(self, name: str, layers: list[tuple[str, bytes]], *, config: Mapping[str, Any] = _CONFIG) -> dict[str, Any]:
        """A model from its layers, each a kind and its bytes; the manifest may be changed and `told` again."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob("application/vnd.docker.container.image.v1+json", json.dumps(config).encode()),
            "layers": [self._blob(KIND + kind, body) for kind, body in layers],
        }
        self.tell(name, manifest)
        return manifest

    def tell(self, name: str, manifest: object) -> None:
        """This manifest from now on."""
        self.manifests[name] = json.dumps(manifest).encode()

    def _blob(self, kind: str, body: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(body).hexdigest()
        self.blobs[digest] = body
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(body)}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(Request(handler.path, dict(handler.headers.items())))
        words = urlsplit(handler.path).path.split("/")[2:]
        if self.busy:
            self.busy -= 1
            reply(handler, 503, b"busy")
        elif words[2:3] == ["manifests"] and handler.headers.get("Accept") == MANIFEST:
            self._manifest(handler, f"{words[0]}/{words[1]}:{words[3]}")
        elif words[2:3] == ["blobs"] and (body := self.blobs.get(words[3].removeprefix("sha256:"))) is not None:
            name = words[3].removeprefix("sha256:")
            self.cdn.files.setdefault(name, Served(content=body))
            reply(handler, 307, b"", Location=self.cdn.signed(name))
        else:
            reply(handler, 404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')

    def _manifest(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        if (manifest := self.manifests.get(name)) is None:
            reply(handler, 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
        else:
            reply(handler, 200, manifest)
