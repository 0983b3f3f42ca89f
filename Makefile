# SPDX-License-Identifier: Apache-2.0
#
# One Makefile for everything. `make` builds the programs; `make rootfs` the guest kernel, module and initramfs;
# `make demo` and `make test` do all of it on a fresh machine. V=1 shows commands; CC, CFLAGS, LDFLAGS, PREFIX and
# DESTDIR are honoured; SAN=address,undefined (or thread) builds the programs with sanitizers into build-SAN/.

PREFIX ?= /usr/local
LIBEXECDIR ?= $(PREFIX)/libexec/bulkhead
DATADIR ?= $(PREFIX)/share/bulkhead
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
CC = $(if $(SAN),clang,gcc) # gcc knows no fences with -fsanitize=thread
FUZZ_CC ?= clang
# The guest kernel and its module are built by one compiler, whatever builds the programs.
GUEST_CC ?= gcc
MUSL_CC ?= musl-gcc
comma := ,
B := build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

VERSION := $(shell cat VERSION)
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wundef \
	-Wformat=2 -Wno-format-nonliteral -Werror
CFLAGS ?= -O2 -g
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection
ALL_CPPFLAGS := -I. -I$(B)/gen -D_GNU_SOURCE -DPB_ENABLE_MALLOC $(CPPFLAGS)
ALL_CFLAGS := -std=gnu11 $(WARN) -MMD -MP -ffile-prefix-map=$(CURDIR)=. $(CFLAGS) -fPIE -pthread $(if $(SAN),-fsanitize=$(SAN) -DSANITIZED -fno-omit-frame-pointer,$(HARDEN))
ALL_LDFLAGS := $(if $(SAN),-fsanitize=$(SAN) -pie,-static-pie -Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now) -pthread $(LDFLAGS)
NANOPB := -l:libprotobuf-nanopb.a
# With a sanitizer the C library is shared, and nothing else: the test host has no other.
RUNTIME_LIBS := $(if $(SAN),-l:libseccomp.a -l:libjson-c.a -l:libcap.a,-lseccomp -ljson-c -lcap) $(NANOPB)

# What each program is made of. Objects of a folder are all its *.c, without the mains of others.
GEN := $(B)/gen/agent.pb.h
objects = $(patsubst %.c,$(B)/obj/%.o,$(1))
COMMON_SRC := $(wildcard common/*.c)
VMM_SRC := $(filter-out vmm/main.c,$(wildcard vmm/*.c))
OCI_SRC := $(wildcard oci/*.c)
RUNTIME_SRC := $(filter-out runtime/main.c runtime/proxy_main.c,$(wildcard runtime/*.c))
AGENT_SRC := $(wildcard guest-agent/*.c)
LIBS := $(B)/libcommon.a $(B)/libvmm.a $(B)/liboci.a $(B)/libruntime.a

PROGRAMS := $(B)/bulkhead $(B)/bulkhead-proxy $(B)/bulkhead-vmm $(B)/bulkhead-agent
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all documents rootfs kmod check check-kvm check-sanitized check-valgrind programs test demo bench fuzz fuzz-coverage install uninstall deb deps format format-check lint docs-check clean

all: $(PROGRAMS) $(B)/cmdline documents

$(B)/gen/agent.pb.h: common/agent.proto common/agent.options
	$(call say,GEN,$@)mkdir -p $(@D) && nanopb_generator.py -q -I common -D $(@D) agent.proto
$(B)/gen/agent.pb.c: $(B)/gen/agent.pb.h ;

$(B)/obj/%.o: %.c | $(GEN)
	$(call say,CC,$@)mkdir -p $(@D) && $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(EXTRA_CFLAGS) -c $< -o $@
$(B)/obj/gen/agent.pb.o: $(B)/gen/agent.pb.h
	$(call say,CC,$@)mkdir -p $(@D) && $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c $(B)/gen/agent.pb.c -o $@

# The commit is known to one file, so that a new commit rebuilds only that.
$(call objects,runtime/version.c): EXTRA_CFLAGS = -DVERSION='"$(VERSION)"' -DCOMMIT='"$(COMMIT)"'
$(call objects,runtime/paths.c): EXTRA_CFLAGS = -DLIBEXECDIR='"$(LIBEXECDIR)"' -DDATADIR='"$(DATADIR)"'

define archive
$(B)/lib$(1).a: $(2)
	$$(call say,AR,$$@)rm -f $$@ && ar rcs $$@ $$^
endef
$(eval $(call archive,common,$(call objects,$(COMMON_SRC)) $(B)/obj/gen/agent.pb.o))
$(eval $(call archive,vmm,$(call objects,$(VMM_SRC))))
$(eval $(call archive,oci,$(call objects,$(OCI_SRC))))
$(eval $(call archive,runtime,$(call objects,$(RUNTIME_SRC))))

$(B)/bulkhead: $(call objects,runtime/main.c) $(B)/libruntime.a $(B)/liboci.a $(B)/libvmm.a $(B)/libcommon.a
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $^ $(ALL_LDFLAGS) $(RUNTIME_LIBS) -o $@
$(B)/bulkhead-proxy: $(call objects,runtime/proxy_main.c) $(B)/libruntime.a $(B)/libcommon.a
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $^ $(ALL_LDFLAGS) $(NANOPB) -o $@
$(B)/bulkhead-vmm: $(call objects,vmm/main.c) $(B)/libvmm.a $(B)/libcommon.a
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $^ $(ALL_LDFLAGS) -o $@

# The agent: musl, static, small. Kernel headers come after musl's own.
AGENT_CFLAGS := -std=gnu11 $(WARN) -MMD -MP -ffile-prefix-map=$(CURDIR)=. -Os -g -fno-pie $(AGENT_EXTRA) -fstack-protector-strong -ffunction-sections -fdata-sections \
	-idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu
AGENT_OBJ := $(patsubst %.c,$(B)/agent/%.o,$(AGENT_SRC) $(COMMON_SRC) gen/agent.pb.c)
$(B)/agent/%.o: %.c | $(GEN)
	$(call say,MUSLCC,$@)mkdir -p $(@D) && $(MUSL_CC) $(ALL_CPPFLAGS) $(AGENT_CFLAGS) -c $< -o $@
$(B)/agent/gen/agent.pb.o: $(B)/gen/agent.pb.h
	$(call say,MUSLCC,$@)mkdir -p $(@D) && $(MUSL_CC) $(ALL_CPPFLAGS) $(AGENT_CFLAGS) -c $(B)/gen/agent.pb.c -o $@
$(B)/bulkhead-agent: $(AGENT_OBJ)
	$(call say,LD,$@)$(MUSL_CC) -static -no-pie -Wl,--gc-sections $^ $(shell gcc -print-file-name=libprotobuf-nanopb.a) -o $@.debug && strip -o $@ $@.debug

# The agent as an ordinary process, for tests/functional/agent: what it does to containers needs no VM.
$(B)/agent-test/%.o: %.c | $(GEN)
	$(call say,CC,$@)mkdir -p $(@D) && $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -DAGENT_TEST -c $< -o $@
$(B)/bulkhead-agent-test: $(patsubst %.c,$(B)/agent-test/%.o,$(AGENT_SRC)) $(B)/libcommon.a
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $^ $(ALL_LDFLAGS) $(NANOPB) -o $@

# Guest kernel, module, initramfs. The kernel is cached by the hash of its inputs, outside the tree.
rootfs: $(B)/initramfs $(B)/cmdline
$(B)/cmdline: rootfs/cmdline
	$(Q)mkdir -p $(@D) && cp $< $@
$(B)/vmlinux: rootfs/build-kernel rootfs/kernel.config
	$(call say,KERNEL,$@)mkdir -p $(@D) && dir=$$(MAKEFLAGS= CC=$(GUEST_CC) rootfs/build-kernel) && ln -sfn $$dir $(B)/kernel && cp $$dir/vmlinux $@
kmod: $(B)/bulkhead_guest.ko
$(B)/bulkhead_guest.ko: $(B)/vmlinux $(wildcard kmod/*.c kmod/*.h kmod/Kbuild common/sandbox_regs.h common/bulkhead_uapi.h)
	$(call say,KMOD,$@)CC=$(GUEST_CC) rootfs/build-module $(B)/kernel/kbuild $@
$(B)/initramfs: $(B)/bulkhead-agent $(B)/bulkhead_guest.ko rootfs/build-initramfs
	$(call say,CPIO,$@)GEN_INIT_CPIO=$(B)/kernel/kbuild/usr/gen_init_cpio rootfs/build-initramfs $(B)/bulkhead-agent $(B)/bulkhead_guest.ko $@

# Manual pages and bash completion, with verbs and options from the program itself.
MAN := $(patsubst docs/man/%,$(B)/man/%,$(wildcard docs/man/*))
documents: $(MAN) $(B)/completion/bulkhead
$(B)/man/%: docs/man/% tools/from-help VERSION $(B)/bulkhead
	$(call say,MAN,$@)mkdir -p $(@D) && tools/from-help manual $< $(B)/bulkhead $(VERSION) >$@
$(B)/completion/bulkhead: tools/from-help tools/completion.bash $(B)/bulkhead
	$(call say,GEN,$@)mkdir -p $(@D) && tools/from-help completion $(B)/bulkhead >$@

# Tests. Unit tests link what they use from the archives.
UNIT := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
$(B)/unit/%: tests/unit/%.c $(LIBS)
	$(call say,TEST,$@)mkdir -p $(@D) && $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -Wno-missing-prototypes $(if $(findstring clang,$(CC)),,-Wno-maybe-uninitialized) $< \
		-Wl,--start-group $(LIBS) -Wl,--end-group $(if $(SAN),-fsanitize=$(SAN)) -pie $(RUNTIME_LIBS) -lcmocka -o $@

FUZZ := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_FLAGS := -O1 -g -std=gnu11 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -pthread
FUZZ_OBJ := $(patsubst %.c,$(B)/fuzzobj/%.o,$(COMMON_SRC) $(VMM_SRC) $(OCI_SRC) $(RUNTIME_SRC))
$(B)/fuzzobj/%.o: %.c | $(GEN)
	$(call say,FUZZCC,$@)mkdir -p $(@D) && $(FUZZ_CC) $(ALL_CPPFLAGS) $(FUZZ_FLAGS) $(WARN) $(EXTRA_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
$(B)/fuzzobj/gen/agent.pb.o: $(B)/gen/agent.pb.h
	$(call say,FUZZCC,$@)mkdir -p $(@D) && $(FUZZ_CC) $(ALL_CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $(B)/gen/agent.pb.c -o $@
$(B)/fuzzobj/runtime/version.o: EXTRA_CFLAGS = -DVERSION='"$(VERSION)"' -DCOMMIT='"$(COMMIT)"'
$(B)/fuzzobj/runtime/paths.o: EXTRA_CFLAGS = -DLIBEXECDIR='"$(LIBEXECDIR)"' -DDATADIR='"$(DATADIR)"'
$(B)/libfuzz.a: $(FUZZ_OBJ) $(B)/fuzzobj/gen/agent.pb.o
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^
$(B)/fuzz/%: tests/fuzz/%.c $(B)/libfuzz.a
	$(call say,FUZZ,$@)mkdir -p $(@D) && $(FUZZ_CC) $(ALL_CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer -MMD -MP $< $(B)/libfuzz.a $(RUNTIME_LIBS) -o $@
$(B)/testinit: tests/functional/testinit.c
	$(call say,MUSLCC,$@)mkdir -p $(@D) && $(MUSL_CC) -static -no-pie -fno-pie -Os -std=gnu11 -D_GNU_SOURCE -Wall -Wextra \
		-idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu $< -o $@

$(B)/vcpu-time: tests/functional/vcpu_time.c $(B)/libvmm.a $(B)/libcommon.a
	$(call say,LD,$@)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $^ $(ALL_LDFLAGS) -o $@

# The attacker of 71_hostile.bats: no libc, no kernel, where a kernel would be.
$(B)/hostile-guest: tests/hostile/guest.c common/sandbox_regs.h
	$(call say,GUEST,$@)mkdir -p $(@D) && $(CC) -I. -std=gnu11 -O1 $(WARN) -ffreestanding -fno-pie -no-pie -static -nostdlib \
		-mno-red-zone -mgeneral-regs-only -fno-stack-protector -fcf-protection=none -Wl,-Ttext-segment=0x1000000 \
		-Wl,--build-id=none -Wl,-z,noexecstack $< -o $@

# What the filters allow, for 73_jail_calls.bats.
$(B)/print-rules: tests/calls/print_rules.c $(B)/libruntime.a $(B)/libvmm.a $(B)/libcommon.a
	$(call say,LD,$@)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $^ $(ALL_LDFLAGS) -o $@

unit-tests: $(UNIT)
$(B)/record_fuse: tests/fuzz/record_fuse.c $(B)/libvmm.a $(B)/libcommon.a
	$(call say,LD,$@)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $^ -o $@
fuzz-targets: $(FUZZ)

check:
	$(Q)tests/run-all check
check-kvm:
	$(Q)tests/run-all functional
test:
	$(Q)tests/run-all all
# Not part of `make test`: containers by programs with sanitizers, and the verbs under valgrind, in the test host.
SANITIZED_FILES ?= 10_run 20_files 60_network 71_hostile
check-sanitized: all rootfs $(B)/testinit $(B)/hostile-guest
	$(Q)$(MAKE) -s SAN=address,undefined programs
	$(Q)tests/host/run --timeout 7200 -- tests/sanitized build-address-undefined $(SANITIZED_FILES)
check-valgrind: all rootfs
	$(Q)$(MAKE) -s B=build-valgrind ALL_LDFLAGS="-pie -pthread" RUNTIME_LIBS="-l:libseccomp.a -l:libjson-c.a -l:libcap.a $(NANOPB)" programs
	$(Q)tests/host/run --timeout 3600 -- tests/valgrind-verbs build-valgrind
programs: $(PROGRAMS)
demo:
	$(Q)tests/demo
bench:
	$(Q)tests/run-all bench
fuzz: $(FUZZ)
	$(Q)tests/fuzz/run $(or $(SECONDS),600) $(FUZZ)
# What the targets reach, by llvm-cov: built apart, since it changes what is built.
fuzz-coverage:
	$(Q)$(MAKE) -s B=build-coverage FUZZ_FLAGS="-O1 -g -std=gnu11 -fprofile-instr-generate -fcoverage-mapping -pthread" fuzz-targets
	$(Q)tests/fuzz/coverage $(or $(SECONDS),10) $(patsubst $(B)/%,build-coverage/%,$(FUZZ))
deps:
	$(Q)tools/install-deps build test host

install: all rootfs
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(DATADIR)
	install -m 755 $(B)/bulkhead $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(B)/bulkhead-proxy $(B)/bulkhead-vmm $(DESTDIR)$(LIBEXECDIR)/
	install -m 644 $(B)/vmlinux $(B)/initramfs $(B)/cmdline $(DESTDIR)$(DATADIR)/
	sed 's|@LIBEXECDIR@|$(LIBEXECDIR)|' packaging/apparmor >$(DESTDIR)$(DATADIR)/apparmor-profile
	install -d $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(COMPLETIONDIR) $(DESTDIR)/etc/bulkhead
	install -m 644 $(filter %.5,$(MAN)) $(DESTDIR)$(MANDIR)/man5/
	install -m 644 $(filter %.8,$(MAN)) $(DESTDIR)$(MANDIR)/man8/
	install -m 644 $(B)/completion/bulkhead $(DESTDIR)$(COMPLETIONDIR)/
	[ -e $(DESTDIR)/etc/bulkhead/bulkhead.json ] || \
		install -m 644 packaging/bulkhead.json $(DESTDIR)/etc/bulkhead/
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/bulkhead $(DESTDIR)$(COMPLETIONDIR)/bulkhead
	rm -f $(patsubst $(B)/man/%,$(DESTDIR)$(MANDIR)/man?/%,$(MAN))
	rm -rf $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(DATADIR)

# build/bulkhead_VERSION_amd64.deb; the same bytes for the same commit.
deb: all rootfs
	+$(Q)packaging/build-deb $(B)

SOURCES := $(wildcard common/*.[ch] vmm/*.[ch] oci/*.[ch] runtime/*.[ch] guest-agent/*.[ch] tests/unit/*.[ch] tests/fuzz/*.c tests/functional/vcpu_time.c tests/calls/*.c)
format:
	clang-format -i $(SOURCES)
format-check:
	clang-format --dry-run -Werror $(SOURCES)
lint: $(GEN)
	cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 -I. -I$(B)/gen \
		--suppress='*:$(B)/gen/*' --suppress=missingIncludeSystem common vmm oci runtime guest-agent
docs-check: all
	$(Q)tests/docs-check && tests/manual-check $(B)
clean:
	rm -rf build build-*

-include $(wildcard $(B)/obj/*/*.d $(B)/agent/*/*.d $(B)/agent-test/*/*.d $(B)/unit/*.d $(B)/fuzz/*.d $(B)/fuzzobj/*/*.d)
