// SPDX-License-Identifier: Apache-2.0

package varve

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"syscall"

	graphdriver "github.com/containers/storage/drivers"
	"github.com/containers/storage/pkg/archive"
	"github.com/containers/storage/pkg/directory"
	"github.com/containers/storage/pkg/idtools"
)

// Name is what a program asks containers/storage for.
const Name = "varve"

// rootMode is the mode of a new base layer.
const rootMode = 0555

func init() {
	graphdriver.Register(Name, Init)
}

// Driver has its layers in a store of varve.
type Driver struct{ store *Store }

var _ graphdriver.Driver = (*Driver)(nil)

// Init opens the store at HOME. Driver options are those of varve(7): "btrfs.min_space=1g", and "varve.quota=keep" for "quota=keep".
func Init(home string, options graphdriver.Options) (graphdriver.Driver, error) {
	rootUID, rootGID, err := idtools.GetRootUIDGID(options.UIDMaps, options.GIDMaps)
	if err != nil {
		return nil, err
	}
	if err := idtools.MkdirAllAs(home, 0700, rootUID, rootGID); err != nil {
		return nil, err
	}
	var storeOptions []string
	for _, option := range options.DriverOptions {
		storeOptions = append(storeOptions, strings.TrimPrefix(option, Name+"."))
	}
	store, err := Open(home, storeOptions, uint32(rootUID), uint32(rootGID))
	if errors.Is(err, syscall.ENOTSUP) {
		return nil, fmt.Errorf("%w: %v", graphdriver.ErrPrerequisites, err)
	}
	if err != nil {
		return nil, err
	}
	return &Driver{store}, nil
}

// idMaps gives the maps of MAPPINGS, which may be nil.
func idMaps(mappings *idtools.IDMappings) IDMaps {
	convert := func(maps []idtools.IDMap) (converted []IDMap) {
		for _, each := range maps {
			converted = append(converted, IDMap{uint32(each.ContainerID), uint32(each.HostID), uint32(each.Size)})
		}
		return converted
	}
	if mappings == nil {
		return IDMaps{}
	}
	return IDMaps{convert(mappings.UIDs()), convert(mappings.GIDs())}
}

func (d *Driver) String() string { return Name }

// Status tells of the library and the file system.
func (d *Driver) Status() [][2]string {
	status, _ := d.store.Status()
	return status
}

// Metadata has nothing to tell.
func (d *Driver) Metadata(id string) (map[string]string, error) { return nil, nil }

// Cleanup closes the store; nothing of it is mounted.
func (d *Driver) Cleanup() error {
	d.store.Close()
	return nil
}

// AdditionalImageStores knows none.
func (d *Driver) AdditionalImageStores() []string { return nil }

// SupportsShifting: owners are shifted on disk, by UpdateLayerIDMap.
func (d *Driver) SupportsShifting() bool { return false }

// create makes the layer ID by CREATE, and what OPTS (may be nil) say. The ids in OPTS are those of UpdateLayerIDMap, which follows.
func (d *Driver) create(id string, create *CreateOptions, opts *graphdriver.CreateOpts) error {
	create.Mode = rootMode
	if opts != nil {
		create.Label = opts.MountLabel
		for key, value := range opts.StorageOpt {
			create.StorageOptions = append(create.StorageOptions, key+"="+value)
		}
		sort.Strings(create.StorageOptions)
	}
	return d.store.Create(id, create)
}

// Create makes a layer.
func (d *Driver) Create(id, parent string, opts *graphdriver.CreateOpts) error {
	return d.create(id, &CreateOptions{Parent: parent}, opts)
}

// CreateReadWrite makes a layer; all of them can be written to.
func (d *Driver) CreateReadWrite(id, parent string, opts *graphdriver.CreateOpts) error {
	return d.Create(id, parent, opts)
}

// CreateFromTemplate makes a copy of a layer. Whatever its maps are, the copy is in the same ones.
func (d *Driver) CreateFromTemplate(id, template string, _ *idtools.IDMappings, _ string, _ *idtools.IDMappings,
	opts *graphdriver.CreateOpts, _ bool) error {
	return d.create(id, &CreateOptions{Template: template}, opts)
}

// Remove destroys a layer. containers/storage passes over one that os.IsNotExist() tells of, which looks into no error of ours.
func (d *Driver) Remove(id string) error {
	err := d.store.Remove(id)
	if errors.Is(err, os.ErrNotExist) {
		return &os.PathError{Op: "remove", Path: id, Err: syscall.ENOENT}
	}
	return err
}

// Get gives the directory of a layer. It is no mount, so that a read-only one is asked for in vain, as of the btrfs driver.
func (d *Driver) Get(id string, options graphdriver.MountOpts) (string, error) {
	return d.store.Get(id, options.Options)
}

// Put has nothing to undo.
func (d *Driver) Put(id string) error { return nil }

// Exists tells whether there is a layer; what cannot be looked at is none.
func (d *Driver) Exists(id string) bool {
	exists, err := d.store.Exists(id)
	return err == nil && exists
}

// ListLayers names all layers; later versions of containers/storage ask for them.
func (d *Driver) ListLayers() ([]string, error) { return d.store.List() }

// ReadWriteDiskUsage tells how much is in a layer.
func (d *Driver) ReadWriteDiskUsage(id string) (*directory.DiskUsage, error) {
	bytes, inodes, err := d.store.Usage(id)
	if err != nil {
		return nil, err
	}
	return &directory.DiskUsage{Size: bytes, InodeCount: inodes}, nil
}

// Diff gives an archive of what a layer has changed.
func (d *Driver) Diff(id string, mappings *idtools.IDMappings, parent string, parentMappings *idtools.IDMappings,
	_ string) (io.ReadCloser, error) {
	return d.store.Diff(id, idMaps(mappings), parent, idMaps(parentMappings))
}

// DiffSize tells how many bytes a layer has changed.
func (d *Driver) DiffSize(id string, mappings *idtools.IDMappings, parent string, parentMappings *idtools.IDMappings,
	_ string) (int64, error) {
	return d.store.DiffSize(id, idMaps(mappings), parent, idMaps(parentMappings))
}

// Changes tells what a layer has changed.
func (d *Driver) Changes(id string, mappings *idtools.IDMappings, parent string, parentMappings *idtools.IDMappings,
	_ string) ([]archive.Change, error) {
	kinds := map[byte]archive.ChangeType{'A': archive.ChangeAdd, 'D': archive.ChangeDelete, 'M': archive.ChangeModify}
	list, err := d.store.Changes(id, idMaps(mappings), parent, idMaps(parentMappings))
	if err != nil {
		return nil, err
	}
	changes := make([]archive.Change, 0, len(list))
	for _, each := range list {
		changes = append(changes, archive.Change{Path: each.Path, Kind: kinds[each.Kind]})
	}
	return changes, nil
}

// inUserNamespace says whether this process has less than all ids.
func inUserNamespace() bool {
	idMap, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(idMap)), " ") != "0 0 4294967295"
}

// ApplyDiff unpacks an archive into a layer that is there.
func (d *Driver) ApplyDiff(id, _ string, options graphdriver.ApplyDiffOpts) (int64, error) {
	how := ApplyOptions{
		IDMaps:       idMaps(options.Mappings),
		IgnoreOwners: options.IgnoreChownErrors,
		// No user namespace has devices, and containers/storage leaves them out there.
		SkipDevices: inUserNamespace(),
	}
	if options.ForceMask != nil {
		if *options.ForceMask == 0 {
			return 0, fmt.Errorf("%s: a force_mask of 0: %w", Name, graphdriver.ErrNotSupported)
		}
		how.ForceMode = uint64(options.ForceMask.Perm())
	}
	return d.store.Apply(id, how, options.Diff)
}

// UpdateLayerIDMap shifts the owners of a layer from one map to another.
func (d *Driver) UpdateLayerIDMap(id string, toContainer, toHost *idtools.IDMappings, _ string) error {
	return d.store.Chown(id, idMaps(toContainer), idMaps(toHost))
}
