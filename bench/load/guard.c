/* SPDX-License-Identifier: Apache-2.0 */
/* Trap file-system calls with a seccomp filter. */
#include "load/guard.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#if defined(__x86_64__)
#define GUARD_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define GUARD_ARCH AUDIT_ARCH_AARCH64
#endif

static atomic_uint_fast64_t trapped;

/*
 * The calls that name a file, use an open directory, or wait for a file system. read and write are
 * left out: eventfds need them.
 */
static const int calls[] = {
#ifdef __x86_64__
	SYS_open,       SYS_creat,      SYS_stat,        SYS_lstat,     SYS_access,
	SYS_mkdir,      SYS_rmdir,      SYS_unlink,      SYS_rename,    SYS_link,
	SYS_symlink,    SYS_readlink,   SYS_chmod,       SYS_chown,     SYS_lchown,
	SYS_getdents,   SYS_newfstatat,
#endif
	SYS_openat,     SYS_openat2,    SYS_statx,       SYS_fstat,     SYS_faccessat,
	SYS_mkdirat,    SYS_unlinkat,   SYS_renameat2,   SYS_linkat,    SYS_symlinkat,
	SYS_readlinkat, SYS_fchmodat,   SYS_fchownat,    SYS_fchown,    SYS_fchmod,
	SYS_getdents64, SYS_ioctl,      SYS_fsync,       SYS_fdatasync, SYS_sync,
	SYS_syncfs,     SYS_statfs,     SYS_fstatfs,     SYS_truncate,  SYS_ftruncate,
	SYS_setxattr,   SYS_lsetxattr,  SYS_fsetxattr,   SYS_getxattr,  SYS_lgetxattr,
	SYS_fgetxattr,  SYS_listxattr,  SYS_removexattr, SYS_utimensat, SYS_mount,
	SYS_umount2,    SYS_pread64,    SYS_pwrite64,    SYS_chdir,     SYS_fchdir,
};

#define CALLS (sizeof(calls) / sizeof(*calls))

uint64_t guard_count(void)
{
	return atomic_load(&trapped);
}

#ifdef GUARD_ARCH
/* Count a trapped call and let it fail. */
static void guard_trapped(int signal, siginfo_t *info, void *data)
{
	ucontext_t *context = data;

	(void)signal;
	(void)info;
	atomic_fetch_add(&trapped, 1);
#ifdef __x86_64__
	context->uc_mcontext.gregs[REG_RAX] = -EPERM;
#else
	context->uc_mcontext.regs[0] = (uint64_t)-EPERM;
#endif
}

int guard_install(void)
{
	struct sock_filter filter[CALLS + 6];
	struct sock_fprog program = { .filter = filter };
	struct sigaction action = { .sa_sigaction = guard_trapped,
				    .sa_flags = SA_SIGINFO | SA_RESTART };
	unsigned short n = 0;

	if (sigaction(SIGSYS, &action, NULL) < 0)
		return -errno;
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						   offsetof(struct seccomp_data, arch));
	filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, GUARD_ARCH, 1, 0);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						   offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < CALLS; i++)
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							   (unsigned)calls[i],
							   (unsigned char)(CALLS - i), 0);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
	program.len = n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return -errno;
	return 0;
}
#else
int guard_install(void)
{
	return -ENOTSUP;
}
#endif
