// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/mount"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// The command that starts the server under test, in words; {root} and {socket} stand for its directory and its socket.
const commandVariable = "SNAPSHOTTER_COMMAND"

// How long a server may take to be ready, to end, or to answer, on a busy machine. For hangs only: no test judges by it.
const patience = 2 * time.Minute

// daemon is a server of snapshots that runs as a process of its own, and a client of it. It can be restarted beneath the client.
type daemon struct {
	snapshots.Snapshotter
	root    string
	socket  string
	log     *os.File
	process *exec.Cmd
	exited  chan error
	conn    *grpc.ClientConn
	dir     string
}

// startDaemon starts the server in the directory root, and connects to it.
func startDaemon(root string) (*daemon, error) {
	// The path of a socket has a bound of 107 bytes, so that it is not beside root.
	dir, err := os.MkdirTemp("/tmp", "varve-snapshotter-")
	if err != nil {
		return nil, err
	}
	d := &daemon{root: root, dir: dir, socket: filepath.Join(dir, "socket")}
	if d.log, err = os.Create(filepath.Join(dir, "log")); err == nil {
		err = d.start()
	}
	if err == nil {
		d.conn, err = grpc.Dial("unix://"+d.socket, grpc.WithInsecure(), grpc.WithContextDialer(dial),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: time.Millisecond, Multiplier: 2, MaxDelay: 50 * time.Millisecond},
				MinConnectTimeout: time.Second}),
			grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
			grpc.WithUnaryInterceptor(bounded))
	}
	if err != nil {
		d.stop()
		return nil, err
	}
	d.Snapshotter = proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(d.conn), "varve")
	return d, nil
}

// dial connects to a Unix socket that is there; containerd's own dialer waits for one that is not.
func dial(ctx context.Context, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(address, "unix://"))
}

// bounded ends a call that a server does not answer.
func bounded(ctx context.Context, method string, request, reply interface{}, conn *grpc.ClientConn, invoker grpc.UnaryInvoker,
	options ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return invoker(ctx, method, request, reply, conn, options...)
}

// start starts the process and waits until it says that it is ready.
func (d *daemon) start() error {
	command := strings.Fields(os.Getenv(commandVariable))
	if len(command) == 0 {
		return errors.New(commandVariable + " is not set")
	}
	for i, word := range command {
		command[i] = strings.NewReplacer("{root}", d.root, "{socket}", d.socket).Replace(word)
	}
	path := filepath.Join(d.dir, "notify")
	os.Remove(path)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer notify.Close()
	d.process = exec.Command(command[0], command[1:]...)
	d.process.Env = append(os.Environ(), "NOTIFY_SOCKET="+path)
	d.process.Stdout, d.process.Stderr = d.log, d.log
	d.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.process.Start(); err != nil {
		d.process = nil
		return err
	}
	d.exited = make(chan error, 1)
	go func(process *exec.Cmd, exited chan error) {
		err := process.Wait()
		// A process that ends before it is ready ends the wait below, too.
		notify.Close()
		exited <- err
	}(d.process, d.exited)
	notify.SetReadDeadline(time.Now().Add(patience))
	message := make([]byte, 4096)
	for {
		n, err := notify.Read(message)
		if err != nil {
			return fmt.Errorf("%v is not ready: %w\n%s", command, err, d.output())
		}
		for _, line := range strings.Split(string(message[:n]), "\n") {
			if line == "READY=1" {
				return nil
			}
		}
	}
}

// output returns what the server has written.
func (d *daemon) output() string {
	text, _ := os.ReadFile(d.log.Name())
	return string(text)
}

// signal ends the process by a signal and waits for it.
func (d *daemon) signal(signal syscall.Signal) error {
	if d.process == nil {
		return nil
	}
	d.process.Process.Signal(signal)
	var err error
	select {
	case err = <-d.exited:
	case <-time.After(patience):
		d.process.Process.Kill()
		err = fmt.Errorf("does not end after signal %d", signal)
	}
	d.process = nil
	if signal == syscall.SIGKILL {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the server: %w\n%s", err, d.output())
	}
	return nil
}

// restart ends the server by a signal and starts it again.
func (d *daemon) restart(signal syscall.Signal) error {
	if err := d.signal(signal); err != nil {
		return err
	}
	return d.start()
}

// stop ends the server and removes what belongs to it outside of its root.
func (d *daemon) stop() error {
	if d.conn != nil {
		d.conn.Close()
	}
	err := d.signal(syscall.SIGTERM)
	if d.log != nil {
		d.log.Close()
	}
	os.RemoveAll(d.dir)
	return err
}

// restarting is a snapshotter whose server is restarted before every nth call: by SIGTERM and by SIGKILL in turn.
type restarting struct {
	*daemon
	every   int
	lock    sync.Mutex
	calls   int
	walking int
}

// before counts a call, and restarts the server if it is time. A server that streams a list is left alone.
func (r *restarting) before() error {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.calls++
	if r.every == 0 || r.walking > 0 || r.calls%r.every != 0 {
		return nil
	}
	if r.calls/r.every%2 == 0 {
		return r.restart(syscall.SIGTERM)
	}
	return r.restart(syscall.SIGKILL)
}

func (r *restarting) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	if err := r.before(); err != nil {
		return snapshots.Info{}, err
	}
	return r.daemon.Stat(ctx, key)
}

func (r *restarting) Update(ctx context.Context, info snapshots.Info, paths ...string) (snapshots.Info, error) {
	if err := r.before(); err != nil {
		return snapshots.Info{}, err
	}
	return r.daemon.Update(ctx, info, paths...)
}

func (r *restarting) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	if err := r.before(); err != nil {
		return snapshots.Usage{}, err
	}
	return r.daemon.Usage(ctx, key)
}

func (r *restarting) Mounts(ctx context.Context, key string) ([]mount.Mount, error) {
	if err := r.before(); err != nil {
		return nil, err
	}
	return r.daemon.Mounts(ctx, key)
}

func (r *restarting) Prepare(ctx context.Context, key, parent string, options ...snapshots.Opt) ([]mount.Mount, error) {
	if err := r.before(); err != nil {
		return nil, err
	}
	return r.daemon.Prepare(ctx, key, parent, options...)
}

func (r *restarting) View(ctx context.Context, key, parent string, options ...snapshots.Opt) ([]mount.Mount, error) {
	if err := r.before(); err != nil {
		return nil, err
	}
	return r.daemon.View(ctx, key, parent, options...)
}

func (r *restarting) Commit(ctx context.Context, name, key string, options ...snapshots.Opt) error {
	if err := r.before(); err != nil {
		return err
	}
	return r.daemon.Commit(ctx, name, key, options...)
}

func (r *restarting) Remove(ctx context.Context, key string) error {
	if err := r.before(); err != nil {
		return err
	}
	return r.daemon.Remove(ctx, key)
}

func (r *restarting) Walk(ctx context.Context, visit snapshots.WalkFunc, filters ...string) error {
	if err := r.before(); err != nil {
		return err
	}
	r.count(1)
	defer r.count(-1)
	return r.daemon.Walk(ctx, visit, filters...)
}

// count adds to the number of lists that are streamed.
func (r *restarting) count(change int) {
	r.lock.Lock()
	r.walking += change
	r.lock.Unlock()
}
