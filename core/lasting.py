"""Imports of heavy parts: what they are made of stays, so that it need not be looked through for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """Import without looking for garbage: up to a quarter of the time, and less to look through ever after.

    Afterwards it is, also where the program had put that off until its parts are there.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
