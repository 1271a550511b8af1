"""How this process holds memory: a long-lived server that makes and drops the same sizes for each mail.

Knows CPython's collector and glibc's malloc. Nothing depends on it for being right, only for time.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

# <malloc.h> of glibc
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_KEPT, _STEP, _LARGE = 67_108_864, 4_194_304, 4_194_304  # octets


def settle() -> None:
    """Call once everything is loaded, and again when it was loaded anew.

    What is loaded is never garbage, so the collector need not look at it again. And memory that a mail frees is kept for the
    next one: giving it back to the kernel and asking anew costs a page fault for every 4 kB of every mail.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    _trim()
    gc.set_threshold(20_000, 20, 20)
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL("libc.so.6")
        for parameter, octets in ((_M_TRIM_THRESHOLD, _KEPT), (_M_TOP_PAD, _STEP), (_M_MMAP_THRESHOLD, _LARGE)):
            libc.mallopt(parameter, octets)


def _trim() -> None:
    """Give back what the loading before has left between the living: forked processes would have it too."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
