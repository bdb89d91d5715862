"""What the model list is measured beside: 100 rows in memory, filtered as one types, in the simplest program."""

from __future__ import annotations

from textual import on
from textual.app import App, ComposeResult
from textual.widgets import Static

from tui.widgets.columns import Cell, Column
from tui.widgets.paged_list import Chunk, PagedList
from tui.widgets.plain import TextField

_FAMILIES = ("qwen3", "llama-3.3", "mistral-small", "gemma-3", "deepseek-r1")
ROWS = [f"{_FAMILIES[n % 5]}-{(7, 24, 70)[n % 3]}b-{('instruct', 'chat')[n % 2]}-{n:07}" for n in range(100)]


class Rows(PagedList[str]):
    """Names that hold every word."""

    COLUMNS = (Column("NAME", 40), Column("PROVIDER", 9), Column("MODEL", 12, weight=1))

    def __init__(self) -> None:
        super().__init__(id="list")
        self.words: list[str] = []

    async def fetch(self, offset: int, limit: int) -> Chunk[str]:
        found = [row for row in ROWS if all(word in row for word in self.words)]
        return Chunk(found[offset : offset + limit], len(found))

    def row_id(self, row: str) -> str:
        return row

    def cells(self, row: str) -> tuple[Cell, ...]:
        return (Cell(row), Cell("vllm"), Cell(row))


class MemoryList(App[None]):
    """A field and the rows."""

    CSS = "TextField { height: 1; } #list { height: 1fr; }"
    BINDINGS = [("slash", "search", "Search")]  # noqa: RUF012 - declared so by Textual
    ENABLE_COMMAND_PALETTE = False

    def compose(self) -> ComposeResult:
        yield Static("Showing 100 rows")
        yield TextField(id="search")
        yield Static()
        yield Rows()

    async def on_mount(self) -> None:
        self.set_focus(self.query_one(Rows))
        await self.query_one(Rows).reload()

    @on(TextField.Changed)
    async def search(self, event: TextField.Changed) -> None:
        """Every key searches."""
        listing = self.query_one(Rows)
        listing.words = event.value.split()
        await listing.reload()

    def action_search(self) -> None:
        """Type."""
        self.set_focus(self.query_one(TextField))


if __name__ == "__main__":
    MemoryList().run()
