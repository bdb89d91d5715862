"""The labels and names by which a server is known to be ours, wherever it runs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.runtimes.base import LABEL_PREFIX, ServerSpec

MANAGED = f"{LABEL_PREFIX}.managed"
DEPLOYMENT = f"{LABEL_PREFIX}.deployment"
MODEL = f"{LABEL_PREFIX}.model"
SERVED_NAME = f"{LABEL_PREFIX}.served-name"
ENGINE = f"{LABEL_PREFIX}.engine"
OWNER = f"{LABEL_PREFIX}.owner"
SPEC = f"{LABEL_PREFIX}.spec"

_YES = "1"
_PLACE = frozenset({"labels", "port"})
_NAME = re.compile(r"(vllm|llamacpp|ollama)-model-([A-Za-z0-9][A-Za-z0-9_.-]*)")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the labels of a managed server say about it; empty where a label is missing."""

    deployment: str = ""
    model: str = ""
    served_name: str = ""
    engine: str = ""
    owner: str = ""
    spec: str = ""


def make_labels(
    *, deployment: str, model: str, served_name: str, engine: str, owner: str, spec: ServerSpec | None = None
) -> dict[str, str]:
    """All labels of a server; with `spec` also its hash, by which a changed wish is noticed."""
    labels = {
        MANAGED: _YES,
        DEPLOYMENT: deployment,
        MODEL: model,
        SERVED_NAME: served_name,
        ENGINE: engine,
        OWNER: owner,
    }
    return labels if spec is None else {**labels, SPEC: spec_hash(spec)}


def spec_hash(spec: ServerSpec) -> str:
    """16 hex digits over everything that was asked except where it happens to listen and what it is called by."""
    asked = {name: value for name, value in spec.as_dict().items() if name not in _PLACE}
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def is_managed(labels: Mapping[str, str]) -> bool:
    """Whether a server with these labels may be changed by us."""
    return labels.get(MANAGED) == _YES


def read_labels(labels: Mapping[str, str]) -> Identity | None:
    """The identity of a managed server, None for anything else."""
    if not is_managed(labels):
        return None
    return Identity(
        deployment=labels.get(DEPLOYMENT, ""),
        model=labels.get(MODEL, ""),
        served_name=labels.get(SERVED_NAME, ""),
        engine=labels.get(ENGINE, ""),
        owner=labels.get(OWNER, ""),
        spec=labels.get(SPEC, ""),
    )


def container_name(engine: str, model_id: str) -> str:
    """The name of a model's container, such as `vllm-model-3f2a`."""
    return f"{engine}-model-{model_id}"


def parse_container_name(name: str) -> tuple[str, str] | None:
    """Engine and model id of a container's name, None when it is not one of ours."""
    match = _NAME.fullmatch(name.removeprefix("/"))
    return (match.group(1), match.group(2)) if match else None
