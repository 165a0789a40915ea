// SPDX-License-Identifier: Apache-2.0

package varve

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	graphdriver "github.com/containers/storage/drivers"
	"github.com/containers/storage/drivers/graphtest"
	"github.com/containers/storage/pkg/idtools"
	"github.com/containers/storage/pkg/system"
)

// What containers/storage asks of its own drivers.
func TestGraph(t *testing.T) {
	graphtest.GetDriver(t, Name)
	defer graphtest.PutDriver(t)
	t.Run("CreateEmpty", func(t *testing.T) { graphtest.DriverTestCreateEmpty(t, Name) })
	t.Run("CreateBase", func(t *testing.T) { graphtest.DriverTestCreateBase(t, Name) })
	t.Run("CreateSnap", func(t *testing.T) { graphtest.DriverTestCreateSnap(t, Name) })
	t.Run("CreateFromTemplate", func(t *testing.T) { graphtest.DriverTestCreateFromTemplate(t, Name) })
	t.Run("DeepLayerRead", func(t *testing.T) { graphtest.DriverTestDeepLayerRead(t, 20, Name) })
	t.Run("DiffApply", func(t *testing.T) { graphtest.DriverTestDiffApply(t, 50, Name) })
	t.Run("Changes", func(t *testing.T) { graphtest.DriverTestChanges(t, Name) })
	t.Run("Echo", func(t *testing.T) { graphtest.DriverTestEcho(t, Name) })
	// Last: it turns on quota.
	t.Run("SetQuota", func(t *testing.T) { graphtest.DriverTestSetQuota(t, Name) })
}

// open opens a store of its own.
func open(t *testing.T) *Driver {
	driver, err := Init(filepath.Join(t.TempDir(), "home"), graphdriver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { driver.Cleanup() })
	return driver.(*Driver)
}

// done fails the test where ERR is one.
func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What is made for a container in a user namespace differs from its image by what is written in it.
func TestMaps(t *testing.T) {
	driver := open(t)
	maps := idtools.NewIDMappingsFromMaps([]idtools.IDMap{{ContainerID: 0, HostID: 100000, Size: 65536}},
		[]idtools.IDMap{{ContainerID: 0, HostID: 200000, Size: 65536}})

	done(t, driver.Create("image", "", nil))
	defer driver.Remove("image")
	directory, err := driver.Get("image", graphdriver.MountOpts{})
	done(t, err)
	for _, name := range []string{"one", "two", "three"} {
		done(t, os.WriteFile(filepath.Join(directory, name), []byte(name), 0644))
	}
	done(t, driver.CreateReadWrite("container", "image", nil))
	defer driver.Remove("container")
	done(t, driver.UpdateLayerIDMap("container", nil, maps, ""))
	changes, err := driver.Changes("container", maps, "image", nil, "")
	done(t, err)
	if len(changes) != 0 {
		t.Fatalf("a shift is a change: %v", changes)
	}
	directory, err = driver.Get("container", graphdriver.MountOpts{})
	done(t, err)
	done(t, os.WriteFile(filepath.Join(directory, "two"), []byte("TWO"), 0644))
	done(t, os.Chown(filepath.Join(directory, "two"), 100007, 200008))
	size, err := driver.DiffSize("container", maps, "image", nil, "")
	done(t, err)
	diff, err := driver.Diff("container", maps, "image", nil, "")
	done(t, err)
	reader := tar.NewReader(diff)
	header, err := reader.Next()
	done(t, err)
	if header.Name != "two" || header.Uid != 7 || header.Gid != 8 || size != 3 {
		t.Fatalf("%+v, %d bytes", header, size)
	}
	if _, err := reader.Next(); err != io.EOF {
		t.Fatalf("more than one entry: %v", err)
	}
	done(t, diff.Close())
}

// force_mask gives all one mode, and keeps the other in an attribute, as containers/storage reads it.
func TestForceMask(t *testing.T) {
	driver := open(t)
	mask := os.FileMode(0700)
	reader, writer := io.Pipe()

	go func() {
		archive := tar.NewWriter(writer)
		archive.WriteHeader(&tar.Header{Name: "file", Typeflag: tar.TypeReg, Mode: 0644, Uid: 7, Gid: 8})
		archive.Close()
		writer.Close()
	}()
	done(t, driver.Create("layer", "", nil))
	_, err := driver.ApplyDiff("layer", "", graphdriver.ApplyDiffOpts{Diff: reader, IgnoreChownErrors: true, ForceMask: &mask})
	done(t, err)
	path, err := driver.Get("layer", graphdriver.MountOpts{})
	done(t, err)
	info, err := os.Stat(filepath.Join(path, "file"))
	done(t, err)
	value, err := system.Lgetxattr(filepath.Join(path, "file"), idtools.ContainersOverrideXattr)
	done(t, err)
	if info.Mode() != mask || string(value) != "7:8:0644" {
		t.Fatal(info.Mode(), string(value))
	}
}

// Errors keep their errno, and say what happened; a reader gets the error of a broken stream.
func TestErrors(t *testing.T) {
	driver := open(t)

	if err := driver.Remove("none"); !os.IsNotExist(err) {
		t.Fatal(err)
	}
	_, err := driver.Get("none", graphdriver.MountOpts{})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none") {
		t.Fatal(err)
	}
	diff, err := driver.Diff("none", nil, "", nil, "")
	done(t, err)
	if _, err := io.ReadAll(diff); !errors.Is(err, syscall.ENOENT) {
		t.Fatalf("reading no layer: %v", err)
	}
	diff.Close()
	done(t, driver.Create("layer", "", nil))
	if err := driver.Create("layer", "", nil); !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	broken := errors.New("the network is gone")
	reader, writer := io.Pipe()
	go writer.CloseWithError(broken)
	if _, err := driver.ApplyDiff("layer", "", graphdriver.ApplyDiffOpts{Diff: reader}); !errors.Is(err, broken) {
		t.Fatalf("an archive that breaks: %v", err)
	}
	names, err := driver.ListLayers()
	done(t, err)
	if len(names) != 1 || names[0] != "layer" {
		t.Fatal(names)
	}
	done(t, driver.Remove("layer"))
	driver.Cleanup()
	if err := driver.Create("late", "", nil); !errors.Is(err, syscall.ESHUTDOWN) {
		t.Fatal(err)
	}
}
