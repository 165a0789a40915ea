#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# The cases of test_daemon.sh; each has a home and a socket of its own. `daemon.py CASE...` runs some.
import fcntl
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile

import grpc

BUILD = os.environ["VARVE_BUILD"]
MOUNT = os.environ["VARVE_TEST_MOUNT"]
# Only a hang reaches it.
HANG_S = 300
NOBODY = 65534
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
# A client's first bytes: the preface of HTTP/2 and empty settings.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"

scratch = tempfile.mkdtemp(prefix="varve-serve-")


class Daemon:
    """A daemon, ready unless WAIT is false."""

    def __init__(self, name, *arguments, wait=True, home=None, fds=(), command=None, environment=None, log=None):
        self.home = home or os.path.join(MOUNT, name)
        self.path = os.path.join(scratch, name + ".sock")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.settimeout(HANG_S)
        notify_path = tempfile.mktemp(dir=scratch)
        # systemd's may have a path, or be an abstract one.
        if fds:
            notify_path = f"@varve-serve-{os.getpid()}-{name}-{os.path.basename(notify_path)}"
        self.notify.bind(notify_path.replace("@", "\0", 1))
        self.log = log or tempfile.TemporaryFile()
        environment = dict(os.environ, NOTIFY_SOCKET=notify_path, **(environment or {}))
        if os.environ.get("VARVE_TEST_BACKEND") == "threads":
            arguments += ("--no-uring",)
        if not fds:
            arguments += ("--socket", self.path)
        command = command or [os.path.join(BUILD, "varve"), "serve"]

        # As systemd passes them: from 3 on, for this process. The shell knows its own id, and becomes the daemon.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
        if fds:
            moves = " ".join(f"{3 + i}<&{fd} {fd}<&-" for i, fd in enumerate(high))
            command = ["/bin/bash", "-c", f'LISTEN_PID=$$ exec "$@" {moves}', "bash"] + command
            environment["LISTEN_FDS"] = str(len(fds))
        self.process = subprocess.Popen(command + ["--home", self.home, *arguments], stderr=self.log, env=environment, pass_fds=high)
        for fd in high:
            os.close(fd)
        if wait:
            self.expect_state("READY=1")

    def expect_state(self, wanted):
        try:
            state = self.notify.recv(256).decode()
        except TimeoutError:
            state = "nothing"
        assert state == wanted, f"{state!r} instead of {wanted!r}: {self.errors()}"

    def errors(self):
        self.log.seek(0)
        return self.log.read().decode()

    def end(self, status=0):
        """It ends by itself."""
        found = self.process.wait(HANG_S)
        assert found == status, f"status {found}: {self.errors()}"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.expect_state("STOPPING=1")
        self.end()

    def kill(self):
        self.process.kill()
        self.process.wait(HANG_S)

    def channel(self):
        return grpc.insecure_channel("unix:" + self.path)

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(HANG_S)
        client.connect(self.path)
        return client


def call(channel, method="/grpc.health.v1.Health/Check", message=b"", **options):
    return channel.unary_unary(method)(message, timeout=HANG_S, **options)


def fails(status, function, *arguments, **options):
    """The call fails with STATUS; return the text."""
    try:
        function(*arguments, **options)
    except grpc.RpcError as error:
        assert error.code() == status, error
        return error.details()
    raise AssertionError(f"succeeds instead of {status}")


def ends(client):
    """Read until the daemon closes the connection; return what came."""
    data = b""
    while True:
        try:
            part = client.recv(65536)
        except ConnectionResetError:
            return data
        if not part:
            return data
        data += part


def case_life():
    daemon = Daemon("life")
    mode = os.stat(daemon.path).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600, oct(mode)
    with daemon.channel() as channel:
        assert call(channel) == SERVING
        text = fails(grpc.StatusCode.UNIMPLEMENTED, call, channel, "/nothing.Here/Do")
        assert "/nothing.Here/Do" in text, text
        fails(grpc.StatusCode.UNIMPLEMENTED, call, channel, compression=grpc.Compression.Gzip, message=b"x" * 4096)
        # A text that is no ASCII comes as it is.
        text = fails(grpc.StatusCode.NOT_FOUND, call, channel, message=b"\n\3abc")
        assert text == "there is no such service", text
        # A message of 16 MiB, and its like beyond.
        fails(grpc.StatusCode.NOT_FOUND, call, channel, message=b"\n\xfb\xff\xff\x07" + b"a" * ((16 << 20) - 5))
        fails(grpc.StatusCode.RESOURCE_EXHAUSTED, call, channel, message=b"\n\xfc\xff\xff\x07" + b"a" * ((16 << 20) - 4))
    daemon.stop()
    assert not os.path.exists(daemon.path)
    # The log has the calls that failed, with their numbers.
    assert re.search(r'call=2 pid=%d method="/nothing.Here/Do" status=UNIMPLEMENTED ms=[0-9.]+ text="' % os.getpid(), daemon.errors()), \
        daemon.errors()
    assert "call=1 " not in daemon.errors()


def written(pid, place):
    """The files below PLACE that process PID has open for writing."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = os.readlink(f"/proc/{pid}/fd/{fd}")
        with open(f"/proc/{pid}/fdinfo/{fd}") as info:
            flags = int(re.search("flags:\\s*(\\d+)", info.read()).group(1), 8)
        if path.startswith(place) and flags & os.O_ACCMODE != os.O_RDONLY:
            found.append(path)
    return found


def case_lock():
    first = Daemon("lock")
    # Else the file system could not be remounted read-only while it runs.
    assert not written(first.process.pid, MOUNT), written(first.process.pid, MOUNT)
    second = Daemon("lock-second", wait=False, home=first.home)
    second.end(1)
    assert f"process {first.process.pid} serves this home already" in second.errors(), second.errors()
    assert not os.path.exists(second.path)
    with first.channel() as channel:
        assert call(channel) == SERVING
    # One that was killed leaves its socket, its lock file, and no lock.
    first.kill()
    assert os.path.exists(first.path)
    # Another program has the lock then: not the one that is gone.
    with open(first.home + "/serve.lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        second = Daemon("lock-second", wait=False, home=first.home)
        second.end(1)
    assert "another process has the lock of this home" in second.errors(), second.errors()
    third = Daemon("lock")
    with third.channel() as channel:
        assert call(channel) == SERVING
    # Without the file the home is still locked.
    os.unlink(first.home + "/serve.lock")
    second = Daemon("lock-second", wait=False, home=first.home)
    second.end(1)
    assert f"process {third.process.pid} serves this home already" in second.errors(), second.errors()
    with third.channel() as channel:
        assert call(channel) == SERVING
    third.stop()
    fourth = Daemon("lock")
    fourth.stop()


def case_places():
    first = Daemon("places")
    # Another home, the same socket.
    second = Daemon("places", wait=False, home=first.home + "-other")
    second.end(1)
    assert "another process listens there" in second.errors(), second.errors()
    with first.channel() as channel:
        assert call(channel) == SERVING
    first.stop()
    with open(first.path, "w") as file:
        file.write("precious")
    third = Daemon("places", wait=False)
    third.end(1)
    assert "exists and is not a socket" in third.errors(), third.errors()
    with open(first.path) as file:
        assert file.read() == "precious"
    # Links in the place of the lock file are not followed.
    os.unlink(first.path)
    os.unlink(first.home + "/serve.lock")
    os.symlink("/dev/null", first.home + "/serve.lock")
    fourth = Daemon("places", wait=False)
    fourth.end(1)
    assert "the lock of the home cannot be taken" in fourth.errors(), fourth.errors()


def listening(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    return server


def case_activation():
    path = os.path.join(scratch, "activated.sock")
    server = listening(path)
    daemon = Daemon("activation", fds=[server.fileno()])
    assert not os.path.exists(daemon.path)
    with grpc.insecure_channel("unix:" + path) as channel:
        assert call(channel) == SERVING
    daemon.stop()
    # Nobody serves: a client waits, and is served by the next.
    assert os.path.exists(path)
    with grpc.insecure_channel("unix:" + path) as channel:
        waiting = channel.unary_unary("/grpc.health.v1.Health/Check").future(b"", timeout=HANG_S)
        daemon = Daemon("activation", fds=[server.fileno()])
        assert waiting.result() == SERVING
    daemon.stop()
    # What is for another process is left alone; what is no socket is an error.
    daemon = Daemon("activation", environment={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    with daemon.channel() as channel:
        assert call(channel) == SERVING
    daemon.stop()
    with open("/dev/null") as null:
        daemon = Daemon("activation", fds=[null.fileno()], wait=False)
    daemon.end(1)
    assert "descriptor 3 is no socket that listens" in daemon.errors(), daemon.errors()


def case_peers():
    daemon = Daemon("peers")
    os.chmod(scratch, 0o711)
    program = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(len(s.recv(100)))"
    command = [sys.executable, "-c", program, daemon.path]
    found = subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=False)
    assert "PermissionError" in found.stderr, found.stderr
    # Where somebody has opened the socket to all, the peer counts.
    os.chmod(daemon.path, 0o666)
    found = subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=False)
    assert found.stdout == "0\n" or "ConnectionResetError" in found.stderr, found
    with daemon.channel() as channel:
        assert call(channel) == SERVING
    daemon.stop()
    assert "that is not root was refused" in daemon.errors(), daemon.errors()


def begin_call(client, headers):
    """Send the HEADERS of stream 1, and see that they were read."""
    client.sendall(PREFACE + struct.pack(">I", len(headers))[1:] + b"\1\4" + struct.pack(">I", 1) + headers)
    ping(client, b"complete")


def ping(client, token):
    """Send a PING with TOKEN and wait for its answer: what came before it was taken."""
    client.sendall(b"\0\0\x08\6\0\0\0\0\0" + token)
    found = b""
    while b"\0\0\x08\6\1\0\0\0\0" + token not in found:
        more = client.recv(4096)
        assert more, found
        found += more


def case_drain():
    daemon = Daemon("drain")
    client = daemon.connect()
    # A call that is half sent keeps its connection: HEADERS of stream 1 without an end, all in literals.
    headers = b""
    for name, value in ((":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/grpc.health.v1.Health/Check"), ("content-type", "application/grpc")):
        headers += b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    begin_call(client, headers)
    with daemon.channel() as channel:
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=HANG_S)
        assert next(watch) == SERVING
        daemon.process.send_signal(signal.SIGTERM)
        daemon.expect_state("STOPPING=1")
        assert next(watch) == NOT_SERVING
        fails(grpc.StatusCode.UNAVAILABLE, next, watch)
    with daemon.channel() as channel:
        fails(grpc.StatusCode.UNAVAILABLE, call, channel)
    assert daemon.process.poll() is None
    # A terminal that goes away, and then its shell, send SIGHUP: the call goes on.
    daemon.process.send_signal(signal.SIGHUP)
    ping(client, b"hang up!")
    # The rest of the call is answered, and then all is over.
    client.sendall(b"\0\0\5\0\1\0\0\0\1" + b"\0\0\0\0\0")
    assert b"\0\0\0\0\2" + NOT_SERVING in ends(client)
    # What it sends before it has seen the end does not fail: it would drop the answer. It need not close, either.
    client.sendall(b"\0\0\x08\6\0\0\0\0\0" + b"too late")
    daemon.end()
    # A second signal ends it at once.
    daemon = Daemon("drain")
    client = daemon.connect()
    begin_call(client, headers)
    with daemon.channel() as channel:
        assert call(channel) == SERVING
    daemon.process.send_signal(signal.SIGTERM)
    daemon.expect_state("STOPPING=1")
    daemon.process.send_signal(signal.SIGTERM)
    ends(client)
    daemon.end()
    # The terminal goes, or what rotates logs asks for a new one.
    daemon = Daemon("drain")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.expect_state("STOPPING=1")
    daemon.end()
    # Under nohup it stays.
    daemon = Daemon("drain", command=["/usr/bin/env", "--ignore-signal=HUP", os.path.join(BUILD, "varve"), "serve"])
    daemon.process.send_signal(signal.SIGHUP)
    with daemon.channel() as channel:
        assert call(channel) == SERVING
    daemon.stop()


def case_log():
    stat_method = "/containerd.services.snapshots.v1.Snapshots/Stat"
    daemon = Daemon("log", "--access-log=all")
    with daemon.channel() as channel:
        # Any bytes in a key, on one line; a long one is cut off.
        fails(grpc.StatusCode.NOT_FOUND, call, channel, stat_method, message=b'\x12\6k8\n"/x')
        fails(grpc.StatusCode.NOT_FOUND, call, channel, stat_method, message=b"\x12\xc8\1" + b"k" * 200)
        assert call(channel) == SERVING
    daemon.stop()
    lines = daemon.errors().splitlines()
    assert len(lines) == 3 and [line.split()[0] for line in lines] == ["call=1", "call=2", "call=3"], lines
    assert 'Snapshots/Stat key="k8\\x0a\\x22/x" status=NOT_FOUND ' in lines[0], lines
    assert 'key="' + "k" * 128 + '..." status=' in lines[1], lines
    assert "Health/Check status=OK ms=" in lines[2], lines
    # Nobody reads the log: calls go on, and what was lost is counted.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    filled = 0
    try:
        while True:
            filled += os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    daemon = Daemon("log", "--access-log=all", log=os.fdopen(writer, "wb", buffering=0))
    with daemon.channel() as channel:
        for _ in range(100):
            assert call(channel) == SERVING
        while filled > 0:
            filled -= len(os.read(reader, min(filled, 65536)))
        assert call(channel) == SERVING
        with os.fdopen(reader) as lines:
            # The answer to the last of them may have come before its line.
            line = lines.readline()
            dropped = int(line.split()[0])
            assert dropped in (99, 100) and line == f"{dropped} lines were dropped\n", line
            line = lines.readline()
            assert line.startswith(f"call={dropped + 1} "), line
            daemon.stop()


def case_streams():
    """A daemon that is started without standard streams writes no log into a file of the store."""
    closed = ["/bin/bash", "-c", 'exec "$0" "$@" <&- >&- 2>&-', os.path.join(BUILD, "varve-serve")]
    daemon = Daemon("streams", "--access-log=all", command=closed)
    with daemon.channel() as channel:
        assert call(channel) == SERVING
    for fd in range(3):
        assert os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}") == "/dev/null", fd
    daemon.stop()
    # Messages wait for no reader.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    daemon = Daemon("streams", log=os.fdopen(writer, "wb", buffering=0))
    os.chmod(daemon.path, 0o666)
    os.chmod(scratch, 0o711)
    program = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, daemon.path], user=NOBODY, group=NOBODY, extra_groups=[], check=True)
    with daemon.channel() as channel:
        assert call(channel) == SERVING
    # They come again when there is room.
    os.set_blocking(reader, False)
    try:
        while True:
            os.read(reader, 65536)
    except BlockingIOError:
        os.set_blocking(reader, True)
    subprocess.run([sys.executable, "-c", program, daemon.path], user=NOBODY, group=NOBODY, extra_groups=[], check=True)
    with os.fdopen(reader) as lines:
        assert "that is not root was refused" in lines.readline()
        daemon.stop()


def fetch(address, request=b"GET /metrics HTTP/1.0\r\n\r\n"):
    """Ask ADDRESS by HTTP; return the status line and the body."""
    client = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    client.settimeout(HANG_S)
    client.connect(address)
    client.sendall(request)
    head, _, body = ends(client).partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body.decode()


def case_metrics():
    path = os.path.join(scratch, "metrics.sock")
    daemon = Daemon("counted", "--metrics", path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with daemon.channel() as channel:
        for _ in range(3):
            assert call(channel) == SERVING
        fails(grpc.StatusCode.NOT_FOUND, call, channel, message=b"\n\3abc")
        fails(grpc.StatusCode.UNIMPLEMENTED, call, channel, '/hostile."name\\/x')
        status, text = fetch(path)
    assert status == "HTTP/1.1 200 OK", (status, daemon.errors())
    for line in ('varve_serve_rpcs_total{method="grpc.health.v1.Health/Check",code="OK"} 3',
                 'varve_serve_rpcs_total{method="grpc.health.v1.Health/Check",code="NOT_FOUND"} 1',
                 'varve_serve_rpcs_total{method="unknown",code="UNIMPLEMENTED"} 1',
                 'varve_serve_rpc_seconds_count{method="grpc.health.v1.Health/Check"} 4',
                 'varve_serve_rpc_seconds_bucket{method="unknown",le="+Inf"} 1',
                 "varve_serve_connections 1", "varve_serve_calls 0"):
        assert line in text.split("\n"), (line, text)
    # The store's own follow, and all is OpenMetrics.
    assert text.count("# EOF") == 1 and text.endswith("# EOF\n"), text[-200:]
    try:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
        names = [family.name for family in text_string_to_metric_families(text)]
        assert "varve_serve_rpc_seconds" in names and any(not name.startswith("varve_serve") for name in names), names
    except ImportError:
        print("not parsed: there is no prometheus_client")
    assert fetch(path, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")[0] == "HTTP/1.1 404 Not Found"
    assert fetch(path, b"POST /metrics HTTP/1.1\r\n\r\n")[0] == "HTTP/1.1 405 Method Not Allowed"
    # Half a request, too long a one, and one that goes away.
    assert fetch(path, b"GET /metrics " + b"x" * 5000)[0] == ""
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(b"GET /met")
    client.close()
    assert fetch(path)[0] == "HTTP/1.1 200 OK"
    daemon.stop()
    assert not os.path.exists(path)


def case_metrics_loopback():
    probe = socket.create_server(("127.0.0.1", 0))
    address = probe.getsockname()
    probe.close()
    daemon = Daemon("loopback", "--metrics", f"127.0.0.1:{address[1]}")
    assert fetch(address)[0] == "HTTP/1.1 200 OK"
    # However many connections of other users ask nothing: each new one takes the place of the oldest.
    idle = [socket.create_connection(address) for _ in range(40)]
    idle[-1].sendall(b"GET /met")
    for _ in range(3):
        assert fetch(address)[0] == "HTTP/1.1 200 OK"
    for client in idle[:24]:
        assert ends(client) == b""
    idle[-1].sendall(b"rics HTTP/1.0\r\n\r\n")
    assert ends(idle[-1]).startswith(b"HTTP/1.1 200 OK")
    daemon.stop()
    # Others than this machine's own have nothing to ask.
    daemon = Daemon("loopback", "--metrics", f"0.0.0.0:{address[1]}", wait=False)
    daemon.end(1)
    assert "127.0.0.1:PORT" in daemon.errors(), daemon.errors()
    # systemd's, by its name.
    calls, metrics = listening(os.path.join(scratch, "calls.sock")), listening(os.path.join(scratch, "passed.sock"))
    daemon = Daemon("loopback", fds=[metrics.fileno(), calls.fileno()], environment={"LISTEN_FDNAMES": "metrics:varve.socket"})
    with grpc.insecure_channel("unix:" + os.path.join(scratch, "calls.sock")) as channel:
        assert call(channel) == SERVING
    assert fetch(os.path.join(scratch, "passed.sock"))[0] == "HTTP/1.1 200 OK"
    daemon.stop()


def main():
    names = sys.argv[1:] or [name[5:] for name in globals() if name.startswith("case_")]
    try:
        for name in names:
            globals()["case_" + name]()
            print("ok", name)
    finally:
        for entry in os.listdir(scratch):
            os.unlink(os.path.join(scratch, entry))
        os.rmdir(scratch)


main()
