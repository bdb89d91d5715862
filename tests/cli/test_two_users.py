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

_ROOT = Path(__file__).parents[2]
_UIDS = {"ann": 64101, "bob": 64102}
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
        switch = as_user(self.uid, self.catalog.parent / "scratch") if self.uid else []
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
    assert _modes(ann.home) == []
    for env in ({"XDG_DATA_HOME": str(data.parent)}, {"MODELS_DB_PATH": str(data / "registry.db")}):
        peeked = bob.modelyard("models", "list", "--json", env=env)
        assert "anns" not in peeked.out + peeked.err
        assert bob.uid is None or peeked.code != 0
    if bob.uid is not None:
        for name in ("registry.db", "vault"):
            assert bob.run("cat", str(data / name)).code != 0


def _modes(home: Path) -> list[str]:
    """Files and folders of the program's that others can get at."""
    ours = [path for path in home.rglob("*") if "modelyard" in str(path)]
    assert len(ours) >= 4
    wrong = [path for path in ours if path.is_dir() and path.stat().st_mode & 0o077]
    wrong += [path for path in ours if path.name.startswith(("registry", "vault")) and path.stat().st_mode & 0o077]
    return [f"{path} {path.stat().st_mode:o}" for path in wrong]


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
