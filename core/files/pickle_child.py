"""The process that scans pickles: with little memory and time, no files to write, and nothing that could load one.

Paths come as a JSON list on standard input; a JSON line goes out for each, in order.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import stat
import sys
from pathlib import PurePosixPath
from typing import IO, NoReturn

_MEMORY = 768 << 20  # bytes of address space, the interpreter's own included
_FORBIDDEN = ("pickle.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.", "socket.")
_MOST_FOUND = 50


class _TooLong(BaseException):
    """No scanner's `except Exception` swallows it."""


class _Forbidden(BaseException):
    """Something would have been loaded or started."""


def main() -> None:
    """Scan what standard input names; the argument is how many seconds of processor time a file may take."""
    import picklescan.scanner  # type: ignore[import-untyped,unused-ignore]  # noqa: F401 - before memory is limited

    logging.disable(logging.CRITICAL)
    paths, seconds = json.load(sys.stdin), float(sys.argv[1])
    _confine()
    for path in paths:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        told = _outcome(path, seconds)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


def _outcome(path: str, seconds: float) -> dict[str, object]:
    try:
        return _scanned(path)
    except _TooLong:
        return {"cause": f"the scan took more than {seconds:g} s"}
    except _Forbidden as error:
        return {"found": [["", str(error), "dangerous"]]}
    except MemoryError:
        return {"cause": "the scan took too much memory"}
    except Exception as error:  # noqa: BLE001 - whatever a file does to a scanner is told of that file
        return {"cause": f"{type(error).__name__}: {error}"[:200]}


def _scanned(path: str) -> dict[str, object]:
    from picklescan.scanner import scan_bytes

    with _opened(path) as file:
        result = scan_bytes(file, "file", PurePosixPath(path.lower()).suffix)
    found = [[str(one.module), str(one.name), str(one.safety.value)] for one in result.globals]
    found.sort(key=lambda one: (one[2] != "dangerous", one[2] != "suspicious", one))
    return {"found": found[:_MOST_FOUND], "broken": bool(result.scan_err)}


def _opened(path: str) -> IO[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is no file")
    return os.fdopen(descriptor, "rb")


def _confine() -> None:
    signal.signal(signal.SIGPROF, _too_long)
    for limit, amount in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(limit, (amount, amount))
    sys.addaudithook(_refuse)


def _too_long(number: int, frame: object) -> NoReturn:
    del number, frame
    raise _TooLong


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    del arguments
    if event.startswith(_FORBIDDEN):
        raise _Forbidden(event)


if __name__ == "__main__":
    main()
