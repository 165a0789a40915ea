# SPDX-License-Identifier: Apache-2.0
"""Commit snapshots through containerd while its daemon and it are killed again and again: what was acknowledged is there.

Usage: kills.py SOCKET DIRECTORY ROUNDS SEED. A line "kill NAME" on the standard output asks that NAME be killed and started again, one
"whole" that the daemon's home be looked at; a line on the standard input says that it was done. All other lines are for the reader.
"""
import concurrent.futures
import ctypes
import os
import random
import sys
import threading

import grpc

from snapshots_client import Client, HANG_S, labels_of
from waits import wait_moment, wait_until

THREADS = 2
# A chain of that many is enough.
CHAIN = 20
# The kill comes within it, after a commit: each moment is as good as the other.
MOMENT_S = 0.1
# So many commits may follow those that were waited for, until the next are: more would be there at the moment, and to be looked at.
AHEAD = 4
# So many kills lie between two lines about them.
PROGRESS = 50
LOOKS = 8
ROOT = {"containerd.io/gc.root": "kills"}
MS_BIND = 4096

libc = ctypes.CDLL(None, use_errno=True)


class Containerd(Client):
    """Its client for the snapshots of varve."""

    metadata = (("containerd-namespace", "default"),)
    # While there is no containerd a call waits: what fails has reached one.
    wait_for_ready = True

    def ask(self, method, **fields):
        """Call METHOD once."""
        return self.call(method, snapshotter=b"varve", **fields)

    def insist(self, method, **fields):
        """Call METHOD; again, as long as containerd has not found its way back to the daemon, of which it tells nobody."""
        unavailable = []

        def insist():
            try:
                # In a list: an answer may be empty, and so false.
                return [self.ask(method, **fields)]
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                unavailable[:] = [error]
                return None
        return wait_until(insist, lambda: unavailable[0])[0]


class Mounted:
    """The snapshot whose MOUNTS these are, mounted on the directory TARGET."""

    def __init__(self, mounts, target):
        assert len(mounts) == 1 and mounts[0].type == "bind", mounts
        self.source, self.target = mounts[0].source, target

    def __enter__(self):
        os.makedirs(self.target, exist_ok=True)
        if libc.mount(self.source.encode(), self.target.encode(), None, MS_BIND, None):
            raise OSError(ctypes.get_errno(), f"mount of {self.source}")
        return self.target

    def __exit__(self, *_):
        if libc.umount2(self.target.encode(), 0):
            raise OSError(ctypes.get_errno(), f"umount of {self.target}")


class Churn:
    """Prepare, write, commit, again and again, in threads; what was acknowledged of it."""

    def __init__(self, socket, directory):
        self.socket, self.directory = socket, directory
        # For each number what its snapshot has, itself the last; and those whose commit was acknowledged.
        self.chains, self.acknowledged = {}, []
        # Those whose commit had no answer.
        self.uncertain = []
        self.changed = threading.Condition()
        self.allowed = 0
        # How often what was killed has come back.
        self.restarts = 0
        self.stopped = False
        self.error = None
        self.threads = [threading.Thread(target=self.work, args=(thread,), daemon=True) for thread in range(THREADS)]
        for thread in self.threads:
            thread.start()

    def work(self, thread):
        """What a thread does."""
        containerd, chain, step = Containerd(self.socket), (), 0
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self.stopped or len(self.acknowledged) < self.allowed)
                    restarts = self.restarts
                if self.stopped:
                    return
                step += 1
                chain = self.one(containerd, f"{thread}-{step}", chain if len(chain) < CHAIN else (), restarts)
        except Exception as error:  # The main thread raises it.
            with self.changed:
                self.error = error
                self.changed.notify_all()

    def one(self, containerd, number, chain, restarts):
        """Commit the snapshot NUMBER on the CHAIN; return that which the next one continues. RESTARTS is their number before."""
        self.chains[number] = chain + (number,)
        active, name = f"active-{number}".encode(), f"committed-{number}".encode()
        try:
            containerd.ask("Prepare", key=active, parent=f"committed-{chain[-1]}".encode() if chain else b"", labels=labels_of(ROOT))
            with Mounted(containerd.ask("Mounts", key=active).mounts, os.path.join(self.directory, number)) as target:
                with open(os.path.join(target, f"number-{number}"), "w", encoding="ascii") as file:
                    file.write(number)
            self.uncertain.append(number)
            containerd.ask("Commit", key=active, name=name, labels=labels_of(ROOT))
            self.uncertain.remove(number)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            # What was killed meanwhile comes back, or has already.
            with self.changed:
                self.changed.wait_for(lambda: self.stopped or self.restarts != restarts)
            return chain
        with self.changed:
            self.acknowledged.append(number)
            self.changed.notify_all()
        return self.chains[number]

    def wait(self, more):
        """Wait until MORE commits were acknowledged."""
        with self.changed:
            wanted = len(self.acknowledged) + more
            self.allowed = wanted + AHEAD
            self.changed.notify_all()
            if not self.changed.wait_for(lambda: self.error or len(self.acknowledged) >= wanted, HANG_S):
                raise TimeoutError("the churn stands still")
            if self.error:
                raise self.error

    def restarted(self):
        """What was killed is back."""
        with self.changed:
            self.restarts += 1
            self.changed.notify_all()

    def stop(self):
        """End it."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join(HANG_S)
        if self.error:
            raise self.error


def check(containerd, directory, number, chain):
    """The snapshot NUMBER is there with the data of its CHAIN."""
    mounts = containerd.insist("View", key=f"look-{number}".encode(), parent=f"committed-{number}".encode(), labels=labels_of(ROOT)).mounts
    with Mounted(mounts, os.path.join(directory, f"look-{number}")) as target:
        found = {}
        for name in os.listdir(target):
            with open(os.path.join(target, name), encoding="ascii") as file:
                found[name] = file.read()
    assert found == {f"number-{one}": one for one in chain}, f"committed-{number} has {found}, not {chain}"
    containerd.insist("Remove", key=f"look-{number}".encode())


def order(text):
    """Ask for what the shell does, and wait until it was done."""
    print(text, flush=True)
    if not sys.stdin.readline():
        raise EOFError(text)


def remove(containerd, churn, parents):
    """Remove all snapshots of PARENTS, which has the parent of each."""
    # Where containerd was killed while it committed, it may go on having an active one that the daemon has not: as a child, not in lists.
    active = {name for name in parents if name.startswith("active-")}
    for name in active | {f"active-{number}" for number in churn.uncertain}:
        try:
            containerd.ask("Remove", key=name.encode())
        except grpc.RpcError as error:
            if name in active or error.code() != grpc.StatusCode.NOT_FOUND:
                raise
    containerd.remove_all({name: parents[name] for name in parents.keys() - active}, snapshotter=b"varve")


def finish(containerd, churn, directory):
    """All that there is, is whole, be it acknowledged or not; then it is removed."""
    order("whole")
    parents = {info.name.decode(): info.parent.decode() for info in containerd.ask("List")
               if info.name.startswith((b"active-", b"committed-"))}
    committed = {name.removeprefix("committed-") for name in parents if name.startswith("committed-")}
    lost = set(churn.acknowledged) - committed
    assert not lost, f"{lost} were acknowledged, and are lost"
    with concurrent.futures.ThreadPoolExecutor(LOOKS) as pool:
        list(pool.map(lambda number: check(containerd, directory, number, churn.chains[number]), sorted(committed)))
    print(f"{len(churn.acknowledged)} commits were acknowledged, and are there; of {len(churn.uncertain)} others that had been asked for "
          f"{len(committed) - len(churn.acknowledged)} are there")
    remove(containerd, churn, parents)
    order("whole")


def main():
    """Take the arguments apart and do it."""
    socket, directory, rounds, seed = sys.argv[1:]
    draw, kills = random.Random(int(seed)), {"daemon": 0, "containerd": 0}
    containerd, churn = Containerd(socket), Churn(socket, directory)
    for number in range(1, int(rounds) + 1):
        # The moment is after some commits, and then anywhere in what follows.
        churn.wait(draw.randint(1, 4))
        wait_moment(draw, MOMENT_S)
        name = draw.choice(("daemon", "daemon", "containerd"))
        kills[name] += 1
        order(f"kill {name}")
        churn.restarted()
        # The last one is looked at after each kill, all at the end.
        last = churn.acknowledged[-1]
        check(containerd, directory, last, churn.chains[last])
        if number % PROGRESS == 0 or number == int(rounds):
            print(f"{number} kills, {kills['daemon']} of them of the daemon, {kills['containerd']} of containerd; "
                  f"{len(churn.acknowledged)} commits", flush=True)
    churn.stop()
    finish(containerd, churn, directory)


if __name__ == "__main__":
    main()
