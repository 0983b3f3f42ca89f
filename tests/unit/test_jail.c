/* SPDX-License-Identifier: Apache-2.0 */
/* What each kind of thread can do behind its filter and what kills it, in child processes: no privilege is needed. */
#include "common/err.h"
#include "vmm/jail.h"
#include "vmm/jail_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SURVIVED = 42, NOT_CONFINED = 43 };

static void *thread_main(void *arg)
{
	free(malloc(100));
	return arg;
}

static void start_a_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_main, NULL) || pthread_join(thread, NULL))
		_exit(1);
}

/* The wait status of a child that closes the jail for `kind` and then does `what`. */
static int behind(enum jail_thread kind, void (*what)(void))
{
	const struct rlimit none = { 0, 0 };
	int status = 0;

#ifdef SANITIZED
	skip(); /* the sanitizer makes system calls of its own, and the filters let it */
#endif
	pid_t pid = fork();
	if (pid == 0) {
		struct err err = ERR_INIT;

		setrlimit(RLIMIT_CORE, &none);
		start_a_thread(); /* libc's first one sets signal handlers; the monitor's is made before, too */
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || jail_close_thread(kind, &err))
			_exit(NOT_CONFINED);
		what();
		_exit(SURVIVED);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	return status;
}

static void assert_lives(enum jail_thread kind, void (*what)(void))
{
	int status = behind(kind, what);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SURVIVED);
}

static void assert_dies(enum jail_thread kind, void (*what)(void))
{
	int status = behind(kind, what);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* clang-format off */
static void open_a_path(void) { open("/etc/passwd", O_RDONLY); }
static void make_a_socket(void) { socket(AF_INET, SOCK_STREAM, 0); }
static void connect_a_socket(void) { connect(0, (struct sockaddr *)"", 1); }
static void run_a_program(void) { execl("/bin/true", "true", NULL); }
static void fork_a_process(void) { syscall(SYS_fork); }
static void clone_a_process(void) { syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }
static void clone_into_namespace(void) { syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0); }
static void trace_a_process(void) { ptrace(PTRACE_ATTACH, 1, 0, 0); }
static void mount_something(void) { mount("none", "/mnt", "tmpfs", 0, NULL); }
static void new_namespace(void) { unshare(CLONE_NEWUSER); }
static void join_namespace(void) { setns(0, 0); }
static void kill_a_process(void) { kill(1, 0); }
static void read_memory_of_others(void) { syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0); }
static void load_a_program(void) { syscall(SYS_bpf, 0, NULL, 0); }
static void load_a_module(void) { syscall(SYS_init_module, NULL, 0, ""); }
static void use_io_uring(void) { syscall(SYS_io_uring_setup, 1, NULL); }
static void open_by_handle(void) { syscall(SYS_open_by_handle_at, 0, NULL, 0); }
static void change_uid(void) { syscall(SYS_setuid, 0); }
static void regain_dumpable(void) { prctl(PR_SET_DUMPABLE, 1); }
static void map_code(void) { mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static void map_data(void) { mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static void make_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(page, 4096, PROT_READ | PROT_EXEC);
}
static void make_a_vm(void) { ioctl(0, KVM_CREATE_VM, 0); }
static void map_guest_memory(void) { ioctl(0, KVM_SET_USER_MEMORY_REGION, NULL); }
static void type_into_a_terminal(void) { ioctl(0, TIOCSTI, ""); }
static void run_the_guest(void) { ioctl(-1, KVM_RUN, 0); }
static void look_at_registers(void)
{
	struct kvm_debugregs registers;

	ioctl(-1, KVM_GET_DEBUGREGS, &registers);
}
static void set_registers(void) { ioctl(-1, KVM_SET_REGS, NULL); }
static void write_at_a_place(void) { (void)!pwrite(-1, "", 1, 0); }
static void x32_call(void) { syscall(0x40000000 | SYS_getpid); }
/* clang-format on */
static void wait_for_events(void)
{
	struct epoll_event event;

	epoll_wait(-1, &event, 1, 0);
}
static void use_much_memory(void)
{
	char *text = malloc(1 << 20);

	text = realloc(text, 8 << 20);
	memset(text, 1, 8 << 20);
	free(text);
}

static void test_jail_no_thread_reaches_the_host(void **state)
{
	static void (*const deeds[])(void) = {
		make_a_socket,   connect_a_socket,     run_a_program,   fork_a_process,
		clone_a_process, trace_a_process,      mount_something, join_namespace,
		kill_a_process,  clone_into_namespace, new_namespace,   read_memory_of_others,
		load_a_program,  load_a_module,        use_io_uring,    open_by_handle,
		change_uid,      regain_dumpable,      map_code,        make_code,
		make_a_vm,       type_into_a_terminal, x32_call,
	};

	(void)state;
	for (enum jail_thread kind = 0; kind < JAIL_THREADS; kind++)
		for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
			assert_dies(kind, deeds[i]);
}

static void test_jail_each_kind_has_its_own_calls(void **state)
{
	(void)state;
	assert_dies(JAIL_LOOP, open_a_path);
	assert_dies(JAIL_VCPU, open_a_path);
	assert_lives(JAIL_FILES, open_a_path); /* its root is empty */
	assert_dies(JAIL_LOOP, run_the_guest);
	assert_dies(JAIL_FILES, run_the_guest);
	assert_lives(JAIL_VCPU, run_the_guest);
	assert_dies(JAIL_VCPU, wait_for_events);
	assert_lives(JAIL_LOOP, wait_for_events);
	assert_lives(JAIL_FILES, wait_for_events);
	assert_dies(JAIL_LOOP, start_a_thread);
	assert_dies(JAIL_VCPU, start_a_thread);
	assert_lives(JAIL_FILES, start_a_thread);
	/* Who saves a VM looks, and writes files; nobody else does, and nobody changes a VM that is saved. */
	assert_lives(JAIL_SAVE, look_at_registers);
	assert_lives(JAIL_SAVE, write_at_a_place);
	assert_lives(JAIL_SAVE, open_a_path); /* the same: of a checkpoint, what no name leads to any more */
	assert_dies(JAIL_SAVE, make_a_socket);
	assert_dies(JAIL_SAVE, run_the_guest);
	assert_dies(JAIL_SAVE, start_a_thread);
	for (enum jail_thread kind = 0; kind < JAIL_THREADS; kind++)
		assert_dies(kind, set_registers);
	/* A VM grows by what this process has itself: the loop's to do, and nobody else's. */
	for (enum jail_thread kind = 0; kind < JAIL_THREADS; kind++) {
		if (kind == JAIL_LOOP)
			assert_lives(kind, map_guest_memory);
		else
			assert_dies(kind, map_guest_memory);
	}
	assert_dies(JAIL_LOOP, look_at_registers);
	assert_dies(JAIL_LOOP, write_at_a_place);
	assert_dies(JAIL_VCPU, write_at_a_place);
}

static void test_jail_memory_works_in_all(void **state)
{
	(void)state;
	for (enum jail_thread kind = 0; kind < JAIL_THREADS; kind++) {
		assert_lives(kind, map_data);
		assert_lives(kind, use_much_memory);
	}
}

/* A rule that is there twice, or an argument no call has, is a slip. */
static void test_jail_rules_are_sound(void **state)
{
	struct sock_filter filter[CALL_FILTER_MAX];

	(void)state;
	for (enum jail_thread kind = 0; kind < JAIL_THREADS; kind++) {
		const struct call_rules *special = &jail_special[kind];
		size_t total = jail_common.count + special->count;

		for (size_t i = 0; i < total; i++) {
			const struct call_rule *rule =
				i < jail_common.count ? &jail_common.rules[i] : &special->rules[i - jail_common.count];

			assert_true(rule->argument < 6);
			assert_true(rule->action == CALL_ALLOW || rule->values[0]);
			for (size_t j = i + 1; j < total; j++) {
				const struct call_rule *other = j < jail_common.count
									? &jail_common.rules[j]
									: &special->rules[j - jail_common.count];

				assert_int_not_equal(rule->number, other->number);
			}
		}
		assert_true(jail_filter(kind, filter) <= CALL_FILTER_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jail_no_thread_reaches_the_host),
		cmocka_unit_test(test_jail_each_kind_has_its_own_calls),
		cmocka_unit_test(test_jail_memory_works_in_all),
		cmocka_unit_test(test_jail_rules_are_sound),
	};

	return cmocka_run_group_tests_name("jail", tests, NULL, NULL);
}
