# SPDX-License-Identifier: Apache-2.0
"""The figures of file work: fs-work.c, tar and git in a container, under Bulkhead and under crun on files alike.

The programs take the time themselves, inside of the container, so that the start of a container is no part of it. The
files lie on an ext4 as mkfs makes it, with a journal, in the host's page cache. It is made anew for each run: an ext4
remembers what was deleted before, and takes its time over it (without a journal, as the test host's disk is, five
minutes long it looks at each inode deleted before it finds one for a new file).
"""

import json
import os
import shutil
import statistics
import subprocess

WORK = "/var/tmp/bench-fs"
RESULTS = "/mnt/results"
FILES, BIG = 300, 16 << 20

# What is reported, with the text for the table. Per operation, except where one operation is all there is.
SUBJECTS = {
    "create": "create and close a file",
    "stat_cached": "stat, known file",
    "rename": "rename",
    "unlink": "unlink",
    "stat_cold": "stat, file not seen before",
    "open_read": "open, read 4 KiB, close, file not seen before",
    "list": "list and stat, per entry",
    "seq_read": "sequential read, 128 KiB",
    "seq_read_cached": "sequential read again, 128 KiB",
    "seq_write": "sequential write, 128 KiB",
    "rand_read": "random read, 4 KiB",
    "rand_write": "random write, 4 KiB",
    "untar": "tar x, 500 files in 50 directories",
    "git_status": "git status, 500 files, first",
    "git_status_again": "git status, 500 files, again",
}


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def prepare_data():
    """The files that every run starts from."""
    data = WORK + "/data"
    os.makedirs(WORK + "/bin")
    shutil.copy(RESULTS + "/fs-work", WORK + "/bin")
    for name in ("there", "small", "listed", "out"):
        os.makedirs(data + "/" + name)
    for i in range(FILES):
        write("%s/there/f%d" % (data, i), b"")
        write("%s/small/f%d" % (data, i), b"s" * 4096)
        write("%s/listed/f%d" % (data, i), b"")
    for name in ("big", "random"):
        write(data + "/" + name, b"r" * BIG)
    tree = WORK + "/tree"
    for directory in range(50):
        os.makedirs("%s/d%d" % (tree, directory))
        for i in range(10):
            write("%s/d%d/file-%d" % (tree, directory, i), b"text %d\n" % i * 200)
    subprocess.run(["tar", "cf", data + "/tree.tar", "-C", tree, "."], check=True)
    subprocess.run("cp -a %s %s/repo && cd %s/repo && git init -q && git add . && "
                   "git -c user.name=n -c user.email=e@example.com commit -q -m first" % (tree, data, data),
                   shell=True, check=True)


def make_bundle(program_of):
    bundle = WORK + "/bundle"
    os.makedirs(bundle)
    subprocess.run(["crun", "spec"], cwd=bundle, check=True)
    with open(bundle + "/config.json", encoding="utf-8") as file:
        config = json.load(file)
    config["root"] = {"path": "/opt/rootfs/debian", "readonly": True}
    config["process"].update(terminal=False, args=["/bin/sh", "-c", program_of("/data")])
    for source, at, option in ((WORK + "/now", "/data", "rw"), ("/usr", "/usr", "ro"), (WORK + "/bin", "/bench", "ro")):
        config["mounts"].append({"destination": at, "type": "bind", "source": source, "options": ["rbind", option]})
    # The files fit twice: what is measured is not how either reclaims its page cache.
    config["linux"]["resources"]["memory"] = {"limit": 512 << 20}
    return bundle, config


def program(data):
    work = "/bench/fs-work"
    git = "git -c safe.directory=* -C %s/repo status" % data
    return " && ".join((
        "%s %s" % (work, data),
        "%s --time untar tar xf %s/tree.tar -C %s/out" % (work, data, data),
        "%s --time git_status %s" % (work, git),
        "%s --time git_status_again %s" % (work, git)))


def mount_now():
    """A new file system with a copy of the data, at WORK/now."""
    now, image = WORK + "/now", WORK + "/image"
    unmount_now()
    os.makedirs(now, exist_ok=True)
    with open(image, "wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
    subprocess.run(["modprobe", "loop"], check=True)
    subprocess.run(["mount", "-o", "loop,noatime", image, now], check=True)
    subprocess.run(["cp", "-a", WORK + "/data/.", now], check=True)


def unmount_now():
    if os.path.ismount(WORK + "/now"):
        subprocess.run(["umount", WORK + "/now"], check=True)


def one_run(runtime, cache, bundle, config, number, limit):
    """Nanoseconds per operation, by subject. `cache`: the annotation io.bulkhead.file-cache."""
    config["annotations"] = {"io.bulkhead.file-cache": cache}
    with open(bundle + "/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    mount_now()
    # git trusts an index only if it is older than the files' next possible change.
    os.sync()
    done = subprocess.run([runtime, "run", "--bundle", bundle, "fs-%d" % number], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace").strip().splitlines()[-1:] or "failed")
    found = {}
    for line in done.stdout.decode().splitlines():
        name, total, count = line.split()
        found[name] = int(total) / int(count)
    return found


def one_run_of_three(runtime, cache, bundle, config, number, limit):
    """The emulated processor loses a guest now and then (docs/testing.md): such a run is taken again."""
    for last in (False, False, True):
        try:
            return one_run(runtime, cache, bundle, config, number, limit)
        except subprocess.TimeoutExpired:
            subprocess.run([runtime, "delete", "--force", "fs-%d" % number], timeout=limit, check=False)
            if last:
                raise


def take(table, bulkhead, runs, limit):
    """Adds `fs_X_insns`, `fs_X_always_insns` (that caching) and `fs_X_crun_insns` for every subject, with their ratio."""
    shutil.rmtree(WORK, ignore_errors=True)
    prepare_data()
    bundle, config = make_bundle(program)
    values = {}
    for key, runtime, cache in (("crun", "crun", "auto"), ("bulkhead", bulkhead, "auto"), ("always", bulkhead, "always")):
        try:
            results = [one_run_of_three(runtime, cache, bundle, config, i, limit) for i in range(runs)]
        except (RuntimeError, OSError, subprocess.SubprocessError) as why:
            table.lacking("files under " + key, str(why))
            return
        values[key] = {name: statistics.median(result[name] for result in results) for name in results[0]}
    for name, text in SUBJECTS.items():
        ours, always, crun = values["bulkhead"][name], values["always"][name], values["crun"][name]
        table.add("fs_%s_crun_insns" % name, "crun, " + text, crun, "instructions")
        table.add("fs_%s_insns" % name, "bulkhead, " + text, ours, "instructions", ", %.2f times crun" % (ours / crun))
        table.add("fs_%s_always_insns" % name, "the same, file-cache always", always, "instructions",
                  ", %.2f times crun" % (always / crun))
    unmount_now()
    shutil.rmtree(WORK, ignore_errors=True)
