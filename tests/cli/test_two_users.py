"""Two users of one machine (P7, P8): records and keys are one's own, the site's global models are everyone's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.other_user import as_user
from tests.cli.program import Ended
from tests.unit.model_files import Tensor, gguf

_ROOT = Path(__file__).parents[2]
_UIDS = {"ann": 64101, "bob": 64102}
GGUF = gguf({"general.architecture": "llama"}, [Tensor("t", (32,))])
_TEAM = 64200  # a group of both
_PLANTED = "zq-planted-of-ann-1f0e3dad"


@dataclass(frozen=True)
class Person:
    """A user with a home; `uid` None is the one who runs the tests, under another home."""

    home: Path
    uid: int | None
    catalog: Path

    def run(self, *command: str, stdin: str = "", env: dict[str, str] | None = None) -> Ended:
        """Run a program as this user."""
        variables = {
            **{name: os.environ[name] for name in ("PATH", "PYTHON_KEYRING_BACKEND")},
            **{"HOME": str(self.home), "LOGNAME": self.home.name, "USER": self.home.name},
            **{"PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1", "XDG_RUNTIME_DIR": str(self.home / "run")},
            **{"MODELYARD_CATALOG": str(self.catalog), "MODELYARD_VAULT_PASSPHRASE": f"passphrase of {self.home.name}"},
        }
        switch = as_user(self.uid, self.catalog.parent / "scratch", group=_TEAM) if self.uid else []
        done = subprocess.run(
            [*switch, *command],
            cwd=self.home,
            input=stdin.encode(),
            capture_output=True,
            check=False,
            env={**variables, **(env or {})},
            timeout=60,
        )
        return Ended(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())

    def modelyard(self, *words: str, stdin: str = "", env: dict[str, str] | None = None) -> Ended:
        """Run the program as this user."""
        return self.run(sys.executable, "-P", "-m", "tui", *words, stdin=stdin, env=env)

    def models(self, *words: str) -> list[str]:
        """The names in the list."""
        return [one["name"] for one in self.modelyard("models", "list", *words, "--json").json()["models"]]

    def key_names(self) -> list[str]:
        """The names of the keys."""
        return [one["name"] for one in self.modelyard("keys", "list", "--json").json()["keys"]]


@pytest.fixture
def people() -> Iterator[tuple[Person, Person]]:
    """Two user ids where root runs the tests, else two homes of one."""
    folder = Path(tempfile.mkdtemp(prefix="two-", dir="/tmp"))
    folder.chmod(0o755)
    catalog = folder / "catalog.yaml"
    catalog.write_text(
        "replace: true\nas_of: 2026-11-20\nmodels:\n"
        "  - {id: our/one, name: Everyones, provider: openai, model_id: one-1}\n"
    )
    catalog.chmod(0o644)
    root = os.geteuid() == 0
    ann, bob = (_person(folder / name, uid if root else None, catalog) for name, uid in _UIDS.items())
    if root and (tried := ann.run("id", "-u")).out.strip() != str(ann.uid):
        pytest.skip(f"root can't switch users here: {tried.err}")
    yield ann, bob
    shutil.rmtree(folder, ignore_errors=True)


def _person(home: Path, uid: int | None, catalog: Path) -> Person:
    for folder in (home, home / "run"):
        folder.mkdir(mode=0o700)
        if uid is not None:
            os.chown(folder, uid, uid)
    return Person(home, uid, catalog)


def test_each_sees_what_is_theirs_and_both_the_global_models(people: tuple[Person, Person]) -> None:
    """P7, P8: personal records and keys are one's own."""
    ann, bob = people
    assert ann.modelyard("keys", "set", "team", "--stdin", stdin=_PLANTED).code == 0
    words = ("--provider", "openai", "--model-id", "x", "--api-key-ref", "team")
    assert ann.modelyard("models", "add", "anns", *words).code == 0
    assert sorted(ann.models()) == ["Everyones", "anns"]
    assert bob.models() == ["Everyones"]
    assert bob.modelyard("models", "show", "anns").code == 1
    assert "team" in ann.key_names()
    assert "team" not in bob.key_names()
    assert bob.modelyard("models", "delete", "Everyones", "--yes", "--json").error()["error"] == "NotAllowed"
    assert "Everyones" in ann.models()

    data = ann.home / ".local/share/modelyard"
    gguf = ann.home / "own.gguf"
    gguf.write_bytes(GGUF)
    told = ann.modelyard("download", "start", str(gguf), "--json")  # with the worker: its log, lock and socket
    assert told.code == 0, told.err
    assert {"worker.log", "registry.worker", "models"} <= {path.name for path in data.iterdir()}
    assert _modes(ann.home) == []
    for env in ({"XDG_DATA_HOME": str(data.parent)}, {"MODELS_DB_PATH": str(data / "registry.db")}):
        peeked = bob.modelyard("models", "list", "--json", env=env)
        assert "anns" not in peeked.out + peeked.err
        assert bob.uid is None or peeked.code != 0
    if bob.uid is not None:
        for name in ("registry.db", "vault", "worker.log", "models/installed-models.json"):
            assert (data / name).exists()
            assert bob.run("cat", str(data / name)).code != 0


def _modes(home: Path) -> list[str]:
    """Files and folders of the program's that others can get at; the models folder may be shared, and is apart."""
    ours = [
        path for path in home.rglob("*") if "modelyard" in str(path.relative_to(home)) and "models" not in path.parts
    ]
    assert len(ours) >= 8
    return [f"{path} {path.stat().st_mode:o}" for path in ours if path.stat().st_mode & 0o077]


def test_a_models_folder_is_shared_by_a_group(people: tuple[Person, Person]) -> None:
    """D7: what one user installed the other sees and adds to; the folder's mode stays as its owner wants it."""
    ann, bob = people
    shared = ann.home.parent / "models"
    shared.mkdir()
    if ann.uid is not None:
        os.chown(shared, ann.uid, _TEAM)
    shared.chmod(0o2770)
    for person in people:
        (person.home / f"{person.home.name}.gguf").write_bytes(GGUF)
        placed = 'umask 7; mkdir -p "$0/custom"; mv ~/*.gguf "$0/custom"; exec "$@"'
        command = (sys.executable, "-P", "-m", "tui", "files", "adopt", "--json")
        adopted = person.run("sh", "-c", placed, str(shared), *command, env={"MODELS_DIR": str(shared)})
        assert adopted.code == 0, adopted.err
        left = shared / ".installed-models.json.new"  # by a program of root's that was killed
        left.write_text("half writ")
    listed = ann.modelyard("files", "list", "--json", env={"MODELS_DIR": str(shared)}).json()
    assert {"custom/ann.gguf", "custom/bob.gguf"} <= {one["path"] for one in listed["models"]}
    assert shared.stat().st_mode & 0o7777 == 0o2770
    if bob.uid is not None:
        assert (shared / "installed-models.json").stat().st_uid == bob.uid


def test_an_other_ones_folder_is_refused_by_name(people: tuple[Person, Person]) -> None:
    """P8: the owner is checked, not only the mode; root would get past the mode."""
    ann, bob = people
    assert ann.modelyard("regions", "list").code == 0
    if bob.uid is None:
        return
    as_root = Person(ann.home, None, ann.catalog)
    refused = as_root.modelyard("models", "list", "--json")
    assert (refused.code, refused.error()["error"]) == (3, "Refused")
    assert "belongs to another user" in refused.error()["message"]
    assert f"sudo chown {os.geteuid()}" in refused.error()["remedy"]
