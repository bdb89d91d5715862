"""The tree of errors as it is drawn."""

from __future__ import annotations

import re
from pathlib import Path

import core.errors

CORE = Path(core.errors.__file__).parent


def test_every_error_stands_in_the_tree_below_what_it_is() -> None:
    """Whoever reads the drawing knows all that can be raised, wherever its class is."""
    drawn = re.findall(r"^([│├└─ ]*)(\w+)", core.errors.__doc__ or "", re.MULTILINE)
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for lead, name in drawn:
        if not lead and name != "ModelyardError":
            continue
        while above and above[-1][0] >= len(lead):
            above.pop()
        parents[name] = above[-1][1] if above else ""
        above.append((len(lead), name))
    found = {"ModelyardError"}
    classes = [
        match.groups()
        for path in sorted(CORE.rglob("*.py"))
        for match in re.finditer(r"^class (\w+)\((\w+)\)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    while more := {(name, base) for name, base in classes if base in found and name not in found}:
        for name, base in more:
            assert parents.get(name) == base, f"{name} is to be drawn below {base} in core/errors.py"
            found.add(name)
    assert found == set(parents)
