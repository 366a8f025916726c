"""A child that does not outlive its parent, and one that is adopted."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of prctl(2)
POLL_S = 1.0


def die_with_it() -> None:
    """Let this process be killed when the thread that has started it ends: with its parent, if that
    waits for it in the same thread. Elsewhere than on Linux it looks for its parent once a second.
    """
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has died meanwhile
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def adopt(others: bool = True) -> bool:
    """Become the parent of processes below whose own parent has ended, or be that no more. Tell
    whether the system does that."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(others), 0, 0, 0) == 0)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)
