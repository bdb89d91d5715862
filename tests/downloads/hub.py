"""A Hub of our own: what the real huggingface_hub client asks for, with a CDN of its own host and signed addresses."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.downloads.server import Fault, FileServer, Request, Served

LARGE = (".safetensors", ".gguf", ".bin", ".pt")
_INFO = re.compile(r"/api/models/([\w.-]+/[\w.-]+)(?:/revision/([^/]+))?")
_TREE = re.compile(r"/api/models/([\w.-]+/[\w.-]+)/tree/([^/]+)")
_RESOLVE = re.compile(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)")
_CACHED = re.compile(r"/api/resolve-cache/models/([\w.-]+/[\w.-]+)/([^/]+)/(.+)")


@dataclass(kw_only=True)
class Repo:
    """A repository: files by commit, commits by branch or tag."""

    gated: str = ""
    private: bool = False
    disabled: bool = False
    licence: str = "apache-2.0"
    readers: set[str] = field(default_factory=set)  # tokens whose accounts may fetch
    issues: list[dict[str, str]] = field(default_factory=list)  # what the scanners say
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], *, name: str = "main") -> str:
        """Put a commit under a name; its id."""
        commit = hashlib.sha1(b"".join(sorted(path.encode() + body for path, body in files.items()))).hexdigest()
        self.commits[commit] = dict(files)
        self.names[name] = commit
        return commit

    def found(self, revision: str) -> str | None:
        """The commit that a revision means."""
        return self.names.get(revision) or (revision if revision in self.commits else None)


class Cdn(FileServer):
    """Gives files by their SHA-256 to addresses that were signed and have not expired."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__(address)
        self._valid: dict[str, int] = {}  # how many answers a signature is still good for
        self.uses = 1_000_000

    def signed(self, name: str) -> str:
        """A new address."""
        signature = secrets.token_hex(8)
        self._valid[signature] = self.uses
        return f"{self.url(name)}?Signature={signature}"

    def expire(self) -> None:
        """All addresses that were given so far."""
        self._valid.clear()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        [signature] = parse_qs(urlsplit(handler.path).query).get("Signature", [""])
        if left := self._valid.get(signature, 0):
            self._valid[signature] = left - 1
            super().answer(handler)
        else:
            self.requests.append(Request(handler.path, dict(handler.headers.items())))
            reply(handler, 403, b"Request has expired")


class Hub(FileServer):
    """The repositories in `repos`; valid tokens are in `tokens`; `fault` may answer a path instead."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__(address)
        self.cdn = Cdn(address)
        self.repos: dict[str, Repo] = {}
        self.tokens: set[str] = set()
        self.fault: Callable[[str], Fault | None] = lambda path: None
        self.tree_page = 3  # entries on a page of a tree
        self.mixed: dict[str, str] = {}  # files of this commit come from that one
        self._giving = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[Hub]:
        with super().running(), self.cdn.running():
            yield self

    def add(self, name: str, files: Mapping[str, bytes], **values: Any) -> Repo:
        """A repository with one commit."""
        repo = self.repos[name] = Repo(**values)
        repo.commit(files)
        return repo

    def large(self, content: bytes) -> Served:
        """A file as the CDN has it: its faults can be set there."""
        with self._giving:
            return self.cdn.files.setdefault(hashlib.sha256(content).hexdigest(), Served(content=content))

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0]
        self.requests.append(Request(handler.path, dict(handler.headers.items())))
        if fault := self.fault(path):
            reply(handler, fault.status, b"", **fault.headers)
        elif path == "/api/agent-harnesses":
            reply_json(handler, {})
        elif found := _INFO.fullmatch(path):
            self._info(handler, found[1], unquote(found[2] or "main"))
        elif found := _TREE.fullmatch(path):
            self._tree(handler, found[1], unquote(found[2]))
        elif found := (_RESOLVE.fullmatch(path) or _CACHED.fullmatch(path)):
            self._file(handler, found[1], unquote(found[2]), unquote(found[3]))
        else:
            refuse(handler, 404, message="Sorry, we can't find the page you are looking for.")

    def _info(self, handler: BaseHTTPRequestHandler, name: str, revision: str) -> None:
        if (found := self._allowed(handler, name, revision)) is None:
            return
        repo, commit = found
        query = parse_qs(urlsplit(handler.path).query)
        told = {
            "_id": "1",
            "id": name,
            "modelId": name,
            "sha": commit,
            "private": repo.private,
            "gated": repo.gated or False,
            "disabled": False,
            "tags": ["gguf", f"license:{repo.licence}"],
            "pipeline_tag": "text-generation",
            "library_name": "transformers",
            "lastModified": "2026-11-01T10:00:00.000Z",
            "cardData": {"license": repo.licence, "base_model": "org/base\x1b[31m"},
            "siblings": [self._sibling(path, body, query) for path, body in repo.commits[commit].items()],
        }
        if "securityStatus" in query:
            told["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": repo.issues}
        reply_json(handler, told)

    def _sibling(self, path: str, body: bytes, query: Mapping[str, Any]) -> dict[str, Any]:
        if "blobs" not in query:
            return {"rfilename": path}
        told: dict[str, Any] = {"rfilename": path, "size": len(body), "blobId": blob_id(body)}
        if path.endswith(LARGE):
            told["lfs"] = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
        return told

    def _tree(self, handler: BaseHTTPRequestHandler, name: str, revision: str) -> None:
        if (found := self._allowed(handler, name, revision)) is None:
            return
        repo, commit = found
        begin = int(parse_qs(urlsplit(handler.path).query).get("cursor", ["0"])[0])
        entries = [_tree_entry(path, body) for path, body in sorted(repo.commits[commit].items())]
        more = {}
        if begin + self.tree_page < len(entries):
            address = f"{self.base}{handler.path.partition('?')[0]}?recursive=true&cursor={begin + self.tree_page}"
            more = {"Link": f'<{address}>; rel="next"'}
        reply_json(handler, entries[begin : begin + self.tree_page], **more)

    def _file(self, handler: BaseHTTPRequestHandler, name: str, revision: str, path: str) -> None:
        found = self._allowed(handler, name, revision, for_files=True)
        if found is None:
            return
        repo, commit = found
        body = repo.commits[self.mixed.get(commit, commit)].get(path)
        told = {"X-Repo-Commit": commit}
        if body is None:
            refuse(handler, 404, code="EntryNotFound", message="Entry not found")
        elif path.endswith(LARGE):
            self.large(body)
            digest = hashlib.sha256(body).hexdigest()
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(body))}
            reply(handler, 302, b"", Location=self.cdn.signed(digest), **told, **linked)
        elif "/resolve/" in handler.path:
            target = f"/api/resolve-cache/models/{name}/{commit}/{quote(path)}"
            reply(handler, 307, b"", Location=target, **told)
        else:
            served = Served(content=body, etag=f'"{blob_id(body)}"', fault=lambda *_: Fault(headers=told))
            self._give(handler, served, 1)

    def _allowed(
        self, handler: BaseHTTPRequestHandler, name: str, revision: str, *, for_files: bool = False
    ) -> tuple[Repo, str] | None:
        """The repository and the commit, or None once the refusal is sent."""
        token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        repo = self.repos.get(name)
        if token and token not in self.tokens:
            refuse(handler, 401, message="Invalid credentials in Authorization header")
        elif repo is None or (repo.private and token not in repo.readers):
            code = "RepoNotFound" if token else ""
            refuse(handler, 404 if token else 401, code=code, message="Invalid username or password.")
        elif repo.disabled:
            refuse(handler, 403, message="Access to this resource is disabled.")
        elif repo.gated and for_files and token not in repo.readers:
            refuse(handler, 403 if token else 401, code="GatedRepo", message=f"Access to model {name} is restricted.")
        elif (commit := repo.found(revision)) is None:
            refuse(handler, 404, code="RevisionNotFound", message=f"Invalid rev id: {revision}")
        else:
            return repo, commit
        return None


def _tree_entry(path: str, body: bytes) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "file", "oid": blob_id(body), "size": len(body), "path": path}
    if path.endswith(LARGE):
        told["lfs"] = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
    return told


def blob_id(body: bytes) -> str:
    """Git's hash of a file."""
    return hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()


def refuse(handler: BaseHTTPRequestHandler, status: int, *, message: str, code: str = "") -> None:
    """An error in the Hub's way: its code and message are headers."""
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    reply(handler, status, json.dumps({"error": message}).encode(), **headers)


def reply_json(handler: BaseHTTPRequestHandler, value: object, **headers: str) -> None:
    reply(handler, 200, json.dumps(value).encode(), **{"Content-Type": "application/json", **headers})


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """A whole answer."""
    handler.send_response(status)
    for key, value in {**headers, "Content-Length": str(len(body))}.items():
        handler.send_header(key, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
