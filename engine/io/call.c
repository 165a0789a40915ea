/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/io/call.h"

#include <fcntl.h>
#include <sys/syscall.h>

void call_openat2(struct call *call, int dirfd, const char *path, uint64_t flags, uint64_t resolve)
{
	call->kind = CALL_OPENAT2;
	call->name = "openat2";
	call->openat2.dirfd = dirfd;
	call->openat2.path = path;
	call->openat2.how = (struct open_how){ .flags = flags | O_CLOEXEC, .resolve = resolve };
}

void call_statx(struct call *call, int dirfd, const char *path, int flags, unsigned mask,
		struct statx *buffer)
{
	call->kind = CALL_STATX;
	call->name = "statx";
	call->statx.dirfd = dirfd;
	call->statx.path = path;
	call->statx.flags = flags;
	call->statx.mask = mask;
	call->statx.buffer = buffer;
}

void call_unlinkat(struct call *call, int dirfd, const char *path, int flags)
{
	call->kind = CALL_UNLINKAT;
	call->name = "unlinkat";
	call->unlinkat.dirfd = dirfd;
	call->unlinkat.path = path;
	call->unlinkat.flags = flags;
}

void call_function(struct call *call, enum call_lane lane, const char *name,
		   int (*function)(struct call *call))
{
	call->kind = CALL_FUNCTION;
	call->lane = lane;
	call->name = name;
	call->function = function;
}

int call_run(struct call *call)
{
	switch (call->kind) {
	case CALL_FUNCTION:
		return call->function(call);
	case CALL_OPENAT2:
		return RET_NERRNO((int)syscall(SYS_openat2, call->openat2.dirfd, call->openat2.path,
					       &call->openat2.how, sizeof(call->openat2.how)));
	case CALL_STATX:
		return RET_NERRNO(statx(call->statx.dirfd, call->statx.path, call->statx.flags,
					call->statx.mask, call->statx.buffer));
	case CALL_UNLINKAT:
		return RET_NERRNO(
			unlinkat(call->unlinkat.dirfd, call->unlinkat.path, call->unlinkat.flags));
	default:
		return -EINVAL;
	}
}
