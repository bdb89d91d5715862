"""A host's details: where it is, its GPUs with their memory, disk and memory, and the doctor's findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from tui.show import UNREACHABLE, bar, block, findings, hanging, line, moment, pairs, size, toned

if TYPE_CHECKING:
    from core.findings import Finding
    from core.hosts.values import Gpu, HostOverview
    from core.registry.records import Host


def gpu_words(gpus: Sequence[Gpu], *, with_bar: bool = True) -> str:
    """`4 x H200 38% ███░░░░░`: how many, which, and how much of their memory is used."""
    if not gpus:
        return "none"
    counts = Counter(gpu.name.removeprefix("NVIDIA ") for gpu in gpus)
    names = ", ".join(f"{count} x {name}" for name, count in counts.items())
    used, total = _sum(gpu.memory_used for gpu in gpus), _sum(gpu.memory_total for gpu in gpus)
    if not total or used is None:
        return names
    share = f"{names} {100 * used // total}%"
    return f"{share} {bar(used, total, width=6)}" if with_bar else share


def _sum(values: object) -> int | None:
    known = [value for value in values if value is not None]  # type: ignore[attr-defined]
    return sum(known) if known else None


def host_card(
    host: Host, overview: HostOverview | None, found: Sequence[Finding] | None, room: int, *, checking: bool
) -> Content:
    """Everything about the selected host."""
    where = "this machine" if host.kind == "local" else f"by SSH to {host.target or host.name}"
    parts = [Content.assemble(line(host.name).stylize("bold"), "\n", line(where).stylize("$quiet"))]
    if overview is None:
        parts.append(toned("Asking the host…", "busy"))
    else:
        parts += [_problem(overview, room), _facts(overview, room), *(_gpu(gpu) for gpu in overview.gpus)]
    parts.append(_doctor(found, room, checking=checking))
    return Content("\n\n").join(part for part in parts if part.plain)


def _problem(overview: HostOverview, room: int) -> Content:
    if not overview.problem:
        return Content()
    mark = UNREACHABLE if not overview.reachable else UNREACHABLE._replace(symbol="!")
    first = hanging(toned(f"{mark.symbol} ", mark.tone), block(overview.problem), room)
    remedy = hanging(toned("→ ", "dim"), toned(overview.remedy, "dim"), room)
    return Content.assemble(first, "\n", remedy) if overview.remedy else first


def _facts(overview: HostOverview, room: int) -> Content:
    disk, memory = overview.disk, ""
    if overview.memory_total:
        memory = f"{size(overview.memory_available)} free of {size(overview.memory_total)}"
    return pairs(
        [
            ("Engine", overview.engine),
            ("System", overview.os),
            ("CPUs", str(overview.cpus or "")),
            ("Memory", memory),
            ("Models in", overview.models_dir),
            ("Disk", f"{size(disk.free)} free of {size(disk.total)}" if disk else ""),
            ("Clock", f"{overview.clock_skew_s:+.0f} s off" if abs(overview.clock_skew_s or 0) >= 2 else ""),
            ("Seen", moment(overview.seen_at) if overview.seen_at else ""),
        ],
        room,
    )


def _gpu(gpu: Gpu) -> Content:
    used = f"{size(gpu.memory_used)} of {size(gpu.memory_total)}"
    now = [
        f"{gpu.utilization}% busy" if gpu.utilization is not None else "",
        f"{gpu.temperature} °C" if gpu.temperature is not None else "",
        f"{gpu.power:.0f} W" if gpu.power is not None else "",
        "MIG" if gpu.mig else "",
    ]
    title = Content.assemble((f"GPU {gpu.index}  ", "bold"), line(gpu.name))
    meter = Content.styled(bar(gpu.memory_used, gpu.memory_total, width=14), "$text-primary")
    return Content.assemble(title, "\n", meter, f" {used}\n", toned("  ".join(part for part in now if part), "dim"))


def _doctor(found: Sequence[Finding] | None, room: int, *, checking: bool) -> Content:
    if checking:
        return toned("The doctor looks…", "busy")
    if found is None:
        return toned("Press h to check its health.", "dim")
    return Content.assemble(("Doctor\n", "bold"), findings(list(found), room))
