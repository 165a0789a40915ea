#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# The cases of test_snapshots.sh; each has a home and a socket of its own. `snapshots.py CASE...` runs some.
import concurrent.futures
import ctypes
import json
import os
import random
import stat
import subprocess
import sys
import threading
import time

import grpc
import record_pb2
import snapshots_pb2 as pb
from grpc import StatusCode
from snapshots_client import BUILD, Daemon, HANG_S, labels_of, varve_list

SOAK = bool(os.environ.get("VARVE_TEST_SOAK"))
KINDS = {pb.VIEW: "view", pb.ACTIVE: "active", pb.COMMITTED: "committed"}


def case_path():
    """A whole path, also across a restart, as containerd takes it."""
    daemon = Daemon("path")
    mounts = daemon.call("Prepare", key=b"k", labels=labels_of({"a": "1"})).mounts
    assert len(mounts) == 1 and mounts[0].type == "bind" and list(mounts[0].options) == ["rw", "rbind"], mounts
    with open(mounts[0].source + "/file", "w") as file:
        file.write("x" * 100000)
    daemon.call("Commit", key=b"k", name=b"base", labels=labels_of({"b": "2"}))
    info = daemon.call("Stat", key=b"base").info
    assert info.kind == pb.COMMITTED and info.created_at == info.updated_at and [l.key for l in info.labels] == [b"b"], info
    usage = daemon.call("Usage", key=b"base")
    assert 100000 <= usage.size <= 110000 and usage.inodes == 2, usage
    source = daemon.call("Prepare", key=b"child", parent=b"base").mounts[0].source
    assert os.path.getsize(source + "/file") == 100000
    daemon.call("View", key=b"view", parent=b"base")
    info.ClearField("labels")
    info.labels.extend(labels_of({"c": "3"}))
    assert daemon.call("Update", info=info).info.updated_at != info.updated_at
    daemon.restart()
    assert daemon.list() == ["base", "child", "view"] and daemon.list("labels.c==3", "kind==view") == ["base", "view"]
    assert daemon.call("Mounts", key=b"child").mounts[0].source == source
    daemon.fails(StatusCode.FAILED_PRECONDITION, "Remove", key=b"base")
    for key in (b"view", b"child", b"base"):
        daemon.call("Remove", key=key)
    daemon.call("Cleanup")
    assert daemon.list() == [] and daemon.layers() == 0
    daemon.stop()


def case_hostile():
    """Bytes that no key, label or filter may have: a status that says why, and the daemon lives on."""
    daemon = Daemon("hostile")
    for key in (b"", b"a\0b", b"\xff", b"x" * 65536):
        for method in ("Prepare", "View"):
            text = daemon.fails(StatusCode.INVALID_ARGUMENT, method, key=key)
            assert text, key
    for key in (b"/../", b"../../../etc/passwd", "ä/\U0001f427".encode(), b"\x1b[2J\r\n"):
        daemon.call("Prepare", key=key)
        assert daemon.call("Stat", key=key).info.name == key
    assert daemon.layers() == 4
    daemon.fails(StatusCode.NOT_FOUND, "Stat", key=b"\0")
    many = [pb.Label(key=b"%d" % i, value=b"v" * 100) for i in range(1000)]
    text = daemon.fails(StatusCode.INVALID_ARGUMENT, "Prepare", key=b"k", labels=many)
    assert "49152" in text, text
    text = daemon.fails(StatusCode.INVALID_ARGUMENT, "Prepare", key=b"k", labels=[pb.Label(key=b"k", value=b"v" * 4096)])
    assert "4096" in text, text
    text = daemon.fails(StatusCode.INVALID_ARGUMENT, "List", filters=[b"name==a\xff"])
    assert "UTF-8" in text, text
    text = daemon.fails(StatusCode.INVALID_ARGUMENT, "List", filters=[b"name~=^(.+.+)+[!0]$", b"labels.x~=("])
    assert "regular expression" in text, text
    daemon.fails(StatusCode.INVALID_ARGUMENT, "Update", pb.UpdateRequest())
    # All labels a thousand times: the last field counts, and the loop is not busy with the others.
    request = pb.UpdateRequest(info=pb.Info(name=b"/../", labels=[pb.Label(key=b"%d" % i, value=b"v" * 1900) for i in range(8000)]))
    request.update_mask.paths.extend([b"labels"] * 1024)
    daemon.fails(StatusCode.INVALID_ARGUMENT, "Update", request)
    del request.info.labels[2:]
    request.update_mask.paths[:] = [b"labels.0", b"labels", b"labels.x", b"labels", b"labels.1"]
    assert [label.key for label in daemon.call("Update", request).info.labels] == [b"0", b"1"]
    # Fields that nobody knows, of a later version of containerd, are ignored.
    unknown = pb.KeyRequest.FromString(pb.KeyRequest(key=b"/../").SerializeToString() + b"\x9a\x06\x03abc")
    assert daemon.call("Stat", unknown).info.name == b"/../"
    daemon.stop()


def case_deadlines():
    """Clients that do not wait, or die: whatever came of their calls, nothing is left over."""
    daemon = Daemon("deadlines")
    daemon.call("Prepare", key=b"k")
    daemon.call("Commit", key=b"k", name=b"base")
    for round_number in range(12):
        # A connection of their own: gRPC's clients may reset a stream that they have not begun, which ends it.
        channel = daemon.connect()
        daemon.call("Prepare", key=b"c", parent=b"base")
        name = b"n%d" % round_number
        calls = [daemon.start_call("Prepare", timeout=0.001 * (i % 8), channel=channel, key=b"k%d" % i, parent=b"base") for i in range(32)]
        calls.append(daemon.start_call("Commit", timeout=0.002 * (round_number % 6), channel=channel, key=b"c", name=name))
        for i in range(0, 32, 5):
            calls[i].cancel()
        if round_number % 3 == 0:
            channel.close()
        for call in calls:
            try:
                call.result()
            except (grpc.RpcError, grpc.FutureCancelledError):
                pass
        channel.close()
        for key in [b"c", name] + [b"k%d" % i for i in range(32)]:
            remove_if(daemon, key)
    # It ends when it has undone what was given up.
    daemon.restart()
    # The answer of a call that was done may have come too late.
    for key in daemon.list():
        if key != "base":
            daemon.call("Remove", key=key.encode())
    daemon.call("Remove", key=b"base")
    assert daemon.layers() == 0, os.listdir(daemon.home + "/subvolumes")
    daemon.stop()


def remove_if(daemon, key):
    """Remove KEY, if it is there."""
    try:
        daemon.call("Remove", key=key)
    except grpc.RpcError as error:
        assert error.code() == StatusCode.NOT_FOUND, error


def case_mounted_over():
    """A layer that something is mounted over: a state that its owner can end, no fault of the daemon."""
    daemon = Daemon("mounted")
    source = daemon.call("Prepare", key=b"k").mounts[0].source
    subprocess.run(["mount", "-t", "tmpfs", "none", source], check=True)
    try:
        daemon.fails(StatusCode.FAILED_PRECONDITION, "Usage", key=b"k")
        daemon.fails(StatusCode.FAILED_PRECONDITION, "Commit", key=b"k", name=b"n")
    finally:
        subprocess.run(["umount", source], check=True)
    daemon.call("Commit", key=b"k", name=b"n")
    daemon.stop()


def mount_stuck(path, mode):
    """Mount a file system that answers nothing over PATH, whose type MODE has; return its descriptor, which keeps it so."""
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = b"fd=%d,rootmode=%o,user_id=0,group_id=0" % (fuse, mode)
    assert ctypes.CDLL(None, use_errno=True).mount(b"none", path.encode(), b"fuse.stuck", 0, options) == 0, ctypes.get_errno()
    return fuse


def case_stuck():
    """File systems that answer nothing over layers: their calls fail at once, and all others are served."""
    if not os.path.exists("/dev/fuse"):
        print("no /dev/fuse")
        return
    daemon = Daemon("stuck")
    daemon.call("Prepare", key=b"k")
    daemon.call("Commit", key=b"k", name=b"base")
    # More than the daemon has threads for short calls.
    keys = [b"k%d" % i for i in range(os.cpu_count() + 2)]
    sources = [daemon.call("Prepare", key=key, parent=b"base").mounts[0].source for key in keys]
    # The layer of the base is the first one.
    sources.append(os.path.join(os.path.dirname(sources[0]), "s0"))
    fuses = []
    try:
        for source in sources:
            fuses.append(mount_stuck(source, stat.S_IFDIR))
        for key in keys:
            daemon.fails(StatusCode.FAILED_PRECONDITION, "Usage", key=key)
            text = daemon.fails(StatusCode.FAILED_PRECONDITION, "Commit", key=key, name=b"n")
            assert "mounted" in text, text
            daemon.call("Mounts", key=key)
            daemon.fails(StatusCode.FAILED_PRECONDITION, "Update", pb.UpdateRequest(info=pb.Info(name=key)))
        daemon.fails(StatusCode.FAILED_PRECONDITION, "Prepare", key=b"child", parent=b"base")
        # A layer that is removed takes the mount with it.
        daemon.call("Remove", key=keys.pop())
        sources.remove(sources[len(keys)])
        daemon.call("Cleanup")
        daemon.call("Prepare", key=b"other")
        daemon.call("Usage", key=b"other")
        daemon.call("Commit", key=b"other", name=b"more")
        daemon.restart()
    finally:
        for fuse in fuses:
            os.close(fuse)
        for source in sources:
            subprocess.run(["umount", "-l", source], check=False)
    daemon.call("Commit", key=keys[0], name=b"n")
    assert daemon.list() == sorted(["base", "more", "n"] + [key.decode() for key in keys[1:]])
    daemon.stop()


def case_stuck_end():
    """A call that hangs in the kernel, for a mount over the record of a layer: the daemon answers others, and ends."""
    if not os.path.exists("/dev/fuse"):
        print("no /dev/fuse")
        return
    daemon = Daemon("stuck-end")
    daemon.call("Prepare", key=b"k")
    record = daemon.home + "/.varve/layers/s0"
    fuse = mount_stuck(record, stat.S_IFREG)
    try:
        stuck = daemon.start_call("Update", pb.UpdateRequest(info=pb.Info(name=b"k")))
        daemon.call("Stat", key=b"k")
        assert not stuck.done()
        daemon.process.terminate()
        try:
            stuck.result()
        except grpc.RpcError:
            pass
        assert daemon.process.wait(HANG_S) == 1
    finally:
        subprocess.run(["umount", "-l", record], check=True)
        os.close(fuse)
    daemon.channel.close()
    daemon.start()
    assert daemon.list() == ["k"]
    daemon.stop()


def case_slow_reader():
    """A List whose client reads slowly, while snapshots come and go: those that stay are in it."""
    daemon = Daemon("slow")
    label = labels_of({"x": "y" * 4000})
    futures = [daemon.start_call("Prepare", key=b"k%03d" % i, labels=label) for i in range(300)]
    for future in futures:
        future.result()
    blocks = daemon.start_call("List")
    names = [info.name for info in next(blocks).info]
    for i in range(0, 300, 2):
        daemon.call("Remove", key=b"k%03d" % i)
    daemon.call("Prepare", key=b"new")
    names += [info.name for block in blocks for info in block.info]
    assert len(names) == len(set(names)) and set(names) >= {b"k%03d" % i for i in range(1, 300, 2)}, names
    # One that reads no more.
    daemon.start_call("List").cancel()
    assert len(daemon.list()) == 151
    daemon.stop()


class Model:
    """What the snapshots of a daemon are to be, and calls of both that have to agree."""

    def __init__(self, daemon, seed):
        self.daemon = daemon
        self.random = random.Random(seed)
        self.snapshots = {}
        self.files = {}

    def any_key(self):
        """A key: of a snapshot mostly, at times of none."""
        if self.snapshots and self.random.random() < 0.85:
            return self.random.choice(sorted(self.snapshots))
        return f"k{self.random.randrange(40)}"

    def any_labels(self):
        return {f"l{self.random.randrange(4)}": self.random.choice(["", "1", "2"]) for _ in range(self.random.randrange(3))}

    def expect(self, status, method, *arguments, **fields):
        if status is None:
            return self.daemon.call(method, *arguments, **fields)
        self.daemon.fails(status, method, *arguments, **fields)
        return None

    def create(self, method, kind):
        key, parent, labels = f"k{self.random.randrange(40)}", "", self.any_labels()
        if self.random.random() < 0.8:
            parent = self.any_key()
        status = None
        if parent and parent not in self.snapshots:
            status = StatusCode.NOT_FOUND
        elif parent and self.snapshots[parent]["kind"] != "committed":
            status = StatusCode.INVALID_ARGUMENT
        elif key in self.snapshots:
            status = StatusCode.ALREADY_EXISTS
        response = self.expect(status, method, key=key.encode(), parent=parent.encode(), labels=labels_of(labels))
        if status is None:
            source = response.mounts[0].source
            self.snapshots[key] = {"kind": kind, "parent": parent, "labels": {k: v for k, v in labels.items() if v}, "source": source,
                                   "files": set(self.snapshots[parent]["files"]) if parent else set()}
            assert set(os.listdir(source)) == self.snapshots[key]["files"], key
            if kind == "active":
                name = f"f{self.random.randrange(1000)}"
                with open(os.path.join(source, name), "w") as file:
                    file.write(key)
                self.snapshots[key]["files"].add(name)

    def op_prepare(self):
        self.create("Prepare", "active")

    def op_view(self):
        self.create("View", "view")

    def op_commit(self):
        key, name, labels = self.any_key(), f"k{self.random.randrange(40)}", self.any_labels()
        status = None
        if key not in self.snapshots:
            status = StatusCode.NOT_FOUND
        elif name in self.snapshots:
            status = StatusCode.ALREADY_EXISTS
        elif self.snapshots[key]["kind"] != "active":
            status = StatusCode.FAILED_PRECONDITION
        self.expect(status, "Commit", key=key.encode(), name=name.encode(), labels=labels_of(labels))
        if status is None:
            self.snapshots[name] = dict(self.snapshots.pop(key), kind="committed", labels={k: v for k, v in labels.items() if v})

    def op_remove(self):
        key = self.any_key()
        status = None
        if key not in self.snapshots:
            status = StatusCode.NOT_FOUND
        elif any(other["parent"] == key for other in self.snapshots.values()):
            status = StatusCode.FAILED_PRECONDITION
        self.expect(status, "Remove", key=key.encode())
        if status is None:
            source = self.snapshots.pop(key)["source"]
            assert not os.path.exists(source), source

    def op_update(self):
        key, labels = self.any_key(), self.any_labels()
        paths = self.random.choice([[], ["labels"], ["labels.l1"], ["labels.l1", "labels.l2"], ["kind"]])
        status = None
        if key not in self.snapshots:
            status = StatusCode.NOT_FOUND
        elif paths == ["kind"]:
            status = StatusCode.INVALID_ARGUMENT
        request = pb.UpdateRequest(info=pb.Info(name=key.encode(), labels=labels_of(labels)))
        request.update_mask.paths.extend(path.encode() for path in paths)
        self.expect(status, "Update", request)
        if status is None:
            new = {} if paths in ([], ["labels"]) else dict(self.snapshots[key]["labels"])
            for name in (labels if paths in ([], ["labels"]) else [path[7:] for path in paths]):
                new[name] = labels.get(name, "")
            self.snapshots[key]["labels"] = {k: v for k, v in new.items() if v}

    def op_mounts(self):
        key = self.any_key()
        status = None
        if key not in self.snapshots:
            status = StatusCode.NOT_FOUND
        elif self.snapshots[key]["kind"] == "committed":
            status = StatusCode.FAILED_PRECONDITION
        response = self.expect(status, "Mounts", key=key.encode())
        if status is None:
            assert response.mounts[0].source == self.snapshots[key]["source"]

    def op_usage(self):
        key = self.any_key()
        response = self.expect(None if key in self.snapshots else StatusCode.NOT_FOUND, "Usage", key=key.encode())
        if key in self.snapshots and self.snapshots[key]["kind"] == "view":
            assert (response.size, response.inodes) == (0, 0)

    def op_list(self):
        label = f"l{self.random.randrange(4)}"
        kind = self.random.choice(["view", "active", "committed"])
        found = self.daemon.list(f"kind=={kind},labels.{label}", "name~=k1.")
        wanted = [key for key, one in self.snapshots.items() if (one["kind"] == kind and label in one["labels"]) or
                  (key.startswith("k1") and len(key) > 2)]
        assert found == sorted(wanted), (found, wanted)

    def check(self):
        """All that the daemon has is what it is to have."""
        infos = {info.name.decode(): info for info in self.daemon.call("List")}
        assert set(infos) == set(self.snapshots), (set(infos) ^ set(self.snapshots))
        for key, info in infos.items():
            one = self.snapshots[key]
            labels = {label.key.decode(): label.value.decode() for label in info.labels}
            assert (KINDS[info.kind], info.parent.decode(), labels) == (one["kind"], one["parent"], one["labels"]), (info, one)
            assert set(os.listdir(one["source"])) == one["files"], key
        assert self.daemon.layers() == len(infos)

    def run(self, steps):
        operations = [self.op_prepare, self.op_prepare, self.op_view, self.op_commit, self.op_commit, self.op_remove, self.op_remove,
                      self.op_update, self.op_mounts, self.op_usage, self.op_list]
        for step in range(1, steps + 1):
            self.random.choice(operations)()
            if step % 100 == 0:
                self.check()
            if step % 150 == 0:
                if self.random.random() < 0.5:
                    self.daemon.kill()
                    self.daemon.start()
                else:
                    self.daemon.restart()
                self.check()


def case_model():
    seed = int(os.environ.get("VARVE_TEST_SEED") or time.time_ns() % 1000000)
    print("VARVE_TEST_SEED=%d" % seed, flush=True)
    daemon = Daemon("model")
    model = Model(daemon, seed)
    model.run(6000 if SOAK else 450)
    daemon.stop()
    # Commits that answer before the disk does.
    daemon = Daemon("relaxed", "--commit=relaxed")
    model = Model(daemon, seed + 1)
    model.run(3000 if SOAK else 150)
    daemon.stop()


def case_threads():
    """Many clients at once, with keys of their own and a parent that they share; and a kill in the middle."""
    daemon = Daemon("threads")
    daemon.call("Prepare", key=b"k")
    daemon.call("Commit", key=b"k", name=b"base")
    faults, answered, progress = [], {}, threading.Condition()

    def client(number):
        source = random.Random(number)
        alive = []
        try:
            for i in range(1000000):
                key = b"%d-%d" % (number, i)
                daemon.call("Prepare", key=key, parent=b"base")
                if source.random() < 0.5:
                    daemon.call("Commit", key=key, name=key + b"c")
                    key += b"c"
                alive.append(key)
                with progress:
                    answered[number] = list(alive)
                    progress.notify()
                if len(alive) > 3:
                    daemon.call("Remove", key=alive[0])
                    alive.pop(0)
        except grpc.RpcError as error:
            if error.code() not in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED):
                with progress:
                    faults.append(error)
                    progress.notify()
        except ValueError:
            # The channel was closed.
            pass

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    with progress:
        progress.wait_for(lambda: faults or sum(map(len, answered.values())) >= 24)
    daemon.kill()
    for thread in threads:
        thread.join()
    assert not faults, faults
    daemon.start()
    found = set(daemon.list())
    # What was answered is there, but for a removal under way.
    for keys in answered.values():
        assert found.issuperset(key.decode() for key in keys[1:]), (keys, found)
    daemon.call("Cleanup")
    assert daemon.layers() == len(found), (found, os.listdir(daemon.home + "/subvolumes"))
    daemon.stop()


def case_list():
    """`varve serve list`, beside a daemon."""
    daemon = Daemon("list")
    assert varve_list(daemon) == "" and varve_list(daemon, "--json", "--why") == ""
    source = daemon.call("Prepare", key=b"k").mounts[0].source
    with open(source + "/file", "w") as file:
        file.write("x" * (1 << 20))
    daemon.call("Commit", key=b"k", name=b"base")
    for i in range(2):
        daemon.call("Prepare", key=b"a %d" % i, parent=b"base", labels=labels_of({"x": 'y"\n'}))
    daemon.call("View", key=b"v\x1b", parent=b"base")
    lines = varve_list(daemon, "--why").splitlines()
    assert lines[0].split() == ["KEY", "KIND", "PARENT", "AGE", "SIZE", "KEPT", "BY"], lines
    assert lines[1].split()[:3] == ["base", "committed", "-"] and lines[1].split()[4] == "1.0M", lines
    assert lines[1].endswith("3 children: a 0, ...") and lines[2].endswith("nothing") and "v\\x1b" in lines[4], lines
    objects = [json.loads(line) for line in varve_list(daemon, "--json").splitlines()]
    assert objects[0]["size"] == 1 << 20 and objects[0]["children"] == 3 and objects[0]["kind"] == "committed", objects
    assert objects[1]["labels"] == {"x": 'y"\n'} and objects[1]["parent"] == "base" and objects[3]["key"] == "v\x1b", objects
    daemon.stop()
    # A parent that is gone, a record that cannot be read, a layer without one, a layer of somebody else.
    varve = [os.path.join(BUILD, "varve"), "--home", daemon.home]
    subprocess.run(varve + ["rm", os.path.basename(source)], check=True)
    subprocess.run(varve + ["create", "szz"], check=True)
    subprocess.run(varve + ["create", "other"], check=True)
    subprocess.run(varve + ["create", "sy", "--label", "varve.snapshot=active"], check=True)
    text = varve_list(daemon, "--why")
    assert text.count("(gone) base") == 3, text
    assert "layer sy is not served: its record cannot be read\n" in text, text
    assert "layer szz is not served: it has no record of a snapshot\n" in text and "other" not in text, text
    objects = [json.loads(line) for line in varve_list(daemon, "--json", "--why").splitlines()]
    assert [one["orphan"] for one in objects if "key" in one] == [True] * 3, objects
    assert [one["layer"] for one in objects if "stray" in one] == ["sy", "szz"], objects
    daemon.start()
    daemon.stop()
    assert "2 layers of snapshots are not served" in daemon.errors() and "3 snapshots have lost their parent" in daemon.errors()


def varve_check(daemon, status):
    """Expect STATUS of `varve check`; return its findings, path and fault."""
    command = [os.path.join(BUILD, "varve"), "--home", daemon.home, "--json", "check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (status, ""), result
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    if status < 2:
        assert objects.pop()["findings"] == len(objects), result
    assert all((one["kind"], one["gc"]) == ("snapshot", None) for one in objects), objects
    return {one["path"].removeprefix("subvolumes/"): one["detail"] for one in objects}


def rewrite(daemon, layer, label=None, **fields):
    """Change the record of LAYER, and the kind that its label has, as no daemon does."""
    varve = [os.path.join(BUILD, "varve"), "--home", daemon.home, "label", layer]
    record = record_pb2.Snapshot.FromString(subprocess.run(varve + ["--print-record"], check=True, capture_output=True).stdout)
    for name, value in fields.items():
        setattr(record, name, value)
    labels = [f"varve.snapshot={label}"] if label else []
    subprocess.run(varve + ["--record", "-", *labels], input=record.SerializeToString(), check=True)


def case_check():
    """`varve check` names each fault of the snapshots once, beside a daemon that is busy, and nothing else."""
    daemon = Daemon("check")
    assert not varve_check(daemon, 0)

    def prepare(key, parent=b"", committed=True):
        source = daemon.call("Prepare", key=b"active " + key, parent=parent).mounts[0].source
        if committed:
            daemon.call("Commit", key=b"active " + key, name=key)
        return os.path.basename(source)

    base = prepare(b"base")
    layers = {key: prepare(key, b"base") for key in (b"gone", b"kind", b"stray", b"twice", b"twice 2", b"label", b"later")}
    of = {key: prepare(b"of " + key, key, committed=False) for key in (b"gone", b"kind", b"stray", b"later")}
    order = prepare(b"order", b"base")
    assert not varve_check(daemon, 0)
    # Snapshots that come and go meanwhile are no faults.
    end = threading.Event()

    def churn():
        while not end.is_set():
            prepare(b"churn", b"base")
            prepare(b"churn child", b"churn", committed=False)
            daemon.call("Remove", key=b"active churn child")
            daemon.call("Remove", key=b"churn")

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(churn)
        for _ in range(30 if SOAK else 5):
            assert not varve_check(daemon, 0)
        end.set()
        future.result()
    daemon.stop()
    varve = [os.path.join(BUILD, "varve"), "--home", daemon.home]
    subprocess.run(varve + ["rm", layers[b"gone"]], check=True)
    rewrite(daemon, layers[b"kind"], "active", kind=pb.ACTIVE)
    subprocess.run(varve + ["label", layers[b"stray"], "--record", "-"], input=b"\377nothing", check=True)
    rewrite(daemon, layers[b"twice 2"], key=b"twice")
    rewrite(daemon, layers[b"label"], "view")
    rewrite(daemon, layers[b"later"], version=99)
    rewrite(daemon, order, parent_number=int(order[1:], 36) + 1)
    subprocess.run(varve + ["create", "szz"], check=True)
    subprocess.run(varve + ["create", "other"], check=True)
    subprocess.run(varve + ["create", "named", "--label", "varve.snapshot=active"], check=True)
    served, stray = "a snapshot: ", "a layer of a snapshot, which is not served: "
    wanted = {
        of[b"gone"]: served + "its parent is gone: gone", of[b"kind"]: served + "its parent is not committed: kind",
        of[b"stray"]: served + "its parent is not served: stray", of[b"later"]: served + "its parent is not served: later",
        order: served + "its parent is younger than it: base",
        layers[b"label"]: served + "its label has another kind than its record: label",
        layers[b"stray"]: stray + "its record cannot be read", layers[b"twice 2"]: stray + "another layer has the same key: twice",
        layers[b"later"]: stray + "a later version of varve has written its record",
        "named": stray + "its id is not one of a snapshot", "szz": stray + "it has no record of a snapshot",
    }
    found = varve_check(daemon, 1)
    assert found == wanted, {key: (found.get(key), wanted.get(key)) for key in found.keys() | wanted.keys()}
    text = subprocess.run(varve + ["check"], capture_output=True, text=True, check=False).stdout
    assert f"snapshot subvolumes/{of[b'gone']}: {wanted[of[b'gone']]}; gc leaves it\n" in text and base + ":" not in text, text


def main():
    names = sys.argv[1:] or [name[5:] for name in globals() if name.startswith("case_")]
    for name in names:
        globals()["case_" + name]()
        print("ok", name, flush=True)


main()
