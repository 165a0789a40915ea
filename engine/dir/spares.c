/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dir/spares.h"
#include "engine/base/util.h"

#include <assert.h>
#include <fcntl.h>

int spares_hold(struct spares *spares, int fd, unsigned count)
{
	assert(count <= SPARES_MAX);
	while (spares->count < count) {
		int spare = RET_NERRNO(fcntl(fd, F_DUPFD_CLOEXEC, 0));

		if (spare < 0)
			return spare;
		spares->fds[spares->count++] = spare;
	}
	return 0;
}

bool spares_use(struct spares *spares)
{
	if (!spares->count)
		return false;
	fd_close(spares->fds[--spares->count]);
	return true;
}

bool spares_release(struct spares *spares)
{
	bool any = spares->count;

	while (spares_use(spares))
		;
	return any;
}
