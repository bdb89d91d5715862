"""What can go wrong between here and a model, as few kinds, each with its likely cause and what to do."""

from __future__ import annotations

from enum import StrEnum

from core.errors import ModelyardError
from core.text import clean_line, said_line

_SAID_LIMIT = 300  # characters of an endpoint's own words


class Fault(StrEnum):
    """The kinds; they stand in the analytics and in test reports, so they are stable."""

    NAME = "dns"
    REFUSED = "refused"
    NO_ROUTE = "no_route"
    TLS = "tls"
    PROXY = "proxy"
    TIMEOUT = "timeout"
    SILENT = "silent"
    BROKEN_OFF = "broken_off"
    BAD_ADDRESS = "bad_address"
    REDIRECTED = "redirected"
    NOT_AN_API = "not_an_api"
    NOT_FOUND = "not_found"
    NO_KEY = "no_key"
    UNAUTHORISED = "unauthorised"
    FORBIDDEN = "forbidden"
    NO_CREDIT = "no_credit"
    MODEL_NOT_FOUND = "model_not_found"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    LOADING = "loading"
    BAD_REQUEST = "bad_request"
    CONTEXT_TOO_LONG = "context_too_long"
    TOO_LARGE = "too_large"
    FILTERED = "filtered"
    SERVER_ERROR = "server_error"


_TEXTS: dict[Fault, tuple[str, str]] = {
    Fault.NAME: (
        "The name {host} is not known.",
        "Check the spelling of the endpoint, and the name service of this machine.",
    ),
    Fault.REFUSED: (
        "Nothing listens at {host}.",
        "Check the port of the endpoint, and whether the server runs.",
    ),
    Fault.NO_ROUTE: ("There is no way to {host}.", "Check this machine's network, or set HTTPS_PROXY."),
    Fault.TLS: (
        "No secure connection to {host}.",
        "For a server with a certificate of your own, SSL_CERT_FILE names its authority's file.",
    ),
    Fault.PROXY: ("The proxy does not let {host} through.", "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."),
    Fault.TIMEOUT: ("{host} can't be reached in time.", "Check the address, firewalls and whether a proxy is needed."),
    Fault.SILENT: ("{host} takes the question and stays silent.", "Try again; if it stays so, look at the server."),
    Fault.BROKEN_OFF: ("The connection to {host} broke off.", "Try again; if it stays so, look at the server's log."),
    Fault.BAD_ADDRESS: ("The endpoint is not a URL that can be asked.", "It looks like https://host:port/v1."),
    Fault.REDIRECTED: (
        "{host} sends callers elsewhere.",
        "If you trust that address, make it the endpoint; a key is never carried along to another place.",
    ),
    Fault.NOT_AN_API: (
        "What answers at {host} is not a model API.",
        "Check the path of the endpoint: most end in /v1, a web page's address is another one.",
    ),
    Fault.NOT_FOUND: (
        "{host} has no API at this path.",
        "Check the path of the endpoint: most end in /v1.",
    ),
    Fault.NO_KEY: (
        "There is no key for this endpoint.",
        "Store one: modelyard keys set NAME, and name it in the model.",
    ),
    Fault.UNAUTHORISED: (
        "{host} does not accept the key.",
        "Check which key the model names, or store it again: modelyard keys set NAME.",
    ),
    Fault.FORBIDDEN: (
        "{host} knows the key and does not allow this.",
        "Check the key's rights and project, and whether the service is offered in your region.",
    ),
    Fault.NO_CREDIT: ("The account at {host} has no credit left.", "Check the plan and the billing there."),
    Fault.MODEL_NOT_FOUND: (
        "{host} does not serve this model.",
        "Check the model id (for a server of your own, the served name).",
    ),
    Fault.RATE_LIMITED: ("{host} takes no more questions for now.", "Wait, then try again{after}."),
    Fault.OVERLOADED: ("{host} is overloaded.", "Try again in a while{after}."),
    Fault.LOADING: ("The model is still being loaded at {host}.", "Wait until it runs."),
    Fault.BAD_REQUEST: (
        "{host} refused the question.",
        "Check max tokens, temperature, top-p and the model's abilities.",
    ),
    Fault.CONTEXT_TOO_LONG: (
        "The talk is longer than the model's context.",
        "Begin a new talk, ask for fewer tokens, or serve the model with a longer context.",
    ),
    Fault.TOO_LARGE: ("{host} sends more than can be an answer.", "Check that the endpoint is the one you mean."),
    Fault.FILTERED: ("{host} withheld the answer by its rules.", "Ask in other words."),
    Fault.SERVER_ERROR: ("{host} met an error of its own.", "Try again; if it stays so, look at the server's log."),
}


class ProviderError(ModelyardError):
    """A model could not be asked, or its answer is none; `fault` says of which kind."""

    def __init__(
        self,
        fault: Fault,
        *,
        host: str,
        said: str = "",
        remedy: str = "",
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        message, usual = _TEXTS[fault]
        after = f" in {retry_after_s:.0f} s" if retry_after_s else ""
        super().__init__(
            message.format(host=clean_line(host)),
            cause=_cause(said, status),
            remedy=remedy or usual.format(after=after),
        )
        self.fault = fault
        self.status = status
        self.retry_after_s = retry_after_s

    def as_dict(self) -> dict[str, object]:
        return {**super().as_dict(), "fault": self.fault.value, "status": self.status}


def _cause(said: str, status: int | None) -> str:
    words = said_line(said, _SAID_LIMIT + 1)
    if len(words) > _SAID_LIMIT:
        words = f"{words[:_SAID_LIMIT].rstrip()}…"
    code = f"HTTP {status}" if status else ""
    return ": ".join(part for part in (code, words) if part)
