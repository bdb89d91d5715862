"""The limit on bandwidth: shared, in turn, and changed while somebody waits (D6)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.downloads import bandwidth
from core.downloads.bandwidth import Bandwidth
from core.downloads.host_lines import HostLines
from core.downloads.limits import ChosenLimits, LimitsFile, choose_limits, rate_text, read_rate, without_choices
from core.errors import InvalidInput, UsageError
from core.settings import Settings, choose


class Clock:
    """Time that passes when somebody waits; `then` happens at its moments."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.then: dict[float, tuple[Bandwidth, int]] = {}

    def monotonic(self) -> float:
        return self.at

    def wait(self, seconds: float) -> bool:
        """As `Event.wait`: nobody stops."""
        self.at += seconds
        for moment in [moment for moment in self.then if moment <= self.at]:
            limit, rate = self.then.pop(moment)
            limit.limit_to(rate)
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(bandwidth, "time", clock)
    yield clock


def taken_s(clock: Clock, limit: Bandwidth, count: int) -> float:
    """How long somebody waits for so many bytes."""
    began = clock.at
    limit.take(count, clock)  # type: ignore[arg-type]
    return clock.at - began


def test_a_rest_gives_no_more_than_a_second_of_it(clock: Clock) -> None:
    limit = Bandwidth(1000)
    clock.at += 3600
    assert taken_s(clock, limit, 1000) == 0
    assert taken_s(clock, limit, 1000) == pytest.approx(1)


def test_without_a_limit_nobody_waits_and_nothing_is_saved_up(clock: Clock) -> None:
    limit = Bandwidth()
    assert taken_s(clock, limit, 10**12) == 0
    clock.at += 3600
    limit.limit_to(1000)
    assert taken_s(clock, limit, 1000) == pytest.approx(1)
    assert limit.piece == 100


@pytest.mark.parametrize(
    ("rate", "whole_s"), [(10_000, 2 + 8), (100, 2 + 800), (0, 2.2)], ids=["faster", "slower", "off"]
)
def test_who_waits_goes_on_at_the_new_limit(clock: Clock, rate: int, whole_s: float) -> None:
    """D6: 2,000 of 82,000 bytes have passed when it changes; with none they pass when it is looked at."""
    limit = Bandwidth(1000)
    clock.then[clock.at + 2] = limit, rate
    assert taken_s(clock, limit, 82_000) == pytest.approx(whole_s, abs=bandwidth._LOOK_S * 10_000 / 1000)


def test_who_stops_leaves_the_turn_to_others(clock: Clock) -> None:
    limit, stopped = Bandwidth(1000), threading.Event()
    stopped.set()
    limit.take(10**9, stopped)
    assert taken_s(clock, limit, 1000) == pytest.approx(1)


async def test_a_turn_without_a_thread_is_changed_and_given_back() -> None:
    limit = Bandwidth(1000)
    given_up, kept = (asyncio.create_task(limit.turn(10**9)) for _ in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    limit.limit_to(10**12)
    async with asyncio.timeout(5):
        await kept
    assert limit._taken - limit._passed <= 0


def test_the_jobs_of_a_host_share_its_line() -> None:
    """D6: each host has a line of its own."""
    lines = HostLines(9000)
    with lines.joined("gpu1"), lines.joined("gpu2"):
        assert (lines.share("gpu1"), lines.share("gpu2")) == (9000, 9000)
        with lines.joined("gpu1"), lines.joined("gpu1"):
            assert (lines.share("gpu1"), lines.share("gpu2")) == (3000, 9000)
        lines.bytes_per_s = 0
        assert lines.share("gpu1") == 0
    lines.bytes_per_s = 1
    with lines.joined("gpu1"), lines.joined("gpu1"):
        assert lines.share("gpu1") == 1, "never none, which would be no limit"


RATES = {
    "50MB/s": (50_000_000, "50 MB/s"),
    " 8M ": (8_000_000, "8 MB/s"),
    "1.5 GB/s": (1_500_000_000, "1.5 GB/s"),
    "16MiB/s": (16 << 20, "16 MiB/s"),
    "100Mbit/s": (12_500_000, "12.5 MB/s"),
    "100Mbps": (12_500_000, "12.5 MB/s"),
    "50MBps": (50_000_000, "50 MB/s"),
    "10_000_000": (10_000_000, "10 MB/s"),
    "1k": (1000, "1 kB/s"),
    "OFF": (0, "off"),
    "0": (0, "off"),
}


@pytest.mark.parametrize("text", RATES)
def test_a_rate_is_read_and_told(text: str) -> None:
    assert (read_rate(text), rate_text(read_rate(text))) == RATES[text]
    assert read_rate(rate_text(read_rate(text))) == RATES[text][0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fast", "no rate"),
        ("-5M", "no rate"),
        ("", "no rate"),
        ("1e9", "no rate"),
        ("5 M B", "no rate"),
        ("nan", "no rate"),
        ("50", "from 1 kB/s"),
        ("999999T", "to 1000 GB/s"),
        ("8Mb", "bits or bytes"),
    ],
)
def test_nonsense_is_told_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as raised:
        read_rate(text)
    assert "Write" in raised.value.remedy


CONFIG = """# mine, at the office
theme = "nord"  # dark

  download_bandwidth=5_000_000 # the line has 50
models_dir = '/srv/"m"'
# keys below
[keymap]
"app.quit" = "f9"
download_bandwidth = "untouched"
"""


def test_a_choice_is_kept_and_everything_else_stays(settings: Settings, tmp_path: Path) -> None:
    """D6, L9: comments, order, other keys, rights, and a link to where the file really is."""
    file, config = tmp_path / "dotfiles.toml", settings.config_dir / "config.toml"
    settings.config_dir.mkdir(mode=0o700)
    config.symlink_to(file)
    file.write_text(CONFIG)
    file.chmod(0o640)
    choose(settings.config_dir, "download_bandwidth", 8_000_000)
    changed = CONFIG.replace("  download_bandwidth=5_000_000 #", "download_bandwidth = 8_000_000 #")
    assert file.read_text() == changed
    choose(settings.config_dir, "download_jobs", 3)
    assert file.read_text() == changed.replace('/"m"\'\n', '/"m"\'\ndownload_jobs = 3\n')
    choose(settings.config_dir, "models_dir", 'a\\b "c"')
    assert Settings.load().models_dir == Path('a\\b "c"').absolute()
    assert (config.is_symlink(), file.stat().st_mode & 0o777) == (True, 0o640)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("before", ["", 'theme = "nord"', "# only this\n", 'theme = "nord"\r\n\r\n[keymap]\r\n'])
def test_a_choice_in_files_of_all_kinds(settings: Settings, before: str) -> None:
    settings.config_dir.mkdir(mode=0o700)
    config = settings.config_dir / "config.toml"
    config.write_bytes(before.encode())
    choose(settings.config_dir, "download_bandwidth", 1000)
    assert Settings.load().download_bandwidth == 1000
    lines = config.read_bytes().decode().splitlines(keepends=True)
    assert [line.strip() for line in before.splitlines()] == [one.strip() for one in lines if "bandw" not in one]
    assert len({line.endswith("\r\n") for line in lines}) == 1


@pytest.mark.parametrize(
    "line", ['theme = """\ndownload_jobs = 3\n"""\n"download_jobs" = 4\n', '"download_jobs" = 4\n']
)
def test_a_line_that_is_not_found_is_left_to_the_user(settings: Settings, line: str) -> None:
    settings.config_dir.mkdir(mode=0o700)
    config = settings.config_dir / "config.toml"
    config.write_text(line)
    with pytest.raises(UsageError, match="can't be changed") as raised:
        choose(settings.config_dir, "download_jobs", 5)
    assert "download_jobs = 5" in raised.value.remedy
    assert config.read_text() == line


def test_the_newest_choice_goes_before_what_a_program_began_with(settings: Settings) -> None:
    """D6: a file that is being edited changes nothing; a line that is taken out is no limit."""
    old = Settings(**{**vars(settings), "download_bandwidth": 5000, "download_jobs": 99})
    file = LimitsFile(without_choices(old))
    assert (file.now().bytes_per_s, LimitsFile(old).now()) == (0, ChosenLimits(jobs=16, parts=4, bytes_per_s=5000))
    choose_limits(settings, rate="2kB/s", jobs=3)
    assert file.now() == ChosenLimits(jobs=3, parts=4, bytes_per_s=2000)
    config = settings.config_dir / "config.toml"
    config.write_text("download_bandwidth = 3_0")
    assert file.now().bytes_per_s == 30
    config.write_text("download_bandwidth = 3_")
    assert file.now().bytes_per_s == 30
    config.write_text("download_jobs = 0\n")
    assert file.now() == ChosenLimits(jobs=1, parts=4, bytes_per_s=0)
