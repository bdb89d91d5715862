"""What Podman does otherwise than Docker, whose API it speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GPUS_REMEDY = "install Docker and nvidia-container-toolkit, or a Podman that lists the GPUs as CDI devices."


def is_podman(info: Mapping[str, Any]) -> bool:
    """By GET /info. It takes requests for GPUs and gives none, whatever runtimes it lists (seen with 4.3)."""
    return "BuildahVersion" in info
