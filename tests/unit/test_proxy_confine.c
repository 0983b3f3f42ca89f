/* SPDX-License-Identifier: Apache-2.0 */
/* What a proxy can still do once it is confined, each tried in a process of its own. */
#include "runtime/proxy_confine.h"

#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The wait status of a confined child that does this; its exit status is what the function gives. */
static int confined(int (*what)(long argument), long argument)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err = ERR_INIT;

		prctl(PR_SET_DUMPABLE, 0); /* no core files */
		_exit(proxy_confine(&err) < 0 ? 99 : what(argument));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int call(long number)
{
	syscall((int)number, 0, 0, 0, 0, 0, 0);
	return 0;
}

static void test_proxy_confine_denied_calls_end_it(void **state)
{
	static const long numbers[] = {
		SYS_execve,
		SYS_execveat,
		SYS_clone3,
		SYS_ptrace,
		SYS_process_vm_readv,
		SYS_mount,
		SYS_open_tree,
		SYS_move_mount,
		SYS_pivot_root,
		SYS_chroot,
		SYS_unshare,
		SYS_setns,
		SYS_open_by_handle_at,
		SYS_mknodat,
		SYS_setresuid,
		SYS_capset,
		SYS_bpf,
		SYS_finit_module,
		SYS_kexec_load,
		SYS_perf_event_open,
		SYS_io_uring_setup,
		SYS_keyctl,
		SYS_userfaultfd,
		SYS_setdomainname,
		SYS_getpid | 0x40000000,
	};

	(void)state;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		int status = confined(call, numbers[i]);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("call %ld: status %#x", numbers[i], (unsigned)status);
	}
}

static int map(long protection)
{
	void *page = mmap(NULL, 4096, (int)protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? 1 : 0;
}

static int protect(long protection)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED || mprotect(page, 4096, (int)protection) ? 1 : 0;
}

static void test_proxy_confine_memory_is_never_made_executable(void **state)
{
	int status;

	(void)state;
	assert_int_equal(confined(map, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(confined(protect, PROT_READ), 0);
	status = confined(map, PROT_READ | PROT_EXEC);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	status = confined(protect, PROT_READ | PROT_EXEC);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* What loops, streams, networks and the end of a proxy are made of. The number of the first that fails. */
static int work(long argument)
{
	const struct rlimit no_core = { 0, 0 };
	sigset_t set;
	int pair[2];

	(void)argument;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (epoll_create1(EPOLL_CLOEXEC) < 0 || timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC) < 0)
		return 1;
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signalfd(-1, &set, SFD_CLOEXEC) < 0)
		return 2;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 || write(pair[0], "x", 1) != 1)
		return 3;
	if (socket(AF_INET, SOCK_DGRAM, 0) < 0 || socket(AF_NETLINK, SOCK_RAW, 0) < 0)
		return 4;
	if (open("/dev/null", O_RDWR | O_CLOEXEC) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0 || raise(SIGURG))
		return 5;
	return 0;
}

static void test_proxy_confine_its_work_goes_on(void **state)
{
	(void)state;
	assert_int_equal(confined(work, 0), 0);
}

static int clone_with(long flags)
{
	pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(call(SYS_execve)); /* the copy is as confined */
	int status = 0;
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? 0 : 1;
}

static void test_proxy_confine_a_copy_of_itself_is_confined(void **state)
{
	static const long flags[] = { CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID };

	(void)state;
	assert_int_equal(confined(clone_with, 0), 0);
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		int status = confined(clone_with, flags[i]);

		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

static int raise_it(long number)
{
	raise((int)number);
	return 1;
}

static void test_proxy_confine_it_can_end_by_a_signal(void **state)
{
	int status = confined(raise_it, SIGTERM);

	(void)state;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static int count_rights(long argument)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	(void)argument;
	if (syscall(SYS_capget, &header, data) < 0)
		return 98;
	return __builtin_popcount(data[0].effective | data[0].permitted | data[0].inheritable) +
	       __builtin_popcount(data[1].effective | data[1].permitted | data[1].inheritable);
}

static void test_proxy_confine_four_rights_are_left(void **state)
{
	(void)state;
	assert_in_range(WEXITSTATUS(confined(count_rights, 0)), 0, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proxy_confine_denied_calls_end_it),
		cmocka_unit_test(test_proxy_confine_memory_is_never_made_executable),
		cmocka_unit_test(test_proxy_confine_its_work_goes_on),
		cmocka_unit_test(test_proxy_confine_a_copy_of_itself_is_confined),
		cmocka_unit_test(test_proxy_confine_it_can_end_by_a_signal),
		cmocka_unit_test(test_proxy_confine_four_rights_are_left),
	};

	return cmocka_run_group_tests_name("proxy/confine", tests, NULL, NULL);
}
