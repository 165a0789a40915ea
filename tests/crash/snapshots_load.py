#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# The load and the check of test_serve.sh: a client of varve-serve, in the place of containerd.
#
#	snapshots_load.py load HOME RECORD SEED SECONDS		make snapshots with content, commit and remove them
#	snapshots_load.py check HOME RECORD			what was acknowledged before NS is there, whole; all else is whole or absent: a
#								line NS of the standard input asks for it, a line of the output answers
#
# The record is as in record.h: a line is written before a call, and one after its answer, with the time.
import concurrent.futures
import functools
import hashlib
import json
import os
import random
import sys
import threading
import time

import grpc

import snapshots_client as client

THREADS = 8
# Some fit into the tree of the file system, others take extents of their own.
SIZES = (10, 1500, 5000, 70000, 300000)


class Record:
    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, what, name):
        line = f"{time.clock_gettime_ns(time.CLOCK_MONOTONIC)} {what} {name}\n".encode()
        assert os.write(self.fd, line) == len(line)


@functools.cache
def files_of(name):
    """The files that the snapshot NAME adds to those of its parent, and their content: the same for all disks."""
    draw, files = random.Random(name), []
    for number in range(draw.randint(1, 5)):
        file = f"{name}.{number}"
        files.append((file, hashlib.shake_128(file.encode()).digest(draw.choice(SIZES))))
    return files


def one(daemon, record, draw, names, lock, key):
    with lock:
        parent = draw.choice(names) if names and draw.random() < 0.8 else ""
    try:
        mounts = daemon.call("Prepare", key=b"active " + key.encode(), parent=parent.encode()).mounts
    except grpc.RpcError as error:
        # The parent was removed meanwhile.
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        return
    for file, content in files_of(key):
        with open(os.path.join(mounts[0].source, file), "wb") as out:
            out.write(content)
    if draw.random() < 0.1:
        return
    record.write("commit", key)
    daemon.call("Commit", key=b"active " + key.encode(), name=key.encode())
    record.write("committed", key)
    with lock:
        names.append(key)
        victim = names.pop(draw.randrange(len(names))) if draw.random() < 0.3 else None
    if victim:
        record.write("remove", victim)
        try:
            daemon.call("Remove", key=victim.encode())
        except grpc.RpcError as error:
            # It has children.
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error


def load(home, path, seed, seconds):
    daemon = client.Daemon(home)
    record, names, lock = Record(path), [], threading.Lock()
    end = time.monotonic() + float(seconds)

    def work(thread):
        draw, number = random.Random(f"{seed} {thread}"), 0
        # At least one each, however busy the machine is.
        while number == 0 or time.monotonic() < end:
            one(daemon, record, draw, names, lock, f"{thread}-{number}")
            number += 1

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(work, thread) for thread in range(THREADS)]:
            future.result()
    daemon.stop()


def promised(path, before):
    """Those that were committed before the moment, and not asked to be removed by then."""
    names = set()
    with open(path, encoding="ascii") as lines:
        for line in lines:
            ns, what, name = line.split()
            if int(ns) >= before:
                continue
            if what == "committed":
                names.add(name)
            elif what == "remove":
                names.discard(name)
    return names


def check_content(directory, listed, name):
    """The layer has the files of the snapshot NAME and of those below it, whole."""
    while name:
        for file, content in files_of(name):
            with open(os.path.join(directory, file), "rb") as found:
                assert found.read() == content, f"{name}: {file} is not what was committed"
        name = listed[name]["parent"]


def check(home, path, before):
    names = promised(path, int(before))
    daemon = client.Daemon(home)
    text = client.varve_list(daemon, "--why", "--json")
    objects = [json.loads(line) for line in text.splitlines()]
    assert not [one for one in objects if "stray" in one], f"layers without a record: {text}"
    assert not [one for one in objects if one["orphan"]], f"records without a parent: {text}"
    listed = {one["key"]: one for one in objects}
    layers = sorted(os.listdir(os.path.join(home, "subvolumes")))
    assert sorted(one["layer"] for one in objects) == layers, f"{layers} are not {text}"
    # The open has swept.
    records = os.path.join(home, ".varve/layers")
    found = sorted(os.listdir(records)) if os.path.isdir(records) else []
    assert found == layers, f"records of {found}, layers {layers}"
    for name in names:
        assert name in listed and listed[name]["kind"] == "committed", f"{name} was committed, and is lost"
    for name, snapshot in listed.items():
        directory = os.path.join(home, "subvolumes", snapshot["layer"])
        check_content(directory, listed, name if snapshot["kind"] == "committed" else snapshot["parent"])
    # What is left can be used, and removed.
    daemon.remove_all({name: one["parent"] for name, one in listed.items()})
    assert daemon.layers() == 0
    daemon.stop()
    print(f"{len(listed)} snapshots, {len(names)} of them promised", flush=True)


def checks(home, path):
    """As many as are asked for, of one disk after the other."""
    for line in sys.stdin:
        check(home, path, line)


if __name__ == "__main__":
    {"load": load, "check": checks}[sys.argv[1]](*sys.argv[2:])
