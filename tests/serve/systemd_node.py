# SPDX-License-Identifier: Apache-2.0
"""Expect of the units of varve, in a system that systemd has booted, what varve-serve(8) and varve_containerd(7) promise.

Usage: systemd_node.py, as root in that system. It ends at the first thing that is not so, and prints the journal of the units.
"""
import errno
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import traceback

import grpc

from snapshots_client import Client, HANG_S, labels_of, pb
from waits import wait_until

SOCKET = "/run/varve/varve.sock"
METRICS = "/run/varve-metrics.sock"
HOME = "/var/lib/varve"
UNIT, SOCKET_UNIT = "varve.service", "varve.socket"
DROP_IN = f"/run/systemd/system/{UNIT}.d/test.conf"
HERE = os.path.dirname(os.path.abspath(__file__))
# More deaths than systemd's own limit for starts allows (5 in 10 s).
KILLS = 8
THREADS = 8
# So many calls have been answered when the daemon is stopped, for each of the threads.
CALLS = 5
LIMIT = 1 << 20
# Calls that are refused with ENOSYS, and that libraries and the daemon do without: systemd does so with clone3, whose flags no filter sees, and
# with what is newer than itself; strace may be older, too, and have a number for its name.
REFUSED = re.compile(r"clone3|(get|list|remove|set)xattrat|syscall_0x\w+")
# In tenths, as `systemd-analyze security --threshold` counts: what the unit reached when it was written.
EXPOSURE_MAX = 50
IMAGE = "docker.io/library/own:1"


def run(*command, status=0):
    """Run a command that ends with STATUS, and return what it writes."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=HANG_S)
    assert done.returncode == status, f"{' '.join(command)}: status {done.returncode}: {done.stdout}"
    return done.stdout


def shown(name, unit=UNIT):
    """Return the property NAME of a unit."""
    return run("systemctl", "show", "--property", name, "--value", unit).strip()


def expect(name, value, unit=UNIT):
    """Expect the property NAME of a unit to be VALUE."""
    found = shown(name, unit)
    assert found == value, f"{name} of {unit} is {found}, not {value}"


def wait_for(name, value, unit=UNIT):
    """Wait until the property NAME of a unit is VALUE, which systemctl cannot."""
    wait_until(lambda: shown(name, unit) == value, lambda: f"{name} of {unit} is {shown(name, unit)}, not {value}")


def process():
    """Return the process of the daemon, and its status as the kernel has it."""
    pid = int(shown("MainPID"))
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return pid, dict(line.rstrip("\n").split(":\t", 1) for line in file)


def kill():
    """Kill the daemon, and wait until it has ended; return its process."""
    pid = int(shown("MainPID"))
    pidfd = os.pidfd_open(pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert select.select([pidfd], [], [], HANG_S)[0], "the daemon does not end"
    os.close(pidfd)
    return pid


def configure(*lines):
    """Give the service a drop-in with LINES, and start it anew; without lines, take the drop-in away."""
    if lines:
        os.makedirs(os.path.dirname(DROP_IN), exist_ok=True)
        with open(DROP_IN, "w", encoding="ascii") as file:
            file.write("[Service]\n" + "".join(f"{line}\n" for line in lines))
    else:
        os.unlink(DROP_IN)
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", UNIT)


def case_analyze():
    """systemd finds nothing wrong with the units, and not more exposed than they were."""
    output = run("systemd-analyze", "verify", "--man=no", UNIT, SOCKET_UNIT)
    assert "varve" not in output, output
    output = run("systemd-analyze", "security", "--no-pager", f"--threshold={EXPOSURE_MAX}", UNIT)
    print("  " + output.strip().splitlines()[-1].strip())
    # Both ways: the daemon is there before containerd starts, and until containerd has ended.
    assert "containerd.service" in shown("Before").split()


def case_activation():
    """The first client starts the daemon, which says when it is ready."""
    run("systemctl", "start", SOCKET_UNIT)
    expect("ActiveState", "inactive")
    assert Client(SOCKET).list() == []
    expect("ActiveState", "active")
    expect("Type", "notify")
    mode = os.stat(SOCKET).st_mode & 0o777
    assert mode == 0o600, f"{mode:o}"


def case_hardening():
    """The service is confined as its unit says, sees the mounts of the system, and uses io_uring."""
    pid, status = process()
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
    wanted = {name.lower() for name in shown("CapabilityBoundingSet").split()}
    with open("/proc/1/status", encoding="ascii") as file:
        possible = int(re.search(r"CapBnd:\t(\S+)", file.read()).group(1), 16)
    bounds = int(status["CapBnd"], 16)
    # Where the machine itself lacks some.
    assert bounds & ~possible == 0 and 0 < bounds.bit_count() <= len(wanted), (status["CapBnd"], wanted)
    assert bounds == int(status["CapEff"], 16), status
    assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/1/ns/mnt"), "the service has a mount namespace"
    opened = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
    assert "anon_inode:[io_uring]" in opened, opened


class Trace:
    """The system calls of the daemon that the service's filter refuses, as strace has them, where that is installed."""

    def __enter__(self):
        self.process = None
        if shutil.which("strace"):
            self.process = subprocess.Popen(["strace", "--follow-forks", "--trace=!futex", "--output=/run/trace",
                                             f"--attach={shown('MainPID')}"], stderr=subprocess.PIPE, text=True)
            # It says so of the last thread first.
            assert "attached" in self.process.stderr.readline()
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.communicate(timeout=HANG_S)

    def refused(self):
        """Return their names."""
        if not self.process:
            return set()
        with open("/run/trace", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
        assert len(lines) > CALLS, lines
        return {match.group(1) for match in (re.search(r"^\d+ +(?:<\.\.\. )?(\w+).* = -1 ENOSYS ", line) for line in lines) if match}


def case_calls():
    """All calls work inside of that, and the filter refuses none that this systemd knows."""
    with Trace() as trace:
        calls()
    refused = {name for name in trace.refused() if not REFUSED.fullmatch(name)}
    assert not refused, f"the filter refuses {refused}"


def calls():
    """Make each call of the service."""
    client = Client(SOCKET)
    source = client.call("Prepare", key=b"one").mounts[0].source
    with open(f"{source}/file", "wb") as file:
        file.write(bytes(LIMIT))
    client.call("Commit", key=b"one", name=b"base")
    assert LIMIT <= client.call("Usage", key=b"base").size < 2 * LIMIT
    mounts = client.call("Prepare", key=b"two", parent=b"base", labels=labels_of({"a": "b"})).mounts
    # What is mounted after the start of the daemon, it sees.
    run("mount", "-t", "tmpfs", "none", mounts[0].source)
    client.fails(grpc.StatusCode.FAILED_PRECONDITION, "Usage", key=b"two")
    run("umount", mounts[0].source)
    os.mkdir("/run/look")
    run("mount", "--bind", mounts[0].source, "/run/look")
    with open("/run/look/more", "wb") as file:
        file.write(bytes(LIMIT))
    # Usage counts what is on disk.
    run("sync", "--file-system", "/run/look")
    run("umount", "/run/look")
    assert LIMIT <= client.call("Usage", key=b"two").size < 2 * LIMIT
    client.call("View", key=b"three", parent=b"base")
    client.call("Update", pb.UpdateRequest(info=pb.Info(name=b"two")))
    assert client.list() == ["base", "three", "two"]
    assert run("varve", "serve", "check", "--home", HOME) == ""
    for key in (b"three", b"two"):
        client.call("Remove", key=key)
    client.call("Cleanup", key=b"")


def case_quota():
    """A size limit holds, with quota that the daemon turns on."""
    configure("ExecStart=", f"ExecStart={shown_command()} --quota simple")
    client = Client(SOCKET)
    source = client.call("Prepare", key=b"small", labels=labels_of({"containerd.io/snapshot/max-size": str(LIMIT)})).mounts[0].source
    try:
        with open(f"{source}/file", "wb") as file:
            for _ in range(8):
                file.write(bytes(LIMIT))
                os.fsync(file.fileno())
        raise AssertionError("a write beyond the limit succeeds")
    except OSError as error:
        assert error.errno == errno.EDQUOT, error
    client.call("Remove", key=b"small")
    configure("ExecStart=", f"ExecStart={shown_command()} --quota off")
    Client(SOCKET).list()
    configure()


def shown_command():
    """Return the command of the unit, as it was installed."""
    with open(shown("FragmentPath"), encoding="ascii") as file:
        return re.search(r"^ExecStart=(.*)$", file.read(), re.M).group(1)


def case_deaths():
    """Requests wait at the socket while the daemon is started anew, however often it is killed."""
    client = Client(SOCKET)
    client.call("Prepare", key=b"kept", parent=b"base")
    for number in range(1, KILLS + 1):
        pid = kill()
        # A client that comes now is not refused.
        assert Client(SOCKET).list() == ["base", "kept"]
        assert int(shown("MainPID")) != pid
        expect("NRestarts", str(number))
    expect("ActiveState", "active", SOCKET_UNIT)


def case_second():
    """A second daemon on the home ends at once, and names the first."""
    output = run(*shown_command().split(), "--socket", "/run/second.sock", status=1)
    assert shown("MainPID") in output, output


def case_reload():
    """There is nothing to reload, and the daemon stays."""
    pid = shown("MainPID")
    run("systemctl", "reload", UNIT, status=3)
    expect("MainPID", pid)
    run("systemctl", "reload-or-restart", UNIT)
    assert shown("MainPID") != pid
    expect("ActiveState", "active")


def case_metrics():
    """A second socket, whose descriptor is named metrics, is for those."""
    with open("/run/systemd/system/varve-metrics.socket", "w", encoding="ascii") as file:
        file.write(f"[Socket]\nListenStream={METRICS}\nFileDescriptorName=metrics\nService={UNIT}\n")
    run("systemctl", "stop", UNIT)
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "varve-metrics.socket", UNIT)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(METRICS)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while block := client.recv(1 << 16):
            answer += block
    assert answer.startswith(b"HTTP/1.1 200 ") and b"# EOF" in answer, answer
    assert Client(SOCKET).list()
    run("systemctl", "stop", "varve-metrics.socket", UNIT)


class Maker(threading.Thread):
    """Prepare snapshots, one after the other, until the daemon refuses; what was acknowledged."""

    def __init__(self, name, begun):
        super().__init__(daemon=True)
        self.prefix, self.begun, self.made, self.error = name, begun, [], None

    def run(self):
        client = Client(SOCKET)
        try:
            while True:
                key = f"{self.prefix}-{len(self.made)}"
                client.call("Prepare", key=key.encode(), parent=b"base")
                self.made.append(key)
                if len(self.made) == CALLS:
                    self.begun.release()
        except grpc.RpcError as error:
            self.error = error


def case_stop():
    """A stop lets calls in flight end; what was acknowledged is there when the next client starts the daemon."""
    begun = threading.Semaphore(0)
    # Clients that are refused come again, by the socket, and start the daemon: they must not.
    run("systemctl", "stop", SOCKET_UNIT)
    makers = [Maker(f"maker-{number}", begun) for number in range(THREADS)]
    run("systemctl", "start", UNIT)
    for maker in makers:
        maker.start()
    for _ in makers:
        assert begun.acquire(timeout=HANG_S), [maker.error for maker in makers]
    run("systemctl", "stop", UNIT, SOCKET_UNIT)
    expect("Result", "success")
    expect("ExecMainStatus", "0")
    expect("ActiveState", "inactive")
    for maker in makers:
        maker.join(HANG_S)
        assert maker.error and maker.error.code() == grpc.StatusCode.UNAVAILABLE, maker.error
    run("systemctl", "start", SOCKET_UNIT)
    client = Client(SOCKET)
    made = {key for maker in makers for key in maker.made}
    lost = made - set(client.list())
    assert not lost, f"{lost} were acknowledged, and are lost"
    print(f"  {len(made)} snapshots were acknowledged, and are there")
    client.remove_all({info.name.decode(): info.parent.decode() for info in client.call("List")})
    assert run("varve", "serve", "check", "--home", HOME) == ""


def ctr(*arguments):
    """containerd's command."""
    return run("ctr", *arguments)


def case_containerd():
    """containerd, a service too: a container runs on while the daemon dies, and others start."""
    os.makedirs("/etc/containerd", exist_ok=True)
    with open("/etc/containerd/config.toml", "w", encoding="utf-8") as file:
        file.write(run("varve", "serve", "--print-config", "containerd", "--home", HOME, "--socket", SOCKET))
    run("systemctl", "enable", SOCKET_UNIT, UNIT)
    # As at boot: all in one transaction.
    run("systemctl", "stop", SOCKET_UNIT, UNIT, "containerd.service")
    with open("/run/systemd/system/node.target", "w", encoding="ascii") as file:
        file.write(f"[Unit]\nWants=containerd.service {UNIT} {SOCKET_UNIT}\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "node.target")
    wait_for("ActiveState", "active", "containerd.service")
    ready, begun = (int(shown(name, unit)) for name, unit in (("ActiveEnterTimestampMonotonic", UNIT),
                                                              ("ExecMainStartTimestampMonotonic", "containerd.service")))
    assert 0 < ready <= begun, f"containerd was started at {begun} us, the daemon was ready at {ready} us"
    print("  " + ctr("--version").strip())
    run("/usr/bin/python3", f"{HERE}/own_image", "/run/own.tar", IMAGE, "--layers", "3", "--files", "50")
    ctr("images", "import", "--snapshotter", "varve", "/run/own.tar")
    # A cgroup2 of a container may have no controllers.
    start = ("run", "--snapshotter", "varve", "--cpu-shares", "0")
    ctr(*start, "--detach", IMAGE, "first")
    for number in range(2):
        (kill if number else lambda: run("systemctl", "stop", UNIT))()
        assert "first" in ctr("tasks", "ls")
        assert ctr("tasks", "exec", "--exec-id", f"e{number}", "first", "/bin/sh", "-c", f"echo {number} >>/log; cat /log").split()[-1] == \
            str(number)
        # containerd connects again by itself, after a pause of its own.
        insist(lambda: ctr("snapshots", "--snapshotter", "varve", "ls"))
        assert ctr(*start, "--rm", IMAGE, f"second-{number}", "/bin/sh", "-c", "echo hello").strip() == "hello"
    ctr("tasks", "kill", "--signal", "KILL", "first")
    wait_stopped("first")
    ctr("containers", "rm", "first")
    ctr("images", "rm", "--sync", IMAGE)
    assert Client(SOCKET).list() == []


def insist(function):
    """Call FUNCTION until it does not fail: containerd tells nobody when it is connected again, or a task has ended."""
    failed = []

    def succeeds():
        try:
            function()
            return True
        except AssertionError as error:
            failed[:] = [error]
            return False
    wait_until(succeeds, lambda: failed[0])


def wait_stopped(name):
    """Remove the task of a container, which is about to end."""
    insist(lambda: ctr("tasks", "rm", name))


def main():
    """Go through all cases, in this order."""
    for case in (case_analyze, case_activation, case_hardening, case_calls, case_quota, case_deaths, case_second, case_reload, case_metrics,
                 case_stop, case_containerd):
        print(f"{case.__name__.removeprefix('case_')}: {case.__doc__}", flush=True)
        try:
            case()
        except Exception:
            traceback.print_exc()
            print(subprocess.run(["journalctl", "--no-pager", "--lines=60", "--unit", UNIT, "--unit", SOCKET_UNIT, "--unit", "containerd.service"],
                                 capture_output=True, text=True, check=False).stdout, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
