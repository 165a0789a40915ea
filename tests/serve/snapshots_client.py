# SPDX-License-Identifier: Apache-2.0
# A daemon on a home of its own, and a client of it, for the tests in Python. VARVE_BUILD: what to test; VARVE_TEST_MOUNT: where homes go.
import atexit
import os
import socket
import subprocess
import tempfile

import grpc
import snapshots_pb2 as pb

BUILD = os.environ["VARVE_BUILD"]
MOUNT = os.environ["VARVE_TEST_MOUNT"]
# Only a hang reaches it.
HANG_S = 600
METHODS = {
    "Prepare": (pb.CreateRequest, pb.MountsResponse), "View": (pb.CreateRequest, pb.MountsResponse),
    "Mounts": (pb.KeyRequest, pb.MountsResponse), "Commit": (pb.CommitRequest, pb.Empty), "Remove": (pb.KeyRequest, pb.Empty),
    "Stat": (pb.KeyRequest, pb.InfoResponse), "Update": (pb.UpdateRequest, pb.InfoResponse), "Usage": (pb.KeyRequest, pb.UsageResponse),
    "Cleanup": (pb.KeyRequest, pb.Empty), "List": (pb.ListRequest, pb.ListResponse),
}


def labels_of(labels):
    return [pb.Label(key=key.encode(), value=value.encode()) for key, value in (labels or {}).items()]


class Client:
    """A client of the socket PATH: of a daemon, or of containerd."""

    # What each call says beside its message: (name, value).
    metadata = ()
    # Whether a call waits while there is no connection; None: it fails.
    wait_for_ready = None

    def __init__(self, path):
        self.path = path
        self.channel = self.connect()

    def connect(self):
        """Another connection. One that breaks is tried again at once: nobody else waits for that server."""
        return grpc.insecure_channel("unix:" + self.path, options=[
            ("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)])

    def start_call(self, method, message=None, timeout=HANG_S, channel=None, **fields):
        request, response = METHODS[method]
        channel = channel or self.channel
        kind = channel.unary_stream if method == "List" else channel.unary_unary
        stub = kind("/containerd.services.snapshots.v1.Snapshots/" + method, request_serializer=request.SerializeToString,
                    response_deserializer=response.FromString)
        message = message or request(**fields)
        options = {"timeout": timeout, "metadata": self.metadata, "wait_for_ready": self.wait_for_ready}
        return stub(message, **options) if method == "List" else stub.future(message, **options)

    def call(self, method, message=None, **fields):
        result = self.start_call(method, message, **fields)
        return [info for block in result for info in block.info] if method == "List" else result.result()

    def fails(self, status, method, message=None, **fields):
        try:
            self.call(method, message, **fields)
        except grpc.RpcError as error:
            assert error.code() == status, error
            return error.details()
        raise AssertionError(f"{method} succeeds instead of {status}")

    def list(self, *filters):
        return sorted(info.name.decode() for info in self.call("List", filters=[text.encode() for text in filters]))

    def remove_all(self, parents, **fields):
        """Remove all snapshots of PARENTS, which has the parent of each, children first."""
        left = dict(parents)
        while left:
            leaves = left.keys() - set(left.values())
            for call in [self.start_call("Remove", key=name.encode(), **fields) for name in leaves]:
                call.result()
            for name in leaves:
                del left[name]


class Daemon(Client):
    """A daemon on the home NAME, ready, and a client of it."""

    def __init__(self, name, *arguments):
        self.arguments = arguments
        self.process = None
        self.name = name
        self.home = os.path.join(MOUNT, name)
        self.log = tempfile.TemporaryFile(dir=MOUNT)
        self.start()

    def start(self):
        directory = tempfile.mkdtemp(dir=MOUNT)
        self.path = os.path.join(directory, "socket")
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.settimeout(HANG_S)
        notify.bind(os.path.join(directory, "notify"))
        command = [os.path.join(BUILD, "varve-serve"), "--home", self.home, "--socket", self.path, *self.arguments]
        if os.environ.get("VARVE_TEST_BACKEND") == "threads":
            command.append("--no-uring")
        environment = dict(os.environ, NOTIFY_SOCKET=os.path.join(directory, "notify"))
        # A failed test leaves no daemon, and so no mount that is busy.
        atexit.register(self.end)
        self.process = subprocess.Popen(command, stderr=self.log, env=environment)
        state = notify.recv(256)
        assert state == b"READY=1", (state, self.errors())
        super().__init__(self.path)

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def errors(self):
        self.log.seek(0)
        return self.log.read().decode()

    def stop(self):
        self.channel.close()
        self.process.terminate()
        status = self.process.wait(HANG_S)
        atexit.unregister(self.end)
        assert status == 0, (status, self.errors())

    def kill(self):
        self.process.kill()
        self.process.wait(HANG_S)
        self.channel.close()

    def restart(self):
        self.stop()
        self.start()

    def layers(self):
        return len(os.listdir(self.home + "/subvolumes"))


def varve_list(daemon, *arguments):
    command = [os.path.join(BUILD, "varve"), "--home", daemon.home, "serve", "list", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
