"""What went wrong between us and an engine, in words for the person at the keyboard.

Imports neither docker nor requests: their errors are recognised by their attributes and their chain of causes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.errors import (
    EngineMissing,
    EngineRefused,
    EngineUnavailable,
    ModelyardError,
    NotFound,
    PortTaken,
    SocketDenied,
)
from core.text import clean_line


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    """A text of the engine (lower case), the cause as we say it, and what to do."""

    text: str
    cause: str
    remedy: str
    kind: type[EngineRefused] = EngineRefused


_REFUSALS = (
    _Refusal(
        text="port is already allocated",
        cause="port already in use: another container publishes it",
        remedy="Stop the other container, or choose another port.",
        kind=PortTaken,
    ),
    _Refusal(
        text="address already in use",
        cause="port already in use: another program on the host listens on it",
        remedy="Stop the other program, or choose another port.",
        kind=PortTaken,
    ),
    _Refusal(
        text="cannot assign requested address",
        cause="the host has no network interface with this address",
        remedy="Bind to 127.0.0.1 or to an address of the host.",
    ),
    _Refusal(
        text="bind source path does not exist",
        cause="a file or folder to be mounted does not exist on the host",
        remedy="Check the model's path on that host; copy or download the model there first.",
    ),
    _Refusal(
        text="could not select device driver",
        cause="the engine can't give GPUs to containers: no NVIDIA container toolkit",
        remedy="Install nvidia-container-toolkit on the host, run `nvidia-ctk runtime configure` and restart Docker.",
    ),
    _Refusal(
        text="unresolvable cdi devices",
        cause="the engine knows no such GPU: its CDI specification is missing or out of date",
        remedy="Run `nvidia-ctk cdi generate --output=/var/run/cdi/nvidia.yaml` on the host; check the GPU's UUID.",
    ),
    _Refusal(
        text="unsatisfied condition: cuda",
        cause="the host's NVIDIA driver is too old for this image",
        remedy="Choose an image for an older CUDA version (such as -cu129), or update the driver.",
    ),
    _Refusal(
        text="nvidia-container-cli",
        cause="the NVIDIA container toolkit could not prepare the GPU",
        remedy="Check `nvidia-smi` on the host, and the GPU's UUID.",
    ),
    _Refusal(
        text="no space left on device",
        cause="the disk that holds the engine's data is full",
        remedy="Free space on the host: `docker system df` shows what uses it.",
    ),
    *(
        _Refusal(
            text=text,
            cause="another container has this name",
            remedy="Remove or rename that container, or adopt it.",
        )
        for text in ("is already in use by container", "that name is already in use")  # Docker's words and Podman's
    ),
    _Refusal(
        text="executable file not found",
        cause="the image does not hold the program that was to be started",
        remedy="Choose an image of the engine that serves this model.",
    ),
    _Refusal(
        text="no such file or directory: unknown",
        cause="the image does not hold the program that was to be started",
        remedy="Choose an image of the engine that serves this model.",
    ),
    _Refusal(
        text="container-init binary not found",
        cause="Podman's init program is missing there",
        remedy="Install it on the host: sudo apt install catatonit (dnf install catatonit).",
    ),
    _Refusal(
        text="range of cpus is from",
        cause="more CPUs were asked for than the host has",
        remedy="Lower the CPU limit.",
    ),
    _Refusal(
        text="unable to find user",
        cause="the image does not know the user that the server should run as",
        remedy="Choose a numeric user, or another image.",
    ),
    _Refusal(
        text="toomanyrequests",
        cause="the registry limits how often images are fetched",
        remedy="Log in to the registry with `docker login`, or try again later.",
    ),
)
_NO_IMAGE = ("no such image", "manifest unknown", "pull access denied", "repository does not exist")
_NOT_REACHED = ("no such host", "i/o timeout", "network is unreachable", "connection refused", "tls handshake timeout")


def translate(error: BaseException, *, host: str, doing: str) -> ModelyardError:
    """The error to raise for one that the SDK raised while `doing` something ("start vllm-model-1")."""
    if isinstance(error, ModelyardError):
        return error
    explanation = getattr(error, "explanation", None)
    if explanation is not None:
        return _answered(clean_line(str(explanation)), _status(error), host=host, doing=doing)
    return _not_answered(error, host=host, doing=doing)


def refusal(explanation: str, *, host: str, doing: str) -> ModelyardError:
    """For an error that the engine sends in the middle of an answer (while fetching an image)."""
    return _answered(clean_line(explanation), 500, host=host, doing=doing)


def gone(host: str, *, doing: str) -> EngineMissing:
    """The engine ended in the middle of a conversation."""
    return EngineMissing(
        f"The container engine of {host} went away ({doing})",
        cause="Its daemon stopped, crashed or was restarted.",
        remedy=f"On {host}: systemctl status docker; then try again.",
    )


def is_dead_socket(error: BaseException) -> bool:
    """Whether there was no conversation at all: a new socket may help."""
    return not _timed_out(error) and any(isinstance(e, ConnectionError | FileNotFoundError) for e in chain(error))


def never_sent(error: BaseException) -> bool:
    """Whether the request can't have reached the engine, so that it may be repeated whatever it was."""
    return any(isinstance(e, ConnectionRefusedError | FileNotFoundError) for e in chain(error))


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, its causes and the errors that it carries as arguments (urllib3, requests), each once."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]


def _status(error: BaseException) -> int:
    return int(getattr(error, "status_code", None) or 500)


def _answered(text: str, status: int, *, host: str, doing: str) -> ModelyardError:
    lower = text.lower()
    if any(words in lower for words in _NO_IMAGE):
        return NotFound(
            f"Could not {doing}: the image is not on {host}",
            cause=text,
            remedy="Check its name; fetch it with `docker pull`, or bring it with `docker save` and `docker load`.",
        )
    for known in _REFUSALS:
        if known.text in lower:
            return known.kind(
                f"Could not {doing} on {host}: {known.cause}", cause=f"{known.cause} ({text})", remedy=known.remedy
            )
    if status == 404:
        return NotFound(f"Could not {doing}: not on {host}", cause=text, remedy="Refresh: it may have been removed.")
    if any(words in lower for words in _NOT_REACHED):
        return EngineRefused(
            f"Could not {doing} on {host}: the registry can't be reached from there",
            cause=text,
            remedy="Check the host's network, or bring the image with `docker save` and `docker load`.",
        )
    return EngineRefused(
        f"The container engine of {host} refused to {doing}", cause=text, remedy=f"See the engine's log on {host}."
    )


def _not_answered(error: BaseException, *, host: str, doing: str) -> ModelyardError:
    if any(isinstance(e, PermissionError) for e in chain(error)):
        return SocketDenied(
            f"No rights on the socket of the container engine of {host}",
            cause="The user is not in the group that may use the engine.",
            remedy=f"On {host}: sudo usermod -aG docker $USER, then log in again.",
        )
    if _timed_out(error):
        return EngineUnavailable(
            f"The container engine of {host} did not answer in time ({doing})",
            cause="It is overloaded or stuck, or the connection stalled.",
            remedy=f"On {host}: systemctl status docker; then try again.",
        )
    if is_dead_socket(error) or any(type(e).__name__ == "ProtocolError" for e in chain(error)):
        return EngineMissing(
            f"No container engine answers on {host} ({doing})",
            cause="Docker is not installed there, or its daemon does not run.",
            remedy=f"On {host}: systemctl start docker.",
        )
    return EngineUnavailable(
        f"The container engine of {host} can't be used ({doing})",
        cause=clean_line(f"{type(error).__name__}: {error}"),
        remedy="Check that the socket belongs to a Docker-compatible engine.",
    )


def _timed_out(error: BaseException) -> bool:
    return any(isinstance(e, TimeoutError) or "Timeout" in type(e).__name__ for e in chain(error))
