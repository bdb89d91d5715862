"""A dry run for reading (L6): what was found, the memory against each GPU, the exact command."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from textual.content import Content

from core.findings import Severity
from core.registry.values import RuntimeName
from tui.screens.model_card import engine_label
from tui.show import bar, findings, line, pairs, size, tokens, toned

if TYPE_CHECKING:
    from core.deploy.values import GpuFit, MemoryEstimate, Plan

_WORST_FIRST = (Severity.ERROR, Severity.WARNING, Severity.INFO, Severity.OK)


def plan_text(plan: Plan, room: int) -> Content:
    """Everything, the worst findings first, within `room` cells."""
    found = [finding for severity in _WORST_FIRST for finding in plan.of(severity)]
    parts = [
        _what(plan, room),
        Content.assemble(("Checks\n", "bold"), findings(found, room)) if found else Content(),
        _memory(plan, room),
        Content.assemble(("Command\n", "bold"), _command(plan.command)),
        _settings(plan, room),
    ]
    return Content("\n\n").join(part for part in parts if part.plain)


def _what(plan: Plan, room: int) -> Content:
    kind = "container" if plan.runtime is RuntimeName.DOCKER else "process"
    return pairs(
        [
            ("Runs on", f"{plan.host}, {engine_label(plan.engine.value)} as a {kind}"),
            ("Answers at", f"{plan.url}  as {plan.served_name}"),
            ("Loads", plan.model_path),
            ("Context", f"{tokens(plan.max_model_len)} tokens"),
        ],
        room,
    )


def _memory(plan: Plan, room: int) -> Content:
    if plan.memory is None:
        return Content()
    need = plan.memory
    lines = [Content.styled("Memory", "bold"), _estimate(need, room), *(_gpu(fit) for fit in plan.gpus)]
    return Content("\n").join(lines)


def _estimate(need: MemoryEstimate, room: int) -> Content:
    cache = f"{size(need.kv_cache)} for {tokens(need.context)} tokens"
    if need.sequences > 1:
        cache += f" x {need.sequences} sequences"
    return pairs(
        [
            ("Needs", f"{size(need.total)}  ({size(need.low)} to {size(need.high)})"),
            ("Weights", size(need.weights)),
            ("KV cache", cache),
            ("Overhead", size(need.overhead)),
        ],
        room,
    )


def _gpu(fit: GpuFit) -> Content:
    mark = toned("✓ fits    ", "good") if fit.fits else toned("✗ too full", "bad")
    used = None if fit.total is None or fit.free is None else fit.total - fit.free
    meter = Content.styled(bar(used, fit.total, width=10), "$text-primary")
    chosen = "chosen" if fit.chosen else ""
    text = f" {size(fit.free)} free of {size(fit.total)}, takes {size(fit.needed)}  {fit.name}  {chosen}"
    return Content.assemble(mark, " ", meter, line(text))


def _command(argv: tuple[str, ...]) -> Content:
    """One option with its value a line, ready to be compared or copied."""
    lines: list[str] = []
    for word in (shlex.quote(word) for word in argv):
        if word.startswith("-") or len(lines) < 1:
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return Content("\n").join(line(f"{'  ' if number else ''}{text}") for number, text in enumerate(lines))


def _settings(plan: Plan, room: int) -> Content:
    spec = plan.spec
    mounts = ", ".join(f"{mount.source} at {mount.target}, read-only" for mount in spec.mounts)
    return pairs(
        [
            ("Image", plan.image),
            ("Name", spec.name),
            ("Mounts", mounts),
            ("GPUs", ", ".join(spec.gpus)),
            ("Limits", _limits(plan)),
        ],
        room,
    )


def _limits(plan: Plan) -> str:
    spec = plan.spec
    parts = [
        f"memory {size(spec.memory_limit)}" if spec.memory_limit else "",
        f"{spec.cpus:g} CPUs" if spec.cpus else "",
        f"shared memory {size(spec.shm_size)}" if spec.shm_size else "",
    ]
    return ", ".join(part for part in parts if part)
