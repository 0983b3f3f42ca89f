#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Takes minutes.
# Real programs over shares: what people do with files in containers, start to end, and the host finds what it should.

load helpers

setup() {
	RUN_TIMEOUT=300
	[[ $BATS_TEST_DESCRIPTION == *installs* ]] && bundle_setup debian copy || bundle_setup debian
	DATA=$WORK/data
	mkdir "$DATA"
	share "$DATA" /data rw
	# The host's own programs, of the same Debian: git, a compiler, PostgreSQL, the whole of Python.
	[[ $BATS_TEST_DESCRIPTION == *installs* ]] || share /usr /usr ro
	config '.process.capabilities[] |= . + ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETUID",
		"CAP_SETGID"] | .process.capabilities[] |= unique'
}
teardown() { bundle_teardown; }

memory() { config --arg mib "$1" '.annotations["io.bulkhead.memory-mib"] = $mib'; }

# A folder's contents, names and what is in them, as one line each.
listing() { (cd "$1" && find . -printf '%p %y %m %n %l\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum); }

@test "tar packs and unpacks a tree of 800 files" {
	mkdir "$DATA/tree"
	python3 - "$DATA/tree" <<-'PY'
		import os, sys
		for d in range(20):
		    os.makedirs("%s/d%d/sub" % (sys.argv[1], d))
		    for i in range(40):
		        with open("%s/d%d/%sf%d" % (sys.argv[1], d, "sub/" * (i % 2), i), "wb") as file:
		            file.write(b"%d %d\n" % (d, i) * (i * 7 % 900))
	PY
	ln "$DATA/tree/d1/f2" "$DATA/tree/d2/linked"
	ln -s ../d1 "$DATA/tree/d3/link"
	truncate -s 4M "$DATA/tree/d4/sparse"
	chmod 4751 "$DATA/tree/d5/f0"
	script 'cd /data && tar cf all.tar -S -C tree . && mkdir out && tar xpf all.tar -C out && rm -r tree/d9 &&
		[ out/d1/f2 -ef out/d2/linked ] && [ $(stat -c %b out/d4/sparse) -lt 100 ] && echo kept'
	cp -a "$DATA/tree" "$WORK/before-tree"
	run_container
	assert_status 0
	assert_output kept
	[ ! -e "$DATA/tree/d9" ]
	run diff <(listing "$WORK/before-tree") <(listing "$DATA/out")
	assert_equal "$output" ""
}

@test "two processes share an SQLite database" {
	cat >"$DATA/db.py" <<-'PY'
		import os, sqlite3
		path = "/data/test.db"
		for mode in ("DELETE", "WAL"):
		    db = sqlite3.connect(path, timeout=60)
		    print(db.execute("PRAGMA journal_mode=" + mode).fetchone()[0])
		    db.execute("CREATE TABLE IF NOT EXISTS t (writer, n)")
		    db.commit()
		    db.close()
		    children = []
		    for writer in range(2):
		        pid = os.fork()
		        if pid == 0:
		            own = sqlite3.connect(path, timeout=60)
		            for n in range(20):
		                with own:
		                    own.execute("INSERT INTO t VALUES (?, ?)", (mode + str(writer), n))
		            os._exit(0)
		        children.append(pid)
		    for pid in children:
		        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
		db = sqlite3.connect(path)
		print(db.execute("SELECT count(*), count(DISTINCT writer || n) FROM t").fetchone())
		print(db.execute("PRAGMA integrity_check").fetchone()[0])
	PY
	script 'python3 /data/db.py'
	run_container
	assert_status 0
	assert_output '(80, 80)'
	assert_output ok
	# And the host reads it.
	assert_equal "$(python3 -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("select count(*) from t").fetchone()[0])' "$DATA/test.db")" 80
}

@test "git clones a repository, commits, and sees what has changed" {
	mkdir "$DATA/origin"
	(
		cd "$DATA/origin" && git init -q -b main
		for i in $(seq 200); do
			mkdir -p "d$((i % 20))" && seq "$i" >"d$((i % 20))/f$i"
		done
		git add . && git -c user.name=n -c user.email=e@example.com commit -qm first
	)
	script 'cd /data && export HOME=/tmp && git config --global safe.directory "*" &&
		git config --global user.name n && git config --global user.email e@example.com &&
		git clone -q origin copy && cd copy && git status --short && echo -- &&
		echo x >>d1/f1 && rm d2/f2 && echo new >d3/new && git status --short && git add -A && git commit -qm second &&
		git fsck && git log --oneline | wc -l && git push -q origin HEAD:refs/heads/other'
	run_container
	assert_status 0
	assert_equal "${lines[0]}" --
	assert_output ' M d1/f1'
	assert_output ' D d2/f2'
	assert_output '?? d3/new'
	assert_equal "${lines[4]}" 2
	# The host sees the same repository.
	assert_equal "$(git -c safe.directory='*' -C "$DATA/copy" status --short)" ""
	assert_equal "$(git -c safe.directory='*' -C "$DATA/origin" rev-list --count other)" 2
}

@test "make -j2 compiles two hundred C files" {
	local i
	for i in $(seq 200); do
		printf '#include "all.h"\nint f%d(int x) { return x > 0 ? %d : 0; }\n' "$i" "$i" >"$DATA/f$i.c"
		echo "int f$i(int);" >>"$DATA/all.h"
	done
	{
		printf '#include "all.h"\n#include <stdio.h>\nint main(void)\n{\n\tint sum = 0;\n'
		for i in $(seq 200); do echo "	sum += f$i(1);"; done
		printf '\tprintf("sum %%d\\n", sum);\n\treturn 0;\n}\n'
	} >"$DATA/main.c"
	# shellcheck disable=SC2016 # make's own variables
	printf 'program: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\tgcc -o $@ $^\n%%.o: %%.c all.h\n\tgcc -c -o $@ $<\n' \
		>"$DATA/Makefile"
	memory 512
	script 'cd /data && make -s -j2 && ./program && make && touch f7.c && make -n | grep -c "gcc -c"'
	run_container
	assert_status 0
	assert_output 'sum 20100'
	assert_output "'program' is up to date"
	assert_equal "${lines[-1]}" 1
}

@test "apt installs a package into the container's root" {
	local package=$WORK/package i
	mkdir -p "$package/DEBIAN" "$package/usr/share/greeting" "$package/usr/bin" "$package/etc"
	printf '%s\n' 'Package: greeting' 'Version: 1.0' 'Architecture: all' 'Maintainer: n <e@example.com>' \
		'Description: greets' >"$package/DEBIAN/control"
	echo /etc/greeting.conf >"$package/DEBIAN/conffiles"
	printf '#!/bin/sh\nset -e\nchown 33:44 /usr/share/greeting\nln -sf f1 /usr/share/greeting/first\n' \
		>"$package/DEBIAN/postinst"
	chmod 755 "$package/DEBIAN/postinst"
	for i in $(seq 300); do echo "file $i" >"$package/usr/share/greeting/f$i"; done
	printf '#!/bin/sh\ncat /etc/greeting.conf\n' >"$package/usr/bin/greeting"
	chmod 2755 "$package/usr/bin/greeting"
	echo hello >"$package/etc/greeting.conf"
	dpkg-deb --root-owner-group -Znone --build "$package" "$DATA/greeting.deb" >/dev/null
	script 'apt-get -q -y -o APT::Sandbox::User=root install /data/greeting.deb && dpkg -V greeting && greeting &&
		dpkg -L greeting | wc -l && dpkg -s greeting | grep ^Status'
	run_container
	assert_status 0
	assert_output hello
	assert_output 'Status: install ok installed'
	local root=$BUNDLE/rootfs
	assert_equal "$(find "$root/usr/share/greeting" -type f | wc -l)" 300
	assert_equal "$(stat -c '%u %g' "$root/usr/share/greeting")" '33 44'
	assert_equal "$(stat -c '%a' "$root/usr/bin/greeting")" 2755
	assert_equal "$(readlink "$root/usr/share/greeting/first")" f1
}

@test "PostgreSQL makes a database and works with it" {
	install -d -m 700 -o 1000 -g 1000 "$DATA/pg"
	config '.process.user = {"uid": 1000, "gid": 1000}'
	echo 'postgres:x:1000:1000::/tmp:/bin/sh' >"$WORK/passwd"
	share "$WORK/passwd" /etc/passwd ro
	memory 1024
	script 'export PATH=/usr/lib/postgresql/15/bin:$PATH LC_ALL=C PGHOST=/tmp
		initdb -D /data/pg/db -U postgres >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
		pg_ctl -D /data/pg/db -o "-k /tmp -h \"\"" -w -t 120 -l /data/pg/log start || { cat /data/pg/log; exit 1; }
		pgbench -U postgres -i -q -s 1 postgres 2>&1 | tail -n 1
		pgbench -U postgres -c 2 -t 30 -n postgres | grep "actually processed"
		psql -U postgres -Atc "select count(*) from pgbench_history" postgres
		pg_ctl -D /data/pg/db -w -m fast stop
		pg_checksums --check -D /data/pg/db >/dev/null 2>&1; pg_controldata /data/pg/db | grep "cluster state"'
	run_container
	assert_status 0
	assert_output 'actually processed: 60/60'
	assert_output 'shut down'
}
