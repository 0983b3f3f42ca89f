/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's program in functional tests: one static binary with many small commands, each of which does one
 * thing a test wants done inside, or prints one thing as the process inside sees it, as plain lines that are easy to
 * assert on. `testinit help` lists them. Several commands can run in one container, which saves starting another:
 *
 *     testinit id + caps + writefile /tmp/x hello + exit 3
 *
 * A command that fails prints "<command> <object>: <errno's name>" to standard error, and counts as 1; the status is
 * that of the last failing command, or 0. Nothing here needs a library, a shell, /proc mounted (except where the
 * command reads it) or a writable file system.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* --- names ------------------------------------------------------------------------------------------------------- */

struct named {
	const char *name;
	long value;
};

#define N(x)          \
	{             \
#x, x \
	}
static const struct named errors[] = {
	N(EPERM),         N(ENOENT),   N(ESRCH),       N(EINTR),        N(EIO),          N(ENXIO),
	N(E2BIG),         N(ENOEXEC),  N(EBADF),       N(ECHILD),       N(EAGAIN),       N(ENOMEM),
	N(EACCES),        N(EFAULT),   N(EBUSY),       N(EEXIST),       N(EXDEV),        N(ENODEV),
	N(ENOTDIR),       N(EISDIR),   N(EINVAL),      N(ENFILE),       N(EMFILE),       N(ENOTTY),
	N(ETXTBSY),       N(EFBIG),    N(ENOSPC),      N(ESPIPE),       N(EROFS),        N(EMLINK),
	N(EPIPE),         N(ERANGE),   N(EDEADLK),     N(ENAMETOOLONG), N(ENOSYS),       N(ENOTEMPTY),
	N(ELOOP),         N(ENODATA),  N(EOVERFLOW),   N(EOPNOTSUPP),   N(EAFNOSUPPORT), N(EADDRINUSE),
	N(EADDRNOTAVAIL), N(ENETDOWN), N(ENETUNREACH), N(ECONNREFUSED), N(ECONNRESET),   N(ETIMEDOUT),
	N(EHOSTUNREACH),  N(EDQUOT),   N(ESTALE),      N(ENOKEY),       N(ENOTCONN),     N(EPROTONOSUPPORT),
	N(EDESTADDRREQ),  N(ENOTSOCK),
};

static const struct named signals[] = {
	{ "HUP", SIGHUP },       { "INT", SIGINT },   { "QUIT", SIGQUIT },   { "ILL", SIGILL },   { "TRAP", SIGTRAP },
	{ "ABRT", SIGABRT },     { "BUS", SIGBUS },   { "FPE", SIGFPE },     { "KILL", SIGKILL }, { "USR1", SIGUSR1 },
	{ "SEGV", SIGSEGV },     { "USR2", SIGUSR2 }, { "PIPE", SIGPIPE },   { "ALRM", SIGALRM }, { "TERM", SIGTERM },
	{ "STKFLT", SIGSTKFLT }, { "CHLD", SIGCHLD }, { "CONT", SIGCONT },   { "STOP", SIGSTOP }, { "TSTP", SIGTSTP },
	{ "TTIN", SIGTTIN },     { "TTOU", SIGTTOU }, { "URG", SIGURG },     { "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ },
	{ "VTALRM", SIGVTALRM }, { "PROF", SIGPROF }, { "WINCH", SIGWINCH }, { "IO", SIGIO },     { "PWR", SIGPWR },
	{ "SYS", SIGSYS },
};

static const struct named limits[] = {
	N(RLIMIT_AS),      N(RLIMIT_CORE),     N(RLIMIT_CPU),        N(RLIMIT_DATA),   N(RLIMIT_FSIZE), N(RLIMIT_LOCKS),
	N(RLIMIT_MEMLOCK), N(RLIMIT_MSGQUEUE), N(RLIMIT_NICE),       N(RLIMIT_NOFILE), N(RLIMIT_NPROC), N(RLIMIT_RSS),
	N(RLIMIT_RTPRIO),  N(RLIMIT_RTTIME),   N(RLIMIT_SIGPENDING), N(RLIMIT_STACK),
};

static const struct named policies[] = {
	N(SCHED_OTHER), N(SCHED_FIFO), N(SCHED_RR), N(SCHED_BATCH), N(SCHED_IDLE), N(SCHED_DEADLINE),
};

#define S(x)                \
	{                   \
#x, SYS_##x \
	}
static const struct named syscalls[] = {
	S(acct),
	S(add_key),
	S(adjtimex),
	S(bpf),
	S(chmod),
	S(chown),
	S(chroot),
	S(clock_settime),
	S(clone3),
	S(delete_module),
	S(dup),
	S(finit_module),
	S(fsmount),
	S(fsopen),
	S(getcwd),
	S(getpid),
	S(getppid),
	S(getpriority),
	S(gettid),
	S(getuid),
	S(init_module),
	S(io_uring_setup),
	S(ioperm),
	S(iopl),
	S(kcmp),
	S(kexec_load),
	S(keyctl),
	S(kill),
	S(link),
	S(mbind),
	S(memfd_create),
	S(mincore),
	S(mkdir),
	S(mknod),
	S(mount),
	S(mount_setattr),
	S(move_mount),
	S(name_to_handle_at),
	S(open_by_handle_at),
	S(open_tree),
	S(openat),
	S(perf_event_open),
	S(personality),
	S(pidfd_open),
	S(pivot_root),
	S(prctl),
	S(process_vm_readv),
	S(ptrace),
	S(quotactl),
	S(reboot),
	S(request_key),
	S(sched_yield),
	S(seccomp),
	S(set_mempolicy),
	S(setdomainname),
	S(sethostname),
	S(setns),
	S(settimeofday),
	S(socket),
	S(swapoff),
	S(swapon),
	S(symlink),
	S(sync),
	S(syslog),
	S(umask),
	S(umount2),
	S(uname),
	S(unlink),
	S(unshare),
	S(userfaultfd),
	S(vhangup),
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *name_of(const struct named *table, size_t count, long value)
{
	static char number[32];

	for (size_t i = 0; i < count; i++)
		if (table[i].value == value)
			return table[i].name;
	snprintf(number, sizeof number, "%ld", value);
	return number;
}

/* A name of the table, or a number. */
static bool value_of(const struct named *table, size_t count, const char *name, long *value)
{
	char *end;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(table[i].name, name) == 0) {
			*value = table[i].value;
			return true;
		}
	}
	*value = strtol(name, &end, 0);
	return *name && !*end;
}

static const char *error_name(int code)
{
	return name_of(errors, COUNT(errors), code);
}

static bool signal_of(const char *name, long *signal)
{
	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	return value_of(signals, COUNT(signals), name, signal);
}

/* --- helpers ----------------------------------------------------------------------------------------------------- */

static const char *command_name;

static int failed(const char *object)
{
	int code = errno;

	fflush(stdout);
	fprintf(stderr, "%s %s: %s\n", command_name, object, error_name(code));
	return 1;
}

static int result(int value, const char *object)
{
	return value < 0 ? failed(object) : 0;
}

static int copy_fd(int from, int to, const char *object)
{
	static char buffer[65536];
	ssize_t n;

	while ((n = read(from, buffer, sizeof buffer)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(object);
		for (ssize_t done = 0; done < n;) {
			ssize_t put = write(to, buffer + done, (size_t)(n - done));

			if (put < 0 && errno != EINTR)
				return failed("write");
			done += put > 0 ? put : 0;
		}
	}
	return 0;
}

static int print_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return failed(path);
	fflush(stdout);
	int status = copy_fd(fd, 1, path);
	close(fd);
	return status;
}

/* Lines of a file that begin with `key`, as "key value". */
static int print_status(const char *const *keys)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[4096];

	if (!file)
		return failed("/proc/self/status");
	while (fgets(line, sizeof line, file)) {
		for (const char *const *key = keys; *key; key++) {
			size_t length = strlen(*key);

			if (strncmp(line, *key, length) == 0 && line[length] == ':')
				printf("%s %s", *key, line + length + 1 + strspn(line + length + 1, " \t"));
		}
	}
	fclose(file);
	return 0;
}

static void print_mode(const char *name, const struct stat *st)
{
	static const char types[] = "?pc?d?b?-?l?s???";

	printf("%s %c %04o %u:%u ", name, types[(st->st_mode & S_IFMT) >> 12], st->st_mode & 07777, st->st_uid,
	       st->st_gid);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		printf("%u:%u\n", major(st->st_rdev), minor(st->st_rdev));
	else
		printf("%lld\n", (long long)st->st_size);
}

static int print_folder(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);

	if (count < 0)
		return failed(path);
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;
		char full[4096];
		struct stat st;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		snprintf(full, sizeof full, "%s/%s", path, name);
		if (lstat(full, &st) < 0)
			return failed(full);
		print_mode(name, &st);
	}
	return 0;
}

/* --- how it ends ------------------------------------------------------------------------------------------------- */

static int cmd_exit(char **args)
{
	fflush(stdout);
	_exit(atoi(args[0]));
}

static int cmd_kill(char **args)
{
	long signal;

	if (!signal_of(args[0], &signal)) {
		errno = EINVAL;
		return failed(args[0]);
	}
	/* A core would be one more file for a test to clean up. */
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
	fflush(stdout);
	/* PID 1 of a PID namespace ignores a signal from inside that it does not handle: that is for the test to see.
	 */
	if (kill(args[1] ? atoi(args[1]) : getpid(), (int)signal) < 0)
		return failed(args[0]);
	return 0;
}

static int cmd_exec(char **args)
{
	fflush(stdout);
	execvp(args[0], args);
	return failed(args[0]);
}

/* --- what it was given ------------------------------------------------------------------------------------------- */

extern char **environ;

static int cmd_env(char **args)
{
	if (args[0]) {
		const char *value = getenv(args[0]);

		printf("%s\n", value ? value : "(unset)");
		return 0;
	}
	for (char **entry = environ; *entry; entry++)
		printf("%s\n", *entry);
	return 0;
}

static int cmd_args(char **args)
{
	for (; *args; args++)
		printf("[%s]\n", *args);
	return 0;
}

static int cmd_cwd(char **args)
{
	char path[4096];

	(void)args;
	if (!getcwd(path, sizeof path))
		return failed("getcwd");
	printf("%s\n", path);
	return 0;
}

static int cmd_id(char **args)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid, groups[256];
	int count = getgroups(256, groups);
	mode_t mask = umask(0);

	(void)args;
	umask(mask);
	getresuid(&ruid, &euid, &suid);
	getresgid(&rgid, &egid, &sgid);
	printf("uid %u %u %u\ngid %u %u %u\ngroups", ruid, euid, suid, rgid, egid, sgid);
	for (int i = 0; i < count; i++)
		printf(" %u", groups[i]);
	printf("\numask %04o\n", mask);
	return 0;
}

static int cmd_pid(char **args)
{
	(void)args;
	printf("pid %d\nppid %d\npgid %d\nsid %d\n", getpid(), getppid(), getpgid(0), getsid(0));
	return 0;
}

static int cmd_caps(char **args)
{
	(void)args;
	return print_status((const char *const[]){ "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", NULL });
}

static void print_limit(rlim_t value)
{
	if (value == RLIM_INFINITY)
		printf(" unlimited");
	else
		printf(" %llu", (unsigned long long)value);
}

static int cmd_rlimits(char **args)
{
	for (size_t i = 0; i < COUNT(limits); i++) {
		struct rlimit limit;

		if (args[0] && strcmp(args[0], limits[i].name) != 0)
			continue;
		if (getrlimit((int)limits[i].value, &limit) < 0)
			return failed(limits[i].name);
		printf("%s", limits[i].name);
		print_limit(limit.rlim_cur);
		print_limit(limit.rlim_max);
		printf("\n");
	}
	return 0;
}

static int cmd_nnp(char **args)
{
	(void)args;
	return print_status((const char *const[]){ "NoNewPrivs", NULL });
}

static int cmd_seccomp_status(char **args)
{
	(void)args;
	return print_status((const char *const[]){ "Seccomp", "Seccomp_filters", NULL });
}

static int cmd_oomadj(char **args)
{
	(void)args;
	return print_file("/proc/self/oom_score_adj");
}

static int cmd_personality(char **args)
{
	(void)args;
	printf("0x%08lx\n", (unsigned long)syscall(SYS_personality, 0xffffffffL));
	return 0;
}

/* sched_getattr(2): the kernel's header and the C library's exclude each other. */
struct scheduling {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

static int cmd_scheduler(char **args)
{
	struct scheduling attr = { .size = sizeof attr };

	(void)args;
	if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) < 0)
		return failed("sched_getattr");
	printf("policy %s\nnice %d\npriority %u\nflags %#llx\nruntime %llu\ndeadline %llu\nperiod %llu\n",
	       name_of(policies, COUNT(policies), attr.policy), attr.nice, attr.priority,
	       (unsigned long long)attr.flags, (unsigned long long)attr.runtime, (unsigned long long)attr.deadline,
	       (unsigned long long)attr.period);
	return 0;
}

static int cmd_ioprio(char **args)
{
	static const char *const classes[] = { "none", "realtime", "best-effort", "idle" };
	long value = syscall(SYS_ioprio_get, 1 /* IOPRIO_WHO_PROCESS */, 0);

	(void)args;
	if (value < 0)
		return failed("ioprio_get");
	printf("class %s\nlevel %ld\n", classes[value >> 13 & 3], value & 7);
	return 0;
}

static int cmd_cpus(char **args)
{
	cpu_set_t set;

	(void)args;
	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return failed("sched_getaffinity");
	printf("online %ld\nallowed", sysconf(_SC_NPROCESSORS_ONLN));
	for (unsigned i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			printf(" %u", i);
	printf("\n");
	return 0;
}

static int cmd_memory(char **args)
{
	(void)args;
	return print_file("/proc/meminfo");
}

static int cmd_fds(char **args)
{
	(void)args;
	for (int fd = 0; fd < 1024; fd++) {
		char path[64], target[4096];

		if (fcntl(fd, F_GETFD) < 0)
			continue;
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		ssize_t length = readlink(path, target, sizeof target - 1);
		target[length > 0 ? length : 0] = '\0';
		printf("%d %s\n", fd, target);
	}
	return 0;
}

/* --- where it is ------------------------------------------------------------------------------------------------- */

static int cmd_uname(char **args)
{
	struct utsname names;

	(void)args;
	uname(&names);
	printf("%s %s %s\n", names.sysname, names.release, names.machine);
	return 0;
}

static int cmd_hostname(char **args)
{
	struct utsname names;

	(void)args;
	uname(&names);
	printf("%s\n", names.nodename);
	return 0;
}

static int cmd_domainname(char **args)
{
	struct utsname names;

	(void)args;
	uname(&names);
	printf("%s\n", names.domainname);
	return 0;
}

static int cmd_ns(char **args)
{
	static const char *const all[] = { "cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts", NULL };

	for (const char *const *name = all; *name; name++) {
		char path[64], target[64];

		if (args[0] && strcmp(args[0], *name) != 0)
			continue;
		snprintf(path, sizeof path, "/proc/self/ns/%s", *name);
		ssize_t length = readlink(path, target, sizeof target - 1);
		if (length < 0)
			return failed(path);
		target[length] = '\0';
		printf("%s\n", target);
	}
	return 0;
}

static int cmd_cgroup(char **args)
{
	char path[4096];

	if (!args[0])
		return print_file("/proc/self/cgroup");
	snprintf(path, sizeof path, "/sys/fs/cgroup/%s", args[0]);
	return print_file(path);
}

static int cmd_sysctl(char **args)
{
	char path[4096] = "/proc/sys/";
	bool slashes = strchr(args[0], '/') != NULL;
	size_t used = strlen(path);

	for (const char *c = args[0]; *c && used < sizeof path - 1; c++)
		path[used++] = (!slashes && *c == '.') ? '/' : *c;
	path[used] = '\0';
	return print_file(path);
}

static int cmd_clock(char **args)
{
	static const struct named clocks[] = { { "realtime", CLOCK_REALTIME },
					       { "monotonic", CLOCK_MONOTONIC },
					       { "boottime", CLOCK_BOOTTIME } };

	(void)args;
	for (size_t i = 0; i < COUNT(clocks); i++) {
		struct timespec now;

		clock_gettime((clockid_t)clocks[i].value, &now);
		printf("%s %lld\n", clocks[i].name, (long long)now.tv_sec);
	}
	return 0;
}

static int cmd_random(char **args)
{
	unsigned char bytes[16];

	(void)args;
	if (syscall(SYS_getrandom, bytes, sizeof bytes, 1 /* GRND_NONBLOCK */) < 0)
		return failed("getrandom");
	for (size_t i = 0; i < sizeof bytes; i++)
		printf("%02x", bytes[i]);
	printf("\n");
	return 0;
}

/* --- mounts and files -------------------------------------------------------------------------------------------- */

/*
 * One line for the topmost mount on a path: "<path> type=ext4 source=/dev/x options=ro,nosuid super=rw propagation=..."
 */
static int cmd_mount_of(char **args)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[8192], found[16384] = "";

	if (!file)
		return failed("/proc/self/mountinfo");
	while (fgets(line, sizeof line, file)) {
		char where[4096], options[1024], fields[1024] = "", type[256], source[1024], super[2048];
		char *dash = strstr(line, " - ");
		const char *propagation = "private";

		if (!dash || sscanf(line, "%*d %*d %*s %*s %4095s %1023s %1023[^\n]", where, options, fields) < 3 ||
		    sscanf(dash, " - %255s %1023s %2047s", type, source, super) != 3)
			continue;
		*dash = '\0';
		if (strstr(line, " shared:"))
			propagation = strstr(line, " master:") ? "shared,slave" : "shared";
		else if (strstr(line, " master:"))
			propagation = "slave";
		else if (strstr(line, " unbindable"))
			propagation = "unbindable";
		if (strcmp(where, args[0]) == 0)
			snprintf(found, sizeof found, "%s type=%s source=%s options=%s super=%s propagation=%s\n",
				 where, type, source, options, super, propagation);
	}
	fclose(file);
	if (!*found) {
		errno = ENOENT;
		return failed(args[0]);
	}
	fputs(found, stdout);
	return 0;
}

static int cmd_mounts(char **args)
{
	(void)args;
	return print_file("/proc/self/mountinfo");
}

static int cmd_mount(char **args)
{
	const char *type = args[0], *source = args[1], *target = args[2], *data = args[3];

	return result(mount(source, target, type, 0, data), target);
}

static int cmd_umount(char **args)
{
	return result(umount2(args[0], MNT_DETACH), args[0]);
}

static int cmd_readfile(char **args)
{
	return print_file(args[0]);
}

static int write_file(const char *path, const char *text, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);

	if (fd < 0)
		return failed(path);
	ssize_t n = write(fd, text, strlen(text));
	if (close(fd) < 0 || n != (ssize_t)strlen(text))
		return failed(path);
	return 0;
}

static int cmd_writefile(char **args)
{
	return write_file(args[0], args[1], O_CREAT | O_TRUNC);
}

static int cmd_appendfile(char **args)
{
	return write_file(args[0], args[1], O_CREAT | O_APPEND);
}

/* Prints how it went, and succeeds either way: for lists of what should and should not be possible. */
static int cmd_open(char **args)
{
	const char *mode = args[1] ? args[1] : "r";
	int flags = strcmp(mode, "rw") == 0 ? O_RDWR : *mode == 'w' ? O_WRONLY : O_RDONLY;
	int fd = open(args[0], flags | O_CLOEXEC | O_NONBLOCK);

	printf("open %s %s: %s\n", args[0], mode, fd < 0 ? error_name(errno) : "OK");
	close(fd);
	return 0;
}

static int cmd_ls(char **args)
{
	return print_folder(args[0] ? args[0] : ".");
}

static int cmd_devices(char **args)
{
	(void)args;
	return print_folder("/dev");
}

static int cmd_stat(char **args)
{
	struct stat st;

	if (lstat(args[0], &st) < 0)
		return failed(args[0]);
	print_mode(args[0], &st);
	return 0;
}

static int cmd_statfs(char **args)
{
	struct statvfs st;

	if (statvfs(args[0], &st) < 0)
		return failed(args[0]);
	printf("size %llu\nfiles %llu\nreadonly %d\n", (unsigned long long)st.f_blocks * st.f_frsize,
	       (unsigned long long)st.f_files, !!(st.f_flag & ST_RDONLY));
	return 0;
}

static int cmd_readlink(char **args)
{
	char target[4096];
	ssize_t length = readlink(args[0], target, sizeof target - 1);

	if (length < 0)
		return failed(args[0]);
	target[length] = '\0';
	printf("%s\n", target);
	return 0;
}

static int cmd_mkdir(char **args)
{
	return result(mkdir(args[0], 0755), args[0]);
}

static int cmd_rm(char **args)
{
	return result(remove(args[0]), args[0]);
}

static int cmd_rename(char **args)
{
	return result(rename(args[0], args[1]), args[0]);
}

static int cmd_symlink(char **args)
{
	return result(symlink(args[0], args[1]), args[1]);
}

static int cmd_chmod(char **args)
{
	return result(chmod(args[0], (mode_t)strtoul(args[1], NULL, 8)), args[0]);
}

static int cmd_chown(char **args)
{
	return result(lchown(args[0], (uid_t)strtoul(args[1], NULL, 10), (gid_t)strtoul(args[2], NULL, 10)), args[0]);
}

static int cmd_mknod(char **args)
{
	mode_t type = *args[1] == 'b' ? S_IFBLK : *args[1] == 'c' ? S_IFCHR : S_IFIFO;
	dev_t device =
		type == S_IFIFO || !args[2] || !args[3] ? 0 : makedev((unsigned)atoi(args[2]), (unsigned)atoi(args[3]));

	return result(mknod(args[0], type | 0666, device), args[0]);
}

static int cmd_getxattr(char **args)
{
	char value[4096];
	ssize_t length = lgetxattr(args[0], args[1], value, sizeof value);

	if (length < 0)
		return failed(args[0]);
	printf("%.*s\n", (int)length, value);
	return 0;
}

static int cmd_chdir(char **args)
{
	return result(chdir(args[0]), args[0]);
}

/* --- standard streams -------------------------------------------------------------------------------------------- */

static int cmd_echo(char **args)
{
	for (char **arg = args; *arg; arg++)
		printf("%s%s", arg == args ? "" : " ", *arg);
	printf("\n");
	return 0;
}

static int cmd_stderr(char **args)
{
	fflush(stdout);
	fprintf(stderr, "%s\n", args[0]);
	return 0;
}

static int cmd_cat(char **args)
{
	(void)args;
	fflush(stdout);
	return copy_fd(0, 1, "standard input");
}

/* Bytes that a test can compute too: byte i is i * 31 + i / 256 * 7. */
static int cmd_pattern(char **args)
{
	static unsigned char block[65536];
	unsigned long long total = strtoull(args[0], NULL, 0), done = 0;

	fflush(stdout);
	while (done < total) {
		size_t n = total - done < sizeof block ? (size_t)(total - done) : sizeof block;

		for (size_t i = 0; i < n; i++)
			block[i] = (unsigned char)((done + i) * 31 + (done + i) / 256 * 7);
		for (size_t sent = 0; sent < n;) {
			ssize_t put = write(1, block + sent, n - sent);

			if (put < 0 && errno != EINTR)
				return failed("write");
			sent += put > 0 ? (size_t)put : 0;
		}
		done += n;
	}
	return 0;
}

/* What came on standard input: number of bytes, and where it first differs from `pattern`. */
static int cmd_count(char **args)
{
	static unsigned char block[65536];
	unsigned long long total = 0, differs = ~0ull;
	ssize_t n;

	(void)args;
	while ((n = read(0, block, sizeof block)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed("standard input");
		for (ssize_t i = 0; i < n; i++) {
			unsigned long long at = total + (unsigned long long)i;

			if (block[i] != (unsigned char)(at * 31 + at / 256 * 7) && at < differs)
				differs = at;
		}
		total += (unsigned long long)n;
	}
	printf("bytes %llu\n", total);
	if (differs != ~0ull)
		printf("differs at %llu\n", differs);
	return 0;
}

static int cmd_isatty(char **args)
{
	(void)args;
	for (int fd = 0; fd < 3; fd++)
		printf("%d %s\n", fd, isatty(fd) ? "yes" : "no");
	return 0;
}

static int cmd_tty(char **args)
{
	char name[256];

	(void)args;
	if (ttyname_r(0, name, sizeof name) != 0)
		return failed("standard input");
	/* Is it the controlling terminal, with this process in the foreground? */
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	printf("%s\ncontrolling %s\nforeground %s\n", name, fd < 0 ? "no" : "yes",
	       tcgetpgrp(0) == getpgrp() ? "yes" : "no");
	close(fd);
	return 0;
}

static int print_winsize(void)
{
	struct winsize size;

	if (ioctl(0, TIOCGWINSZ, &size) < 0)
		return failed("standard input");
	printf("rows %u columns %u\n", size.ws_row, size.ws_col);
	return 0;
}

static int cmd_winsize(char **args)
{
	(void)args;
	return print_winsize();
}

static int cmd_closestdout(char **args)
{
	(void)args;
	fflush(stdout);
	return result(close(1), "standard output");
}

/* --- time, signals, processes ------------------------------------------------------------------------------------ */

static int cmd_sleep(char **args)
{
	double seconds = atof(args[0]);
	struct timespec left = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

	fflush(stdout);
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
	return 0;
}

static int cmd_pause(char **args)
{
	(void)args;
	fflush(stdout);
	for (;;)
		pause();
	return 0;
}

/* "ready", then a line for each signal; ends after the given number (default 1). WINCH shows the new size too. */
static int cmd_sigwait(char **args)
{
	int left = args[0] ? atoi(args[0]) : 1;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	printf("ready\n");
	fflush(stdout);
	while (left-- > 0) {
		siginfo_t info;
		int signal = sigwaitinfo(&all, &info);

		if (signal < 0)
			return failed("sigwaitinfo");
		printf("signal %s\n", name_of(signals, COUNT(signals), signal));
		if (signal == SIGWINCH)
			print_winsize();
		fflush(stdout);
	}
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	return 0;
}

/* From now on these are ignored. */
static int cmd_ignore(char **args)
{
	for (; *args; args++) {
		long number;

		if (!signal_of(*args, &number)) {
			errno = EINVAL;
			return failed(*args);
		}
		if (signal((int)number, SIG_IGN) == SIG_ERR)
			return failed(*args);
	}
	return 0;
}

static int cmd_sigmask(char **args)
{
	(void)args;
	return print_status((const char *const[]){ "SigBlk", "SigIgn", NULL });
}

/* Touches that much memory, and keeps it for so many seconds. */
static int cmd_burnmem(char **args)
{
	size_t mib = strtoul(args[0], NULL, 10), size = mib << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return failed(args[0]);
	for (size_t i = 0; i < size; i += 4096)
		memory[i] = 1;
	printf("touched %zu MiB\n", mib);
	if (args[1])
		cmd_sleep(args + 1);
	munmap(memory, size);
	return 0;
}

static int cmd_mapfile(char **args)
{
	size_t size = strtoul(args[1], NULL, 10) << 20;
	int fd = open(args[0], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char *memory;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return failed(args[0]);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return failed(args[0]);
	for (size_t i = 0; i < size; i += 4096)
		memory[i] = 1;
	printf("mapped %zu MiB\n", size >> 20);
	fflush(stdout);
	if (args[2])
		cmd_sleep(args + 2);
	return 0;
}

static int cmd_burncpu(char **args)
{
	time_t end = time(NULL) + atoi(args[0]);

	fflush(stdout);
	while (time(NULL) < end)
		;
	return 0;
}

/* Tries to have so many children at a time. */
static int cmd_fork(char **args)
{
	unsigned wanted = (unsigned)atoi(args[0]), made = 0;
	int code = 0;

	fflush(stdout);
	/* They end when the last writer does. */
	int gate[2];
	if (pipe(gate) < 0)
		return failed("pipe");
	while (made < wanted) {
		pid_t pid = fork();

		if (pid == 0) {
			char byte;

			close(gate[1]);
			_exit(read(gate[0], &byte, 1) != 0);
		}
		if (pid < 0) {
			code = errno;
			break;
		}
		made++;
	}
	close(gate[1]);
	close(gate[0]);
	for (unsigned i = 0; i < made; i++)
		wait(NULL);
	printf("forked %u\n", made);
	if (code)
		printf("then %s\n", error_name(code));
	return 0;
}

/* Leaves a grandchild behind, which sleeps. */
static int cmd_orphan(char **args)
{
	fflush(stdout);
	pid_t pid = fork();

	if (pid < 0)
		return failed("fork");
	if (pid == 0) {
		if (fork() == 0) {
			setsid();
			cmd_sleep(args);
			_exit(0);
		}
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return 0;
}

/* --- system calls ------------------------------------------------------------------------------------------------ */

/* Arguments that are not given are 0. Prints how it went, and succeeds either way. */
static int cmd_trysyscall(char **args)
{
	long number, values[6] = { 0 };

	if (!value_of(syscalls, COUNT(syscalls), args[0], &number)) {
		errno = EINVAL;
		return failed(args[0]);
	}
	for (unsigned i = 0; i < 6 && args[i + 1]; i++)
		values[i] = strtol(args[i + 1], NULL, 0);
	fflush(stdout);
	errno = 0;
	long value = syscall(number, values[0], values[1], values[2], values[3], values[4], values[5]);
	printf("%s: %s\n", args[0], value == -1 && errno ? error_name(errno) : "OK");
	return 0;
}

static int cmd_setuid(char **args)
{
	return result(setuid((uid_t)strtoul(args[0], NULL, 10)), args[0]);
}

static int cmd_sethostname(char **args)
{
	return result(sethostname(args[0], strlen(args[0])), args[0]);
}

/* --- network ----------------------------------------------------------------------------------------------------- */

static int cmd_addresses(char **args)
{
	struct ifaddrs *list;

	(void)args;
	if (getifaddrs(&list) < 0)
		return failed("getifaddrs");
	for (struct ifaddrs *at = list; at; at = at->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		const void *address;

		if (!at->ifa_addr)
			continue;
		if (at->ifa_addr->sa_family == AF_INET)
			address = &((struct sockaddr_in *)(void *)at->ifa_addr)->sin_addr;
		else if (at->ifa_addr->sa_family == AF_INET6)
			address = &((struct sockaddr_in6 *)(void *)at->ifa_addr)->sin6_addr;
		else
			continue;
		inet_ntop(at->ifa_addr->sa_family, address, text, sizeof text);
		printf("%s %s %s\n", at->ifa_name, text, at->ifa_flags & IFF_UP ? "up" : "down");
	}
	freeifaddrs(list);
	return 0;
}

static int cmd_links(char **args)
{
	struct if_nameindex *list = if_nameindex();

	(void)args;
	if (!list)
		return failed("if_nameindex");
	for (struct if_nameindex *at = list; at->if_index; at++)
		printf("%s\n", at->if_name);
	if_freenameindex(list);
	return 0;
}

/* Connects, sends a line if there is one to send, prints what comes back until the end. */
static int talk(int fd, const char *object, const char *text)
{
	if (text && (write(fd, text, strlen(text)) < 0 || write(fd, "\n", 1) < 0))
		return failed(object);
	shutdown(fd, SHUT_WR);
	fflush(stdout);
	int status = copy_fd(fd, 1, object);
	close(fd);
	return status;
}

static int cmd_connect(char **args)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;

	if (getaddrinfo(args[0], args[1], &hints, &list) != 0) {
		errno = ENOENT;
		return failed(args[0]);
	}
	int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen) < 0)
		return failed(args[0]);
	freeaddrinfo(list);
	return talk(fd, args[0], args[2]);
}

static int cmd_unixconnect(char **args)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, args[0], sizeof address.sun_path - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return failed(args[0]);
	return talk(fd, args[0], args[1]);
}

/* As sd_notify(3). */
static int cmd_notify(char **args)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!path) {
		errno = ENODATA;
		return failed("NOTIFY_SOCKET");
	}
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	if (fd < 0 || sendto(fd, args[0], strlen(args[0]), 0, (struct sockaddr *)&address, sizeof address) < 0)
		return failed(path);
	close(fd);
	return 0;
}

/* Serves one connection on that TCP port: says hello, prints what it gets. */
static int cmd_listen(char **args)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(args[0])) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = address.sin6_port };
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, bound;

	if (listener >= 0) {
		bound = bind(listener, (struct sockaddr *)&address, sizeof address);
	} else {
		listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		bound = bind(listener, (struct sockaddr *)&v4, sizeof v4);
	}
	if (bound < 0 || listen(listener, 8) < 0)
		return failed(args[0]);
	printf("ready\n");
	fflush(stdout);
	int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		return failed(args[0]);
	close(listener);
	return talk(fd, args[0], "hello");
}

static int cmd_unixlisten(char **args)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, args[0], sizeof address.sun_path - 1);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 8) < 0)
		return failed(args[0]);
	printf("ready\n");
	fflush(stdout);
	int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		return failed(args[0]);
	close(listener);
	return talk(fd, args[0], "hello");
}

static int cmd_lock(char **args)
{
	int fd = open(args[0], O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		return failed(args[0]);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		printf("%s\n", errno == EWOULDBLOCK ? "is locked" : strerror(errno));
		return 0;
	}
	printf("locked\n");
	fflush(stdout);
	sleep((unsigned)atoi(args[1]));
	return 0;
}

static int cmd_answer(char **args)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(args[0])) };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* both: IPv4 comes mapped */
	char bytes[2048];

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return failed(args[0]);
	for (;;) {
		struct sockaddr_in6 from;
		socklen_t length = sizeof from;
		ssize_t n = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);

		if (n < 0 || sendto(fd, args[1], strlen(args[1]), 0, (struct sockaddr *)&from, length) < 0)
			return failed(args[0]);
	}
}

static int cmd_ask(char **args)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(args[1])) };
	struct timeval limit = { .tv_sec = 5 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char bytes[2048];

	if (fd < 0 || inet_pton(AF_INET, args[0], &address.sin_addr) != 1 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
	    sendto(fd, args[2], strlen(args[2]), 0, (struct sockaddr *)&address, sizeof address) < 0)
		return failed(args[0]);
	ssize_t n = recv(fd, bytes, sizeof bytes, 0);
	if (n < 0)
		return failed(args[0]);
	printf("%.*s\n", (int)n, bytes);
	return 0;
}

static void print_sockaddr(const char *which, const struct sockaddr_storage *address, socklen_t length)
{
	char host[128], port[32];

	if (address->ss_family == AF_UNIX) {
		const struct sockaddr_un *name = (const void *)address;
		size_t path = length > offsetof(struct sockaddr_un, sun_path)
				      ? length - offsetof(struct sockaddr_un, sun_path)
				      : 0;

		if (path && !name->sun_path[0])
			printf("%s unix @%.*s\n", which, (int)path - 1, name->sun_path + 1);
		else
			printf("%s unix %.*s\n", which, (int)path, name->sun_path);
	} else if (getnameinfo((const struct sockaddr *)address, length, host, sizeof host, port, sizeof port,
			       NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
		printf("%s %s %s\n", which, host, port);
	} else {
		printf("%s family %d\n", which, address->ss_family);
	}
}

/* Both ends of the socket that is this descriptor. */
static int cmd_sockaddr(char **args)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof address;
	int fd = atoi(args[0]);

	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return failed(args[0]);
	print_sockaddr("local", &address, length);
	length = sizeof address;
	if (getpeername(fd, (struct sockaddr *)&address, &length) == 0)
		print_sockaddr("peer", &address, length);
	return 0;
}

/* --- the table --------------------------------------------------------------------------------------------------- */

static int cmd_help(char **args);

static const struct command {
	const char *name;
	unsigned needs; /* arguments at least */
	int (*run)(char **args);
	const char *usage;
} commands[] = {
	{ "addresses", 0, cmd_addresses, "interface, address, up or down" },
	{ "answer", 2, cmd_answer, "PORT TEXT: UDP, for ever; the text for each packet" },
	{ "appendfile", 2, cmd_appendfile, "PATH TEXT" },
	{ "args", 0, cmd_args, "...: each in brackets, on its own line" },
	{ "ask", 3, cmd_ask, "ADDRESS PORT TEXT: UDP; prints the answer" },
	{ "burncpu", 1, cmd_burncpu, "SECONDS" },
	{ "burnmem", 1, cmd_burnmem, "MIB [SECONDS]: touch it, keep it" },
	{ "caps", 0, cmd_caps, "the five sets in hex, as /proc names them" },
	{ "cat", 0, cmd_cat, "standard input to standard output" },
	{ "cgroup", 0, cmd_cgroup, "[FILE]: /proc/self/cgroup, or a file of /sys/fs/cgroup" },
	{ "chdir", 1, cmd_chdir, "PATH" },
	{ "chmod", 2, cmd_chmod, "PATH MODE" },
	{ "chown", 3, cmd_chown, "PATH UID GID" },
	{ "clock", 0, cmd_clock, "realtime, monotonic, boottime, in seconds" },
	{ "closestdout", 0, cmd_closestdout, "close standard output" },
	{ "connect", 2, cmd_connect, "HOST PORT [TEXT]: TCP; sends the line, prints the answer" },
	{ "count", 0, cmd_count, "bytes on standard input, and where they differ from `pattern`" },
	{ "cpus", 0, cmd_cpus, "online, and the affinity mask" },
	{ "cwd", 0, cmd_cwd, "working directory" },
	{ "devices", 0, cmd_devices, "as `ls /dev`" },
	{ "domainname", 0, cmd_domainname, "" },
	{ "echo", 0, cmd_echo, "..." },
	{ "env", 0, cmd_env, "[NAME]: all, or one, (unset) if it is not there" },
	{ "exec", 1, cmd_exec, "PROGRAM ..." },
	{ "exit", 1, cmd_exit, "STATUS" },
	{ "fds", 0, cmd_fds, "open descriptors, and what they are" },
	{ "fork", 1, cmd_fork, "N: so many children at a time; prints how many there were" },
	{ "getxattr", 2, cmd_getxattr, "PATH NAME" },
	{ "help", 0, cmd_help, "" },
	{ "hostname", 0, cmd_hostname, "" },
	{ "id", 0, cmd_id, "uid, gid (real, effective, saved), groups, umask" },
	{ "ignore", 1, cmd_ignore, "SIGNAL ...: from now on" },
	{ "ioprio", 0, cmd_ioprio, "class, level" },
	{ "isatty", 0, cmd_isatty, "for 0, 1 and 2" },
	{ "kill", 1, cmd_kill, "SIGNAL [PID]: itself" },
	{ "links", 0, cmd_links, "names of network interfaces" },
	{ "listen", 1, cmd_listen, "PORT: TCP, one connection: says hello, prints what comes" },
	{ "lock", 2, cmd_lock, "PATH SECONDS: flock it and keep it; says so if somebody has it" },
	{ "ls", 0, cmd_ls, "[PATH]: name, type, mode, uid:gid, size or major:minor" },
	{ "mapfile", 2, cmd_mapfile, "PATH MIB [SECONDS]: a file of that size, mapped, each page touched" },
	{ "memory", 0, cmd_memory, "/proc/meminfo" },
	{ "mkdir", 1, cmd_mkdir, "PATH" },
	{ "mknod", 2, cmd_mknod, "PATH b|c|p [MAJOR MINOR]" },
	{ "mount", 3, cmd_mount, "TYPE SOURCE TARGET [DATA]" },
	{ "mount-of", 1, cmd_mount_of, "PATH: type, source, options, propagation of the mount there" },
	{ "mounts", 0, cmd_mounts, "/proc/self/mountinfo" },
	{ "nnp", 0, cmd_nnp, "NoNewPrivs 0|1" },
	{ "notify", 1, cmd_notify, "TEXT: as sd_notify" },
	{ "ns", 0, cmd_ns, "[NAME]: type:[inode]" },
	{ "oomadj", 0, cmd_oomadj, "" },
	{ "open", 1, cmd_open, "PATH [r|w|rw]: OK or the error" },
	{ "orphan", 1, cmd_orphan, "SECONDS: leave a sleeping grandchild behind" },
	{ "pattern", 1, cmd_pattern, "BYTES: to standard output" },
	{ "pause", 0, cmd_pause, "for ever" },
	{ "personality", 0, cmd_personality, "in hex" },
	{ "pid", 0, cmd_pid, "pid, ppid, pgid, sid" },
	{ "random", 0, cmd_random, "16 bytes in hex" },
	{ "readfile", 1, cmd_readfile, "PATH" },
	{ "readlink", 1, cmd_readlink, "PATH" },
	{ "rename", 2, cmd_rename, "FROM TO" },
	{ "rlimits", 0, cmd_rlimits, "[RLIMIT_X]: name, soft, hard" },
	{ "rm", 1, cmd_rm, "PATH: file or empty folder" },
	{ "scheduler", 0, cmd_scheduler, "policy, nice, priority, flags, runtime, deadline, period" },
	{ "seccomp-status", 0, cmd_seccomp_status, "Seccomp 0|2, Seccomp_filters" },
	{ "sethostname", 1, cmd_sethostname, "NAME" },
	{ "setuid", 1, cmd_setuid, "UID" },
	{ "sigmask", 0, cmd_sigmask, "blocked and ignored signals in hex" },
	{ "sigwait", 0, cmd_sigwait, "[N]: \"ready\", then \"signal NAME\" for the next N (1)" },
	{ "sleep", 1, cmd_sleep, "SECONDS" },
	{ "sockaddr", 1, cmd_sockaddr, "FD: both ends" },
	{ "stat", 1, cmd_stat, "PATH: as one line of ls" },
	{ "statfs", 1, cmd_statfs, "PATH: size, files, readonly" },
	{ "stderr", 1, cmd_stderr, "TEXT" },
	{ "symlink", 2, cmd_symlink, "TARGET PATH" },
	{ "sysctl", 1, cmd_sysctl, "NAME with dots or slashes" },
	{ "trysyscall", 1, cmd_trysyscall, "NAME|NUMBER [ARG ...]: OK or the error" },
	{ "tty", 0, cmd_tty, "its name, controlling, foreground" },
	{ "umount", 1, cmd_umount, "PATH" },
	{ "uname", 0, cmd_uname, "system, release, machine" },
	{ "unixconnect", 1, cmd_unixconnect, "PATH [TEXT]" },
	{ "unixlisten", 1, cmd_unixlisten, "PATH: one connection: says hello, prints what comes" },
	{ "winsize", 0, cmd_winsize, "rows R columns C" },
	{ "writefile", 2, cmd_writefile, "PATH TEXT" },
};

static int cmd_help(char **args)
{
	(void)args;
	for (size_t i = 0; i < COUNT(commands); i++)
		printf("%-15s %s\n", commands[i].name, commands[i].usage);
	return 0;
}

static int run_command(char **words, unsigned count)
{
	for (size_t i = 0; i < COUNT(commands); i++) {
		if (strcmp(commands[i].name, words[0]) != 0)
			continue;
		if (count - 1 < commands[i].needs) {
			fprintf(stderr, "usage: %s %s\n", words[0], commands[i].usage);
			return 2;
		}
		command_name = words[0];
		return commands[i].run(words + 1);
	}
	fprintf(stderr, "testinit: no command %s\n", words[0]);
	return 2;
}

int main(int argc, char **argv)
{
	int status = 0;

	if (argc < 2)
		argv = (char *[]){ argv[0], (char *)"help", NULL }, argc = 2;
	for (int first = 1; first < argc;) {
		int end = first;

		while (end < argc && strcmp(argv[end], "+") != 0)
			end++;
		argv[end] = NULL;
		if (end > first) {
			int one = run_command(argv + first, (unsigned)(end - first));

			fflush(stdout);
			if (one)
				status = one;
		}
		first = end + 1;
	}
	return status;
}
