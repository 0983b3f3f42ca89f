#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
operations.py DIR: file operations in DIR, one line for what each gives. Run on the host's own file system and over a
share of the same one, the two transcripts must be equal: whatever differs, differs from what programs know.

Nothing that may differ for good reason is printed: inode and device numbers, times of now, block counts.
"""
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import random
import select
import socket
import stat
import struct
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
NOBODY = 1000


def show(label, result=""):
    print(label, result, flush=True)


def attempt(label, call, *args, **named):
    """Prints what the call gave, or its errno's name. Returns the result, None after an error."""
    try:
        result = call(*args, **named)
    except OSError as error:
        show(label, errno.errorcode.get(error.errno, str(error.errno)))
        return None
    show(label, "ok" if result is None or isinstance(result, os.stat_result) else result)
    return result


def c_call(name, *args):
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), "")


def renameat2(old, new, flags):
    c_call("renameat2", AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags)


def link_open_file(fd, name):
    c_call("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, name.encode(), 0x400)


def put(path, data=b"", mode=0o666):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.write(fd, data)
    os.close(fd)


def get(path):
    with open(path, "rb") as file:
        return file.read()


def mode_of(path):
    st = os.lstat(path)
    return "%06o %d %d %d" % (st.st_mode, st.st_nlink, st.st_uid, st.st_gid)


def in_child(call, uid=None, groups=()):
    """Runs call() in a child, as `uid`; what it prints is part of the transcript."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if uid is not None:
                os.setgroups(groups)
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            call()
            status = 0
        except BaseException as error:
            print("child failed:", repr(error))
        sys.stdout.flush()
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# --- one subject each -----------------------------------------------------------------------------------------------


def creating():
    for mask in (0, 0o22, 0o77):
        os.umask(mask)
        put("f%o" % mask)
        os.mkdir("d%o" % mask)
        os.mkfifo("p%o" % mask)
        show("umask %03o" % mask, [mode_of("%s%o" % (kind, mask)) for kind in "fdp"])
    os.umask(0o22)
    attempt("O_EXCL on a file", os.open, "f0", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.symlink("nowhere", "dangling")
    attempt("O_EXCL on a link", os.open, "dangling", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    attempt("create through a dangling link", put, "dangling")
    show("made", os.path.exists("nowhere"))
    attempt("O_DIRECTORY on a file", os.open, "f0", os.O_RDONLY | os.O_DIRECTORY)
    attempt("O_NOFOLLOW on a link", os.open, "dangling", os.O_RDONLY | os.O_NOFOLLOW)
    attempt("write to a directory", os.open, "d0", os.O_WRONLY)
    attempt("create over a directory", os.open, "d0", os.O_WRONLY | os.O_CREAT)
    attempt("create in a file", os.open, "f0/x", os.O_WRONLY | os.O_CREAT)
    attempt("create in nothing", os.open, "none/x", os.O_WRONLY | os.O_CREAT)
    attempt("trailing slash", os.open, "new/", os.O_WRONLY | os.O_CREAT)
    attempt("mkdir where there is something", os.mkdir, "f0")
    attempt("mode 000 as root", lambda: put("m000", b"x", 0))
    attempt("read it as root", get, "m000")


def names():
    long_name = "n" * 255
    attempt("255 bytes", put, long_name)
    attempt("256 bytes", put, "n" * 256)
    attempt("stat of 255", lambda: mode_of(long_name))
    odd = [b"\xff\xfe", b"new\nline", b"sp ace", b"\x01\x02", b"-rf", b"...", b"..x", "\u00e4\u00f6".encode()]
    for name in odd:
        put(name)
    show("odd names", sorted(name for name in os.listdir(b".") if name in odd))
    here, depth = os.getcwd(), 0
    for depth in range(150):
        os.mkdir("deep-directory-%d" % depth)
        os.chdir("deep-directory-%d" % depth)
    put("bottom", b"reached")
    show("150 levels", get("bottom"))
    show("getcwd", len(os.getcwd()) - len(here))
    os.chdir(here)
    attempt("path too long", os.stat, "x/" * 2100)


def links():
    put("f", b"text")
    attempt("link", os.link, "f", "g")
    show("counts", [mode_of("f"), mode_of("g"), os.path.samefile("f", "g")])
    attempt("link to existing", os.link, "f", "g")
    os.mkdir("d")
    attempt("link of a directory", os.link, "d", "e")
    os.unlink("f")
    show("left", [get("g"), mode_of("g")])
    attempt("symlink", os.symlink, "g", "s")
    show("through it", get("s"))
    attempt("readlink", os.readlink, "s")
    attempt("readlink of a file", os.readlink, "g")
    show("size of a link", os.lstat("s").st_size)
    text = "t" * 4095
    attempt("4095 bytes", os.symlink, text, "long")
    attempt("read back", lambda: os.readlink("long") == text)
    attempt("empty", os.symlink, "", "empty")
    os.symlink("loop2", "loop1")
    os.symlink("loop1", "loop2")
    attempt("loop", os.stat, "loop1")
    attempt("hard link to a link", os.link, "s", "s2", follow_symlinks=False)
    show("is a link", stat.S_ISLNK(os.lstat("s2").st_mode))
    attempt("lchown", os.lchown, "s", 5, 6)
    show("its owner", mode_of("s"))
    show("the target's", mode_of("g"))


def renaming():
    put("a", b"A")
    put("b", b"B")
    attempt("NOREPLACE", renameat2, "a", "b", 1)
    attempt("EXCHANGE", renameat2, "a", "b", 2)
    show("exchanged", [get("a"), get("b")])
    attempt("EXCHANGE with nothing", renameat2, "a", "none", 2)
    attempt("rename", os.rename, "a", "b")
    show("replaced", [get("b"), os.path.exists("a")])
    os.makedirs("d/e/f")
    put("d/e/f/x")
    attempt("into itself", os.rename, "d", "d/e/g")
    os.mkdir("full")
    put("full/y")
    attempt("over a full directory", os.rename, "d", "full")
    os.mkdir("bare")
    attempt("over an empty one", os.rename, "d", "bare")
    show("moved", os.listdir("bare/e/f"))
    attempt("file over directory", os.rename, "b", "bare")
    attempt("directory over file", os.rename, "bare", "b")
    attempt("onto itself", os.rename, "b", "b")
    os.link("b", "b2")
    attempt("onto its own other name", os.rename, "b", "b2")
    show("both are there", [os.path.exists("b"), os.path.exists("b2")])
    attempt("dot", os.rename, "bare", "bare/.")
    os.chdir("bare")
    os.rename("../bare", "../renamed")
    put("here")
    os.chdir("..")
    show("renamed under our feet", sorted(os.listdir("renamed")))


def removing():
    put("f")
    os.makedirs("d/e")
    attempt("unlink a directory", os.unlink, "d")
    attempt("rmdir a file", os.rmdir, "f")
    attempt("rmdir a full one", os.rmdir, "d")
    attempt("rmdir", os.rmdir, "d/e")
    attempt("rmdir dot", os.rmdir, "d/.")
    attempt("unlink nothing", os.unlink, "none")
    fd = os.open("f", os.O_RDWR)
    other = os.open("f", os.O_RDONLY)
    os.write(fd, b"before")
    attempt("unlink an open file", os.unlink, "f")
    os.write(fd, b" after")
    show("read on", os.pread(other, 100, 0))
    show("links", os.fstat(fd).st_nlink)
    os.ftruncate(fd, 3)
    os.fchmod(fd, 0o640)
    show("still changed", [os.fstat(other).st_size, "%o" % os.fstat(other).st_mode])
    show("opened by way of proc", get("/proc/self/fd/%d" % fd))
    os.close(fd)
    os.close(other)
    os.chdir("d")
    os.rmdir("../d")
    attempt("create in a removed directory", put, "x")
    attempt("list a removed directory", os.listdir, ".")
    os.chdir("..")


def contents():
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    data = bytes(random.Random(1).randrange(256) for _ in range(100000))
    show("pwritev", os.pwritev(fd, [data[:10], data[10:50000], data[50000:]], 12345))
    parts = [bytearray(7), bytearray(40000), bytearray(60000)]
    show("preadv", os.preadv(fd, parts, 12345))
    show("same", b"".join(parts)[:100000] == data)
    show("zeros before", os.pread(fd, 12345, 0) == bytes(12345))
    show("at the end", os.pread(fd, 100, 112345))
    for size in (5, 200000, 112345, 0):
        os.ftruncate(fd, size)
        show("truncated to %d" % size, [os.fstat(fd).st_size, hashlib.md5(get("f")).hexdigest()])
    attempt("negative truncate", os.ftruncate, fd, -1)
    attempt("truncate a directory", os.truncate, ".", 0)
    os.close(fd)
    put("big", data * 50)
    show("five megabytes", hashlib.md5(get("big")).hexdigest())
    fd = os.open("big", os.O_RDONLY)
    attempt("write to O_RDONLY", os.write, fd, b"x")
    os.close(fd)
    fd = os.open("big", os.O_WRONLY)
    attempt("read from O_WRONLY", os.read, fd, 1)
    os.close(fd)
    fd, out = os.open("big", os.O_RDONLY), os.open("copy", os.O_RDWR | os.O_CREAT)
    show("copy_file_range", os.copy_file_range(fd, out, 30000, 77, 11))
    show("copied", hashlib.md5(get("copy")).hexdigest())
    os.close(out)
    out = os.open("sent", os.O_RDWR | os.O_CREAT)
    show("sendfile", os.sendfile(out, fd, 1000, 50000))
    show("sent", hashlib.md5(get("sent")).hexdigest())
    os.close(out)
    os.close(fd)


def appending():
    a = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    b = os.open("log", os.O_WRONLY | os.O_APPEND)
    for i in range(5):
        os.write(a, b"a%d " % i)
        os.write(b, b"b%d " % i)
    show("two appenders", get("log"))
    os.lseek(a, 0, os.SEEK_SET)
    os.write(a, b"end")
    show("position is ignored", get("log"))
    c = os.open("log", os.O_WRONLY)
    fcntl.fcntl(c, fcntl.F_SETFL, os.O_APPEND)
    os.write(c, b"!")
    show("set later", get("log")[-5:])
    children = 4

    def worker(index):
        fd = os.open("shared", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for i in range(50):
            os.write(fd, b"%d-%03d\n" % (index, i))
        os.close(fd)

    threads = [threading.Thread(target=worker, args=(i,)) for i in range(children)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    show("four at once lose nothing", len(set(get("shared").split())))
    for fd in (a, b, c):
        os.close(fd)


def holes():
    fd = os.open("sparse", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"x" * 4096, 1 << 20)
    os.ftruncate(fd, 3 << 20)
    attempt("SEEK_DATA", os.lseek, fd, 0, os.SEEK_DATA)
    attempt("SEEK_HOLE", os.lseek, fd, 0, os.SEEK_HOLE)
    attempt("SEEK_HOLE in data", os.lseek, fd, 1 << 20, os.SEEK_HOLE)
    attempt("SEEK_DATA behind the last", os.lseek, fd, 2 << 20, os.SEEK_DATA)
    attempt("SEEK_HOLE at the end", os.lseek, fd, 3 << 20, os.SEEK_HOLE)
    show("takes little room", os.fstat(fd).st_blocks * 512 < 1 << 20)
    attempt("posix_fallocate", os.posix_fallocate, fd, 0, 4 << 20)
    show("size", os.fstat(fd).st_size)
    for label, flags in (("KEEP_SIZE", 1), ("PUNCH_HOLE", 3), ("ZERO_RANGE", 0x10)):
        attempt(label, lambda: c_call("fallocate64", fd, flags, ctypes.c_int64(1 << 20), ctypes.c_int64(2048)))
        show("contents", hashlib.md5(os.pread(fd, 4096, 1 << 20)).hexdigest())
    os.close(fd)


def attributes():
    put("f", b"x")
    for mode in (0o7777, 0o4755, 0o2755, 0o1644, 0):
        os.chmod("f", mode)
        show("chmod %04o" % mode, mode_of("f"))
    os.chmod("f", 0o6755)
    os.chown("f", 11, 22)
    show("chown clears set-id", mode_of("f"))
    os.chmod("f", 0o6755)
    os.chown("f", -1, -1)
    show("chown of nothing", mode_of("f"))
    os.utime("f", ns=(1234567890123456789, -5000000000))
    st = os.stat("f")
    show("times", [st.st_atime_ns, st.st_mtime_ns])
    os.symlink("f", "l")
    os.utime("l", ns=(1, 2000000001), follow_symlinks=False)
    show("of a link", os.lstat("l").st_mtime_ns)
    show("not of its target", os.stat("f").st_mtime_ns)
    before = os.stat("f")
    os.chmod("f", 0o644)
    show("ctime moves", os.stat("f").st_ctime_ns >= before.st_ctime_ns)
    put("f", b"y")
    show("mtime moves", os.stat("f").st_mtime_ns > before.st_mtime_ns)
    vfs = os.statvfs(".")
    show("statvfs", [vfs.f_namemax, vfs.f_blocks > 0, vfs.f_bavail <= vfs.f_blocks])
    attempt("access", os.access, "f", os.R_OK)


def ownership():
    os.mkdir("d")
    os.chmod("d", 0o777)
    os.mkdir("group")
    os.chown("group", 0, 4321)
    os.chmod("group", 0o2777)

    def as_user():
        put("d/f")
        os.mkdir("d/sub")
        os.symlink("x", "d/l")
        os.mkfifo("d/p")
        put("group/f")
        os.mkdir("group/sub")
        attempt("chown to root", os.chown, "d/f", 0, 0)
        attempt("chmod of root's", os.chmod, "d", 0o700)
        attempt("mknod of a device", os.mknod, "d/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.chmod("d/f", 0o6755)
        show("set-id set", mode_of("d/f"))
        fd = os.open("d/f", os.O_WRONLY)
        os.write(fd, b"x")
        show("and gone with a write", mode_of("d/f"))
        os.chmod("d/f", 0o6755)
        os.ftruncate(fd, 0)
        show("and with truncation", mode_of("d/f"))
        os.chmod("d/f", 0o6755)
        os.close(os.open("d/f", os.O_WRONLY | os.O_TRUNC))
        show("and with O_TRUNC", mode_of("d/f"))
        os.chmod("group/f", 0o2755)
        show("set-gid of a foreign group", mode_of("group/f"))
        os.close(fd)

    show("child", in_child(as_user, NOBODY))
    for name in ("d/f", "d/sub", "d/l", "d/p", "group/f", "group/sub"):
        show(name, mode_of(name))
    os.chmod("d/f", 0o6755)
    fd = os.open("d/f", os.O_WRONLY)
    os.write(fd, b"y")
    show("root's write keeps set-id", mode_of("d/f"))
    os.close(fd)


def permissions():
    os.mkdir("closed", 0o700)
    put("closed/f", b"x")
    put("secret", b"x", 0o600)
    put("public", b"x", 0o644)
    os.chmod("public", 0o644)
    os.mkdir("sticky")
    os.chmod("sticky", 0o1777)
    put("sticky/roots")
    os.mkdir("shelf")
    os.chmod("shelf", 0o711)
    put("shelf/known", b"found")

    def as_user():
        attempt("closed directory", get, "closed/f")
        attempt("secret file", get, "secret")
        attempt("public file", get, "public")
        attempt("write it", os.open, "public", os.O_WRONLY)
        attempt("create beside it", put, "mine")
        attempt("list closed", os.listdir, "closed")
        attempt("list search-only", os.listdir, "shelf")
        attempt("known name in it", get, "shelf/known")
        attempt("sticky: remove root's", os.unlink, "sticky/roots")
        attempt("sticky: rename root's", os.rename, "sticky/roots", "sticky/x")
        attempt("utime of another's", os.utime, "public")
        attempt("chmod of another's", os.chmod, "public", 0o777)
        attempt("access R", os.access, "secret", os.R_OK)
        attempt("execute without x", lambda: os.execv("public", ["public"]))

    show("child", in_child(as_user, NOBODY))


def acls():
    def acl(*entries):
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, perm, who) for tag, perm, who in entries)

    nobody = 0xffffffff
    put("f", b"acl", 0o600)
    os.chmod("f", 0o600)
    value = acl((1, 6, nobody), (2, 4, NOBODY), (4, 0, nobody), (16, 4, nobody), (32, 0, nobody))
    if attempt("set", os.setxattr, "f", "system.posix_acl_access", value) is None and \
            "system.posix_acl_access" not in os.listxattr("f"):
        return
    show("mode shows the mask", mode_of("f"))
    show("read back", os.getxattr("f", "system.posix_acl_access") == value)
    show("user named in it", in_child(lambda: attempt("read", get, "f"), NOBODY))
    show("another user", in_child(lambda: attempt("read", get, "f"), NOBODY + 1))
    os.mkdir("d")
    default = acl((1, 7, nobody), (2, 7, NOBODY), (4, 5, nobody), (16, 7, nobody), (32, 0, nobody))
    os.setxattr("d", "system.posix_acl_default", default)
    os.umask(0o77)
    put("d/f")
    os.mkdir("d/sub")
    os.umask(0o22)
    show("inherited", [mode_of("d/f"), mode_of("d/sub"), sorted(os.listxattr("d/sub"))])
    os.removexattr("f", "system.posix_acl_access")
    show("removed", mode_of("f"))
    os.chmod("f", 0o644)
    os.chown("f", 0, 77)
    os.chmod("f", 0o2770)
    show("set-gid before", mode_of("f"))
    attempt("bad acl", os.setxattr, "f", "system.posix_acl_access", b"xx")


def extended_attributes():
    put("f")
    attempt("set", os.setxattr, "f", "user.colour", b"green")
    attempt("create again", os.setxattr, "f", "user.colour", b"red", os.XATTR_CREATE)
    attempt("replace none", os.setxattr, "f", "user.none", b"red", os.XATTR_REPLACE)
    attempt("replace", os.setxattr, "f", "user.colour", b"red", os.XATTR_REPLACE)
    attempt("get", os.getxattr, "f", "user.colour")
    attempt("get none", os.getxattr, "f", "user.none")
    attempt("large", os.setxattr, "f", "user.large", b"v" * 2000)
    attempt("get large", lambda: len(os.getxattr("f", "user.large")))
    attempt("name too long", os.setxattr, "f", "user." + "n" * 255, b"")
    show("list", sorted(os.listxattr("f")))
    attempt("remove", os.removexattr, "f", "user.colour")
    attempt("remove again", os.removexattr, "f", "user.colour")
    os.symlink("f", "l")
    attempt("on a link", os.setxattr, "l", "user.x", b"", follow_symlinks=False)
    attempt("unknown name space", os.setxattr, "f", "nonsense.x", b"")
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    if attempt("file capability", os.setxattr, "f", "security.capability", capability) is None:
        show("read back", os.getxattr("f", "security.capability") == capability)
        fd = os.open("f", os.O_WRONLY)
        os.write(fd, b"x")
        os.close(fd)
        attempt("gone with a write", os.getxattr, "f", "security.capability")


def locks():
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0)

    def other():
        own = os.open("f", os.O_RDWR)
        attempt("held elsewhere", fcntl.lockf, own, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 5)
        attempt("beside it", fcntl.lockf, own, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 10)
        attempt("flock is another kind", fcntl.flock, own, fcntl.LOCK_EX | fcntl.LOCK_NB)

    show("child", in_child(other))
    fcntl.flock(fd, fcntl.LOCK_SH)

    def flocker():
        own = os.open("f", os.O_RDWR)
        attempt("shared", fcntl.flock, own, fcntl.LOCK_SH | fcntl.LOCK_NB)
        attempt("exclusive", fcntl.flock, own, fcntl.LOCK_EX | fcntl.LOCK_NB)

    show("child", in_child(flocker))
    os.close(fd)
    show("child after close", in_child(other))


def mapping():
    page = mmap.PAGESIZE
    put("f", b"a" * (3 * page + 100))
    fd = os.open("f", os.O_RDWR)
    with mmap.mmap(fd, 0) as shared:
        shared[5:10] = b"12345"
        shared[2 * page:2 * page + 3] = b"xyz"
        show("seen by read before msync", os.pread(fd, 10, 2))
        shared.flush()
        show("seen by read", os.pread(fd, 4, 2 * page))
        os.pwrite(fd, b"WRITE", page)
        show("a write is seen in the map", shared[page:page + 5])
        os.ftruncate(fd, 4 * page)
    with mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE) as private:
        private[0:3] = b"zzz"
        show("private stays private", [private[0:5], os.pread(fd, 5, 0)])
    with mmap.mmap(fd, page, prot=mmap.PROT_READ, offset=2 * page) as part:
        show("part", part[0:5])
    with mmap.mmap(fd, 0) as shared:
        os.unlink("f")
        shared[0:2] = b"uu"
        show("map of an unlinked file", os.pread(fd, 4, 0))
    os.close(fd)
    put("x", b"b" * page)
    fd = os.open("x", os.O_RDONLY)
    attempt("shared writable map of O_RDONLY", mmap.mmap, fd, 0)
    os.close(fd)
    # Two maps and two processes on one file.
    fd = os.open("counter", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, page)
    with mmap.mmap(fd, 0) as shared:

        def count():
            for _ in range(100):
                shared[0:4] = struct.pack("<I", struct.unpack("<I", shared[0:4])[0] + 1)

        show("child", in_child(count))
        show("counted by the child", struct.unpack("<I", shared[0:4])[0])
    os.close(fd)


def direct():
    try:
        fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return  # the host's own, tmpfs of old kernels
        raise
    buffer = mmap.mmap(-1, 65536)
    buffer.write(bytes(range(256)) * 256)
    show("write", os.pwrite(fd, buffer, 0))
    show("through the cache", hashlib.md5(get("f")).hexdigest())
    back = mmap.mmap(-1, 65536)
    show("read", os.preadv(fd, [back], 0))
    show("same", back[:] == buffer[:])
    os.close(fd)


def synchronising():
    fd = os.open("f", os.O_WRONLY | os.O_CREAT | os.O_SYNC)
    show("O_SYNC", os.write(fd, b"x"))
    attempt("fsync", os.fsync, fd)
    attempt("fdatasync", os.fdatasync, fd)
    attempt("syncfs", lambda: c_call("syncfs", fd))
    os.close(fd)
    fd = os.open(".", os.O_RDONLY)
    attempt("fsync of a directory", os.fsync, fd)
    os.close(fd)


def unnamed():
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as error:
        show("O_TMPFILE", errno.errorcode[error.errno])
        return
    os.write(fd, b"no name")
    show("links", os.fstat(fd).st_nlink)
    attempt("give it one", link_open_file, fd, "named")
    show("named", get("named"))
    os.close(fd)
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    attempt("O_EXCL forbids", link_open_file, fd, "other")
    os.close(fd)


def directories():
    os.mkdir("many")
    wanted = {"entry-%d%s" % (i, "x" * (i % 60)) for i in range(400)}
    for name in wanted:
        os.close(os.open("many/" + name, os.O_CREAT | os.O_WRONLY))
    show("all", set(os.listdir("many")) == wanted)
    with os.scandir("many") as entries:
        show("types", {entry.is_file(follow_symlinks=False) for entry in entries})
    with os.scandir("many") as entries:
        show("inode numbers", all(entry.inode() == entry.stat().st_ino for entry in entries))
    seen = 0
    for name in os.listdir("many"):
        os.unlink("many/" + name)
        seen += 1
    show("removed while listed", [seen, os.listdir("many")])
    # A directory read in parts, with changes in between: what was there all along comes exactly once.
    for i in range(150):
        put("many/keep-%d" % i)
    fd = os.open("many", os.O_RDONLY)
    count = {}
    buffer = ctypes.create_string_buffer(700)
    step = 0
    while True:
        got = libc.syscall(217, fd, buffer, 700)
        if got <= 0:
            break
        at = 0
        while at < got:
            length = struct.unpack_from("<H", buffer, at + 16)[0]
            name = ctypes.string_at(ctypes.addressof(buffer) + at + 19).decode()
            count[name] = count.get(name, 0) + 1
            at += length
        step += 1
        put("many/extra-%d" % step)
    os.close(fd)
    show("each once", all(count.get("keep-%d" % i) == 1 for i in range(150)))
    show("links of a directory", os.stat("many").st_nlink >= 1)


def special_files():
    os.mkfifo("fifo")
    reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open("fifo", os.O_WRONLY)
    os.write(writer, b"through a fifo")
    show("fifo", os.read(reader, 100))
    os.close(reader)
    os.close(writer)
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect("socket")
    peer, _ = server.accept()
    client.send(b"through a socket")
    show("socket", peer.recv(100))
    show("mode", "%o" % os.lstat("socket").st_mode)
    for one in (server, client, peer):
        one.close()
    refused = socket.socket(socket.AF_UNIX)
    attempt("nobody listens", refused.connect, "socket")
    refused.close()
    attempt("char device", os.mknod, "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    attempt("whiteout", os.mknod, "whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    st = os.lstat("whiteout")
    show("its number", [os.major(st.st_rdev), os.minor(st.st_rdev)])
    attempt("large numbers", os.mknod, "device", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
    st = os.lstat("device")
    show("its number", [os.major(st.st_rdev), os.minor(st.st_rdev)])


def executing():
    with open("script", "w") as file:
        file.write("#!/bin/sh\necho script ran with $1\n")
    os.chmod("script", 0o755)
    sys.stdout.flush()
    show("script", os.spawnl(os.P_WAIT, "./script", "./script", "argument"))
    put("program", get("/bin/true"))
    attempt("not executable", os.spawnl, os.P_WAIT, "./program", "./program")
    os.chmod("program", 0o755)
    show("program", os.spawnl(os.P_WAIT, "./program", "./program"))
    put("sleeper", get("/bin/sleep"))
    os.chmod("sleeper", 0o755)
    pid = os.spawnl(os.P_NOWAIT, "./sleeper", "./sleeper", "20")
    while os.readlink("/proc/%d/exe" % pid) != os.path.abspath("sleeper"):
        select.select([], [], [], 0.01)
    attempt("write to a running program", os.open, "sleeper", os.O_WRONLY)
    os.unlink("sleeper")
    show("exe of an unlinked program", os.readlink("/proc/%d/exe" % pid).endswith("sleeper (deleted)"))
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def limits():
    import resource
    import signal

    def child():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
        fd = os.open("f", os.O_RDWR | os.O_CREAT)
        attempt("up to the limit", os.pwrite, fd, b"x" * 4000, 8000)
        attempt("beyond it", os.pwrite, fd, b"x", 10000)
        attempt("truncate beyond it", os.ftruncate, fd, 10001)

    show("child", in_child(child))
    fd = os.open("f", os.O_RDWR)
    attempt("seek far", os.lseek, fd, 1 << 40, os.SEEK_SET)
    attempt("offset too large", os.pwrite, fd, b"x", (1 << 63) - 1)
    os.close(fd)


def random_writes():
    """A file and what it should hold, changed side by side: write, append, read, truncate, map, punch, copy."""
    rng = random.Random(20240229)
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    shadow = bytearray()
    largest = 300000
    punch = True
    for step in range(500):
        action = rng.randrange(8)
        offset, length = rng.randrange(largest), rng.choice((1, 10, 511, 512, 4096, 5000, 70000))
        length = min(length, largest - offset)
        data = bytes([rng.randrange(256)]) * length
        if action in (0, 1):
            os.pwrite(fd, data, offset)
        elif action == 2:
            size = rng.randrange(largest)
            os.ftruncate(fd, size)
            shadow = shadow[:size] + bytes(max(0, size - len(shadow)))
            continue
        elif action == 3 and offset + length <= len(shadow) and length:
            with mmap.mmap(fd, 0) as shared:
                shared[offset:offset + length] = data
        elif action == 4 and punch and length:
            try:
                c_call("fallocate64", fd, 3, ctypes.c_int64(offset), ctypes.c_int64(length))
            except OSError:
                punch = False
                continue
            data = bytes(length)
            end = min(offset + length, len(shadow))
            if offset < end:
                shadow[offset:end] = data[:end - offset]
            continue
        elif action == 5 and len(shadow) > 2:
            middle = len(shadow) // 2
            count = min(length, middle)
            got = os.copy_file_range(fd, fd, count, 0, middle)
            shadow[middle:middle + got] = shadow[:got]
            continue
        elif action == 6:
            os.close(fd)
            fd = os.open("f", os.O_RDWR)
            continue
        else:
            if os.pread(fd, length, offset) != bytes(shadow[offset:offset + length]):
                show("step %d: read differs at %d" % (step, offset))
                return
            continue
        if offset > len(shadow):
            shadow += bytes(offset - len(shadow))
        shadow[offset:offset + length] = data
        if os.fstat(fd).st_size != len(shadow):
            show("step %d: size" % step, [os.fstat(fd).st_size, len(shadow)])
            return
    os.close(fd)
    show("equal", get("f") == bytes(shadow))
    show("size", len(shadow))


SUBJECTS = (creating, names, links, renaming, removing, contents, appending, holes, attributes, ownership, permissions,
            acls, extended_attributes, locks, mapping, direct, synchronising, unnamed, directories, special_files,
            executing, limits, random_writes)


def main():
    base = os.path.abspath(sys.argv[1])
    for subject in SUBJECTS:
        if len(sys.argv) > 2 and subject.__name__ not in sys.argv[2:]:
            continue
        show("==", subject.__name__)
        place = os.path.join(base, subject.__name__)
        os.mkdir(place)
        os.chmod(place, 0o755)
        os.chdir(place)
        os.umask(0o22)
        begun = time.monotonic()
        try:
            subject()
        except Exception as error:  # pylint: disable=broad-except
            show("failed:", repr(error))
        print("%s took %.1f s" % (subject.__name__, time.monotonic() - begun), file=sys.stderr)
    os.chdir("/")


main()
