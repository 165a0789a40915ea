/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in engines, in the order that --help=engines shows them. Included several times: no
 * guard.
 */
ENGINE(varve)
ENGINE(varve_threads)
ENGINE(reference)
ENGINE(ioctl)
ENGINE(libbtrfsutil)
ENGINE(btrfs_progs)
ENGINE(coreutils)
ENGINE(tar)
ENGINE(bfs)
ENGINE(fd)
ENGINE(gdu)
ENGINE(containers_storage)
ENGINE(containerd)
#ifdef BENCH_SNAPSHOTTER
ENGINE(snapshotter)
#endif
ENGINE(libuv)
ENGINE(noop)
