"""Every error that a user can meet: what happened, the likely cause, what to do next.

ModelyardError                 exit 1
├── UsageError                 exit 2   the command's words are off
│   └── InvalidInput           exit 2   fields of a form or record, one message per field
├── Refused                    exit 3   allowed input, but not done
│   ├── NotAllowed                      the action is not allowed on this record
│   │   └── NowhereServed               no server runs the model, and it has no endpoint (core.providers)
│   ├── PlanRefused                     the dry run found errors
│   └── NeedsConfirmation               warnings or danger that nobody confirmed
├── NotFound                   exit 1   no such record, host, server, image, file
├── FileProblem                exit 1   a model file is damaged, truncated or of an unknown kind
├── StartFailed                exit 1   a server did not come up; carries its diagnosis
├── EngineUnavailable          exit 1   no container engine, or it does not answer
│   ├── EngineMissing
│   ├── SocketDenied                    no rights on its socket
│   └── EngineRefused                   it answered with an error
│       └── PortTaken                   another program listens there
├── CommandFailed              exit 1   a command on a host ended badly
├── DownloadFailed             exit 1   a file could not be fetched; what came is kept, a retry goes on from there
│   ├── DownloadDenied                  a token, an accepted licence or other rights are needed
│   ├── SourceGone                      the file is not there (any more)
│   ├── SourceLost                      the line or the server failed too often
│   ├── WrongBytes                      what came is not what was announced
│   └── DiskFull                        no room for it
├── ProviderError              exit 1   a model did not answer as it should; its `fault` says how (core.providers)
├── KeyProblem                 exit 1   an API key can't be read or kept
│   ├── KeyMissing                      no key of this name anywhere
│   ├── KeysLocked                      the vault has to be unlocked first
│   ├── WrongPassphrase                 not the vault's
│   ├── VaultDamaged                    never overwritten
│   └── KeyringTrouble                  the keyring failed or did not answer
└── HostUnreachable            exit 4   no connection to the host
    ├── HostSilent                      no answer in time, or no route
    ├── HostKeyUnknown                  first contact; carries the fingerprints
    ├── HostKeyChanged                  possible interception: refused everywhere
    └── LoginRefused                    keys or user not accepted
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.redaction import without_handled

_IN_WORDS = {"extra": "metadata"}  # fields that people know by another name


class ModelyardError(Exception):
    """Base of all errors shown to a user; `code` is stable for scripts, `exit_code` for shells."""

    exit_code = 1

    def __init__(self, message: str, *, cause: str = "", remedy: str = "") -> None:
        self.message = without_handled(message)
        self.cause = without_handled(cause)  # it may repeat what a server said, and a server may repeat our key
        self.remedy = remedy
        super().__init__(self.message)

    @property
    def code(self) -> str:
        """Stable name for scripts, such as `HostKeyChanged`."""
        return type(self).__name__

    def as_dict(self) -> dict[str, object]:
        """The document that `--json` prints on stderr for this error."""
        return {"error": self.code, "message": self.message, "cause": self.cause, "remedy": self.remedy}


class UsageError(ModelyardError):
    """The command's words are off."""

    exit_code = 2


class InvalidInput(UsageError):
    """One message per field, in the words that stand beside the field."""

    def __init__(self, fields: Mapping[str, str], *, remedy: str = "Correct the fields named above.") -> None:
        shown = {_IN_WORDS.get(name, name): text for name, text in fields.items()}
        super().__init__("; ".join(f"{name}: {text}" for name, text in shown.items()), remedy=remedy)
        self.fields = dict(fields)

    def as_dict(self) -> dict[str, object]:
        return {**super().as_dict(), "fields": self.fields}


class Refused(ModelyardError):
    """Understood, and not done."""

    exit_code = 3


class NotAllowed(Refused):
    """The action is not allowed on this record, and why."""


class PlanRefused(Refused):
    """The dry run found errors; `findings` holds them as dictionaries (severity, check, reason, remedy)."""

    def __init__(self, message: str, *, findings: Sequence[Mapping[str, object]], remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.findings = [dict(finding) for finding in findings]

    def as_dict(self) -> dict[str, object]:
        return {**super().as_dict(), "findings": self.findings}


class NeedsConfirmation(Refused):
    """Warnings, or an action that destroys something, that nobody confirmed."""


class NotFound(ModelyardError):
    """No such record, host, server, image or file."""


class FileProblem(ModelyardError):
    """A model file is damaged, truncated or of an unknown kind."""


class StartFailed(ModelyardError):
    """A server did not come up."""


class EngineUnavailable(ModelyardError):
    """The container engine of a host can't be used."""


class EngineMissing(EngineUnavailable):
    """There is no container engine, or its daemon does not run."""


class SocketDenied(EngineUnavailable):
    """The engine's socket is there, and this user has no rights on it."""


class EngineRefused(EngineUnavailable):
    """The engine answered with an error."""


class PortTaken(EngineRefused):
    """Another program listens on the port by now."""


class CommandFailed(ModelyardError):
    """A command on a host ended badly."""


class DownloadFailed(ModelyardError):
    """A file could not be fetched; what has come is kept beside its place, and a retry goes on from there."""


class DownloadDenied(DownloadFailed):
    """The source wants a token, an accepted licence or other rights; or, as it `may_be_absent`, another spelling.

    `offered` is the Listing of what it would give then, where it tells that to everybody.
    """

    may_be_absent = False
    offered: object = None


class SourceGone(DownloadFailed):
    """The file is not there, or not any more."""


class SourceLost(DownloadFailed):
    """The line or the server failed again and again."""


class WrongBytes(DownloadFailed):
    """What came is not what was announced; it is not kept."""


class DiskFull(DownloadFailed):
    """There is no room for the file."""


class KeyProblem(ModelyardError):
    """An API key can't be read or kept; no part of a key is ever in the message."""


class KeyMissing(KeyProblem):
    """There is no key of this name."""


class KeysLocked(KeyProblem):
    """The vault is locked; it has to be unlocked with its passphrase first."""


class WrongPassphrase(KeyProblem):
    """The passphrase is not the vault's."""


class VaultDamaged(KeyProblem):
    """The vault's file is damaged; it is left as it is."""


class KeyringTrouble(KeyProblem):
    """The keyring failed, is locked, or did not answer in time."""


class HostUnreachable(ModelyardError):
    """No connection to the host: says nothing about what runs there."""

    exit_code = 4


class HostSilent(HostUnreachable):
    """No answer in time, no route, or the name does not resolve."""


class HostKeyUnknown(HostUnreachable):
    """First contact; `fingerprints` are what `host` showed, such as `SHA256:… (ED25519)`.

    `host` may be a jump host on the way; once its key is accepted, the next one on the way is met.
    """

    def __init__(self, message: str, *, fingerprints: Sequence[str], remedy: str = "", host: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.fingerprints = list(fingerprints)
        self.host = host

    def as_dict(self) -> dict[str, object]:
        return {**super().as_dict(), "fingerprints": self.fingerprints}


class HostKeyChanged(HostUnreachable):
    """The host shows another key than the known one: refused everywhere, no flag overrides it."""


class LoginRefused(HostUnreachable):
    """The host answers and does not accept the user or the keys."""
