// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/containerd/containerd/pkg/testutil"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/testsuite"
)

// TestSuite runs containerd's own suite for snapshotters over the socket, each of its tests with a server of its own, which is
// restarted before every nth call if $SNAPSHOTTER_RESTART is n.
func TestSuite(t *testing.T) {
	testutil.RequiresRoot(t)
	every, _ := strconv.Atoi(os.Getenv("SNAPSHOTTER_RESTART"))
	testsuite.SnapshotterSuite(t, "varve", func(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
		d, err := startDaemon(root)
		if err != nil {
			return nil, nil, err
		}
		return &restarting{daemon: d, every: every}, d.stop, nil
	})
}
