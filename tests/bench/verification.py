"""Verifying installed files beside sha256sum: python -m tests.bench.verification [--megabytes 1024] [--rounds 5].

Four large files and a hundred small ones, from the page cache, so that the hashing is measured and not the disk;
`files verify` itself with the start of the program, and the engine in a program that runs already.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from core.files import installed
from core.files.installed import InstalledModel
from core.files.verify import Condition, Verification
from tests.bench.measure import in_turns, own_environment, show


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024, help="of the large files together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", default="/var/tmp", help="on the disk that is meant")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-", dir=chosen.folder) as name, own_environment() as env:
        folder = Path(name)
        model = _make(folder, chosen.megabytes << 20)
        paths = " ".join(str(folder / str(file["path"])) for file in model.files)
        verify = [sys.executable, "-m", "tui", "files", "verify", "--json"]
        taken = in_turns(
            {
                "sha256sum": _run(["sh", "-c", f"sha256sum {paths}"], env),
                "files verify": _run(verify, {**env, "MODELS_DIR": str(folder)}),
                "the engine": lambda: _engine(folder, model),
            },
            rounds=chosen.rounds,
        )
    base = taken["sha256sum"]
    show(
        {
            "bytes": model.size,
            "files": len(model.files),
            "figures": {
                name: {
                    "megabytes_per_second": round(model.size / 1e6 / statistics.median(times)),
                    "times_as_fast_as_sha256sum": round(
                        statistics.median(b / own for b, own in zip(base, times, strict=True)), 2
                    ),
                }
                for name, times in taken.items()
            },
            "aim": 0.9,
        }
    )


def _run(command: list[str], env: dict[str, str]) -> Callable[[], float]:
    def measure() -> float:
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
        return time.perf_counter() - began

    return measure


def _engine(folder: Path, model: InstalledModel) -> float:
    began = time.perf_counter()
    results = Verification(folder, model.files).run()
    taken = time.perf_counter() - began
    assert all(one.condition is Condition.FINE for one in results)
    return taken


def _make(folder: Path, size: int) -> InstalledModel:
    sizes = {f"model-{number}.safetensors": size // 4 for number in range(4)}
    sizes |= {f"tokens-{number}.json": 1000 + number for number in range(100)}
    block, files = os.urandom(1 << 20), []
    for name, length in sizes.items():
        path, digest = folder / "bench" / "model" / name, hashlib.sha256()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for at in range(0, length, len(block)):
                piece = (at.to_bytes(8, "big") + block[8:])[: length - at]
                digest.update(piece)
                file.write(piece)
        files.append({"path": f"bench/model/{name}", "size": length, "sha256": digest.hexdigest()})
    return installed.record(folder, InstalledModel(path="bench/model", title="bench", files=tuple(files)))


if __name__ == "__main__":
    main()
