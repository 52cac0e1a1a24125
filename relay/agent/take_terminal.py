"""Makes standard input the controlling terminal of this process and then becomes the program named by its arguments.

Run as a script in a child of its own: `take_terminal.py ARGV0 PROGRAM [ARGUMENT...]`. Doing this here, and not between
fork and exec in the agent, is safe while the agent has threads. It imports nothing of ours, so that it starts fast.
"""

import fcntl
import os
import signal
import sys
import termios

NOT_EXECUTABLE = 126  # what shells say
NOT_FOUND = 127
# Ignored signals would stay ignored in the shell: Python ignores SIGPIPE, and `nohup relay serve &` some of the others.
DEFAULTS = ("SIGPIPE", "SIGXFSZ", "SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCHLD")


def main() -> int:
    """Take the terminal and become the program; comes back only with the exit code of a failure."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for name in DEFAULTS:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    argv0, program, *arguments = sys.argv[1:]
    try:
        os.execvp(program, [argv0, *arguments])  # noqa: S606 - no shell in between is the point
    except FileNotFoundError:
        print(f"relay: command not found: {program}", file=sys.stderr)  # noqa: T201
        return NOT_FOUND
    except OSError as error:
        print(f"relay: cannot run {program}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return NOT_EXECUTABLE


if __name__ == "__main__":
    sys.exit(main())
