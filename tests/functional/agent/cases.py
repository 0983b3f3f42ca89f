# SPDX-License-Identifier: Apache-2.0
"""What the agent must do, seen by a host. Each test gets the Host of `run` and leaves no container behind."""

import errno
import hashlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time

from client import *


class Skip(Exception):
    pass


counter = 0


class Box:
    """A container in a `with`: created, perhaps started, deleted at the end."""

    def __init__(self, host, *args, proc=None, box=None, start=True, create=None):
        global counter
        counter += 1
        self.host = host
        self.id = f"test-{counter}"
        self.control = Connection(host.directory)
        try:
            self.pid = self.control.call(
                "create", id=self.id, container=container(**(box or {})), process=process(*args, **(proc or {})),
                **(create or {})
            )["pid"]
        except BaseException:
            self.control.close()
            raise
        if start:
            self.attach()
            self.start()

    def attach(self):
        self.stdin, self.stdout, self.stderr = [stream(self.host.directory, self.id, i) for i in range(3)]

    def start(self):
        return self.control.call("start", container=self.id)

    def wait(self, exec_id=""):
        return self.control.call("wait", container=self.id, exec=exec_id)

    def status(self, exec_id=""):
        return self.wait(exec_id).get("wait_status", 0)

    def kill(self, number, **more):
        return self.control.call("kill", container=self.id, signal=number, **more)

    def delete(self):
        self.control.call("delete", container=self.id)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.delete()
        except AgentError as e:
            if kind is None and e.code != errno.ENOENT:
                raise
        self.control.close()


def output(host, *args, **more):
    """Standard output of a command in a fresh container that must succeed."""
    with Box(host, *args, **more) as box:
        out, err = read_all(box.stdout).decode(), read_all(box.stderr).decode()
        status = box.status()
        assert status == 0, (status, out, err)
        return out


def shell(host, script, **more):
    return output(host, "sh", "-c", script, **more)


def raises(code, text, function, *args, **more):
    try:
        function(*args, **more)
    except AgentError as e:
        assert text in e.text, e.text
        assert e.code == code, (e.code, e.text)
        return e
    raise AssertionError(f"no error, expected: {text}")


# --- Process and status ----------------------------------------------------------------------------------------------


def test_hello_wrong_version_is_refused(host):
    connection = Connection.__new__(Connection)
    connection.socket = socket.socket(socket.AF_UNIX)
    connection.socket.connect(host.directory + "/control")
    connection.next_id, connection.replies, connection.pending = 0, {}, {}
    raises(errno.EPROTONOSUPPORT, "version", connection.call, "hello", version=99)
    assert connection.socket.recv(1) == b""


def test_request_before_hello_is_refused(host):
    connection = Connection.__new__(Connection)
    connection.socket = socket.socket(socket.AF_UNIX)
    connection.socket.connect(host.directory + "/control")
    connection.next_id, connection.replies, connection.pending = 0, {}, {}
    raises(errno.EPROTO, "before hello", connection.call, "ps", container="x")


def test_frame_too_long_closes_connection(host):
    connection = Connection(host.directory)
    connection.socket.sendall(HEADER.pack(5 << 20, 4, 0, 1))
    assert connection.socket.recv(1) == b""


def test_frame_unknown_type_is_answered(host):
    connection = Connection(host.directory)
    connection.pending[7] = "ps"
    connection.socket.sendall(HEADER.pack(3, 4000, 0, 7) + b"abc")
    raises(errno.ENOSYS, "does not know request 4000", connection.receive, 7)
    raises(errno.ENOENT, "container nope does not exist", connection.call, "ps", container="nope")


def test_create_garbage_is_refused(host):
    connection = Connection(host.directory)
    connection.pending[7] = "create"
    connection.socket.sendall(HEADER.pack(4, 4, 0, 7) + b"\xff\xff\xff\xff")
    raises(errno.EBADMSG, "cannot be decoded", connection.receive, 7)


def test_run_output_and_status_arrive(host):
    with Box(host, "sh", "-c", "echo out; echo err >&2; exit 42") as box:
        assert read_all(box.stdout) == b"out\n"
        assert read_all(box.stderr) == b"err\n"
        assert box.status() == 42 << 8


def test_run_does_nothing_before_start(host):
    marker = os.path.join(host.shares, "rootfs/tmp/started")
    with Box(host, "touch", "/tmp/started", start=False) as box:
        time.sleep(0.1)
        assert not os.path.exists(marker)
        box.start()
        assert box.status() == 0
        assert os.path.exists(marker)
        os.unlink(marker)


def test_status_death_by_signal_is_the_number(host):
    with Box(host, "sh", "-c", "kill -9 $$", box={"namespaces": [{"clone_flag": NEWNS}]}) as box:
        assert box.status() == signal.SIGKILL


def test_kill_reaches_the_process(host):
    with Box(host, "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do read x; done") as box:
        assert read_line(box.stdout) == b"ready\n"
        box.kill(0)
        box.kill(signal.SIGTERM)
        assert box.status() == 7 << 8
        raises(errno.EBUSY, "container not running", box.kill, signal.SIGTERM)
        box.kill(signal.SIGKILL, all=True)


def test_wait_on_ended_process_answers_again(host):
    with Box(host, "true") as box:
        assert box.status() == 0
        assert box.status() == 0


def test_start_twice_is_refused(host):
    with Box(host, "sleep", "100") as box:
        raises(errno.EBUSY, "cannot start an already running container", box.start)


def test_create_twice_is_refused(host):
    with Box(host, "sleep", "100") as box:
        raises(
            errno.EEXIST, "container with given ID already exists", box.control.call,
            "create", id=box.id, container=container(), process=process("true"),
        )


def test_program_missing_fails_at_create(host):
    raises(errno.ENOENT, 'exec: "nope": executable file not found in $PATH', Box, host, "nope")
    raises(errno.ENOENT, 'exec: "/nope": stat /nope: no such file or directory', Box, host, "/nope")
    raises(errno.EACCES, 'exec: "/etc/passwd": permission denied', Box, host, "/etc/passwd")
    raises(errno.EISDIR, 'exec: "/tmp": is a directory: permission denied', Box, host, "/tmp")
    # Nothing is left of them.
    assert not [d for d in os.listdir(host.cgroup) if d.startswith("container-")]


def test_program_without_format_fails_at_start(host):
    path = os.path.join(host.shares, "rootfs/tmp/binary")
    with open(path, "wb") as f:
        f.write(b"\x7fELF but not really")
    os.chmod(path, 0o755)
    with Box(host, "/tmp/binary", start=False) as box:
        raises(errno.ENOEXEC, "exec /tmp/binary: exec format error", box.start)
        box.status()
    os.unlink(path)


def test_cwd_missing_is_made(host):
    assert shell(host, "pwd; ls -ld .", proc={"cwd": "/srv/new/dir"}).startswith("/srv/new/dir\ndrwxr-xr-x")


def test_cwd_that_is_a_file_fails(host):
    raises(errno.ENOTDIR, 'chdir to cwd ("/etc/passwd") set in config.json failed: not a directory', Box, host, "true",
           proc={"cwd": "/etc/passwd"})


def test_cwd_through_a_descriptor_is_refused(host):
    for fd in range(3, 20):
        try:
            Box(host, "true", proc={"cwd": f"/proc/self/fd/{fd}"}, start=False)
            raise AssertionError(fd)
        except AgentError as e:
            assert e.code in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR), e


def test_environment_is_what_was_given(host):
    env = ["PATH=/usr/bin:/bin", "A=1", "B=2", "A=3"]
    assert sorted(output(host, "env", proc={"env": env}).split()) == ["A=3", "B=2", "HOME=/root", "PATH=/usr/bin:/bin"]


def test_home_comes_from_passwd(host):
    assert shell(host, "echo $HOME", proc={"uid": 1000, "gid": 1000}) == "/home/user\n"
    assert shell(host, "echo $HOME", proc={"uid": 4242, "gid": 1000}) == "/\n"
    assert shell(host, "echo $HOME", proc={"env": ["HOME=/x", "PATH=/bin"]}) == "/x\n"


def test_user_groups_umask_are_set(host):
    out = shell(host, "id; umask", proc={"uid": 1000, "gid": 1001, "additional_gids": [7, 8], "has_umask": True, "umask": 0o27})
    assert out == "uid=1000(user) gid=1001 groups=1001,7,8\n0027\n", out


def test_user_may_open_dev_stdout(host):
    assert shell(host, "echo hello >/dev/stdout", proc={"uid": 1000, "gid": 1000}) == "hello\n"


def caps_of(host, **proc):
    lines = output(host, "cat", "/proc/self/status", proc=proc).splitlines()
    return {l.split(":")[0]: int(l.split()[1], 16) for l in lines if l.startswith(("Cap", "NoNewPrivs", "Seccomp:"))}


def test_capabilities_five_sets_are_set(host):
    chown, kill, net = 1 << 0, 1 << 5, 1 << 10
    caps = caps_of(host, bounding=chown | kill | net, permitted=chown | kill, effective=chown | kill, inheritable=0)
    assert caps["CapBnd"] == chown | kill | net, caps
    # Root's exec takes what bounding allows.
    assert caps["CapEff"] == chown | kill | net, caps
    caps = caps_of(host, uid=1000, gid=1000, bounding=chown | kill | net, permitted=chown | kill, effective=chown,
                   inheritable=kill, ambient=kill)
    assert (caps["CapPrm"], caps["CapEff"], caps["CapInh"], caps["CapAmb"]) == (kill, kill, kill, kill), caps


def test_capabilities_absent_means_none(host):
    caps = caps_of(host, has_capabilities=False)
    assert caps["CapBnd"] == caps["CapEff"] == caps["CapPrm"] == 0, caps


def test_no_new_privileges_is_set(host):
    assert caps_of(host, no_new_privileges=True)["NoNewPrivs"] == 1
    assert caps_of(host)["NoNewPrivs"] == 0


def bpf(*instructions):
    return b"".join(struct.pack("<HBBI", *i) for i in instructions)


def deny(number, error=errno.EPERM):
    """A seccomp filter: one system call fails, the others may pass."""
    return bpf((0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | error), (0x06, 0, 0, 0x7FFF0000))


def test_seccomp_filter_applies(host):
    for nnp in (False, True):
        for uid in (0, 1000):
            # mkdir, mkdirat
            out = shell(host, "mkdir /tmp/d 2>&1; grep Seccomp: /proc/self/status",
                        proc={"seccomp": deny(83, errno.ENOSPC), "no_new_privileges": nnp, "uid": uid, "gid": uid})
            assert "No space left on device" in out and "Seccomp:\t2" in out, out


def test_seccomp_may_forbid_what_the_agent_uses(host):
    # setresuid, setgroups, chdir, getcwd, prctl, openat, close_range, recvmsg: all done before the filter is loaded.
    for number in (117, 116, 80, 79, 157, 436, 47):
        assert shell(host, "echo fine", proc={"seccomp": deny(number)}) == "fine\n", number


def test_seccomp_bad_filter_fails_start(host):
    with Box(host, "true", start=False, proc={"seccomp": bpf((0x06, 0, 0, 0), (0x20, 0, 0, 0))}) as box:
        raises(errno.EINVAL, "loading the seccomp filter (2 instructions): invalid argument", box.start)


def test_rlimits_and_oom_score_are_set(host):
    out = shell(host, "ulimit -Sn; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj",
                proc={"rlimits": [{"resource": 7, "soft": 100, "hard": 200}, {"resource": 4, "soft": 0, "hard": 0}],
                      "has_oom_score_adj": True, "oom_score_adj": 300})
    assert out == "100\n200\n0\n300\n", out


def test_rlimits_defaults_are_those_of_a_host(host):
    with open("/proc/self/status") as f:
        caps = int(next(l for l in f if l.startswith("CapEff")).split()[1], 16)
    if not caps >> 24 & 1:
        raise Skip("needs CAP_SYS_RESOURCE")
    out = shell(host, "ulimit -Sn; ulimit -Hn; ulimit -p 2>/dev/null || ulimit -u")
    assert out.split() == ["1024", "524288", "unlimited"], out


def test_scheduler_ioprio_affinity_are_set(host):
    script = "import os; print(os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))"
    out = output(host, "python3", "-c", script,
                 proc={"scheduler": {"policy": 3, "nice": 5}, "cpu_affinity": [0], "has_io_priority": True,
                       "io_priority": 2 << 13 | 3})
    assert out == "3 5 {0}\n", out


def test_personality_is_set(host):
    out = output(host, "uname", "-m", proc={"has_personality": True, "personality": 8})
    assert out == "i686\n", out


def test_descriptors_only_three_are_open(host):
    out = output(host, "ls", "/proc/self/fd")
    assert out.split() == ["0", "1", "2", "3"], out  # 3 is the folder itself


# --- Streams ---------------------------------------------------------------------------------------------------------


def test_stdin_large_arrives_whole(host):
    data = os.urandom(1 << 20) * 16
    with Box(host, "sha256sum") as box:
        box.stdin.settimeout(60)
        box.stdin.sendall(data)
        box.stdin.shutdown(socket.SHUT_WR)
        assert read_all(box.stdout).split()[0].decode() == hashlib.sha256(data).hexdigest()
        assert box.status() == 0


def test_stdout_reader_that_stops_stops_the_writer(host):
    with Box(host, "sh", "-c", "dd if=/dev/zero bs=65536 count=1024 2>/dev/null; echo done >&2") as box:
        time.sleep(0.3)
        box.stderr.settimeout(0.2)
        try:
            raise AssertionError(box.stderr.recv(10))
        except socket.timeout:
            pass
        box.stderr.settimeout(20)
        total = len(read_all(box.stdout))
        assert total == 64 << 20, total
        assert read_all(box.stderr) == b"done\n"


def test_stdout_of_short_process_waits_for_attach(host):
    with Box(host, "echo", "early", start=False) as box:
        box.start()
        assert box.status() == 0
        assert read_all(stream(host.directory, box.id, 1)) == b"early\n"


def test_stdout_closed_by_host_breaks_the_pipe(host):
    with Box(host, "sh", "-c", "trap '' PIPE; while echo x; do :; done; exit 3") as box:
        box.stdout.recv(2)
        box.stdout.close()
        assert box.status() == 3 << 8


def test_stdin_closed_by_process_is_told(host):
    with Box(host, "sh", "-c", "exec <&-; echo closed; sleep 100") as box:
        assert read_line(box.stdout) == b"closed\n"
        try:
            for _ in range(100):
                box.stdin.sendall(b"x" * 65536)
            raise AssertionError("writing went on")
        except (BrokenPipeError, ConnectionResetError):
            pass


def test_stream_end_is_not_held_up_by_a_grandchild(host):
    box_without_pid_namespace = {"namespaces": [{"clone_flag": NEWNS}]}
    with Box(host, "sleep", "1000", box=box_without_pid_namespace) as box:
        out = exec_output(box, "sh", "-c", "sleep 500 & echo gone")
        assert out == b"gone\n", out


def test_stream_attach_twice_is_refused(host):
    with Box(host, "sleep", "100") as box:
        raises(errno.EBUSY, "attached already", stream, host.directory, box.id, 1)
        raises(errno.EINVAL, "no stream 3", stream, host.directory, box.id, 3)


def test_terminal_is_the_controlling_one(host):
    script = "tty; stty size; ps -o tty= -p $$ 2>/dev/null; echo hi >/dev/tty; ls -l /dev/console; exec cat"
    with Box(host, "sh", "-c", script, start=False, proc={"terminal": True, "rows": 33, "columns": 77}) as box:
        tty = stream(host.directory, box.id, 0)
        box.start()
        data = b""
        while b"/dev/console" not in data:
            data += tty.recv(1000)
        assert b"/dev/pts/0\r\n33 77\r\n" in data, data
        assert b"hi\r\n" in data, data
        box.control.call("resize", container=box.id, rows=50, columns=120)
        tty.sendall(b"\x04")
        assert box.status() == 0
        read_all(tty)


def test_terminal_resize_is_seen(host):
    with Box(host, "sh", "-c", "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done", start=False,
             proc={"terminal": True}) as box:
        tty = stream(host.directory, box.id, 0)
        box.start()
        assert read_line(tty) == b"ready\r\n"
        box.control.call("resize", container=box.id, rows=50, columns=120)
        assert read_all(tty) == b"50 120\r\n"


def test_terminal_hang_up_by_host_is_a_signal(host):
    with Box(host, "sh", "-c", "trap 'exit 9' HUP; echo ready; while :; do sleep 0.05; done", start=False,
             proc={"terminal": True}) as box:
        tty = stream(host.directory, box.id, 0)
        box.start()
        assert read_line(tty) == b"ready\r\n"
        tty.close()
        assert box.status() == 9 << 8


def test_terminal_output_arrives_whole(host):
    with Box(host, "sh", "-c", "stty -opost; seq 1 20000", start=False, proc={"terminal": True}) as box:
        tty = stream(host.directory, box.id, 0)
        box.start()
        box.status()
        assert read_all(tty) == b"".join(b"%d\n" % i for i in range(1, 20001))


def test_terminal_closed_and_opened_again_goes_on(host):
    script = "exec </dev/null >/dev/null 2>&1; sleep 0.2; echo again >/dev/console"
    with Box(host, "sh", "-c", script, start=False, proc={"terminal": True}) as box:
        tty = stream(host.directory, box.id, 0)
        box.start()
        assert read_all(tty) == b"again\r\n"


# --- exec ------------------------------------------------------------------------------------------------------------


def exec_in(box, exec_id, *args, cgroup="", make_cgroup=False, control=None, **more):
    return (control or box.control).call("exec", container=box.id, exec=exec_id, process=process(*args, **more), cgroup=cgroup,
                                         make_cgroup=make_cgroup)


def exec_output(box, *args, exec_id="e1", **more):
    exec_in(box, exec_id, *args, **more)
    out = stream(box.host.directory, box.id, 1, exec_id)
    err = stream(box.host.directory, box.id, 2, exec_id)
    data, problem = read_all(out), read_all(err)
    status = box.status(exec_id)
    assert status == 0, (status, data, problem)
    return data


def test_exec_shares_all_namespaces(host):
    with Box(host, "sleep", "100") as box:
        for ns in ("pid", "ipc", "uts", "mnt", "net", "cgroup", "user", "time"):
            mine = exec_output(box, "readlink", f"/proc/self/ns/{ns}", exec_id=f"a-{ns}")
            its = exec_output(box, "readlink", f"/proc/1/ns/{ns}", exec_id=f"b-{ns}")
            assert mine == its, (ns, mine, its)
        assert exec_output(box, "cat", "/proc/self/cgroup", exec_id="c").splitlines()[-1] == b"0::/"
        assert exec_output(box, "hostname", exec_id="h") == b"test-host\n"


def test_exec_missing_program_is_named(host):
    with Box(host, "sleep", "100") as box:
        raises(errno.ENOENT, 'exec: "nope": executable file not found in $PATH', exec_in, box, "x", "nope")
        # The name is free again.
        assert exec_output(box, "echo", "1", exec_id="x") == b"1\n"


def test_exec_missing_cwd_is_named(host):
    with Box(host, "sleep", "100") as box:
        raises(errno.ENOENT, 'chdir to cwd ("/nope") set in config.json failed: no such file or directory', exec_in, box,
               "x", "true", cwd="/nope")


def test_exec_dies_with_its_connection(host):
    with Box(host, "sleep", "100") as box:
        other = Connection(host.directory)
        exec_in(box, "x", "sleep", "1000", control=other)
        assert any("sleep 1000" in p["command"] for p in box.control.call("ps", container=box.id)["processes"])
        other.close()
        deadline = time.monotonic() + 5
        while len(box.control.call("ps", container=box.id)["processes"]) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        raises(errno.ESRCH, "no such process", box.wait, "x")


def test_exec_ends_with_the_container(host):
    for namespaces in (None, [{"clone_flag": NEWNS}]):
        with Box(host, "sh", "-c", "read x", box={"namespaces": namespaces} if namespaces else None) as box:
            exec_in(box, "x", "sleep", "1000")
            box.stdin.shutdown(socket.SHUT_WR)
            assert box.status("x") == signal.SIGKILL


def test_exec_in_stopped_container_is_refused(host):
    with Box(host, "true") as box:
        box.status()
        raises(errno.EBUSY, "cannot exec in a stopped container", exec_in, box, "x", "true")


def test_exec_in_created_container_works(host):
    with Box(host, "true", start=False) as box:
        assert exec_output(box, "echo", "early") == b"early\n"
        box.start()
        assert box.status() == 0


def test_exec_with_terminal_has_its_own(host):
    with Box(host, "sleep", "100") as box:
        exec_in(box, "t", "sh", "-c", "sleep 0.1; tty", terminal=True)
        assert read_all(stream(host.directory, box.id, 0, "t")) == b"/dev/pts/0\r\n"


def test_exec_terminal_from_a_fake_ptmx_is_refused(host):
    with Box(host, "sleep", "100") as box:
        exec_output(box, "sh", "-c", "umount /dev/pts; rm /dev/ptmx; mknod /dev/pts/ptmx c 1 5; ln -s pts/ptmx /dev/ptmx", exec_id="m")
        raises(errno.ENOENT, "terminal: the container has no devpts", exec_in, box, "t", "true", terminal=True)


def test_exec_in_sub_cgroup(host):
    with Box(host, "sleep", "100") as box:
        raises(errno.ENOENT, "error adding pid of the process to cgroups: /sys/fs/cgroup/sub/cgroup.procs", exec_in, box, "e0",
               "true", cgroup="sub")
        assert exec_output(box, "cat", "/proc/self/cgroup", cgroup="sub", make_cgroup=True).splitlines()[-1] == b"0::/sub"
        assert exec_output(box, "cat", "/proc/self/cgroup", cgroup="/sub", exec_id="e2").splitlines()[-1] == b"0::/sub"


def test_execs_many_leave_nothing(host):
    with Box(host, "sleep", "100") as box:
        before = len(os.listdir(f"/proc/{host.agent.pid}/fd"))
        for i in range(50):
            control = Connection(host.directory)
            exec_in(box, f"n{i}", "true", control=control)
            control.call("wait", container=box.id, exec=f"n{i}")
            control.close()
        time.sleep(0.2)
        assert len(os.listdir(f"/proc/{host.agent.pid}/fd")) == before


# --- Container -------------------------------------------------------------------------------------------------------


def test_namespaces_are_new(host):
    with Box(host, "sh", "-c", "for n in pid ipc uts mnt net cgroup; do readlink /proc/self/ns/$n; done; hostname; echo $$") as box:
        lines = read_all(box.stdout).decode().split()
        ours = [os.readlink(f"/proc/self/ns/{n}") for n in ("pid", "ipc", "uts", "mnt", "net", "cgroup")]
        assert not set(lines[:6]) & set(ours), lines
        assert lines[6:] == ["test-host", "1"]


def test_agent_tree_is_not_visible(host):
    out = shell(host, "cat /proc/self/mountinfo; ls /; ls -a /run; ls /proc | grep -c '^[0-9]'")
    assert "shares" not in [l.split()[4] for l in out.splitlines() if " - " in l], out
    for line in out.splitlines():
        if " - " in line:
            assert not line.split()[4].startswith(host.directory), line


def test_devices_defaults_are_there(host):
    out = shell(host, "cd /dev; stat -c '%n %F %t:%T %a' null zero full random urandom tty; readlink fd stdin stdout stderr ptmx")
    assert "null character special file 1:3 666" in out and "tty character special file 5:0 666" in out, out
    assert out.split("\n")[6:11] == ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx"], out


def test_devices_listed_are_made(host):
    devices = [{"path": "/dev/fuse2", "mode": 0o20600, "major": 10, "minor": 229, "uid": 5, "gid": 6},
               {"path": "/dev/sub/pipe", "mode": 0o10640}]
    out = shell(host, "stat -c '%F %t:%T %a %u:%g' /dev/fuse2 /dev/sub/pipe", box={"devices": devices})
    assert out == "character special file a:e5 600 5:6\nfifo 0:0 640 0:0\n", out


def test_device_filter_applies(host):
    # r0 = 0: everything is denied, also opening.
    program = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)
    with Box(host, "sh", "-c", "echo x >/dev/null || exit 5", box={"device_filter": program}) as box:
        assert box.status() == 5 << 8


def test_masked_paths_show_nothing(host):
    paths = ["/proc/version", "/proc/sys/kernel", "/nope", "/etc/passwd/nope"]
    out = shell(host, "cat /proc/version; ls /proc/sys/kernel; echo x 2>/dev/null >/proc/sys/kernel/y || echo ro",
                box={"masked_paths": paths})
    assert out == "ro\n", out


def test_readonly_paths_refuse_writes(host):
    out = shell(host, "echo h >/proc/sys/kernel/hostname || echo ro; touch /tmp/q || echo ro2",
                box={"readonly_paths": ["/proc/sys", "/tmp"]}, proc={"env": ["PATH=/bin"]})
    assert out == "ro\nro2\n", out


def test_root_readonly(host):
    out = shell(host, "touch /x || echo ro; touch /dev/shm/x && echo rw; touch /dev/x && echo dev", box={"root_readonly": True})
    assert out == "ro\nrw\ndev\n", out


def test_root_overlay_keeps_the_share(host):
    with Box(host, "sh", "-c", "echo new >/etc/passwd; cat /etc/passwd", box={"root_overlay": True}) as box:
        assert read_all(box.stdout) == b"new\n", read_all(box.stderr)
    with open(host.shares + "/rootfs/etc/passwd") as f:
        assert f.read().startswith("root:x:0:0")


def test_mounts_destinations_stay_inside(host):
    root = host.make_rootfs("evil")
    os.symlink("/etc", root + "/abs")
    os.symlink("../../../../../../../../etc", root + "/rel")
    os.symlink("/not/there/yet", root + "/dangling")
    os.symlink("/proc/self/root/etc", root + "/magic")
    before = sorted(os.listdir("/etc"))
    base = container()["mounts"]
    tmpfs = [mount(f"/{d}/inside-{d}", "tmpfs") for d in ("abs", "rel", "dangling")]
    out = shell(host, "find /etc /not -name 'inside*'", box={"root_share": "evil", "mounts": base + tmpfs})
    assert sorted(out.split()) == ["/etc/inside-abs", "/etc/inside-rel", "/not/there/yet/inside-dangling"], out
    assert sorted(os.listdir("/etc")) == before
    raises(errno.ELOOP, "magic", Box, host, "true", box={"root_share": "evil", "mounts": base + [mount("/magic/x", "tmpfs")]})


def test_mounts_proc_on_a_link_is_refused(host):
    root = host.make_rootfs("evil2")
    os.rmdir(root + "/proc")
    os.symlink("tmp", root + "/proc")
    raises(errno.ELOOP, 'filesystem "proc" must be mounted on ordinary directory', Box, host, "true",
           box={"root_share": "evil2"})


def test_mounts_bind_file_and_flags(host):
    with open(host.directory + "/file", "w") as f:
        f.write("content\n")
    host.add_share("file", host.directory + "/file")
    extra = [share("/etc/new/file", "file", MS_RDONLY | MS_NOEXEC | MS_NODEV | MS_NOSUID | MS_NOATIME),
             share("/mnt/usr", "usr", MS_REC | MS_RDONLY, attr_set=8)]
    out = shell(host, "cat /etc/new/file; echo x >/etc/new/file || echo ro; grep -E ' (/etc/new/file|/mnt/usr) ' /proc/self/mounts",
                box={"mounts": container()["mounts"] + extra})
    lines = out.splitlines()
    assert lines[:2] == ["content", "ro"], out
    assert set("ro,nosuid,nodev,noexec,noatime".split(",")) <= set(lines[2].split()[3].split(",")), out
    assert "noexec" in lines[3], out


def test_mounts_source_missing_is_named(host):
    raises(errno.ENOENT, 'error mounting "nope" to rootfs at "/mnt": source "nope": no such file or directory', Box, host,
           "true", box={"mounts": container()["mounts"] + [share("/mnt", "nope")]})
    raises(errno.ENODEV, 'error mounting "nofs" to rootfs at "/mnt": mount nofs: no such device', Box, host,
           "true", box={"mounts": container()["mounts"] + [mount("/mnt", "nofs")]})


def test_mounts_file_over_directory_is_named(host):
    raises(errno.ENOTDIR, "not a directory", Box, host, "true",
           box={"mounts": container()["mounts"] + [share("/tmp", "file")]})


def test_mounts_copy_up(host):
    root = host.make_rootfs("copyup")
    os.makedirs(root + "/data/sub")
    with open(root + "/data/sub/file", "w") as f:
        f.write("x" * 100000)
    os.chmod(root + "/data/sub/file", 0o4751)
    os.chown(root + "/data/sub/file", 12, 13)
    os.chmod(root + "/data/sub/file", 0o4751)
    os.symlink("sub/file", root + "/data/link")
    os.mkfifo(root + "/data/fifo")
    os.chmod(root + "/data", 0o750)
    extra = [mount("/data", "tmpfs", copy_up=True)]
    out = shell(host, "stat -c '%n %a %u:%g %s %F' /data /data/sub/file /data/fifo; readlink /data/link; rm /data/link",
                box={"root_share": "copyup", "mounts": container()["mounts"] + extra})
    lines = out.splitlines()
    assert lines[0].startswith("/data 750 ") and lines[1] == "/data/sub/file 4751 12:13 100000 regular file", out
    assert lines[2].endswith("fifo") and lines[3] == "sub/file", out
    assert os.path.islink(root + "/data/link")


def test_mounts_readonly_tmpfs_with_mounts_inside(host):
    extra = [mount("/ro", "tmpfs", flags=MS_RDONLY), mount("/ro/inner", "tmpfs")]
    out = shell(host, "touch /ro/x || echo ro; touch /ro/inner/x && echo rw", box={"mounts": container()["mounts"] + extra})
    assert out == "ro\nrw\n", out


def test_mounts_propagation(host):
    extra = [mount("/p", "tmpfs", propagation=MS_SHARED), mount("/q", "tmpfs", propagation=MS_PRIVATE)]
    out = shell(host, "grep -E ' /(p|q) ' /proc/self/mountinfo", box={"mounts": container()["mounts"] + extra})
    lines = out.splitlines()
    assert "shared:" in lines[0] and "shared:" not in lines[1], out


def test_sysctl_in_own_namespaces(host):
    sysctls = [{"name": "net.ipv4.ip_forward", "value": "1"}, {"name": "kernel.msgmax", "value": "4242"},
               {"name": "net/ipv4/conf/lo/forwarding", "value": "1"}]
    out = shell(host, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax", box={"sysctls": sysctls})
    assert out == "1\n4242\n", out
    assert open("/proc/sys/kernel/msgmax").read() != "4242\n"
    raises(errno.ENOENT, "setting sysctl kernel.nope", Box, host, "true", box={"sysctls": [{"name": "kernel.nope", "value": "1"}]})
    raises(errno.EINVAL, "is not a parameter's name", Box, host, "true",
           box={"sysctls": [{"name": "kernel/../../../etc/passwd", "value": "1"}]})


def test_user_namespace_without_network_gets_its_sysctls(host):
    """Docker sets this one for every container, and the guest's network belongs to the agent."""
    before = open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read()
    names = [{"clone_flag": f} for f in (NEWPID, NEWIPC, NEWNS, NEWUSER, NEWCGROUP)]
    box = {"root_share": "userns", "namespaces": names, "hostname": os.uname().nodename,
           "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": before.strip()},
                       {"name": "kernel.msgmax", "value": "4243"}],
           "uid_mappings": [{"container_id": 0, "host_id": 100000, "size": 65536}],
           "gid_mappings": [{"container_id": 0, "host_id": 100000, "size": 65536}]}
    userns_root(host)
    assert output(host, "cat", "/proc/sys/kernel/msgmax", box=box) == "4243\n"


def test_user_namespace_without_network_has_sys_and_its_own_cgroup(host):
    names = [{"clone_flag": f} for f in (NEWPID, NEWIPC, NEWNS, NEWUSER, NEWCGROUP, NEWUTS)]
    box = {"root_share": "userns", "namespaces": names,
           "uid_mappings": [{"container_id": 0, "host_id": 100000, "size": 65536}],
           "gid_mappings": [{"container_id": 0, "host_id": 100000, "size": 65536}]}
    userns_root(host)
    out = shell(host, "ls -d /sys/class; cat /sys/fs/cgroup/cgroup.procs; touch /sys/x || echo ro", box=box)
    lines = out.splitlines()
    assert lines[0] == "/sys/class" and lines[1] == "1" and lines[-1] == "ro", out


def test_loopback_is_up(host):
    assert "LOOPBACK,UP" in output(host, "ip", "link", "show", "lo") if os.path.exists("/usr/sbin/ip") else True


def test_time_namespace_offsets(host):
    names = [{"clone_flag": f} for f in (NEWPID, NEWIPC, NEWUTS, NEWNS, NEWTIME)]
    box = {"namespaces": names, "time_offsets": [{"clock": 7, "seconds": 864000, "nanoseconds": 0}]}
    with Box(host, "sh", "-c", "cat /proc/uptime; sleep 100", box=box) as b:
        inside = float(read_line(b.stdout).split()[0])
        outside = float(open("/proc/uptime").read().split()[0])
        assert abs(inside - outside - 864000) < 100, (inside, outside)
        joined = float(exec_output(b, "cat", "/proc/uptime").split()[0])
        assert abs(joined - outside - 864000) < 100, joined


def userns_root(host):
    """A root filesystem that belongs to the root of a user namespace."""
    root = os.path.join(host.shares, "userns")
    if not os.path.exists(root):
        host.make_rootfs("userns")
        subprocess.run(["chown", "-R", "100000:100000", root], check=True)
    return root


def test_user_namespace_maps_ids(host):
    root = userns_root(host)
    names = [{"clone_flag": f} for f in (NEWPID, NEWIPC, NEWUTS, NEWNS, NEWNET, NEWCGROUP, NEWUSER)]
    box = {"root_share": "userns", "namespaces": names,
           "uid_mappings": [{"container_id": 0, "host_id": 100000, "size": 65536}],
           "gid_mappings": [{"container_id": 0, "host_id": 100000, "size": 65536}]}
    with Box(host, "sh", "-c", "id -u; cat /proc/self/uid_map; touch /tmp/mine; ls -l /dev/null; echo y >/dev/null && echo ok; sleep 100",
             box=box) as b:
        data = b""
        while b"ok\n" not in data:
            piece = b.stdout.recv(1000)
            assert piece, (data, read_all(b.stderr))
            data += piece
        lines = data.decode().splitlines()
        assert lines[0] == "0" and lines[1].split() == ["0", "100000", "65536"], lines
        assert os.stat(root + "/tmp/mine").st_uid == 100000
        out = exec_output(b, "sh", "-c", "id; echo hi >/dev/stdout", uid=1000, gid=1000)
        assert b"uid=1000" in out and out.endswith(b"hi\n"), out
        status = open(f"/proc/{b.pid}/status").read()
        assert "Uid:\t100000\t" in status, status


def test_user_namespace_without_root_is_built_by_its_user(host):
    userns_root(host)
    names = [{"clone_flag": f} for f in (NEWPID, NEWNS, NEWNET, NEWUSER, NEWIPC, NEWUTS)]
    box = {"root_share": "userns", "namespaces": names,
           "mounts": [mount("/proc", "proc"), mount("/dev", "tmpfs", data="mode=755"),
                      mount("/dev/pts", "devpts", data="newinstance,ptmxmode=0666"), share("/usr", "usr", MS_RDONLY)],
           "uid_mappings": [{"container_id": 1000, "host_id": 100000, "size": 1}],
           "gid_mappings": [{"container_id": 1000, "host_id": 100000, "size": 1}]}
    with Box(host, "sh", "-c", "id -u; id -g; cat /proc/self/uid_map; touch /tmp/x && stat -c %u /tmp/x; sleep 100", box=box,
             proc={"uid": 1000, "gid": 1000}) as b:
        lines = [read_line(b.stdout).split() for _ in range(4)]
        assert lines == [[b"1000"], [b"1000"], [b"1000", b"100000", b"1"], [b"1000"]], lines
        assert exec_output(b, "id", "-u", uid=1000, gid=1000) == b"1000\n"


def test_user_namespace_with_terminal(host):
    names = [{"clone_flag": f} for f in (NEWPID, NEWNS, NEWNET, NEWUSER, NEWIPC, NEWUTS)]
    box = {"root_share": "userns", "namespaces": names, "masked_paths": ["/proc/kcore", "/sys/firmware"],
           "uid_mappings": [{"container_id": 0, "host_id": 100000, "size": 65536}],
           "gid_mappings": [{"container_id": 0, "host_id": 100000, "size": 65536}]}
    with Box(host, "sh", "-c", "tty; stat -c %u /dev/pts/0", box=box, start=False, proc={"terminal": True}) as b:
        tty = stream(host.directory, b.id, 0)
        b.start()
        assert read_all(tty) == b"/dev/pts/0\r\n0\r\n"


def test_namespaces_of_another_container_are_joined(host):
    with Box(host, "sleep", "100") as first:
        names = [{"clone_flag": NEWNS}, {"clone_flag": NEWCGROUP}]
        names += [{"clone_flag": f, "container": first.id} for f in (NEWPID, NEWIPC, NEWUTS, NEWNET)]
        with Box(host, "sh", "-c", "for n in pid ipc uts net; do readlink /proc/self/ns/$n; done; cat /proc/1/cmdline; hostname",
                 box={"namespaces": names, "hostname": ""}) as second:
            lines = read_all(second.stdout).decode().splitlines()
            its = [os.readlink(f"/proc/{first.pid}/ns/{n}") for n in ("pid", "ipc", "uts", "net")]
            assert lines[:4] == its, (lines, its)
            assert lines[4] == "sleep\0" + "100\0" + "test-host", lines
            assert second.status() == 0
    raises(errno.ESRCH, "container gone, whose namespace is to be joined, is not running", Box, host, "true",
           box={"namespaces": [{"clone_flag": NEWPID, "container": "gone"}]})


def test_memory_in_common_is_the_same_for_all_containers_that_mount_it(host):
    def box(name):
        return {"mounts": container()["mounts"][:2] + [share("/usr", "usr")] +
                [mount("/dev/shm", "tmpfs", name, MS_BIND, "mode=1777,size=1m", common=True)]}

    with Box(host, "sh", "-c", "echo from the first >/dev/shm/x; stat -c %a /dev/shm; read x", box=box("pod")) as first:
        assert read_line(first.stdout) == b"1777\n"
        assert shell(host, "cat /dev/shm/x; df -k /dev/shm | tail -n 1", box=box("pod")).startswith("from the first\npod")
        assert shell(host, "ls /dev/shm", box=box("other")) == ""
    assert shell(host, "cat /dev/shm/x", box=box("pod")) == "from the first\n", "it stays as long as the VM"
    for bad in ("../x", "a/b", ""):
        raises(errno.EINVAL, "not the name of something in common", Box, host, "true", box=box(bad or "."))


SAY = "use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0); send(S, $ARGV[0], 0, pack_sockaddr_un($ARGV[1])) or die $!"


def test_notifications_are_lines_of_one_more_stream(host):
    def boxed(name, at):
        return {"mounts": container()["mounts"][:2] + [share("/usr", "usr"), mount("/run/n", "tmpfs", data="mode=755"),
                mount(at, "notify", name, MS_BIND, common=True, source_is_file=True)]}

    say = f"perl -e '{SAY}' \"$0\" /run/n/sock"
    script = "stat -c %F /run/n/sock; " + say.replace("$0", "STATUS=x") + "; " + say.replace("$0", "READY=1")
    with Box(host, "sh", "-c", script, box=boxed("one", "/run/n/sock"), proc={"uid": 7}) as one:
        notes = stream(host.directory, one.id, 3)
        assert read_line(one.stdout) == b"socket\n"
        assert one.status() == 0, one.stderr.recv(1000)
        assert read_line(notes) == b"STATUS=x\n" and read_line(notes) == b"READY=1\n"
        assert notes.recv(1) == b"", "the end of the process is the end of the stream"
    raises(errno.EINVAL, "not the name of something in common", Box, host, "true", box=boxed("../one", "/run/n/sock"))
    # One container at a time has it, and the name is free when that is gone.
    assert output(host, "echo", "again", box=boxed("one", "/run/n/sock")) == "again\n"


def test_mount_over_the_root_is_the_root(host):
    rest = container()["mounts"][:2] + [share("/usr", "usr")]
    over = {"mounts": [mount("/", "tmpfs", data="size=8m", copy_up=True)] + rest}
    assert shell(host, "stat -f -c %T /; touch /made && ls -d /made /usr/bin", box=over).splitlines() == \
        ["tmpfs", "/made", "/usr/bin"]
    assert shell(host, "ls /made 2>&1 || true").startswith("ls: cannot access"), "the share has nothing of it"


def test_container_among_others_dies_with_its_connection(host):
    with Box(host, "sleep", "100") as stays:
        box = Box(host, "sleep", "100", create={"dies_with_connection": True})
        control = Connection(host.directory)
        waiting = control.send("wait", container=box.id, exec="")
        box.control.close()
        assert control.receive(waiting) == {"wait_status": signal.SIGKILL}
        control.call("delete", container=box.id)
        control.close()
        assert len(stays.control.call("ps", container=stays.id)["processes"]) == 1


def test_limit_of_huge_pages_that_do_not_exist_is_kept_by_itself(host):
    files = [{"name": "hugetlb.3GB.max", "value": "0"}]
    assert output(host, "echo", "runs", box={"cgroup_files": files}) == "runs\n"
    raises(errno.ENOENT, "cgroup file nothing.max", Box, host, "true",
           box={"cgroup_files": [{"name": "nothing.max", "value": "0"}]})


def forward(host, port):
    connection = Connection(host.directory, "stream")
    connection.call("forward", port=port)
    connection.socket.settimeout(10)
    return connection.socket


def test_port_of_the_loopback_is_reached_both_ways(host):
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            listener = socket.create_server((address, 0), family=family)
        except OSError:
            continue  # a machine without IPv6
        with listener:
            client = forward(host, listener.getsockname()[1])
            server = listener.accept()[0]
            big = os.urandom(1 << 20)
            threading.Thread(target=lambda: (client.sendall(big), client.shutdown(socket.SHUT_WR))).start()
            assert read_all(server) == big
            server.sendall(b"answer")  # after the client's end
            server.close()
            assert read_all(client) == b"answer"
            client.close()


def test_port_where_nobody_listens_closes(host):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert forward(host, port).recv(1) == b""
    for bad in (0, 65536, 1 << 31):
        raises(errno.EINVAL, "is not a port", forward, host, bad)


def test_user_namespace_of_another_container_is_joined(host):
    names = [{"clone_flag": f} for f in (NEWPID, NEWIPC, NEWUTS, NEWNS, NEWNET, NEWCGROUP, NEWUSER)]
    maps = {"uid_mappings": [{"container_id": 0, "host_id": 100000, "size": 65536}],
            "gid_mappings": [{"container_id": 0, "host_id": 100000, "size": 65536}]}
    with Box(host, "sleep", "100", box={"root_share": "userns", "namespaces": names, **maps}) as first:
        pod = [{"clone_flag": f, "container": first.id} for f in (NEWNET, NEWIPC, NEWUTS, NEWUSER)]
        pod += [{"clone_flag": f} for f in (NEWPID, NEWNS, NEWCGROUP)]
        out = shell(host, "id -u; readlink /proc/self/ns/user; echo $$; tail -n 1 /proc/self/cgroup",
                    box={"root_share": "userns", "namespaces": pod, "hostname": "", **maps})
        assert out.splitlines() == ["0", os.readlink(f"/proc/{first.pid}/ns/user"), "1", "0::/"], out


def test_cgroup_holds_the_processes(host):
    with Box(host, "sh", "-c", "sleep 100 & wait") as box:
        assert "0::/\n" in exec_output(box, "cat", "/proc/self/cgroup").decode()
        deadline = time.monotonic() + 5
        while len(box.control.call("ps", container=box.id)["processes"]) != 2:
            assert time.monotonic() < deadline
        processes = box.control.call("ps", container=box.id)["processes"]
        assert [p.get("container_pid") for p in processes if p["pid"] == box.pid] == [1], processes
        directory = os.path.join(host.cgroup, "container-" + box.id)
        assert str(box.pid) in open(directory + "/cgroup.procs").read().split()
    assert not os.path.exists(directory)


def test_pause_stops_and_resume_goes_on(host):
    with Box(host, "sh", "-c", "while :; do echo x; sleep 0.01; done") as box:
        assert read_line(box.stdout)
        box.control.call("freeze", container=box.id, frozen=True)
        box.stdout.settimeout(0.3)
        try:
            while True:
                assert box.stdout.recv(65536)
        except socket.timeout:
            pass
        raises(errno.EBUSY, "cannot exec in a paused container", exec_in, box, "x", "true")
        raises(errno.EBUSY, "container not running", box.control.call, "freeze", container=box.id, frozen=True)
        box.control.call("freeze", container=box.id, frozen=False)
        box.stdout.settimeout(10)
        assert read_line(box.stdout)
        box.control.call("freeze", container=box.id, frozen=True)
        box.kill(signal.SIGKILL)
        assert box.status() == signal.SIGKILL


def quiet(sock):
    """What comes before there is nothing for a while."""
    pieces = []
    sock.settimeout(0.3)
    try:
        while True:
            pieces.append(sock.recv(65536))
            assert pieces[-1]
    except socket.timeout:
        sock.settimeout(10)
        return b"".join(pieces)


def test_suspend_lasts_as_long_as_its_connection(host):
    with Box(host, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done") as box:
        first = int(read_line(box.stdout))
        for way in ("release", "close"):
            checkpoint = Connection(host.directory)
            checkpoint.call("suspend", container=box.id)
            rest = quiet(box.stdout).split()
            raises(errno.EBUSY, "cannot exec in a container while it is checkpointed", exec_in, box, "x", "true")
            raises(errno.EBUSY, "container not running", checkpoint.call, "suspend", container=box.id)
            if way == "release":
                checkpoint.call("release", container=box.id)
            checkpoint.close()
            # Not a number is lost, none comes twice.
            line = int(read_line(box.stdout))
            assert [int(n) for n in rest] == list(range(first + 1, first + 1 + len(rest))), rest
            assert line == first + len(rest) + 1, (first, len(rest), line)
            first = line
        raises(errno.EINVAL, "no copy that waits for its container", box.control.call, "adopt", id="other")


def test_suspend_and_kill_delivers_what_was_written(host):
    with Box(host, "sh", "-c", "echo before; sleep 1000 & wait") as box:
        time.sleep(1)  # it has been written, and nobody has read it
        checkpoint = Connection(host.directory)
        checkpoint.call("suspend", container=box.id)
        checkpoint.call("kill", container=box.id, signal=signal.SIGKILL, all=True)
        assert read_all(box.stdout) == b"before\n"
        assert box.status() == signal.SIGKILL
        checkpoint.close()


def test_suspend_with_a_reader_that_is_away_keeps_everything(host):
    with Box(host, "sh", "-c", "seq 200000; sleep 1000") as box:
        time.sleep(0.5)
        checkpoint = Connection(host.directory)
        checkpoint.call("suspend", container=box.id)
        checkpoint.close()
        seen = b""
        while not seen.endswith(b"\n200000\n"):
            seen += box.stdout.recv(65536)
        assert seen.split() == [b"%d" % n for n in range(1, 200001)]


def test_suspend_of_several_containers_is_refused(host):
    with Box(host, "sleep", "1000") as one, Box(host, "sleep", "1000"):
        raises(errno.ENOTSUP, "several containers share this virtual machine", one.control.call, "suspend",
               container=one.id)


def test_delete_running_kills(host):
    with Box(host, "sh", "-c", "sleep 1000 & sleep 1000 & mkdir /sys/fs/cgroup/sub; wait",
             box={"mounts": [m for m in container()["mounts"] if m["type"] != "cgroup"]
                  + [mount("/sys/fs/cgroup", "cgroup")]}) as box:
        exec_in(box, "x", "sleep", "1000")
        waiting = Connection(host.directory)
        ident = waiting.send("wait", container=box.id, exec="")
        time.sleep(0.1)
        box.delete()
        assert waiting.receive(ident)["wait_status"] == signal.SIGKILL
        raises(errno.ENOENT, "does not exist", box.delete)


def test_delete_without_pid_namespace_kills_leftovers(host):
    with Box(host, "sh", "-c", "sleep 1000 & echo $!; exit 0", box={"namespaces": [{"clone_flag": NEWNS}]}) as box:
        pid = int(read_line(box.stdout))
        assert box.status() == 0
        box.delete()
        # It is dead, and reaped when the agent looks next.
        deadline = time.monotonic() + 5
        while os.path.exists(f"/proc/{pid}"):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_hooks_start_container(host):
    hooks = [{"path": "/usr/bin/env", "args": ["env", "sh", "-c", "cat >/tmp/state; echo $VAR >>/tmp/state"],
              "env": ["PATH=/bin", "VAR=value"]}]
    with Box(host, "cat", "/tmp/state", start=False,
             box={"start_container_hooks": hooks, "hook_state": b'{"pid": %PID%}'}) as box:
        assert not os.path.exists(host.shares + "/rootfs/tmp/state")
        box.start()
        assert read_all(stream(host.directory, box.id, 1)) == b'{"pid": 1}value\n'
    os.unlink(host.shares + "/rootfs/tmp/state")


def test_hooks_failure_is_named(host):
    def hook(script, timeout=0):
        return {"start_container_hooks": [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"], "timeout": timeout}]}

    with Box(host, "true", start=False, box=hook("echo bad; exit 3")) as box:
        raises(errno.ECHILD, "error running startContainer hook #0 (/bin/sh): exit status 3, output: bad", box.start)
    with Box(host, "true", start=False, box=hook("sleep 100", 1)) as box:
        raises(errno.ETIMEDOUT, "ran past specified timeout of 1 s", box.start)


def test_update_and_stats(host):
    with Box(host, "sleep", "100") as box:
        assert box.control.call("stats", container=box.id)["cpu_usage_us"] > 0
        box.control.call("update", container=box.id, files=[{"name": "cgroup.max.depth", "value": "5"}])
        assert open(f"{host.cgroup}/container-{box.id}/cgroup.max.depth").read() == "5\n"
        raises(errno.ENOENT, "setting cgroup file nope.max", box.control.call, "update", container=box.id,
               files=[{"name": "nope.max", "value": "1"}])
        raises(errno.EINVAL, "not a file's name", box.control.call, "update", container=box.id,
               files=[{"name": "../x", "value": "1"}])


def needs_controller(host, name):
    with open(host.cgroup + "/cgroup.controllers") as f:
        if name not in f.read().split():
            raise Skip(f"no {name} controller in cgroup v2 here")


def test_memory_limit_kills_and_is_told(host):
    needs_controller(host, "memory")
    box = {"cgroup_files": [{"name": "memory.max", "value": "33554432"}, {"name": "memory.swap.max", "value": "0"}]}
    with Box(host, "python3", "-c", "input(); x = b'x' * (128 << 20)", box=box) as b:
        watcher = Connection(host.directory)
        told = watcher.send("oom_wait", container=b.id)
        stats = b.control.call("stats", container=b.id)
        assert stats["memory_max"] == 32 << 20 and 0 < stats["memory_current"] <= 32 << 20, stats
        assert any(f["name"] == "anon" for f in stats["memory_stat"]), stats
        b.stdin.sendall(b"\n")
        reply = b.wait()
        assert reply == {"wait_status": signal.SIGKILL, "oom_killed": True}, reply
        watcher.receive(told)
        assert b.control.call("stats", container=b.id)["oom_kills"] == 1


def test_memory_limit_killing_an_exec_is_told_of_it_alone(host):
    needs_controller(host, "memory")
    box = {"cgroup_files": [{"name": "memory.max", "value": "33554432"}, {"name": "memory.swap.max", "value": "0"}]}
    with Box(host, "sleep", "100", box=box) as b:
        exec_in(b, "fine", "sleep", "0.5")
        exec_in(b, "hungry", "python3", "-c", "x = b'x' * (128 << 20)")
        assert b.wait("hungry") == {"wait_status": signal.SIGKILL, "oom_killed": True}
        assert b.wait("fine") == {}


def test_oom_wait_ends_with_the_container(host):
    needs_controller(host, "memory")
    with Box(host, "cat") as b:
        told = b.control.send("oom_wait", container=b.id)
        b.stdin.shutdown(socket.SHUT_WR)
        raises(errno.ESRCH, "container not running", b.control.receive, told)


def test_pids_limit_applies(host):
    needs_controller(host, "pids")
    box = {"cgroup_files": [{"name": "pids.max", "value": "5"}]}
    with Box(host, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 10 & done", box=box) as b:
        assert b"Cannot fork" in read_all(b.stderr)


def test_containers_twenty_at_once(host):
    errors = []

    def one(i):
        try:
            assert shell(host, f"echo {i}") == f"{i}\n"
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors


def test_containers_leave_nothing_behind(host):
    shell(host, "true")
    time.sleep(0.2)
    before = len(os.listdir(f"/proc/{host.agent.pid}/fd"))
    mounts = open("/proc/self/mountinfo").read()
    for _ in range(30):
        shell(host, "true")
    time.sleep(0.3)
    assert len(os.listdir(f"/proc/{host.agent.pid}/fd")) == before
    assert open("/proc/self/mountinfo").read() == mounts
    assert not [d for d in os.listdir(host.cgroup) if d.startswith("container-")]
    children = open(f"/proc/{host.agent.pid}/task/{host.agent.pid}/children").read()
    assert children == "", children
