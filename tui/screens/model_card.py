"""A model's card (P3): what it is, how it is served, and what can be done with it, with the reason where it can't."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual.content import Content

from core.registry.values import ACTIVE, Action, EngineName, ModelRow, ServerStatus
from tui.keys import GROUPS
from tui.show import hanging, line, moment, pairs, size, status_mark, tokens, toned, uptime

if TYPE_CHECKING:
    from core.registry.records import Model, Server

ENGINE_LABELS = {EngineName.VLLM: "vLLM", EngineName.LLAMACPP: "llama.cpp"}
_LABEL = 12  # cells of the labels
_SERVES = 3  # names that the last test shows


def engine_label(name: str) -> str:
    """`vllm` → vLLM."""
    return ENGINE_LABELS.get(EngineName(name), name) if name in set(EngineName) else name


def model_card(row: ModelRow, actions: Sequence[Action], room: int, *, lost: bool) -> Content:
    """Everything about the selected model: how it is served, what it is, what can be done, the rest of its record."""
    model = row.model
    parts = [
        Content.assemble(line(model.name).stylize("bold"), "\n", line(model.model_id).stylize("$quiet")),
        server_part(row.server, room, lost=lost),
        _facts(model, room),
        actions_part(actions, room, archived=model.archived_at is not None),
        _record(model, room),
    ]
    return Content("\n\n").join(part for part in parts if part.plain)


def _facts(model: Model, room: int) -> Content:
    marks = [
        _ability("streaming", model.supports_streaming),
        _ability("tools", model.supports_tools),
        _ability("vision", model.supports_vision),
    ]
    return pairs(
        [
            ("Provider", Content.styled(model.provider, "$text-primary")),
            ("Owner", "global, read-only" if model.is_global else f"you ({model.user_id})"),
            ("Can", Content(" ").join(marks)),
            ("Context", f"{tokens(model.context_length)} tokens, output {tokens(model.max_output_tokens)}"),
            ("Sampling", f"temperature {model.default_temperature:g}, top-p {model.default_top_p:g}"),
            ("Region", _region(model.region)),
            ("Head", model.head),
            ("Files", f"{model.path} on {model.host}" if model.path else ""),
            ("Endpoint", model.endpoint),
            ("API key", _key(model)),
            ("Tags", ", ".join(model.tags)),
            ("Last test", _last_test(model)),
            ("Archived", moment(model.archived_at) if model.archived_at else ""),
        ],
        room,
    )


def _key(model: Model) -> str:
    """By which name it is asked with; nothing where no key goes along."""
    from core.keys.choice import key_name

    if model.api_key_ref:
        return f"the key named {model.api_key_ref}"
    name = key_name(model)
    return f"the provider's: {name}" if name else ""


def _record(model: Model, room: int) -> Content:
    """What one looks up now and then."""
    extra = {name: value for name, value in model.extra.items() if name != "model_path"}
    rows = pairs(
        [
            ("Served as", model.served_name),
            ("Task", model.task),
            ("Local only", "yes, prompts stay on this machine" if model.local_inference else ""),
            ("Flags", _json(model.flags, room)),
            ("Metadata", _json(extra, room)),
            ("Source", f"catalog: {model.catalog}" if model.catalog else ""),
            ("Added", moment(model.created_at)),
            ("Changed", moment(model.updated_at)),
            ("Id", model.id),
        ],
        room,
    )
    return Content.assemble(("Record\n", "bold"), rows)


def _json(value: dict[str, Any], room: int) -> str:
    """On one line where it fits."""
    from core.registry.checks import json_text

    text = json_text(value)
    short = json_text(value, indent=None)
    return short if len(short) <= room - _LABEL else text


def _region(code: str) -> str:
    from core.registry.places import builtin_regions

    return f"{code}  {builtin_regions().get(code, '')}".rstrip()


def _last_test(model: Model) -> Content:
    from core.connections.report import TestReport

    report = TestReport.from_dict(model.last_test) if model.last_test else None
    if report is None:
        return Content()
    said = toned(f"✓ {report.sentence}", "good") if report.ok else toned(f"✗ {report.sentence}", "bad")
    serves = f", serves {', '.join(report.serves[:_SERVES])}" if report.serves else ""
    more = f" and {len(report.serves) - _SERVES:,} more" if len(report.serves) > _SERVES else ""
    return Content.assemble(said, toned(f" ({moment(report.at)}{serves}{more})", "dim"))


def _ability(word: str, able: bool) -> Content:
    return toned(f"✓ {word}", "good") if able else toned(f"- {word}", "dim")


def server_part(server: Server | None, room: int, *, lost: bool) -> Content:
    """How it is served; of a failure, the cause and what to do."""
    if server is None:
        return Content()
    mark = status_mark(server, unreachable=lost)
    title = toned(f"{mark.symbol} {status_sentence(server, lost=lost)}", mark.tone)
    rows = pairs(
        [
            ("Host", server.host_name),
            ("At", server.phase if server.status in {ServerStatus.STARTING, ServerStatus.LOADING} else ""),
            ("URL", f"{server.url}/v1/chat/completions" if server.url and server.status in ACTIVE else ""),
            ("Uptime", uptime(server.uptime_seconds) if server.uptime_seconds is not None else ""),
            ("GPU memory", size(server.gpu_memory) if server.gpu_memory else ""),
            ("Cause", server.cause),
            ("Remedy", server.remedy),
        ],
        room,
    )
    return Content("\n").join([title, rows])


def status_sentence(server: Server, *, lost: bool = False) -> str:
    """`Running vLLM on port 8000`, in the words of P3."""
    word = status_mark(server).word.capitalize()
    port = f" on port {server.port}" if server.port and server.status in ACTIVE else ""
    sentence = f"{word} {engine_label(server.server_type)}{port}"
    return f"Unreachable; last seen: {sentence[0].lower()}{sentence[1:]}" if lost else sentence


def actions_part(actions: Sequence[Action], room: int, *, archived: bool = False) -> Content:
    """The keys that act on it; below, why the others don't."""
    keys = {key.id.removeprefix("models."): key for key in GROUPS["models"].keys}
    lines = []
    for action in actions:
        key = keys.get(action.name)
        if key is None:
            continue
        label = "Restore" if archived and action.name == "archive" else key.label
        lines.append(_action(key.shown(), label, action.why_not, room))
    return Content("\n").join(lines)


def _action(key: str, label: str, why_not: str, room: int) -> Content:
    if not why_not:
        return Content.assemble((f"{key} ", "bold $text-primary"), label)
    return hanging(Content.styled(f"{key} {label.ljust(9)}", "$faint"), toned(why_not, "dim"), room)
