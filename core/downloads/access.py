"""Which token a source needs (D11): none, the one that is kept under its name, or one that the user is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from core.downloads.sources import source_for
from core.errors import DownloadDenied, KeysLocked
from core.keys.values import check_value
from core.redaction import remember

if TYPE_CHECKING:
    from core.downloads.service import DownloadService
    from core.downloads.sources.base import Listing

Ask = Callable[[DownloadDenied], Awaitable[str]]
_TIMES = 3


class _Keys(Protocol):
    async def get(self, name: str) -> str | None: ...


async def look_with_token(
    downloads: DownloadService,
    keys: _Keys,
    source: str,
    *,
    patterns: Sequence[str] = (),
    token: str = "",
    ask: Ask | None = None,
) -> tuple[Listing, str]:
    """The listing, and the token that it took ("" for none); `ask` gets one from the user, or "" to give up.

    Raises:
        DownloadDenied: no token that is at hand has the right. What `DownloadService.look` raises.
    """

    async def look(token: str) -> tuple[Listing, str]:
        return await downloads.look(source, patterns=patterns, token=usable(token)), token

    try:
        return await look(token)
    except DownloadDenied as error:
        denied = error
    if not token:
        try:
            if kept := await kept_token(keys, source_for(source).key):
                return await look(kept)
        except DownloadDenied as error:
            denied = error
        except KeysLocked:
            denied.remedy += " One may be in the vault: modelyard keys unlock."
    for _ in range(_TIMES if ask else 0):
        assert ask is not None
        if not (typed := (await ask(denied)).strip()):
            break
        try:
            return await look(typed)
        except DownloadDenied as error:
            denied = error
    raise denied


async def kept_token(keys: _Keys, name: str) -> str:
    """What is kept under a source's name, or "".

    Raises:
        KeysLocked: it may be in the vault.
    """
    return (await keys.get(name) or "") if name else ""


def usable(token: str) -> str:
    """The token, which no message can repeat from now on.

    Raises:
        InvalidInput: no header can hold it.
    """
    if token:
        remember(token)
        check_value(token)
    return token
