"""A test of a model's connection (P9): every step with its finding, and what the endpoint says it serves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget

from core.errors import ModelyardError
from tui.keys import bindings
from tui.modals.dialog import Dialog
from tui.show import findings, line, moment, pairs, problem, toned
from tui.widgets.plain import Flow, Plain
from tui.widgets.spinner import Spinner

if TYPE_CHECKING:
    from textual.binding import BindingType
    from textual.worker import Worker

    from core.connections.report import TestReport
    from core.registry.records import Model

_NAMES = 12


class ConnectionDialog(Dialog[None]):
    """Tests at once; closing it stops the test."""

    HEADING = "Connection"
    KEYS = ("test",)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("test")]
    AUTO_FOCUS = "#result"
    CSS_PATH: ClassVar = ["dialog.tcss", "connection.tcss"]

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model
        self._testing: Worker[None] | None = None

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="test-top"):
            yield Spinner(idle=" ")
            yield Plain(self._model.name, classes="lead")
        with VerticalScroll(id="result", classes="fields"):
            yield Flow(id="found")

    def on_mount(self) -> None:
        self.action_again()

    def action_again(self) -> None:
        """Test, unless a test is under way."""
        if self._testing is None or not self._testing.is_running:
            self._testing = self.run_worker(self._test(), group="test", exit_on_error=True)

    async def _test(self) -> None:
        yard = self.modelyard.yard
        self.query_one(Spinner).start()
        self.query_one(Flow).flow(lambda _: toned("Testing…", "dim"))
        try:
            if yard is not None:
                report = await yard.connections.test(self._model.id)
                self.query_one(Flow).flow(lambda room: report_text(report, room))
        except ModelyardError as error:
            failure = error
            self.query_one(Flow).flow(lambda room: problem(failure, room))
        finally:
            for spinner in self.query(Spinner):  # none once the dialog is closed
                spinner.stop()


def report_text(report: TestReport, room: int) -> Content:
    """The result, its steps, and the figures."""
    title = toned("✓ It can be used.", "good") if report.ok else toned("✗ It can't be used now.", "bad")
    names = ", ".join(report.serves[:_NAMES])
    more = f" and {len(report.serves) - _NAMES:,} more" if len(report.serves) > _NAMES else ""
    facts = pairs(
        [
            ("At", line(report.url)),
            ("Connected", _milliseconds(report.connect_s)),
            ("First byte", _milliseconds(report.latency_s)),
            ("Serves", f"{names}{more}" if names else ""),
            ("Tested", moment(report.at)),
        ],
        room,
    )
    return Content("\n\n").join([title, findings(list(report.findings), room), facts])


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"after {seconds * 1000:.0f} ms"
