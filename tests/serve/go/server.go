// SPDX-License-Identifier: Apache-2.0

// Command snapshotter-server serves one of containerd's own snapshotters on a Unix socket, as containerd's proxy snapshotters are
// served: a peer that tests and benchmarks compare `varve serve` with. Usage: snapshotter-server btrfs|overlayfs|native ROOT SOCKET
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/contrib/snapshotservice"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/btrfs"
	"github.com/containerd/containerd/snapshots/native"
	"github.com/containerd/containerd/snapshots/overlay"
	"google.golang.org/grpc"
)

// openPlugin opens the snapshotter of containerd that is called name, in the directory root, as containerd's own plugin does.
func openPlugin(name, root string) (snapshots.Snapshotter, error) {
	switch name {
	case "btrfs":
		return btrfs.NewSnapshotter(root)
	case "overlayfs":
		return overlay.NewSnapshotter(root, overlay.AsynchronousRemove)
	case "native":
		return native.NewSnapshotter(root)
	}
	return nil, fmt.Errorf("no snapshotter is called %q", name)
}

// tellReady sends READY=1 to the socket that $NOTIFY_SOCKET names, if any, as a service of systemd does.
func tellReady() error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte("READY=1"))
	return err
}

// serve serves the snapshotter until SIGTERM or SIGINT. A socket that a killed server has left is replaced.
func serve(name, root, socket string) error {
	snapshotter, err := openPlugin(name, root)
	if err != nil {
		return err
	}
	defer snapshotter.Close()
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		server.GracefulStop()
	}()
	if err := tellReady(); err != nil {
		return err
	}
	return server.Serve(listener)
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: snapshotter-server btrfs|overlayfs|native ROOT SOCKET")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "snapshotter-server:", err)
		os.Exit(1)
	}
}
