# SPDX-License-Identifier: Apache-2.0
"""Drive containerd's CRI in kubelet's place: pods with the network of the host, all at once.

Usage: pods.py SOCKET IMAGE CGROUP COUNT start|finish. With start the pods are made, with a container each; with finish, which may come
after restarts, they are looked at and removed.
"""
import concurrent.futures
import sys

import grpc

import cri_pb2 as cri
from waits import PATIENCE_S, wait_until

UNINITIALIZED = "server is not initialized yet"
WRITTEN = 1 << 20


class Runtime:
    """The client."""

    def __init__(self, socket):
        self.channel = grpc.insecure_channel(f"unix://{socket}")

    def call(self, method, request, response=cri.Empty):
        """Call METHOD and return the answer; again, as long as containerd takes its state up after a restart.

        Its socket is there before that, and it is ready for systemd. It tells of the end of it only by another answer, and kubelet asks
        again, too.
        """
        function = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{method}", request_serializer=lambda m: m.SerializeToString(),
                                            response_deserializer=response.FromString)

        def ask():
            try:
                return function(request, timeout=PATIENCE_S, wait_for_ready=True)
            except grpc.RpcError as error:
                if UNINITIALIZED not in error.details():
                    raise
                return None
        return wait_until(ask, lambda: UNINITIALIZED)


def pod_config(number, cgroup):
    """Describe the pod NUMBER."""
    security = cri.LinuxSandboxSecurityContext(namespace_options=cri.NamespaceOption(network=cri.NODE))
    return cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name=f"pod-{number}", uid=f"uid-{number}", namespace="default"),
                                linux=cri.LinuxPodSandboxConfig(cgroup_parent=cgroup, security_context=security))


def start_pod(runtime, image, cgroup, number):
    """Make a pod with a container, and start that; return its id."""
    pod = pod_config(number, cgroup)
    pod_id = runtime.call("RunPodSandbox", cri.RunPodSandboxRequest(config=pod), cri.RunPodSandboxResponse).pod_sandbox_id
    security = cri.LinuxContainerSecurityContext(namespace_options=cri.NamespaceOption(network=cri.NODE))
    config = cri.ContainerConfig(metadata=cri.ContainerMetadata(name="main"), image=cri.ImageSpec(image=image),
                                 command=["/bin/sleep", "infinity"], linux=cri.LinuxContainerConfig(security_context=security))
    request = cri.CreateContainerRequest(pod_sandbox_id=pod_id, config=config, sandbox_config=pod)
    container = runtime.call("CreateContainer", request, cri.CreateContainerResponse).container_id
    runtime.call("StartContainer", cri.StartContainerRequest(container_id=container))
    return container


def start_and_write(runtime, image, cgroup, number):
    """Start a pod, and write into it."""
    container = start_pod(runtime, image, cgroup, number)
    execute(runtime, container, f"dd if=/dev/zero of=/written bs={WRITTEN} count=1 2>/dev/null; echo {number} >/number; sync")


def execute(runtime, container, command):
    """Run a command in a container and return what it writes."""
    answer = runtime.call("ExecSync", cri.ExecSyncRequest(container_id=container, cmd=["/bin/sh", "-c", command], timeout=PATIENCE_S),
                          cri.ExecSyncResponse)
    if answer.exit_code:
        raise RuntimeError(f"{command}: status {answer.exit_code}: {answer.stderr}")
    return answer.stdout.decode()


def check_statistics(runtime, count):
    """Wait until the statistics have what each container has written: containerd gathers them now and then, and tells nobody."""
    used = []

    def gathered():
        stats = runtime.call("ListContainerStats", cri.Empty(), cri.ListContainerStatsResponse).stats
        used[:] = [item.writable_layer.used_bytes.value for item in stats]
        return len(used) == count and all(WRITTEN <= bytes_used < 2 * WRITTEN for bytes_used in used)
    wait_until(gathered, lambda: f"statistics: {used}")


def finish(runtime, count, pool):
    """Look at all containers, then remove all pods."""
    containers = [item.id for item in runtime.call("ListContainers", cri.Empty(), cri.ListResponse).items]
    if len(containers) != count:
        raise RuntimeError(f"{len(containers)} containers, not {count}")
    numbers = sorted(int(text) for text in pool.map(lambda id: execute(runtime, id, "cat /number"), containers))
    if numbers != list(range(count)):
        raise RuntimeError(f"the containers say {numbers}")
    check_statistics(runtime, count)
    pods = [item.id for item in runtime.call("ListPodSandbox", cri.Empty(), cri.ListResponse).items]

    def remove(pod):
        runtime.call("StopPodSandbox", cri.PodSandboxRequest(pod_sandbox_id=pod))
        runtime.call("RemovePodSandbox", cri.PodSandboxRequest(pod_sandbox_id=pod))
    list(pool.map(remove, pods))
    if runtime.call("ListPodSandbox", cri.Empty(), cri.ListResponse).items:
        raise RuntimeError("pods are left")


def main():
    """Take the arguments apart and do it."""
    socket, image, cgroup, count, what = sys.argv[1:]
    runtime, count = Runtime(socket), int(count)
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        if what == "start":
            list(pool.map(lambda number: start_and_write(runtime, image, cgroup, number), range(count)))
            check_statistics(runtime, count)
        else:
            finish(runtime, count, pool)


if __name__ == "__main__":
    main()
