// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/errdefs"
	"github.com/containerd/containerd/mount"
	"github.com/containerd/containerd/pkg/testutil"
	"github.com/containerd/containerd/snapshots"
)

// Names that snapshots get, as keys and as names of committed ones: few, so that they collide.
var modelNames = []string{
	"default/1/plain", "k8s.io/2/sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945", "moby/3/with spaces",
	"name\"quoted\\", "a/../b", "../up", "/", "\u00fc\u4e16\u754c", strings.Repeat("long/", 80), "x", "x/", "y,z",
}

// Labels that snapshots get.
var modelLabels = []string{"one", "containerd.io/gc.root", "with.dots.in/it", "with \"quotes\"", "containerd.io/snapshot/x"}

// What the labels are set to; an empty value is no label.
var modelValues = []string{"", "1", "two", "3,4", "\u00e9"}

// Filters for lists, some of which do not parse. None has a regular expression that does not compile: containerd logs it and finds
// nothing, the server under test may say so.
var modelFilters = []string{
	"name==x", "name!=x", "kind==active", "kind==committed", "kind==view", "kind!=view", "kind==Active", "parent==x", "parent!=x", "parent",
	"parent==\"\"", "labels.one", "labels.one==1", "labels.one!=1", "labels.\"with.dots.in/it\"", "labels.\"with.dots.in/it\"==two",
	"labels.\"containerd.io/gc.root\"~=^[a-z]+$", "name~=^default/", "name~=.", "name~=\"^[a-y]\"", "kind==active,labels.one",
	"name!=x,kind!=view,parent", "nosuch==1", "nosuch", "nosuch!=1", "labels", "labels.", "name==", "==x", "name==x,", "name=x",
	"name==\"unclosed", "", ",", "name==\"y,z\"", "labels.\"with \\\"quotes\\\"\"", "parent~=^a/", "labels.one~=^(1|two)$", "name == x",
}

// The classes of errors that a client of containerd tells apart.
var modelClasses = []error{
	errdefs.ErrNotFound, errdefs.ErrAlreadyExists, errdefs.ErrInvalidArgument, errdefs.ErrFailedPrecondition, errdefs.ErrUnavailable,
	errdefs.ErrNotImplemented, context.Canceled, context.DeadlineExceeded,
}

// class returns the class of an error.
func class(err error) string {
	if err == nil {
		return "ok"
	}
	for _, class := range modelClasses {
		if errors.Is(err, class) {
			return class.Error()
		}
	}
	return "unknown"
}

// known is what of an Info must be the same of both: the times themselves are not.
type known struct {
	Name, Parent string
	Kind         snapshots.Kind
	Labels       map[string]string
	Untouched    bool
}

// knownOf returns what must be the same of an Info.
func knownOf(info snapshots.Info) known {
	labels := map[string]string{}
	for name, value := range info.Labels {
		labels[name] = value
	}
	return known{info.Name, info.Parent, info.Kind, labels, info.Created.Equal(info.Updated)}
}

// pair is the server under test and containerd's own btrfs plugin in this process, which get the same operations.
type pair struct {
	t         *testing.T
	random    *rand.Rand
	ours      *daemon
	reference snapshots.Snapshotter
	root      string
	work      string
	history   []string
	// What there is, so that most operations find something.
	keys, committed []string
}

// either returns one of the names that there are, most of the time, and any otherwise.
func (p *pair) either(there []string) string {
	if len(there) > 0 && p.random.Intn(4) > 0 {
		return there[p.random.Intn(len(there))]
	}
	return modelNames[p.random.Intn(len(modelNames))]
}

// labels returns random labels.
func (p *pair) labels() map[string]string {
	labels := map[string]string{}
	for i := p.random.Intn(3); i > 0; i-- {
		labels[modelLabels[p.random.Intn(len(modelLabels))]] = modelValues[p.random.Intn(len(modelValues))]
	}
	return labels
}

// note adds an operation to what is printed after a failure.
func (p *pair) note(format string, arguments ...interface{}) {
	p.history = append(p.history, fmt.Sprintf(format, arguments...))
}

// fail ends the test with the operations that led to it.
func (p *pair) fail(format string, arguments ...interface{}) {
	p.t.Helper()
	last := p.history
	if len(last) > 40 {
		last = last[len(last)-40:]
	}
	p.t.Fatalf("%s\nafter:\n%s\nthe server says:\n%s", fmt.Sprintf(format, arguments...), strings.Join(last, "\n"), p.ours.output())
}

// same fails the test unless both results are equal and both errors are of one class. It says whether there was none.
func (p *pair) same(ours, reference interface{}, ourError, referenceError error) bool {
	p.t.Helper()
	p.history[len(p.history)-1] += " -> " + class(referenceError)
	if class(ourError) != class(referenceError) {
		p.fail("varve: %v\nbtrfs: %v", ourError, referenceError)
	}
	if referenceError == nil && !reflect.DeepEqual(ours, reference) {
		p.fail("varve: %+v\nbtrfs: %+v", ours, reference)
	}
	return referenceError == nil
}

// writable says whether mounts may be written to.
func writable(mounts []mount.Mount) bool {
	for _, option := range mounts[0].Options {
		if option == "ro" {
			return false
		}
	}
	return true
}

// create prepares or views.
func (p *pair) create(view bool) {
	key, parent := p.either(nil), ""
	if p.random.Intn(4) > 0 {
		parent = p.either(p.committed)
	}
	if p.random.Intn(10) == 0 {
		parent = p.either(p.keys)
	}
	labels := snapshots.WithLabels(p.labels())
	p.note("create %q from %q, view=%t", key, parent, view)
	ours, reference := p.ours.Prepare, p.reference.Prepare
	if view {
		ours, reference = p.ours.View, p.reference.View
	}
	ourMounts, ourError := ours(context.Background(), key, parent, labels)
	referenceMounts, referenceError := reference(context.Background(), key, parent, labels)
	if p.same(nil, nil, ourError, referenceError) {
		p.keys = append(p.keys, key)
		if writable(ourMounts) != writable(referenceMounts) {
			p.fail("mounts of %q: %+v, %+v", key, ourMounts, referenceMounts)
		}
	}
}

// without returns names without one.
func without(names []string, name string) []string {
	var rest []string
	for _, other := range names {
		if other != name {
			rest = append(rest, other)
		}
	}
	return rest
}

// commit commits.
func (p *pair) commit() {
	key, name := p.either(p.keys), p.either(nil)
	if p.random.Intn(10) == 0 {
		name = key
	}
	labels := snapshots.WithLabels(p.labels())
	p.note("commit %q as %q", key, name)
	ours := p.ours.Commit(context.Background(), name, key, labels)
	if p.same(nil, nil, ours, p.reference.Commit(context.Background(), name, key, labels)) {
		p.keys, p.committed = without(p.keys, key), append(p.committed, name)
		p.usage(name)
	}
}

// remove removes.
func (p *pair) remove() {
	there := p.keys
	if p.random.Intn(3) == 0 {
		there = p.committed
	}
	key := p.either(there)
	p.note("remove %q", key)
	if p.same(nil, nil, p.ours.Remove(context.Background(), key), p.reference.Remove(context.Background(), key)) {
		p.keys, p.committed = without(p.keys, key), without(p.committed, key)
	}
}

// any returns the name of a snapshot of any kind, or of none.
func (p *pair) any() string {
	return p.either(append(append([]string{}, p.keys...), p.committed...))
}

// stat looks at one.
func (p *pair) stat() {
	key := p.any()
	p.note("stat %q", key)
	ours, ourError := p.ours.Stat(context.Background(), key)
	reference, referenceError := p.reference.Stat(context.Background(), key)
	p.same(knownOf(ours), knownOf(reference), ourError, referenceError)
}

// update changes labels, or tries to change what cannot be.
func (p *pair) update() {
	key := p.any()
	var paths []string
	for i := p.random.Intn(3); i > 0; i-- {
		paths = append(paths, "labels."+modelLabels[p.random.Intn(len(modelLabels))])
	}
	switch p.random.Intn(8) {
	case 0:
		paths = append(paths, "labels")
	case 1:
		paths = append(paths, []string{"parent", "name", "kind", "label", "Labels", ""}[p.random.Intn(6)])
	}
	labels := p.labels()
	p.note("update %q: %q to %v", key, paths, labels)
	ours, ourError := p.ours.Update(context.Background(), snapshots.Info{Name: key, Labels: copied(labels)}, paths...)
	reference, referenceError := p.reference.Update(context.Background(), snapshots.Info{Name: key, Labels: copied(labels)}, paths...)
	p.same(knownOf(ours), knownOf(reference), ourError, referenceError)
}

// copied copies labels: containerd changes those that it gets.
func copied(labels map[string]string) map[string]string {
	result := map[string]string{}
	for name, value := range labels {
		result[name] = value
	}
	return result
}

// list returns what a snapshotter lists, sorted.
func list(snapshotter snapshots.Snapshotter, filters ...string) ([]known, error) {
	infos := []known{}
	err := snapshotter.Walk(context.Background(), func(_ context.Context, info snapshots.Info) error {
		infos = append(infos, knownOf(info))
		return nil
	}, filters...)
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name < infos[j].Name })
	return infos, err
}

// lists lists by random filters, or all.
func (p *pair) lists() {
	var filters []string
	for i := p.random.Intn(3); i > 0; i-- {
		filters = append(filters, modelFilters[p.random.Intn(len(modelFilters))])
	}
	p.note("list %q", filters)
	ours, ourError := list(p.ours, filters...)
	reference, referenceError := list(p.reference, filters...)
	if p.same(ours, reference, nil, nil); (ourError == nil) != (referenceError == nil) {
		p.fail("varve: %v\nbtrfs: %v", ourError, referenceError)
	}
}

// usage compares what can be: errors, that a view has none, and whether there is any data.
func (p *pair) usage(key string) {
	p.note("usage of %q", key)
	ours, ourError := p.ours.Usage(context.Background(), key)
	reference, referenceError := p.reference.Usage(context.Background(), key)
	if !p.same(nil, nil, ourError, referenceError) {
		return
	}
	// Data that is new is counted by both; files that the parent has, too, by btrfs alone. Of inodes both have a notion of their own: a
	// directory that was replaced by a like one is new for varve.
	if ours.Size > reference.Size || (ours.Size >= modelFileSize) != (reference.Size >= modelFileSize) {
		p.fail("usage of %q: %+v, %+v", key, ours, reference)
	}
}

// The size of what is written: nothing that is kept in metadata.
const modelFileSize = 64 << 10

// write mounts one, changes files in it and compares all that it holds, its parents' files as well.
func (p *pair) write() {
	key := p.either(p.keys)
	p.note("write to %q", key)
	ours, ourError := p.ours.Mounts(context.Background(), key)
	reference, referenceError := p.reference.Mounts(context.Background(), key)
	if !p.same(nil, nil, ourError, referenceError) {
		return
	}
	if writable(ours) != writable(reference) {
		p.fail("mounts of %q: %+v, %+v", key, ours, reference)
	}
	seed := p.random.Int63()
	var trees [2][]string
	for i, mounts := range [][]mount.Mount{ours, reference} {
		target, err := os.MkdirTemp(p.work, "mount")
		if err == nil {
			err = mount.All(mounts, target)
		}
		if err != nil {
			p.fail("mount %+v: %v", mounts, err)
		}
		if writable(mounts) {
			err = change(target, rand.New(rand.NewSource(seed)))
		}
		if err == nil {
			trees[i], err = tree(target)
		}
		if err2 := mount.UnmountAll(target, 0); err == nil {
			err = err2
		}
		os.Remove(target)
		if err != nil {
			p.fail("%+v: %v", mounts, err)
		}
	}
	p.same(trees[0], trees[1], nil, nil)
}

// change changes some files below root.
func change(root string, random *rand.Rand) error {
	for i := random.Intn(4); i >= 0; i-- {
		dir := filepath.Join(root, "dir"+strconv.Itoa(random.Intn(3)))
		path := filepath.Join(dir, "file"+strconv.Itoa(random.Intn(4)))
		var err error
		switch random.Intn(6) {
		case 0:
			err = os.RemoveAll(dir)
		case 1:
			err = os.RemoveAll(path)
		default:
			data := make([]byte, modelFileSize)
			random.Read(data)
			if err = os.MkdirAll(dir, 0755); err == nil {
				err = os.WriteFile(path, data, fs.FileMode(0600+random.Intn(64)))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tree describes all that is below root.
func tree(root string) ([]string, error) {
	entries := []string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %v", strings.TrimPrefix(path, root), info.Mode())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %x", len(data), data[:8])
		}
		entries = append(entries, line)
		return nil
	})
	return entries, err
}

// restart restarts the server, by SIGTERM or by SIGKILL, and opens the other anew.
func (p *pair) restart() {
	signal := []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[p.random.Intn(2)]
	p.note("restart by signal %d", signal)
	if err := p.ours.restart(signal); err != nil {
		p.fail("%v", err)
	}
	p.reference.Close()
	var err error
	if p.reference, err = openPlugin("btrfs", p.root); err != nil {
		p.fail("%v", err)
	}
}

// step does a random operation to both.
func (p *pair) step() {
	switch n := p.random.Intn(100); {
	case n < 24:
		p.create(false)
	case n < 32:
		p.create(true)
	case n < 48:
		p.commit()
	case n < 60:
		p.remove()
	case n < 66:
		p.stat()
	case n < 75:
		p.update()
	case n < 83:
		p.lists()
	case n < 88:
		p.usage(p.any())
	case n < 98:
		p.write()
	default:
		p.restart()
	}
}

// runModel does a number of random operations with the given seed, below the directory dir.
func runModel(t *testing.T, dir string, seed int64, steps int) {
	p := &pair{t: t, random: rand.New(rand.NewSource(seed)), root: filepath.Join(dir, "reference"), work: filepath.Join(dir, "work")}
	var err error
	if err = os.Mkdir(p.work, 0700); err != nil {
		t.Fatal(err)
	}
	if p.ours, err = startDaemon(filepath.Join(dir, "home")); err != nil {
		t.Fatal(err)
	}
	defer p.ours.stop()
	if p.reference, err = openPlugin("btrfs", p.root); err != nil {
		t.Fatal(err)
	}
	defer func() { p.reference.Close() }()
	// containerd's list fails as long as there never was a snapshot: it is no answer to compare with.
	p.note("prepare and remove the first")
	for _, snapshotter := range []snapshots.Snapshotter{p.ours, p.reference} {
		if _, err = snapshotter.Prepare(context.Background(), "first", ""); err == nil {
			err = snapshotter.Remove(context.Background(), "first")
		}
		if err != nil {
			p.fail("%v", err)
		}
	}
	for i := 0; i < steps; i++ {
		p.step()
		if i%25 == 0 {
			p.note("compare all")
			ours, ourError := list(p.ours)
			reference, referenceError := list(p.reference)
			p.same(ours, reference, ourError, referenceError)
		}
	}
}

// TestModel does the same random operations to the server and to containerd's btrfs plugin, and expects the same answers.
// $SNAPSHOTTER_SEEDS are the seeds, $SNAPSHOTTER_STEPS is how many operations each has.
func TestModel(t *testing.T) {
	testutil.RequiresRoot(t)
	steps, err := strconv.Atoi(os.Getenv("SNAPSHOTTER_STEPS"))
	if err != nil {
		steps = 300
	}
	for _, word := range strings.Fields(os.Getenv("SNAPSHOTTER_SEEDS")) {
		seed, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(word, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "snapshot-model-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			runModel(t, dir, seed, steps)
		})
	}
}
