"""Models that other tools keep (X8): Hugging Face's cache and Ollama's store, read by one script here or on a host.

They are used in place, and never moved, changed or deleted from here.
"""

from __future__ import annotations

import json
import posixpath
import re
import subprocess
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from core.errors import Refused
from core.files.installed import InstalledModel
from core.files.kinds import is_weights
from core.files.paths import stays_inside
from core.text import clean_line

HUGGINGFACE, OLLAMA = "huggingface", "ollama"
LABELS = {HUGGINGFACE: "Hugging Face's cache", OLLAMA: "Ollama's store"}

# Lines of tab-separated words. Where the stores are is what the environment of the user there says.
SCRIPT = r"""
export LC_ALL=C
t=$(printf '\t'); odd="*
*"
hub=${HF_HUB_CACHE:-${HUGGINGFACE_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}/hub}}
if cd -- "$hub" 2>/dev/null; then
  printf 'hub\t%s\n' "$(pwd)"
  for r in models--*/refs/main; do
    [ -f "$r" ] && printf 'main\t%s\t%s\n' "$r" "$(head -c 64 -- "$r" | tr -cd '0-9a-zA-Z')"
  done
  find . -mindepth 3 -maxdepth 3 -path './models--*/blobs/*' ! -path "$odd" -exec stat -L -c "blob$t%d:%i$t%n" {} +
  find -L . -mindepth 4 -maxdepth 8 -path './models--*/snapshots/*' -type f ! -path "$odd" \
    -exec stat -L -c "file$t%d:%i$t%s$t%Y$t%n" {} +
  find -L . -mindepth 4 -maxdepth 8 -path './models--*/snapshots/*' -type l ! -path "$odd" -exec stat -c "gone$t%n" {} +
fi 2>/dev/null
for store in "${OLLAMA_MODELS:-$HOME/.ollama/models}" /usr/share/ollama/.ollama/models; do
  cd -- "$store/manifests" 2>/dev/null || continue
  [ "$(pwd)" = "$seen" ] && continue
  seen=$(pwd)
  cd .. || continue
  printf 'store\t%s\n' "$(pwd)"
  find manifests -type f -size -128 ! -path "$odd" -exec sh -c \
    'for f; do printf "manifest\t%s\t%s\n" "$f" "$(tr -d "\n\r\t" <"$f")"; done' sh {} +
  find blobs -maxdepth 1 -type f -name 'sha256-*' -exec stat -L -c "layer$t%s$t%Y$t%n" {} +
done 2>/dev/null
exit 0
"""

_PATIENCE_S = 20.0
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REPO = re.compile(r"models--[\w.-]+")
_MODEL = "application/vnd.ollama.image.model"
_REGISTRY, _LIBRARY = "registry.ollama.ai", "library"

Run = Callable[[Sequence[str]], Awaitable[str]]


def local(argv: Sequence[str]) -> str:
    """What the script says on this machine; of a disk that does not answer, what came in time. Blocks."""
    try:
        said = subprocess.run(
            argv, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE_S
        ).stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    return said.decode("utf-8", "replace")


def argv() -> list[str]:
    """The script as a command."""
    return ["sh", "-c", SCRIPT, "sh"]


def parse(told: str) -> list[InstalledModel]:
    """The models that the script's answer tells of, by store and title; what can't be in a store is left out."""
    hub, ollama = _Hub(), _Ollama()
    for line in told.splitlines():
        kind, *words = line.split("\t")
        hub.take(kind, words)
        ollama.take(kind, words)
    return [*sorted(hub.models(), key=_by_title), *sorted(ollama.models(), key=_by_title)]


def refuse_change(model: InstalledModel) -> None:
    """Files of another tool are that tool's to delete.

    Raises:
        Refused: it is such a model.
    """
    name = _first_name(model)
    _refuse(model, f"ollama rm {name}" if model.store == OLLAMA else f"hf cache rm model/{name}")


def refuse_repair(model: InstalledModel) -> None:
    """Nor are they mended from here.

    Raises:
        Refused: it is such a model.
    """
    name = _first_name(model)
    _refuse(model, f"ollama pull {name}" if model.store == OLLAMA else f"hf download --force-download {name}")


def _refuse(model: InstalledModel, remedy: str) -> None:
    if model.store:
        raise Refused(
            f"{_first_name(model)} is in {LABELS[model.store]}, which belongs to another program.",
            cause="Nothing in there is moved, changed or deleted from here: its own records would no longer be true.",
            remedy=remedy,
        )


def _first_name(model: InstalledModel) -> str:
    return clean_line(model.title).partition(",")[0]


def root_of(path: str) -> str:
    """The folder that holds a snapshot of Hugging Face's cache together with its blobs; "" for any other path.

    The files of a snapshot are relative links to ../../blobs, so a container needs this folder.
    """
    parts = path.split("/")
    for at in range(len(parts) - 2):
        if _REPO.fullmatch(parts[at]) and parts[at + 1] == "snapshots":
            return "/".join(parts[: at + 1])
    return ""


def is_kept(path: str) -> bool:
    """Whether a file lies in a store of another tool, by its path: a blob or a snapshot's link to one."""
    parts = path.split("/")
    in_cache = any(
        _REPO.fullmatch(part) and {*parts[at + 1 : at + 2]} & {"blobs", "snapshots"} for at, part in enumerate(parts)
    )
    return in_cache or is_blob(path)


def is_blob(path: str) -> bool:
    """Whether a path is a blob of Ollama's store."""
    folder, name = posixpath.split(path)
    return posixpath.basename(folder) == "blobs" and _SHA256.fullmatch(name.removeprefix("sha256-")) is not None


def ollama_name(parts: Sequence[str]) -> str:
    """A manifest's path as Ollama says it: `llama3:8b`, `someone/model:tag`, `hf.co/org/model:tag`."""
    host, *middle, tag = parts
    shown = middle if host == _REGISTRY else [host, *middle]
    if shown[0] == _LIBRARY:
        shown = shown[1:]
    return f"{'/'.join(shown)}:{tag}"


def is_digest(digest: object) -> bool:
    """Whether a manifest's word for a blob is one, and never a path out of the store."""
    return isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None


def _by_title(model: InstalledModel) -> tuple[str, str]:
    return model.title.casefold(), model.path


def _day(seconds: Iterable[float]) -> str:
    newest = max(seconds, default=0.0)
    return datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds") if 0 < newest < 1e11 else ""


@dataclass
class _Snapshot:
    files: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    gone: int = 0


@dataclass
class _Hub:
    """Lines about a cache: `models--org--name/snapshots/<commit>/<file>` are links to `blobs/<hash>`."""

    top: str = ""
    mains: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)  # by device and inode
    snapshots: dict[tuple[str, str], _Snapshot] = field(default_factory=dict)

    def take(self, kind: str, words: list[str]) -> None:
        """One line."""
        if kind == "hub" and len(words) == 1:
            self.top = words[0]
        elif kind == "main" and len(words) == 2:
            self.mains[words[0].split("/")[0]] = words[1]
        elif kind == "blob" and len(words) == 2:
            self.hashes[words[0]] = posixpath.basename(words[1])
        elif (kind, len(words)) in {("file", 4), ("gone", 1)}:
            self._file(kind, words)

    def _file(self, kind: str, words: list[str]) -> None:
        parts = words[-1].removeprefix("./").split("/")
        if len(parts) < 4 or not _REPO.fullmatch(parts[0]) or not stays_inside("/".join(parts)):
            return
        found = self.snapshots.setdefault((parts[0], parts[2]), _Snapshot())
        if kind == "gone":
            found.gone += 1
        elif words[1].isdecimal():
            sha256 = self.hashes.get(words[0], "")
            known = sha256 if _SHA256.fullmatch(sha256) else ""
            path = f"{self.top}/{'/'.join(parts)}"
            found.files.append({"path": path, "size": int(words[1]), "sha256": known})
            found.times.append(float(words[2]) if words[2].isdecimal() else 0.0)

    def models(self) -> Iterator[InstalledModel]:
        """One for each revision that has weights, or should have."""
        for (repo, revision), found in self.snapshots.items():
            if not found.gone and not any(is_weights(file["path"]) for file in found.files):
                continue
            name = repo.removeprefix("models--").replace("--", "/")
            is_main = self.mains.get(repo) == revision
            several = sum(other == repo for other, _ in self.snapshots) > 1
            yield InstalledModel(
                path=f"{self.top}/{repo}/snapshots/{revision}",
                title=name if is_main or not several else f"{name}@{revision[:8]}",
                source=f"hf:{name}",
                revision=revision,
                installed_at=_day(found.times),
                files=tuple(sorted(found.files, key=lambda file: str(file["path"]))),
                store=HUGGINGFACE,
                problem=f"{found.gone} of its files are missing: the download did not end." if found.gone else "",
            )


@dataclass
class _Ollama:
    """Lines about stores: `manifests/<host>/<owner>/<name>/<tag>` name layers, which are `blobs/sha256-<hash>`."""

    top: str = ""
    manifests: list[tuple[str, str, str]] = field(default_factory=list)  # store, path, content
    layers: dict[str, tuple[int, float]] = field(default_factory=dict)  # by path

    def take(self, kind: str, words: list[str]) -> None:
        """One line."""
        if kind == "store" and len(words) == 1:
            self.top = words[0]
        elif kind == "manifest" and len(words) == 2:
            self.manifests.append((self.top, words[0], words[1]))
        elif kind == "layer" and len(words) == 3 and words[0].isdecimal():
            self.layers[f"{self.top}/{words[2]}"] = int(words[0]), float(words[1])

    def models(self) -> Iterator[InstalledModel]:
        """One for each model file, with all names that it has."""
        named: dict[str, list[tuple[str, list[str]]]] = {}
        for top, path, content in self.manifests:
            parts = path.split("/")[1:]
            blobs = [f"{top}/blobs/{digest.replace(':', '-')}" for digest in _digests(content)]
            if len(parts) >= 4 and stays_inside("/".join(parts)) and blobs and not parts[-1].startswith("."):
                named.setdefault(blobs[0], []).append((ollama_name(parts), blobs))
        for blob, manifests in named.items():
            yield self._model(blob, sorted(manifests))

    def _model(self, blob: str, manifests: list[tuple[str, list[str]]]) -> InstalledModel:
        there = sorted({path for _, blobs in manifests for path in blobs if path in self.layers})
        names = [name for name, _ in manifests]
        return InstalledModel(
            path=blob,
            title=", ".join(names),
            source=f"ollama:{names[0]}",
            installed_at=_day(self.layers[path][1] for path in there),
            files=tuple(
                {"path": path, "size": self.layers[path][0], "sha256": path.rpartition("sha256-")[2]} for path in there
            ),
            more={"names": names},
            store=OLLAMA,
            problem="" if blob in self.layers else "Its model file is missing: ollama pull did not end.",
        )


def _digests(content: str) -> list[str]:
    """Of a manifest's layers, the model file's first; none where there is no model file."""
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError):
        return []
    layers = manifest.get("layers") if isinstance(manifest, Mapping) else None
    found = [one for one in layers if isinstance(one, Mapping)] if isinstance(layers, list) else []
    valid = [(str(one.get("mediaType")), str(one["digest"])) for one in found if is_digest(one.get("digest"))]
    models = [digest for kind, digest in valid if kind == _MODEL]
    return [*models[:1], *(digest for _, digest in valid if digest != models[0])] if models else []
