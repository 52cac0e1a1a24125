"""Ties a process to its parent: asks the kernel for a signal when the parent dies, then becomes the given program.

Run as a script in an isolated interpreter, so it imports only the standard library. Asking in a fresh process rather
than between fork and exec keeps the parent free to have threads. The kernel watches the *thread* that spawned us, so
the parent has to spawn from its main thread.
"""

from __future__ import annotations

import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """`tether.py PARENT SIGNAL PROGRAM ARGUMENT…`"""
    parent, signal, *command = sys.argv[1:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal), 0, 0, 0)
    # The parent may have died before the line above; then nobody would ever tell us.
    if os.getppid() != int(parent):
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - becoming another program is what this file is for


if __name__ == "__main__":
    main()
