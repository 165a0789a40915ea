// SPDX-License-Identifier: Apache-2.0

// pull takes an image from a registry, which it serves itself, with the client library that nerdctl and Kubernetes use: each layer is
// asked for by its chain's id, and fetched and unpacked only where no snapshotter has it.
//
//	pull SOCKET NAMESPACE SNAPSHOTTER ARCHIVE NAME
//
// ARCHIVE is an OCI archive, whose one image becomes NAME at the registry. Printed is how many layers were fetched.
package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"sync/atomic"

	"github.com/containerd/containerd"
	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/remotes/docker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A registry of one image.
type registry struct {
	blobs    map[string][]byte
	manifest ocispec.Descriptor
	layers   map[string]bool
	fetched  int32
}

// Read an OCI archive.
func readArchive(name string) (*registry, error) {
	r := &registry{blobs: map[string][]byte{}, layers: map[string]bool{}}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var index ocispec.Index
	var manifest ocispec.Manifest
	for archive := tar.NewReader(file); ; {
		entry, err := archive.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			return nil, err
		}
		if entry.Name == "index.json" {
			err = json.Unmarshal(data, &index)
		}
		if err != nil {
			return nil, err
		}
		r.blobs["sha256:"+path.Base(entry.Name)] = data
	}
	r.manifest = index.Manifests[0]
	if err := json.Unmarshal(r.blobs[string(r.manifest.Digest)], &manifest); err != nil {
		return nil, err
	}
	for _, layer := range manifest.Layers {
		r.layers[string(layer.Digest)] = true
	}
	return r, nil
}

// Answer a request: the manifest by its tag, and all blobs by their digests.
func (r *registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	digest := path.Base(request.URL.Path)
	data, there := r.blobs[digest]
	if !there {
		digest = string(r.manifest.Digest)
		data = r.blobs[digest]
	}
	if digest == string(r.manifest.Digest) {
		w.Header().Set("Content-Type", r.manifest.MediaType)
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	if request.Method != http.MethodGet {
		return
	}
	if r.layers[digest] {
		atomic.AddInt32(&r.fetched, 1)
	}
	w.Write(data)
}

func run(socket, namespace, snapshotter, archive, name string) error {
	r, err := readArchive(archive)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return err
	}
	go http.Serve(listener, r)
	client, err := containerd.New(socket)
	if err != nil {
		return err
	}
	defer client.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	hosts := func(string) ([]docker.RegistryHost, error) {
		return []docker.RegistryHost{{Client: http.DefaultClient, Host: fmt.Sprintf("localhost:%d", port), Scheme: "http", Path: "/v2",
			Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve}}, nil
	}
	_, err = client.Pull(namespaces.WithNamespace(context.Background(), namespace), name, containerd.WithPullUnpack,
		containerd.WithPullSnapshotter(snapshotter), containerd.WithResolver(docker.NewResolver(docker.ResolverOptions{Hosts: hosts})))
	if err == nil {
		fmt.Println(atomic.LoadInt32(&r.fetched))
	}
	return err
}

func main() {
	if len(os.Args) != 6 {
		log.Fatal("usage: pull SOCKET NAMESPACE SNAPSHOTTER ARCHIVE NAME")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		log.Fatal(err)
	}
}
