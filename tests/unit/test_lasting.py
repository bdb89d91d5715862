"""Imports that are looked through for garbage neither meanwhile nor later."""

from __future__ import annotations

import gc
from importlib import import_module

import pytest

from core.lasting import lasting


def test_garbage_is_looked_for_again_afterwards_but_not_in_what_was_made() -> None:
    before = gc.get_freeze_count()
    try:
        with lasting():
            assert not gc.isenabled()
            made = [[number] for number in range(1000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= before + len(made)
    finally:
        gc.unfreeze()


def test_an_import_that_fails_leaves_it_on() -> None:
    with pytest.raises(ImportError), lasting():
        import_module("core.nothing_of_the_kind")
    assert gc.isenabled()
