// SPDX-License-Identifier: Apache-2.0

// Package varve is a graph driver of containers/storage over libvarve. This file binds the library: blocking calls on layers, by
// the blocking twins of varve.h. The driver is in driver.go, and is all that knows containers/storage.
package varve

/*
#cgo LDFLAGS: -lvarve
#include <stdlib.h>
#include <varve.h>
*/
import "C"

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// Error is why the library refused a request, or failed.
type Error struct {
	Errno syscall.Errno // What errors.Is(err, syscall.ENOENT) and the like look at.
	Text  string        // The operation, its step, the call and the path.
}

func (e *Error) Error() string { return "varve: " + e.Text }

// Unwrap gives the errno, which knows os.ErrNotExist and its like.
func (e *Error) Unwrap() error { return e.Errno }

// Store is an open store. Its methods may be called by any number of goroutines at once; each holds a thread while it runs.
type Store struct {
	mutex sync.RWMutex
	store *C.struct_varve_store // nil once it is closed.
}

// IDMap says that Count ids from Container on are those from Host on outside of the container.
type IDMap struct{ Container, Host, Count uint32 }

// IDMaps are the maps of users and of groups that a layer is in; without entries ids are not mapped.
type IDMaps struct{ UIDs, GIDs []IDMap }

// Change is a path that is not as it is in the parent.
type Change struct {
	Path string
	Kind byte // 'A', 'M' or 'D'.
}

// CreateOptions tells how to make a layer.
type CreateOptions struct {
	Parent, Template, Label string
	StorageOptions          []string
	Mode                    uint32
}

// result makes an error of R, what a call has returned, and of why.
func result(r C.int, failure *C.struct_varve_failure) error {
	var text [2048]C.char

	if r >= 0 {
		return nil
	}
	C.varve_strerror(failure, &text[0], C.size_t(len(text)))
	return &Error{Errno: syscall.Errno(-r), Text: C.GoString(&text[0])}
}

// memory is what a call is given beside its options: C memory, because Go's must not be pointed to from there.
type memory struct{ blocks []unsafe.Pointer }

func (m *memory) text(text string) *C.char {
	copied := C.CString(text)
	m.blocks = append(m.blocks, unsafe.Pointer(copied))
	return copied
}

// texts copies TEXTS, and a NULL behind them.
func (m *memory) texts(texts []string) **C.char {
	block := C.calloc(C.size_t(len(texts)+1), C.size_t(unsafe.Sizeof((*C.char)(nil))))
	m.blocks = append(m.blocks, block)
	for i, text := range texts {
		unsafe.Slice((**C.char)(block), len(texts))[i] = m.text(text)
	}
	return (**C.char)(block)
}

func (m *memory) maps(maps []IDMap) (*C.struct_varve_id_map, C.size_t) {
	if len(maps) == 0 {
		return nil, 0
	}
	block := C.calloc(C.size_t(len(maps)), C.sizeof_struct_varve_id_map)
	m.blocks = append(m.blocks, block)
	for i, each := range maps {
		unsafe.Slice((*C.struct_varve_id_map)(block), len(maps))[i] = C.struct_varve_id_map{
			container: C.uint32_t(each.Container), host: C.uint32_t(each.Host), count: C.uint32_t(each.Count)}
	}
	return (*C.struct_varve_id_map)(block), C.size_t(len(maps))
}

func (m *memory) free() {
	for _, block := range m.blocks {
		C.free(block)
	}
}

// Open opens the store at HOME, which is made where it is missing, for layers that belong to ROOTUID and ROOTGID.
func Open(home string, options []string, rootUID, rootGID uint32) (*Store, error) {
	var memory memory
	var config C.struct_varve_config
	var failure C.struct_varve_failure
	store := &Store{}

	defer memory.free()
	C.varve_config_init(&config, C.size_t(unsafe.Sizeof(config)))
	config.home = memory.text(home)
	config.options = memory.texts(options)
	config.root_uid = C.uint32_t(rootUID)
	config.root_gid = C.uint32_t(rootGID)
	return store, result(C.varve_open(&config, &store.store, &failure), &failure)
}

// Close waits for the requests in flight, and closes the store; every later call gives ESHUTDOWN.
func (s *Store) Close() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.store != nil {
		C.varve_close(s.store)
	}
	s.store = nil
}

// call runs REQUEST on the open store for layer ID.
func (s *Store) call(id string, request func(memory *memory, id *C.char, failure *C.struct_varve_failure) C.int) error {
	var memory memory
	var failure C.struct_varve_failure

	s.mutex.RLock()
	defer s.mutex.RUnlock()
	defer memory.free()
	if s.store == nil {
		return &Error{Errno: syscall.ESHUTDOWN, Text: "the store is closed"}
	}
	return result(request(&memory, memory.text(id), &failure), &failure)
}

// Create makes the layer ID.
func (s *Store) Create(id string, create *CreateOptions) error {
	return s.call(id, func(memory *memory, id *C.char, failure *C.struct_varve_failure) C.int {
		var options C.struct_varve_create_options

		C.varve_create_options_init(&options, C.size_t(unsafe.Sizeof(options)))
		options.parent = memory.text(create.Parent)
		options.template_id = memory.text(create.Template)
		options.label = memory.text(create.Label)
		options.storage_options = memory.texts(create.StorageOptions)
		options.mode = C.uint32_t(create.Mode)
		return C.varve_layer_create_wait(s.store, id, &options, failure)
	})
}

// Remove destroys the layer ID.
func (s *Store) Remove(id string) error {
	return s.call(id, func(_ *memory, id *C.char, failure *C.struct_varve_failure) C.int {
		return C.varve_layer_remove_wait(s.store, id, 0, failure)
	})
}

// Get gives the path of the layer ID, whose limit is in force then. OPTIONS are those of a mount.
func (s *Store) Get(id string, options []string) (path string, err error) {
	err = s.call(id, func(memory *memory, id *C.char, failure *C.struct_varve_failure) C.int {
		var found *C.char

		r := C.varve_layer_get_wait(s.store, id, memory.texts(options), &found, failure)
		if r == 0 {
			path = C.GoString(found)
			C.free(unsafe.Pointer(found))
		}
		return r
	})
	return path, err
}

// Exists tells whether there is a layer ID.
func (s *Store) Exists(id string) (bool, error) {
	var exists C.bool

	err := s.call(id, func(_ *memory, id *C.char, failure *C.struct_varve_failure) C.int {
		return C.varve_layer_exists_wait(s.store, id, &exists, failure)
	})
	return bool(exists), err
}

// List names all layers.
func (s *Store) List() (names []string, err error) {
	err = s.call("", func(_ *memory, _ *C.char, failure *C.struct_varve_failure) C.int {
		var ids **C.char
		var count C.size_t

		r := C.varve_layer_list_wait(s.store, &ids, &count, failure)
		if r == 0 {
			for _, id := range unsafe.Slice(ids, int(count)) {
				names = append(names, C.GoString(id))
			}
			C.free(unsafe.Pointer(ids))
		}
		return r
	})
	return names, err
}

// Status tells versions, features and limits.
func (s *Store) Status() (status [][2]string, err error) {
	err = s.call("", func(_ *memory, _ *C.char, failure *C.struct_varve_failure) C.int {
		var entries *C.struct_varve_status_entry
		var count C.size_t

		r := C.varve_status_wait(s.store, &entries, &count, failure)
		if r == 0 {
			for _, entry := range unsafe.Slice(entries, int(count)) {
				status = append(status, [2]string{C.GoString(entry.key), C.GoString(entry.value)})
			}
			C.free(unsafe.Pointer(entries))
		}
		return r
	})
	return status, err
}

// Usage tells how many bytes and inodes the layer ID has.
func (s *Store) Usage(id string) (bytes, inodes int64, err error) {
	err = s.call(id, func(_ *memory, id *C.char, failure *C.struct_varve_failure) C.int {
		var usage C.struct_varve_layer_usage

		C.varve_layer_usage_init(&usage, C.size_t(unsafe.Sizeof(usage)))
		r := C.varve_layer_usage_wait(s.store, id, 0, &usage, failure)
		bytes, inodes = int64(usage.bytes), int64(usage.inodes)
		return r
	})
	return bytes, inodes, err
}

// Chown shifts the ownership of all that is in the layer ID from one map to another.
func (s *Store) Chown(id string, from, to IDMaps) error {
	return s.call(id, func(memory *memory, id *C.char, failure *C.struct_varve_failure) C.int {
		var options C.struct_varve_chown_options

		C.varve_chown_options_init(&options, C.size_t(unsafe.Sizeof(options)))
		options.uid_from, options.uid_from_count = memory.maps(from.UIDs)
		options.gid_from, options.gid_from_count = memory.maps(from.GIDs)
		options.uid_to, options.uid_to_count = memory.maps(to.UIDs)
		options.gid_to, options.gid_to_count = memory.maps(to.GIDs)
		return C.varve_layer_chown_wait(s.store, id, &options, failure)
	})
}

// Relabel gives all that is in the layer ID an SELinux label.
func (s *Store) Relabel(id, label string) error {
	return s.call(id, func(memory *memory, id *C.char, failure *C.struct_varve_failure) C.int {
		return C.varve_layer_relabel_wait(s.store, id, memory.text(label), 0, failure)
	})
}

// compare fills in OPTIONS; a parent of "" is none.
func (m *memory) compare(options *C.struct_varve_changes_options, maps IDMaps, parent string, parentMaps IDMaps) {
	C.varve_changes_options_init(options, C.size_t(unsafe.Sizeof(*options)))
	options.parent = m.text(parent)
	options.uids, options.uids_count = m.maps(maps.UIDs)
	options.gids, options.gids_count = m.maps(maps.GIDs)
	options.parent_uids, options.parent_uids_count = m.maps(parentMaps.UIDs)
	options.parent_gids, options.parent_gids_count = m.maps(parentMaps.GIDs)
}

// Changes tells what is not as it is in PARENT ("": none), sorted by path.
func (s *Store) Changes(id string, maps IDMaps, parent string, parentMaps IDMaps) (changes []Change, err error) {
	err = s.call(id, func(memory *memory, id *C.char, failure *C.struct_varve_failure) C.int {
		var options C.struct_varve_changes_options
		var list *C.struct_varve_change
		var count C.size_t

		memory.compare(&options, maps, parent, parentMaps)
		r := C.varve_layer_changes_wait(s.store, id, &options, &list, &count, failure)
		if r == 0 {
			for _, change := range unsafe.Slice(list, int(count)) {
				changes = append(changes, Change{C.GoString(change.path), byte(change.kind)})
			}
			C.free(unsafe.Pointer(list))
		}
		return r
	})
	return changes, err
}

// DiffSize tells how many bytes the files have that are not as they are in PARENT.
func (s *Store) DiffSize(id string, maps IDMaps, parent string, parentMaps IDMaps) (int64, error) {
	var bytes C.uint64_t

	err := s.call(id, func(memory *memory, id *C.char, failure *C.struct_varve_failure) C.int {
		var options C.struct_varve_changes_options

		memory.compare(&options, maps, parent, parentMaps)
		return C.varve_layer_diff_size_wait(s.store, id, &options, &bytes, failure)
	})
	return int64(bytes), err
}

// diffReader reads an archive from a pipe. At its end it tells how the request ended, so that no archive is taken for whole that is not.
type diffReader struct {
	pipe *os.File
	done chan error
	once sync.Once
	err  error
}

func (d *diffReader) wait() error {
	d.once.Do(func() { d.err = <-d.done })
	return d.err
}

func (d *diffReader) Read(bytes []byte) (int, error) {
	n, err := d.pipe.Read(bytes)
	if err == io.EOF {
		if failed := d.wait(); failed != nil {
			err = failed
		}
	}
	return n, err
}

// Close ends the request, too, where not all was read: it finds nobody at the other end of the pipe.
func (d *diffReader) Close() error {
	err := d.pipe.Close()
	if failed := d.wait(); failed != nil && !errors.Is(failed, syscall.EPIPE) {
		return failed
	}
	return err
}

// Diff gives an archive of what is not as it is in PARENT ("": none).
func (s *Store) Diff(id string, maps IDMaps, parent string, parentMaps IDMaps) (io.ReadCloser, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	diff := &diffReader{pipe: reader, done: make(chan error, 1)}
	go func() {
		err := s.call(id, func(memory *memory, id *C.char, failure *C.struct_varve_failure) C.int {
			var options C.struct_varve_diff_options

			C.varve_diff_options_init(&options, C.size_t(unsafe.Sizeof(options)))
			options.parent = memory.text(parent)
			options.uids, options.uids_count = memory.maps(maps.UIDs)
			options.gids, options.gids_count = memory.maps(maps.GIDs)
			options.parent_uids, options.parent_uids_count = memory.maps(parentMaps.UIDs)
			options.parent_gids, options.parent_gids_count = memory.maps(parentMaps.GIDs)
			return C.varve_layer_diff_wait(s.store, id, &options, C.int(writer.Fd()), nil, nil, failure)
		})
		diff.done <- err
		writer.Close()
	}()
	return diff, nil
}

// ApplyOptions says how an archive is unpacked.
type ApplyOptions struct {
	IDMaps
	// IgnoreOwners gives the caller what has an owner that the caller may not give.
	IgnoreOwners bool
	// SkipDevices leaves out devices that the caller may not make.
	SkipDevices bool
	// ForceMode is the mode of all that is unpacked, unless it is 0.
	ForceMode uint64
}

// Apply unpacks the archive into the layer ID. It gives the sum of the sizes that the entries tell.
func (s *Store) Apply(id string, how ApplyOptions, archive io.Reader) (int64, error) {
	var bytes C.uint64_t

	reader, writer, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(writer, archive)
		writer.Close()
		// Nothing is unpacked of what follows the end of an archive; but the caller may count its bytes.
		if errors.Is(err, syscall.EPIPE) {
			_, err = io.Copy(io.Discard, archive)
		}
		copied <- err
	}()
	err = s.call(id, func(memory *memory, id *C.char, failure *C.struct_varve_failure) C.int {
		var options C.struct_varve_apply_options

		C.varve_apply_options_init(&options, C.size_t(unsafe.Sizeof(options)))
		options.uids, options.uids_count = memory.maps(how.UIDs)
		options.gids, options.gids_count = memory.maps(how.GIDs)
		options.force_mode = C.uint64_t(how.ForceMode)
		if how.IgnoreOwners {
			options.flags |= C.VARVE_APPLY_IGNORE_OWNERS
		}
		if how.SkipDevices {
			options.flags |= C.VARVE_APPLY_SKIP_DEVICES
		}
		return C.varve_layer_apply_wait(s.store, id, &options, C.int(reader.Fd()), &bytes, nil, failure)
	})
	reader.Close()
	// Where the archive could not be read, that is why it was cut off.
	if failed := <-copied; failed != nil {
		err = failed
	}
	return int64(bytes), err
}
