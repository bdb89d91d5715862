"""The SQLite file: one engine, many readers, one writer, migrated before its first use.

Readers never wait for a writer (WAL); writers of several programs queue at `BEGIN IMMEDIATE` under a busy
time-out, so no program ever sees "database is locked". SQLAlchemy and alembic are imported on first use.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from core.errors import ModelyardError, Refused
from core.private import check_file, check_shared_folder

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlmodel import Session

HEAD = "0006"  # the newest migration; a test holds it against the files
MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_MS = 30_000
_AGAIN_S = 0.02
T = TypeVar("T")


class Database:
    """Open with `open()`; `read` and `write` run a function with a session on threads of their own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before_commit: Callable[[Session], None] = lambda _: None
        self._dropped: set[_Reading] = set()
        self._engine: Engine | None = None
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="db-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="db-write")

    async def open(self) -> None:
        """Make or migrate the file.

        Raises:
            Refused: others may read the file, or a newer program wrote it.
            ModelyardError: the file can't be opened or is damaged.
        """
        await asyncio.get_running_loop().run_in_executor(self._writer, self._open)

    async def close(self) -> None:
        """Finish what is queued and let go of the file."""
        while self._interrupt_dropped():  # noqa: ASYNC110 - threads of SQLite set no event of ours
            await asyncio.sleep(_AGAIN_S)
        await asyncio.get_running_loop().run_in_executor(self._writer, self._dispose)
        self._readers.shutdown(wait=False)
        self._writer.shutdown(wait=False)

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a read transaction; what it returns may be used afterwards.

        When the task that waits for it is cancelled, its statement is interrupted, so that the next need not wait.
        """
        reading = _Reading()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work, reading)
        except asyncio.CancelledError:
            self._dropped.add(reading)
            self._interrupt_dropped()
            raise

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a write transaction, committed when it returns, rolled back when it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write, work)

    def _interrupt_dropped(self) -> bool:
        """End the reads that nobody waits for; an interrupt between two statements hits neither, so it is repeated."""
        self._dropped = {reading for reading in self._dropped if reading.interrupt()}
        if self._dropped:
            asyncio.get_running_loop().call_later(_AGAIN_S, self._interrupt_dropped)
        return bool(self._dropped)

    def _read(self, work: Callable[[Session], T], reading: _Reading) -> T:
        with self._session(immediate=False) as session, reading.on(session):
            return work(session)

    def _write(self, work: Callable[[Session], T]) -> T:
        with self._session(immediate=True) as session:
            result = work(session)
            session.flush()
            self.before_commit(session)
            return result

    @contextmanager
    def _session(self, *, immediate: bool) -> Iterator[Session]:
        from sqlmodel import Session

        assert self._engine is not None, "open() comes first"
        engine = self._engine.execution_options(immediate=immediate)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_shared_folder(self.path.parent)
            with _exclusive(self.path.with_suffix(".lock")):
                _make_private(self.path)
                _prepare(self.path)
            self._engine = _engine(self.path)
        except (OSError, sqlite3.Error) as error:
            raise ModelyardError(
                f"The registry {self.path} can't be opened.",
                cause=str(error),
                remedy="Check the disk and the file's owner; MODELS_DB_PATH names another file.",
            ) from error

    def _dispose(self) -> None:
        if self._engine is not None:
            self._engine.dispose()


class _Reading:
    """One read: the connection that it uses while it runs, so that another thread can interrupt it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._dropped = False

    @contextmanager
    def on(self, session: Session) -> Iterator[None]:
        """The read runs on this session's connection from here to the end."""
        raw = session.connection().connection.dbapi_connection
        with self._lock:
            if self._dropped:
                raise asyncio.CancelledError
            self._connection = raw if isinstance(raw, sqlite3.Connection) else None
        try:
            yield
        finally:
            with self._lock:
                self._connection = None

    def interrupt(self) -> bool:
        """End its statement and let it begin no other; the connection can be used again. Whether it still runs."""
        with self._lock:
            self._dropped = True
            if self._connection is not None:
                self._connection.interrupt()
            return self._connection is not None


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """One program at a time makes or migrates the file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_private(path: Path) -> None:
    """The file is the user's alone, and so are its journal and its index, which SQLite makes with its mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for suffix, what in (("", "registry"), ("-wal", "registry's journal"), ("-shm", "registry's index")):
        check_file(Path(f"{path}{suffix}"), what)


def _prepare(path: Path) -> None:
    """Set the journal mode, which the file keeps, and migrate if it is not of this program's version."""
    connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        version = _version(connection)
    finally:
        connection.close()
    if version == HEAD:
        return
    if version is not None and not any(MIGRATIONS.glob(f"versions/{version}_*.py")):
        raise Refused(
            f"The registry {path} was written by a newer Modelyard (version {version}, this one knows {HEAD}).",
            remedy="Upgrade Modelyard on this machine, or set MODELS_DB_PATH to another file.",
        )
    migrate(path)


def _version(connection: sqlite3.Connection) -> str | None:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
    return str(row[0]) if row else None


def migrate(path: Path, revision: str = "head") -> None:
    """Bring the file to a revision, in one transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    engine = _engine(path)
    with engine.execution_options(immediate=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def _engine(path: Path) -> Engine:
    from sqlalchemy import create_engine, event

    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_MS / 1000})

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # this module begins transactions, not the driver
        for pragma in (f"busy_timeout={_BUSY_MS}", "foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def last_written(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """Changes whenever any program writes to the database; cheaper than to ask it."""
    return tuple(_state_of(one) for one in (path, path.with_name(f"{path.name}-wal")))


def _state_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
