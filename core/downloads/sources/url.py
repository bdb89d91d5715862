"""One file at a direct address (D4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from core.downloads.http import Expired, Http, TryAgain
from core.downloads.sources.apart import apart
from core.downloads.sources.base import Listing, SourceFile
from core.downloads.values import Address, Limits, RemoteFile
from core.errors import InvalidInput, SourceLost

if TYPE_CHECKING:
    from core.downloads.http import Reply

KINDS = (".safetensors", ".gguf", ".ckpt", ".pth", ".pt", ".bin", ".json", ".txt", ".model", ".onnx")
_NAMED = re.compile(r"""filename\*?=(?:UTF-8''|"?)([^";]+)""", re.IGNORECASE)
_FOLDER = "custom"


class UrlSource:
    """`https://…/model.gguf`; the file's name is the address's last part, or what the server calls it."""

    name = "url"
    key = ""

    def understands(self, text: str) -> bool:
        return text.startswith(("https://", "http://"))

    async def listing(self, text: str, *, patterns: Sequence[str] = (), token: str = "") -> Listing:
        del patterns
        parts = urlsplit(text)
        if parts.username or parts.password:
            raise InvalidInput({"source": "an address must not hold a password: give a token instead"})
        name, size = await apart(lambda: _look(text, token))
        if not name.lower().endswith(KINDS):
            raise InvalidInput({"source": f"{name!r} is not a model's file: {', '.join(KINDS)} are taken"})
        file = SourceFile(path=name, size=size, url=text)
        return Listing(source=text, title=name, folder=_FOLDER, files=(file,))

    def remote(self, listing: Listing, file: SourceFile, *, token: str = "") -> RemoteFile:
        address = Address(url=file.url, headers=_headers(token))
        return RemoteFile(address=lambda: address, size=file.size, sha256=file.sha256, name=file.path)


def _look(url: str, token: str) -> tuple[str, int | None]:
    """Name and size, from the head of an answer whose body is not read."""
    http = Http(Limits())
    try:
        reply = http.open(Address(url=url, headers=_headers(token)), 0, None, known=None)
        name = _name(url, reply)
        reply.response.close()
    except (TryAgain, Expired) as error:
        raise SourceLost(
            f"{urlsplit(url).hostname} does not give the file.",
            cause=str(error),
            remedy="Check the address and try again.",
        ) from error
    finally:
        http.close()
    return name, reply.version.size if reply.version.size >= 0 else None


def _name(url: str, reply: Reply) -> str:
    named = _NAMED.search(str(reply.response.headers.get("Content-Disposition", "")))
    told = unquote(named[1]).strip() if named else unquote(urlsplit(url).path).rpartition("/")[2]
    return told.replace("\\", "/").rpartition("/")[2]


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
