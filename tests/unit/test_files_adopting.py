"""Models that were carried in are read and told of by the batch, in their order, large ones alone."""

from __future__ import annotations

from core.files import adopting

GB = 1 << 30


def batches(*sizes: int) -> list[list[str]]:
    """The models of each batch, of models with one file of a size."""
    groups = {str(number): [f"{number}.gguf"] for number in range(len(sizes))}
    return [
        list(one) for one in adopting.batches(groups, {f"{number}.gguf": size for number, size in enumerate(sizes)})
    ]


def test_a_large_model_is_told_of_before_the_next_is_read() -> None:
    assert batches(5 * GB, 1, 1, 3 * GB, 1) == [["0"], ["1", "2"], ["3"], ["4"]]


def test_little_is_read_again_when_it_breaks_off() -> None:
    assert batches(GB, GB, GB) == [["0", "1"], ["2"]]
    assert [len(one) for one in batches(*[1] * 120)] == [50, 50, 20]


def test_nothing_is_no_batch() -> None:
    assert batches() == []
