"""The list by line, with more rows than anyone keeps in memory."""

from __future__ import annotations

from typing import ClassVar

import pytest
from textual.app import App, ComposeResult

from core.errors import ModelyardError
from tui.widgets.columns import Cell, Column, fit, widths
from tui.widgets.paged_list import PAGE, Chunk, PagedList


class Numbers(PagedList[int]):
    """Rows are numbers; the offsets that were asked for are kept."""

    COLUMNS = (Column("NUMBER", 10), Column("NAME", 10, weight=1))
    asked: ClassVar[list[int]] = []
    values: ClassVar[list[int]] = []

    async def fetch(self, offset: int, limit: int) -> Chunk[int]:
        self.asked.append(offset)
        return Chunk(self.values[offset : offset + limit], len(self.values))

    def row_id(self, row: int) -> str:
        return str(row)

    def cells(self, row: int) -> tuple[Cell, ...]:
        return (Cell(str(row)), Cell(f"row {row}"))


class NumbersApp(App[None]):
    """Only the list."""

    CSS = "PagedList { height: 1fr; }"

    def compose(self) -> ComposeResult:
        yield Numbers(id="list")

    async def on_mount(self) -> None:
        await self.query_one(Numbers).reload()


@pytest.fixture(autouse=True)
def _numbers() -> None:
    Numbers.asked.clear()
    Numbers.values[:] = range(100_000)


async def test_only_pages_in_view_are_fetched() -> None:
    app = NumbersApp()
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("end")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        listing = app.query_one(Numbers)
        assert listing.selected == 99_999
        assert "row 99999" in listing.render_line(19).text
        assert set(Numbers.asked) <= {0, PAGE, 100_000 - PAGE, 100_000 - 2 * PAGE}
        await pilot.press("home")
        assert listing.selected == 0


async def test_pages_that_are_far_away_are_forgotten() -> None:
    app = NumbersApp()
    async with app.run_test(size=(60, 20)) as pilot:
        listing = app.query_one(Numbers)
        for index in range(0, 40 * PAGE, PAGE):
            listing.move_to(index)
            await pilot.pause()
            await app.workers.wait_for_complete()
        assert len(listing._pages) <= 24


async def test_the_selection_follows_a_row_over_pages() -> None:
    app = NumbersApp()
    async with app.run_test(size=(60, 20)) as pilot:
        listing = app.query_one(Numbers)
        listing.move_to(250)
        await pilot.pause()
        await app.workers.wait_for_complete()
        assert listing.selected == 250
        Numbers.values[:] = range(120, 100_000)
        await listing.reload()
        assert listing.selected == 250
        assert listing.cursor == 130


async def test_when_the_selected_row_is_gone_its_place_is_kept() -> None:
    app = NumbersApp()
    async with app.run_test(size=(60, 20)):
        listing = app.query_one(Numbers)
        listing.move_to(5)
        Numbers.values.remove(5)
        await listing.reload()
        assert listing.selected == 6
        Numbers.values[:] = [1, 2]
        await listing.reload()
        assert listing.selected == 2
        Numbers.values.clear()
        await listing.reload()
        assert listing.selected is None


async def test_a_page_that_cannot_be_read_is_told_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    async def fails(*_: object) -> Chunk[int]:
        raise ModelyardError("locked")

    monkeypatch.setattr(
        NumbersApp, "on_paged_list_failed", lambda _, message: told.append(message.error.message), raising=False
    )
    app = NumbersApp()
    async with app.run_test(size=(60, 20)) as pilot:
        listing = app.query_one(Numbers)
        with monkeypatch.context() as broken:
            broken.setattr(Numbers, "fetch", fails)
            listing.move_to(5000)
            await pilot.pause()
            await app.workers.wait_for_complete()
            await pilot.pause()
        assert set(told) == {"locked"}
        await listing.reload()
        assert listing.selected == 5000


async def test_rows_that_were_to_be_drawn_when_the_width_changed_fill_the_new_one() -> None:
    app = NumbersApp()
    async with app.run_test(size=(40, 20)) as pilot:
        listing = app.query_one(Numbers)
        listing.move_to(3)
        listing.redraw()
        await pilot.resize_terminal(80, 20)
        await pilot.pause()
        assert {listing.render_line(y).cell_length for y in range(20)} == {80}


async def test_the_page_that_the_cursor_goes_to_is_fetched_ahead() -> None:
    app = NumbersApp()
    async with app.run_test(size=(60, 20)) as pilot:
        listing = app.query_one(Numbers)
        listing.move_to(PAGE - 5)
        await pilot.pause()
        await app.workers.wait_for_complete()
        assert listing.row_at(PAGE + 10) == PAGE + 10


async def test_fewer_rows_than_thought_leave_the_cursor_on_the_last() -> None:
    app = NumbersApp()
    async with app.run_test(size=(60, 20)) as pilot:
        listing = app.query_one(Numbers)
        listing.move_to(12)
        await pilot.pause()
        listing.take_count(10)
        await pilot.pause()
        assert (listing.selected, listing.count) == (9, 10)
        assert "row 9" in listing.render_line(10).text
        assert not listing.render_line(11).text.strip()


async def test_a_row_is_announced_once_until_it_has_other_values(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int | None] = []
    monkeypatch.setattr(
        NumbersApp,
        "on_paged_list_selected",
        lambda self, _: told.append(self.query_one(Numbers).selected),
        raising=False,
    )
    app = NumbersApp()
    async with app.run_test(size=(60, 20)) as pilot:
        listing = app.query_one(Numbers)
        await pilot.pause()
        told.clear()
        listing.take_count(90_000)
        listing.move_to(1)
        listing.move_to(1)
        await pilot.pause()
        assert told == [1]
        Numbers.values[1] = 70_000
        await listing.reload()
        await pilot.pause()
        assert told == [1, 70_000]


def test_columns_share_the_room_and_leave_out_what_has_none() -> None:
    columns = (Column("A", 10, weight=1), Column("B", 5, from_width=40), Column("C", 5, weight=1))
    assert widths(columns, 37) == [20, 0, 15]
    assert widths(columns, 44) == [20, 5, 15]


@pytest.mark.parametrize(
    ("text", "width", "right", "shown"),
    [
        ("abc", 5, False, "abc  "),
        ("abc", 5, True, "  abc"),
        ("abcdef", 5, False, "abcd…"),
        ("日本語", 4, False, "日… "),
    ],
)
def test_fit_fills_exactly_its_cells(text: str, width: int, right: bool, shown: str) -> None:
    assert fit(text, width, right=right) == shown
