"""One file at a direct address (D4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from core.downloads.http import Expired, Http, TryAgain
from core.downloads.sources.apart import apart
from core.downloads.sources.base import Listing, SourceFile
from core.downloads.sources.secret_query import split_secret, with_secret
from core.downloads.values import Address, Limits, RemoteFile
from core.errors import DownloadDenied, DownloadFailed, InvalidInput, SourceLost
from core.text import said_line

if TYPE_CHECKING:
    from core.downloads.http import Reply

KINDS = (".safetensors", ".gguf", ".ckpt", ".pth", ".pt", ".bin", ".json", ".txt", ".model", ".onnx")
_NAMED = re.compile(r"""filename\*?=(?:UTF-8''|"?)([^";]+)""", re.IGNORECASE)
_FOLDER = "custom"
_HELD = "secret_query"  # in the metadata: the address is whole only with the token


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
        address, secret = split_secret(text)
        if secret and token not in {"", secret}:
            raise InvalidInput({"source": "the address holds a secret itself: leave out the token, or take that out"})
        name, size = await apart(lambda: _look(address, token or secret))
        if not name.lower().endswith(KINDS):
            raise InvalidInput({"source": f"{name!r} is not a model's file: {', '.join(KINDS)} are taken"})
        file = SourceFile(path=name, size=size, url=address)
        held = {_HELD: True} if secret else {}
        return Listing(source=address, title=name, folder=_FOLDER, files=(file,), metadata=held)

    def remote(self, listing: Listing, file: SourceFile, *, token: str = "") -> RemoteFile:
        if listing.metadata.get(_HELD) and not token.startswith("?"):
            raise DownloadDenied(
                f"The address of {listing.title} held a secret, which is not kept.",
                remedy="Start it with the whole address again: what has come is used. Or give its part from the ? on "
                "as the token.",
            )
        address = Address(url=with_secret(file.url, token), headers=_headers(token))
        return RemoteFile(address=lambda: address, size=file.size, sha256=file.sha256, name=file.path)


def _look(url: str, token: str) -> tuple[str, int | None]:
    """Name and size, from the head of an answer whose body is not read."""
    http = Http(Limits())
    try:
        reply = http.open(Address(url=with_secret(url, token), headers=_headers(token)), 0, None, known=None)
        reply.response.close()
        _refuse_page(url, str(reply.response.headers.get("Content-Type", "")))
        name = _name(url, reply)
    except (TryAgain, Expired) as error:
        raise SourceLost(
            f"{urlsplit(url).hostname} does not give the file.",
            cause=str(error),
            remedy="Check the address and try again.",
        ) from error
    finally:
        http.close()
    return name, reply.version.size if reply.version.size >= 0 else None


def _refuse_page(url: str, kind: str) -> None:
    """A login or a file's own page answers 200, too; it must not be taken for the file.

    Raises:
        DownloadFailed: it is a page for people.
    """
    if kind.partition(";")[0].strip().lower() in {"text/html", "application/xhtml+xml"}:
        raise DownloadFailed(
            f"{urlsplit(url).hostname} answers with a web page, not with a file.",
            cause=f"Its type is {said_line(kind)}: a page about the file, or one that wants a login.",
            remedy="Open it in a browser and take the address of its download button; a token may be wanted.",
        )


def _name(url: str, reply: Reply) -> str:
    named = _NAMED.search(str(reply.response.headers.get("Content-Disposition", "")))
    told = unquote(named[1]).strip() if named else unquote(urlsplit(url).path).rpartition("/")[2]
    return told.replace("\\", "/").rpartition("/")[2]


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token and not token.startswith("?") else {}
