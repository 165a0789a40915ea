# SPDX-License-Identifier: Apache-2.0
"""What the engine "containerd" asks of the node that containerd-node has made: see containerd.c for the lines on the socket.

Usage: containerd_node.py NODE SNAPSHOTTER SOCKET DAEMON_PID IMAGES
"""
import concurrent.futures
import os
import socket
import subprocess
import sys
import threading

import pods

OWN_IMAGE = os.path.join(os.path.dirname(pods.__file__), "own_image")
NAME = "docker.io/library/own:1"
# More than a job has in flight.
THREADS = 64
# Only an engine that died before it connected reaches it.
CONNECT_S = 300
FAILURE_BYTES = 400


def ticks(pid):
    """Return the processor time of a process and of its children that have ended."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return sum(int(number) for number in file.read().rpartition(")")[2].split()[11:15])


def all_ticks():
    """Return the processor time of all that runs, or has run, in this namespace of processes."""
    total = 0
    for name in os.listdir("/proc"):
        try:
            total += ticks(name) if name.isdigit() else 0
        except (FileNotFoundError, ProcessLookupError):
            # It has ended, and its parent counts it, or will.
            pass
    return total


class Node:
    """The node."""

    def __init__(self, directory, snapshotter, daemon):
        self.directory, self.snapshotter, self.daemon = directory, snapshotter, daemon
        self.socket = os.path.join(directory, "containerd.sock")
        self.runtime = pods.Runtime(self.socket)
        self.images = []
        self.before = (0, 0)

    def ctr(self, *arguments):
        """Run ctr."""
        subprocess.run(["ctr", "-a", self.socket, *arguments], check=True, capture_output=True, text=True)

    def prepare(self, images):
        """Make the images, or import one for pods."""
        for seed in range(1, images + 1):
            self.images.append(os.path.join(self.directory, "disk", f"{seed}.tar"))
            subprocess.run([OWN_IMAGE, self.images[-1], f"{NAME}.{seed}", "--seed", str(seed)], check=True)
        if not images:
            path = os.path.join(self.directory, "disk", "own.tar")
            subprocess.run([OWN_IMAGE, path, NAME, "--files", "100"], check=True)
            self.ctr("-n", "k8s.io", "images", "import", "--snapshotter", self.snapshotter, path)
        # What was written so far is no part of what is measured.
        subprocess.run(["sync", "-f", os.path.join(self.directory, "disk")], check=True)
        self.before = (ticks(self.daemon), all_ticks())

    def do(self, kind, number):
        """Do an operation of KIND."""
        if kind == "apply":
            self.ctr("images", "import", "--snapshotter", self.snapshotter, self.images[number])
        else:
            pods.start_pod(self.runtime, NAME, f"/{os.path.basename(self.directory)}/pods", number)

    def figures(self):
        """Return the daemon's share of the processor time that the node has taken."""
        daemon, everything = ticks(self.daemon) - self.before[0], all_ticks() - self.before[1]
        return f"daemon_cpu_percent {100 * daemon / max(everything, 1):.2f}"


def serve(node, connection):
    """Do what the lines of CONNECTION say, until it ends."""
    lock, count = threading.Lock(), 0

    def answer(text):
        with lock:
            connection.sendall(text.encode() + b"\n")

    def work(tag, kind, number):
        try:
            node.do(kind, number)
            answer(f"{tag} ok")
        except Exception as error:  # pylint: disable=broad-except
            text = getattr(error, "stderr", None) or str(error)
            answer(f"{tag} " + " ".join(text.split())[-FAILURE_BYTES:])

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool, connection.makefile() as lines:
        for line in lines:
            words = line.split()
            if words[0] == "figures":
                answer(node.figures())
            else:
                pool.submit(work, words[0], words[1], count)
                count += 1


def main():
    """Take the arguments apart, say that the node is ready, and serve."""
    directory, snapshotter, path, daemon, images = sys.argv[1:]
    node = Node(directory, snapshotter, int(daemon))
    node.prepare(int(images))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    listener.settimeout(CONNECT_S)
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    connection, _ = listener.accept()
    connection.setblocking(True)
    serve(node, connection)


if __name__ == "__main__":
    main()
