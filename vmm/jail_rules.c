/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail_rules.c - every system call that a thread of the monitor may make once its guest runs, and why.
 *
 * Those that are made most often come first in each list, though the kernel remembers for most of them that they are
 * allowed whatever their arguments.
 */
#include "vmm/jail_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/vhost.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* As pthread_create asks for it, and nothing else: a thread, never a process. */
#define THREAD_FLAGS                                                                                       \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | \
	 CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* The device is told of the driver's choices by the vCPU that makes them, and of its removal by the loop. */
#define NET_REQUESTS                                                                                       \
	TUNSETOFFLOAD, VHOST_SET_FEATURES, VHOST_SET_MEM_TABLE, VHOST_SET_VRING_NUM, VHOST_SET_VRING_BASE, \
		VHOST_SET_VRING_ADDR, VHOST_SET_VRING_KICK, VHOST_SET_VRING_CALL, VHOST_NET_SET_BACKEND

/* A sanitizer's runtime has calls of its own to make, and does without most of them. For tests only. */
#ifdef SANITIZED
#define OTHERWISE (SECCOMP_RET_ERRNO | ENOSYS)
#else
#define OTHERWISE SECCOMP_RET_KILL_PROCESS
#endif

static const struct call_rule common[] = {
#ifdef SANITIZED
	ALLOW(sigaltstack), /* in a build with a sanitizer, which insists: each thread's stack for signals */
#endif
	ALLOW(futex),                    /* locks and conditions between the threads */
	ALLOW(write),                    /* eventfds that raise interrupts and wake threads; the log */
	ALLOW(read),                     /* eventfds; the loop's signalfd; files */
	ALLOW(close),                    /* connections, files and devices that are done with */
	NONE_OF(mmap, 2, PROT_EXEC),     /* memory for malloc; never code */
	NONE_OF(mprotect, 2, PROT_EXEC), /* malloc's arenas, guard pages of stacks; never code */
	ALLOW(munmap),                   /* the same, given back */
	ALLOW(mremap),                   /* realloc of large pieces; keeps the protection */
	ALLOW(brk),                      /* malloc */
	ALLOW(madvise),                  /* malloc gives pages back; so does a thread's stack at its end */
	ALLOW(getrandom),                /* malloc's first use in a thread; the entropy device */
	ALLOW(sched_getaffinity),        /* malloc decides by it how many arenas there may be */
	ALLOW(clock_gettime),            /* time stamps, where the vDSO cannot give them */
	ALLOW(writev),                   /* the log; an assertion's last words */
	ALLOW(sendto),                   /* events for the proxy; vsock data */
	ALLOW(rt_sigprocmask),           /* around the start of a thread; abort */
	ALLOW(rt_sigreturn),             /* from the handler that brings a vCPU out of the guest */
	ALLOW(restart_syscall),          /* a wait that a stop and continue interrupted */
	ALLOW(sched_yield),              /* a lock of libc */
	ALLOW(getpid),                   /* abort, pthread_kill */
	ALLOW(gettid),                   /* the same */
	ALLOW(tgkill),     /* pthread_kill of a vCPU's thread; abort. There is no other process in sight */
	ALLOW(exit),       /* a thread's end */
	ALLOW(exit_group), /* the monitor's */
};

static const struct call_rule loop[] = {
	ALLOW(epoll_wait),                 /* the loop itself */
	ALLOW(epoll_pwait),                /* the same, as some versions of libc spell it */
	ALLOW(epoll_ctl),                  /* descriptors come and go */
	ALLOW(recvmsg),                    /* control requests and the descriptors with them */
	ALLOW(sendmsg),                    /* their answers; vsock data out of the guest's buffers */
	ALLOW(recvfrom),                   /* vsock: the first line of a connection */
	ALLOW(readv),                      /* vsock and network data into the guest's buffers */
	ALLOW(accept4),                    /* a new connection to the guest */
	ALLOW(shutdown),                   /* one direction of a connection ends */
	ONE_OF(fcntl, 1, F_DUPFD_CLOEXEC), /* vsock: a spare descriptor, for when there are no others left */
	ALLOW(eventfd2),                   /* doorbell and interrupt of a device that is added later */
	ALLOW(fstat),                      /* what kind of file a share added later is */
	ALLOW(statx),                      /* the same */
	ALLOW(fstatfs),                    /* its file system */
	/*
	 * Interrupts; doorbells and interrupts of such a device; its tap; vhost-net; memory that the VM grows by, which
	 * can be no more than this process has itself.
	 */
	ONE_OF(ioctl, 1, KVM_IRQ_LINE, KVM_IOEVENTFD, KVM_IRQFD, TUNSETVNETHDRSZ, TUNSETVNETLE, VHOST_SET_OWNER,
	       VHOST_GET_FEATURES, KVM_SET_USER_MEMORY_REGION, NET_REQUESTS),
};

static const struct call_rule vcpu[] = {
	/* running the guest; its clock after a pause; what it was doing when it fell; a network device's start */
	ONE_OF(ioctl, 1, KVM_RUN, KVM_IRQ_LINE, KVM_KVMCLOCK_CTRL, KVM_GET_REGS, KVM_GET_SREGS, NET_REQUESTS),
	ALLOW(epoll_ctl), /* a device starts or stops watching what it serves */
	ALLOW(fstat),     /* whether a mapped file has become shorter (fs_window.h) */
};

static const struct call_rule files[] = {
	ONE_OF(ioctl, 1, KVM_IRQ_LINE), /* interrupts */
	ALLOW(epoll_wait),              /* for requests */
	ALLOW(epoll_pwait),             /* the same */
	ALLOW(epoll_ctl),               /* the queues are watched as long as a thread is free */
	ALLOW(preadv2),                 /* READ */
	ALLOW(pwritev2),                /* WRITE */
	ALLOW(openat),                  /* OPEN, CREATE: one name below a directory, or an open file's number */
	ALLOW(openat2),                 /* LOOKUP: one name below a directory */
	ALLOW(statx),                   /* GETATTR */
	ALLOW(fstat),                   /* the same */
	ALLOW(getdents64),              /* READDIR */
	ALLOW(lseek),                   /* READDIR, LSEEK */
	ALLOW(readlinkat),              /* READLINK */
	ALLOW(unlinkat),                /* UNLINK, RMDIR */
	ALLOW(mkdirat),                 /* MKDIR */
	ALLOW(mknodat),                 /* MKNOD */
	ALLOW(symlinkat),               /* SYMLINK */
	ALLOW(linkat),                  /* LINK */
	ALLOW(renameat2),               /* RENAME2 */
	ALLOW(renameat),                /* RENAME */
	ALLOW(fchmodat),                /* SETATTR: mode */
	ALLOW(fchownat),                /* owner */
	ALLOW(utimensat),               /* times */
	ALLOW(ftruncate),               /* size */
	ALLOW(fallocate),               /* FALLOCATE */
	ALLOW(copy_file_range),         /* COPY_FILE_RANGE */
	ALLOW(fsync),                   /* FSYNC, FSYNCDIR */
	ALLOW(fdatasync),               /* FSYNC of data only */
	ALLOW(syncfs),                  /* SYNCFS */
	ALLOW(fstatfs),                 /* STATFS */
	ALLOW(getxattr),                /* GETXATTR */
	ALLOW(listxattr),               /* LISTXATTR */
	ALLOW(setxattr),                /* SETXATTR */
	ALLOW(removexattr),             /* REMOVEXATTR */
	/* LOOKUP of a share; FLUSH; a disk's doorbell, for its threads, which are started here and wait in read */
	ONE_OF(fcntl, 1, F_DUPFD_CLOEXEC, F_SETFL), ALLOW(umask), /* what is made is made with the guest's umask, */
	ALLOW(setfsuid),                                          /* user, */
	ALLOW(setfsgid),                                          /* group, */
	ALLOW(capset),                /* and without CAP_FSETID where that clears set-id bits */
	ALLOW(capget),                /* a further file thread: which it has */
	ALLOW(geteuid),               /* and as whom it begins */
	ALLOW(getegid),               /* the same */
	ALLOW(fchdir),                /* its working directory, where open files are found by number, */
	ONE_OF(unshare, 0, CLONE_FS), /* which is its own, as its umask is */
	ONE_OF(prctl, 0, PR_SET_NAME, PR_GET_SECUREBITS, PR_SET_SECUREBITS), /* a further thread's name and ids */
	FAILS(clone3, ENOSYS),          /* its flags are out of a filter's sight; libc takes clone instead */
	ONE_OF(clone, 0, THREAD_FLAGS), /* and this starts it */
	ALLOW(set_robust_list),         /* as libc does in a new thread */
	ALLOW(rseq),                    /* the same */
};

/* Templates and checkpoints: of a VM that stands still. */
static const struct call_rule save[] = {
	/* what KVM knows of the VM and its vCPUs */
	ONE_OF(ioctl, 1, KVM_GET_CLOCK, KVM_GET_IRQCHIP, KVM_GET_REGS, KVM_GET_SREGS, KVM_GET_XSAVE, KVM_GET_XSAVE2,
	       KVM_GET_XCRS, KVM_GET_DEBUGREGS, KVM_GET_LAPIC, KVM_GET_MP_STATE, KVM_GET_VCPU_EVENTS, KVM_GET_MSRS),
	ALLOW(pwrite64),                            /* memory, */
	ALLOW(ftruncate),                           /* whose file is as large as it from the start */
	ALLOW(readlinkat),                          /* a file's name, */
	ALLOW(openat2),                             /* whether that leads to it, */
	ALLOW(fstat),                               /* what it is like, */
	ONE_OF(fcntl, 1, F_GETFL, F_DUPFD_CLOEXEC), /* how it is open; a share itself, again, */
	ALLOW(openat),                              /* and its content if no name leads to it */
	ALLOW(lseek),
	ALLOW(pread64),
};

const struct call_rules jail_common = CALL_RULES(common);
const struct call_rules jail_special[JAIL_THREADS] = {
	[JAIL_LOOP] = CALL_RULES(loop),
	[JAIL_VCPU] = CALL_RULES(vcpu),
	[JAIL_FILES] = CALL_RULES(files),
	[JAIL_SAVE] = CALL_RULES(save),
};

unsigned jail_filter(enum jail_thread kind, struct sock_filter out[CALL_FILTER_MAX])
{
	const struct call_rules *const tables[] = { &jail_common, &jail_special[kind] };

	return call_filter(tables, 2, OTHERWISE, out);
}
