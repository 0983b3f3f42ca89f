/* SPDX-License-Identifier: Apache-2.0 */
/* What a proxy can still do once it is confined, each tried in a process of its own. */
#include "runtime/proxy_confine.h"

#include "runtime/last_words.h"

#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
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
		_exit(proxy_confine(true, &err) < 0 ? 99 : what(argument));
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
		SYS_kill,
		SYS_pidfd_open,
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
	if (timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC) < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return 1;
	if (pipe2(pair, O_CLOEXEC) < 0 || write(pair[1], "x", 1) != 1)
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

/* As libc has it: what asks for a file's position first is told that there is no such call. */
static int log_last_words(long fd)
{
	last_words_log((int)fd, "the monitor was killed by signal 9");
	return 0;
}

static void test_proxy_confine_last_words_are_still_written(void **state)
{
	int fd = memfd_create("termination-log", MFD_CLOEXEC);
	char text[200] = "";

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(confined(log_last_words, fd), 0);
	assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
	assert_string_equal(text, "the virtual machine was lost: the monitor was killed by signal 9\n");
	close(fd);
}

static int clone_with(long flags)
{
	int pid_fd = -1, status = 0;
	pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, &pid_fd, NULL, NULL);

	if (pid == 0)
		_exit(call(SYS_execve)); /* the copy is as confined */
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? 0 : 1;
}

static void test_proxy_confine_a_copy_of_itself_is_confined(void **state)
{
	static const long flags[] = { 0, CLONE_NEWUSER, CLONE_NEWNS, CLONE_PIDFD | CLONE_NEWNET, CLONE_NEWPID };

	(void)state;
	assert_int_equal(confined(clone_with, CLONE_PIDFD), 0);
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		int status = confined(clone_with, flags[i]);

		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
}

static int signal_other(long pid)
{
	syscall(SYS_tgkill, (pid_t)pid, (pid_t)pid, 0);
	return 1;
}

/* What is in no table is as in a kernel that lacks it: 0 then. */
static int rare(long number)
{
	return syscall((int)number, 0, 0, 0, 0, 0, 0) == -1 && errno == ENOSYS ? 0 : 1;
}

static void test_proxy_confine_other_processes_are_out_of_reach(void **state)
{
	int status;

	(void)state;
	status = confined(signal_other, getpid());
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	assert_int_equal(confined(rare, SYS_prlimit64 + 10000), 0);
	assert_int_equal(confined(rare, SYS_sched_setscheduler), 0);
	assert_int_equal(confined(rare, SYS_symlinkat), 0);
	assert_int_equal(confined(rare, SYS_fchmodat), 0);
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

/* Those that are permitted, as the kernel shows them: capget is none of a proxy's calls. */
static int count_rights(long argument)
{
	char text[4096] = "", *line;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	(void)argument;
	if (fd < 0 || read(fd, text, sizeof text - 1) < 0 || !(line = strstr(text, "\nCapPrm:\t")))
		return 98;
	return __builtin_popcountll(strtoull(line + 9, NULL, 16));
}

static void test_proxy_confine_one_right_is_left_for_networks(void **state)
{
	(void)state;
	assert_in_range(WEXITSTATUS(confined(count_rights, 0)), 0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proxy_confine_denied_calls_end_it),
		cmocka_unit_test(test_proxy_confine_memory_is_never_made_executable),
		cmocka_unit_test(test_proxy_confine_its_work_goes_on),
		cmocka_unit_test(test_proxy_confine_last_words_are_still_written),
		cmocka_unit_test(test_proxy_confine_a_copy_of_itself_is_confined),
		cmocka_unit_test(test_proxy_confine_it_can_end_by_a_signal),
		cmocka_unit_test(test_proxy_confine_other_processes_are_out_of_reach),
		cmocka_unit_test(test_proxy_confine_one_right_is_left_for_networks),
	};

	return cmocka_run_group_tests_name("proxy/confine", tests, NULL, NULL);
}
