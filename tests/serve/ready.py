# SPDX-License-Identifier: Apache-2.0
"""Become a command that tells systemd when it is ready, and tell a reader instead.

Usage: ready.py FIFO SOCKET COMMAND [ARGUMENT...]. A line goes to FIFO when the command has sent READY=1 to SOCKET, which is made; FIFO
is closed without one where the command ends before that.
"""
import ctypes
import os
import signal
import socket
import sys

PR_SET_PDEATHSIG = 1


def pass_on(fifo, notify, parent):
    """Wait for the message, and write the line."""
    # It ends with the command, whose process this one's parent becomes.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    while b"READY=1" not in notify.recv(4096).split(b"\n"):
        pass
    os.write(fifo, b"ready\n")


def main():
    """Take the arguments apart and do it."""
    fifo_path, path, *command = sys.argv[1:]
    if os.path.exists(path):
        os.unlink(path)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(path)
    fifo = os.open(fifo_path, os.O_WRONLY | os.O_CLOEXEC)
    parent = os.getpid()
    if os.fork() == 0:
        pass_on(fifo, notify, parent)
        os._exit(0)
    os.execvpe(command[0], command, dict(os.environ, NOTIFY_SOCKET=path))


main()
