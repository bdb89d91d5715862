"""Where files come from; a source's own library is imported when it is used."""

from __future__ import annotations

from core.downloads.sources.base import Source
from core.errors import InvalidInput


def sources() -> list[Source]:
    """All of them; the first that understands a text is its source."""
    from core.downloads.sources.civitai import CivitaiSource
    from core.downloads.sources.huggingface import HuggingFaceSource
    from core.downloads.sources.local import LocalSource
    from core.downloads.sources.ollama import OllamaSource
    from core.downloads.sources.url import UrlSource

    return [HuggingFaceSource(), CivitaiSource(), OllamaSource(), UrlSource(), LocalSource()]


def source_for(text: str) -> Source:
    """The source that a text is for.

    Raises:
        InvalidInput: none understands it.
    """
    for source in sources():
        if source.understands(text):
            return source
    raise InvalidInput({"source": f"{text!r} is no address, path or name of a repository"})
