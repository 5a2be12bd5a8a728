"""Becomes another program that cannot outlive its parent. Run as a script, with the standard library only.

`launch.py PARENT SIGNAL USER_ID PROGRAM ARGUMENTS...`: drops to USER_ID (or `-`), asks the kernel to send
SIGNAL when PARENT dies (Linux), and replaces itself by PROGRAM. It must do nothing else: it runs before every
server we start.
"""

import ctypes
import os
import pwd
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process; returns only if the parent is gone already."""
    parent, death_signal, user, program = int(arguments[0]), int(arguments[1]), arguments[2], arguments[3]
    if user != "-":
        os.setgroups([])
        os.setgid(pwd.getpwuid(int(user)).pw_gid)
        os.setuid(int(user))
    if sys.platform == "linux":
        # After the change of user, which would clear it.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() == parent:
        os.execv(program, arguments[3:])  # noqa: S606 - no shell wanted; the program is ours


if __name__ == "__main__":
    main(sys.argv[1:])
