/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_rules.c - every system call that a proxy may make once a program of its container may run, and why.
 *
 * What is in none of these tables is answered with ENOSYS, as by a kernel that lacks it: the proxy's needs depend on
 * streams, networks and engines of many kinds, and one that no test had is not to end a container. What no proxy ever
 * needs, and a hole in one is used for, ends it.
 */
#include "runtime/proxy_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static const struct call_rule allowed[] = {
#ifdef SANITIZED
	ALLOW(sigaltstack), /* in a build with a sanitizer, which insists */
#endif
	ALLOW(epoll_wait),               /* the loop */
	ALLOW(epoll_pwait),              /* the same, as some versions of libc spell it */
	ALLOW(epoll_ctl),                /* descriptors come and go */
	ALLOW(read),                     /* streams; eventfds, signalfd, timers */
	ALLOW(readv),                    /* streams */
	ALLOW(write),                    /* streams; the log */
	ALLOW(writev),                   /* streams */
	ALLOW(recvfrom),                 /* what the agent, the monitor, the kernel (netlink) and nameservers say */
	ALLOW(sendto),                   /* and are told */
	ALLOW(recvmsg),                  /* the monitor's answers */
	ALLOW(sendmsg),                  /* streams into sockets; a tap for the monitor */
	ALLOW(close),                    /* streams and connections that are done with */
	ALLOW(shutdown),                 /* one direction of a connection ends */
	ALLOW(clock_gettime),            /* time limits, where the vDSO cannot give the time */
	ALLOW(timerfd_settime),          /* the same */
	ALLOW(timerfd_create),           /* a time limit for questions to nameservers */
	NONE_OF(mmap, 2, PROT_EXEC),     /* malloc; never code */
	NONE_OF(mprotect, 2, PROT_EXEC), /* the same */
	ALLOW(munmap),                   /* malloc gives back */
	ALLOW(mremap),                   /* realloc */
	ALLOW(brk),                      /* malloc */
	ALLOW(madvise),                  /* malloc */
	ALLOW(getrandom),                /* malloc's first use */
	ALLOW(futex),                    /* locks of libc */
	/* further streams and requests to the VM; a question to a nameserver; the network's state */
	ONE_OF(socket, 0, AF_UNIX, AF_INET, AF_NETLINK),
	ALLOW(connect),     /* the same */
	ALLOW(bind),        /* netlink */
	ALLOW(setsockopt),  /* a time limit; netlink's groups */
	ALLOW(accept4),     /* a connection to a port of the pod's localhost */
	ALLOW(getsockname), /* which port that was */
	ALLOW(fchdir),      /* into the state directory and back: its sockets are found from there */
	ALLOW(openat),      /* ".", for the way back; the devices of a new interface; why the VM was lost */
	ALLOW(faccessat),   /* is there such a file */
	ALLOW(faccessat2),  /* the same, as some versions of libc spell it */
	ALLOW(fstat),       /* what kind of file a stream is */
	ALLOW(newfstatat),  /* the same */
	ALLOW(pread64),     /* nameservers; what the cgroup's limits are */
	ALLOW(pwrite64),    /* those limits for the moment of oom_report.h */
	ALLOW(unlinkat),    /* the record of an exec that has ended */
	/* a copy of a stream; how it blocks; room in a pipe for the last output */
	ONE_OF(fcntl, 1, F_DUPFD_CLOEXEC, F_GETFL, F_SETFL, F_SETPIPE_SZ),
	ONE_OF(ioctl, 1, TIOCGWINSZ, TUNSETIFF, SIOCGIFINDEX), /* the terminal's size; a new interface's tap */
	/* the end: the same as the process's, by signal if need be */
	ALLOW(rt_sigaction),
	ALLOW(rt_sigprocmask),
	ALLOW(prlimit64),
	ONE_OF(prctl, 0, PR_SET_DUMPABLE),
	ALLOW(getpid),
	ALLOW(gettid),
	ALLOW(exit_group),
	ALLOW(exit),
	ALLOW(rt_sigreturn),    /* should a handler of libc's run */
	ALLOW(restart_syscall), /* a wait that a stop and continue interrupted */
	/* the monitor's end, and the process that oom_report.h has killed: both through descriptors of their own */
	ALLOW(pidfd_send_signal),
	ALLOW(wait4),
	ALLOW(poll),
	ALLOW(pipe2),
	ONE_OF(clone, 0, CLONE_PIDFD | SIGCHLD),
};

static const struct call_rule deadly[] = {
	/* Another program. */
	KILLS(execve),
	KILLS(execveat),
	KILLS(fork),
	KILLS(vfork),
	KILLS(clone3),
	/* Into other processes. */
	KILLS(kill),
	KILLS(tkill),
	KILLS(rt_sigqueueinfo),
	KILLS(rt_tgsigqueueinfo),
	KILLS(pidfd_open),
	KILLS(pidfd_getfd),
	KILLS(ptrace),
	KILLS(process_vm_readv),
	KILLS(process_vm_writev),
	KILLS(process_madvise),
	KILLS(kcmp),
	/* Out of the root it has, or into another; files by number instead of by name. */
	KILLS(mount),
	KILLS(umount2),
	KILLS(pivot_root),
	KILLS(chroot),
	KILLS(open_tree),
	KILLS(move_mount),
	KILLS(fsopen),
	KILLS(fsconfig),
	KILLS(fsmount),
	KILLS(fspick),
	KILLS(mount_setattr),
	KILLS(unshare),
	KILLS(setns),
	KILLS(open_by_handle_at),
	KILLS(name_to_handle_at),
	KILLS(mknod),
	KILLS(mknodat),
	/* Other users; what a capability would give. */
	KILLS(setuid),
	KILLS(setgid),
	KILLS(setreuid),
	KILLS(setregid),
	KILLS(setresuid),
	KILLS(setresgid),
	KILLS(setfsuid),
	KILLS(setfsgid),
	KILLS(setgroups),
	KILLS(capset),
	KILLS(personality),
	/* The kernel itself, and its interfaces with the longest lists of holes. */
	KILLS(init_module),
	KILLS(finit_module),
	KILLS(kexec_load),
	KILLS(kexec_file_load),
	KILLS(reboot),
	KILLS(bpf),
	KILLS(perf_event_open),
	KILLS(userfaultfd),
	KILLS(io_uring_setup),
	KILLS(keyctl),
	KILLS(add_key),
	KILLS(request_key),
	KILLS(iopl),
	KILLS(ioperm),
	KILLS(modify_ldt),
	KILLS(setdomainname),
	KILLS(sethostname),
};

const struct call_rules proxy_allowed = CALL_RULES(allowed), proxy_deadly = CALL_RULES(deadly);

unsigned proxy_filter(pid_t own, struct sock_filter out[CALL_FILTER_MAX])
{
	/* As its process was ended by a signal, it ends itself; nobody else's process. */
	const struct call_rule itself[] = { ONE_OF(tgkill, 0, (uint32_t)own) };
	const struct call_rules rules = CALL_RULES(itself);
	const struct call_rules *const tables[] = { &proxy_allowed, &rules, &proxy_deadly };

	return call_filter(tables, 3, SECCOMP_RET_ERRNO | ENOSYS, out);
}
