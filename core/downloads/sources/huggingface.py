"""Repositories of the Hugging Face Hub (D2): huggingface_hub tells what is there, the files come as plain HTTP.

That holds for Xet repositories, too: hf_xet is slower here even without a line (tests/bench/downloads.py), and begins
large files anew. The revision is pinned to its commit, so that a download that goes on tomorrow gets the same files.
Git's own files are small and have no SHA-256; their git hash is checked instead.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from core.downloads.sources import site
from core.downloads.sources.apart import apart
from core.downloads.sources.base import Listing, SourceFile
from core.downloads.sources.hub_address import HubAddress, chosen, endpoint, is_hub_address, is_repo, parse
from core.downloads.values import Address, RemoteFile
from core.errors import DownloadDenied, DownloadFailed, InvalidInput, ModelyardError, SourceGone, SourceLost
from core.lasting import lasting
from core.text import clean_line, said_line

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

_T = TypeVar("_T")
_LONGEST_TEXT = 300
_ADVICE = re.compile(r"For more information check: \S+ ?|Please make sure you specified .*?/authentication ?")
_FLAGGED = {"unsafe", "suspicious"}


class HuggingFaceSource:
    """`hf:org/name[@revision][:pattern]` and addresses of the Hub's pages and files; `HF_ENDPOINT` names a mirror."""

    name = "huggingface"
    key = "huggingface"

    def understands(self, text: str) -> bool:
        return is_hub_address(text)

    async def listing(self, text: str, *, patterns: Sequence[str] = (), token: str = "") -> Listing:
        address = parse(text)
        return await apart(lambda: _look(address, (*address.patterns, *patterns), token))

    def remote(self, listing: Listing, file: SourceFile, *, token: str = "") -> RemoteFile:
        address = Address(url=file.url, headers={"Authorization": f"Bearer {token}"} if token else {})
        return RemoteFile(
            address=lambda: address, size=file.size, sha256=file.sha256, git_sha1=file.git_sha1, name=file.path
        )


def _look(address: HubAddress, patterns: tuple[str, ...], token: str) -> Listing:
    hub = _Hub(address, token)
    info = hub.info()
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    paths = chosen(list(siblings), patterns)
    if not paths:
        raise SourceGone(f"{address.repo} has no files.", remedy="Look at its page; another revision may have some.")
    files = tuple(hub.file(siblings[path], info) for path in sorted(paths))
    listing = Listing(
        source=f"hf:{hub.repo}@{info.sha}",
        title=hub.repo,
        folder=hub.repo,
        files=files,
        revision=info.sha or "",
        licence=_licence(info),
        gated=str(info.gated or ""),
        key=HuggingFaceSource.key,
        metadata={"page": hub.page, "revision_asked": address.revision, **_about(info, paths)},
    )
    if info.gated:
        hub.refuse_closed(listing)
    return listing


class _Hub:
    """One repository, asked with one token; blocks."""

    def __init__(self, address: HubAddress, token: str) -> None:
        self.repo = address.repo
        self._revision = address.revision
        self._token = token
        self._endpoint = endpoint()
        self._api = self._made()

    @property
    def page(self) -> str:
        return f"{self._endpoint}/{self.repo}"

    def _made(self) -> HfApi:
        import logging

        with lasting():
            from huggingface_hub import HfApi, constants

        constants.HF_HUB_DISABLE_TELEMETRY = True  # nothing is asked or told but what is wanted
        logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # its warnings would go over the screen
        return HfApi(endpoint=self._endpoint, token=self._token or False)

    def info(self) -> ModelInfo:
        """The repository at its revision, with sizes and hashes; from now on by its own name, if it was renamed."""
        info = self._ask(
            lambda: self._api.model_info(
                self.repo,
                revision=self._revision or None,
                timeout=site.PATIENCE_S,
                files_metadata=True,
                securityStatus=True,
            )
        )
        self.repo = info.id if is_repo(info.id) else self.repo
        if info.disabled:
            raise self._disabled("")
        if not info.sha:
            raise SourceLost(f"{self._endpoint} does not tell the commit of {self.repo}.", remedy="Try another mirror.")
        return info

    def file(self, sibling: RepoSibling, info: ModelInfo) -> SourceFile:
        """One of its files at that commit."""
        from huggingface_hub import hf_hub_url

        path, lfs = sibling.rfilename, sibling.lfs
        return SourceFile(
            path=path,
            size=sibling.size,
            sha256=lfs.sha256 if lfs else "",
            git_sha1="" if lfs else sibling.blob_id or "",
            url=hf_hub_url(self.repo, path, revision=info.sha, endpoint=self._endpoint),
        )

    def refuse_closed(self, listing: Listing) -> None:
        """See that a gated repository gives us its files, before anything is queued; what they are is told anyway."""
        from huggingface_hub import get_hf_file_metadata

        url = max(listing.files, key=lambda file: file.size or 0).url
        try:
            self._ask(
                lambda: get_hf_file_metadata(
                    url, token=self._token or False, timeout=site.PATIENCE_S, endpoint=self._endpoint
                )
            )
        except DownloadDenied as denied:
            denied.offered = listing
            raise

    def _ask(self, call: Callable[[], _T]) -> _T:
        """What the Hub answers, asked again while it is busy; its errors as ours."""
        from httpx2 import HTTPError
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

        for wait_s in (*site.WAITS_S, None):
            try:
                return call()
            except HfHubHTTPError as error:
                if wait_s is None or error.response.status_code not in site.BUSY:
                    raise self._refusal(error) from error
                time.sleep(wait_s)
            except OfflineModeIsEnabled as error:
                raise DownloadFailed(
                    "huggingface_hub is told to stay offline.", remedy="Unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE."
                ) from error
            except HFValidationError as error:
                raise InvalidInput({"source": _short(error)}) from error
            except (HTTPError, OSError, ValueError, KeyError, TypeError) as error:
                raise SourceLost(
                    f"{self._endpoint} can't be reached, or does not answer as the Hub does.",
                    cause=_short(error),
                    remedy="Check the line, the proxy (HTTPS_PROXY) and HF_ENDPOINT, then try again.",
                ) from error
        raise AssertionError

    def _refusal(self, error: HfHubHTTPError) -> ModelyardError:
        from huggingface_hub import errors

        status, cause = error.response.status_code, _short(error)
        told: tuple[tuple[type[Exception], Callable[[str], ModelyardError]], ...] = (
            (errors.GatedRepoError, self._gated),  # a kind of the one for unknown repositories
            (errors.DisabledRepoError, self._disabled),
            (errors.RevisionNotFoundError, self._no_revision),
            (errors.RepositoryNotFoundError, self._unknown),
        )
        for kind, made in told:
            if isinstance(error, kind):
                return made(cause)
        if status in {401, 403}:
            return self._refused(cause) if self._token or status == 403 else self._unknown(cause)
        if status in site.BUSY:
            return site.busy(self._endpoint, cause)
        return DownloadFailed(
            f"{self._endpoint} refused to tell about {self.repo}.",
            cause=cause,
            remedy=f"Check the spelling: hf:org/name. Its page: {self.page}",
        )

    def _no_revision(self, cause: str) -> SourceGone:
        return SourceGone(
            f"{self.repo} has no revision {self._revision!r}.",
            cause=cause,
            remedy=f"Branches, tags and commits are listed at {self.page}/tree/main.",
        )

    def _refused(self, cause: str) -> DownloadDenied:
        return DownloadDenied(
            f"The token is not accepted for {self.repo}." if self._token else f"{self.repo} wants a token.",
            cause=cause,
            remedy=f"Tokens are made at {self._endpoint}/settings/tokens; it needs the right to read {self.repo}.",
        )

    def _gated(self, cause: str) -> DownloadDenied:
        what = "its licence is not accepted by the token's account" if self._token else "it is given with a token alone"
        return DownloadDenied(
            f"{self.repo} is gated: {what}.",
            cause=cause,
            remedy=f"Accept the licence at {self.page}, and give a token of that account.",
        )

    def _disabled(self, cause: str) -> SourceGone:
        return SourceGone(
            f"{self.repo} was disabled on the Hub: nobody can fetch it.", cause=cause, remedy=f"See {self.page}."
        )

    def _unknown(self, cause: str) -> DownloadFailed:
        """Without a token, the Hub answers the same for private repositories and for those that are not there."""
        if self._token:
            return SourceGone(
                f"There is no {self.repo}, or the token may not see it.",
                cause=cause,
                remedy="Check the spelling, and the rights of the token.",
            )
        unknown = DownloadDenied(
            f"There is no {self.repo}, or it is private.",
            cause=cause,
            remedy="Check the spelling; for a private one give a token.",
        )
        unknown.may_be_absent = True
        return unknown


def _card(info: ModelInfo) -> dict[str, Any]:
    return {} if info.card_data is None else vars(info.card_data)


def _licence(info: ModelInfo) -> str:
    """By its own name where it is none of the common ones."""
    card = _card(info)
    told = card.get("license_name") or card.get("license") or ""
    tagged = [tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")]
    return _plain(told) if told else _plain(tagged)


def _about(info: ModelInfo, paths: set[str]) -> dict[str, Any]:
    """What else is worth showing, without what is not told."""
    card = _card(info)
    about = {
        "pipeline": info.pipeline_tag,
        "library": info.library_name,
        "parameters": info.safetensors.total if info.safetensors else (info.gguf or {}).get("total"),
        "base_model": _plain(card.get("base_model") or ""),
        "licence_link": _plain(card.get("license_link") or ""),
        "private": bool(info.private),
        "last_modified": info.last_modified.isoformat() if info.last_modified else None,
        "warnings": list(_warnings(info, paths)),
    }
    return {name: clean_line(value) if isinstance(value, str) else value for name, value in about.items() if value}


def _warnings(info: ModelInfo, paths: set[str]) -> Iterator[str]:
    """What the Hub's own scanners say of the files."""
    status = info.security_repo_status
    for issue in (status or {}).get("filesWithIssues", ()) if isinstance(status, dict) else ():
        path, level = str(issue.get("path")), str(issue.get("level"))
        if path in paths and level in _FLAGGED:
            yield clean_line(f"{path}: the Hub's scanners call it {level}")


def _plain(value: object) -> str:
    """One short harmless line."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return said_line(text, _LONGEST_TEXT)


def _short(error: Exception) -> str:
    """The first lines of what the library says."""
    told = _ADVICE.sub("", " ".join(str(error).split()))
    return said_line(told, _LONGEST_TEXT) or type(error).__name__
