"""Files that go along with a question: images, and definitions of tools."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import FileProblem
from core.providers.values import Image, ToolSpec

IMAGE_LIMIT = 5 * 1024**2  # bytes; the smallest limit of the hosted providers
_TOOLS_LIMIT = 1024**2
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


async def load_image(path: Path) -> Image:
    """An image that every provider takes, known by its first bytes, never by its name.

    Raises:
        FileProblem: not there, too big, or of another kind.
    """
    content = await asyncio.to_thread(_read, path, IMAGE_LIMIT)
    kind = _kind(content)
    if not kind:
        raise FileProblem(
            f"{path} is not an image that models take.", remedy="Give a PNG, a JPEG, a GIF or a WebP file."
        )
    return Image(media_type=kind, data=base64.b64encode(content).decode("ascii"))


def _kind(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _KINDS if content.startswith(magic)), "")


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise FileProblem(
            f"{path} can't be read.", cause=str(error.strerror or error), remedy="Check the path and its rights."
        ) from error
    if len(content) > limit:
        raise FileProblem(f"{path} is longer than {limit / 1024**2:g} MB.", remedy="Give a smaller file.")
    return content


async def load_tools(path: Path) -> tuple[ToolSpec, ...]:
    """Definitions of tools as OpenAI, Anthropic or MCP write them: one, or a list of them, in JSON.

    Raises:
        FileProblem: not there, or no such definitions.
    """
    content = await asyncio.to_thread(_read, path, _TOOLS_LIMIT)
    try:
        data = json.loads(content)
    except RecursionError:
        raise FileProblem(f"{path} is nested too deeply.") from None
    except ValueError as error:
        raise FileProblem(f"{path} is not JSON.", cause=str(error), remedy="Correct it there.") from error
    if isinstance(data, Mapping) and isinstance(data.get("tools"), list):
        data = data["tools"]
    return tuple(_tool(one, path, number) for number, one in enumerate(data if isinstance(data, list) else [data], 1))


def _tool(data: Any, path: Path, number: int) -> ToolSpec:  # noqa: ANN401 - JSON
    inner = data.get("function", data) if isinstance(data, Mapping) else {}
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(name, str) or not name:
        raise FileProblem(
            f"{path}: tool {number} has no name.",
            remedy='A tool looks like {"name": "…", "description": "…", "parameters": {a JSON schema}}.',
        )
    schema = next((inner[key] for key in ("parameters", "input_schema", "inputSchema") if key in inner), None)
    if schema is None:
        return ToolSpec(name=name, description=str(inner.get("description", "")))
    if not isinstance(schema, Mapping):
        raise FileProblem(f"{path}: the parameters of {name} are not a JSON schema.", remedy="They are an object.")
    return ToolSpec(name=name, description=str(inner.get("description", "")), parameters=schema)
