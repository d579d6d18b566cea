"""Root, for a while without the power to read what its mode forbids, so that tests of closed folders run in CI too."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION_3 = 0x20080522  # linux/capability.h
_READS_ANYTHING = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def modes_obeyed() -> Iterator[None]:
    """This thread, and those that it starts meanwhile, read no file that its mode closes, whoever runs them."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, held = _Header(_VERSION_3, 0), (_Sets * 2)()

    def set_to(effective: int) -> None:
        held[0].effective = effective
        if libc.capset(ctypes.byref(header), held) != 0:
            raise OSError(ctypes.get_errno(), "capset")

    if libc.capget(ctypes.byref(header), held) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    before = held[0].effective
    set_to(before & ~_READS_ANYTHING)
    try:
        yield
    finally:
        set_to(before)
