/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - the host's store of templates: VMs saved when their agent was ready, for containers to begin with.
 *
 * TEMPLATE_DIR, root's alone, has a directory for each: `key`, a text that names everything that shaped it, `memory`
 * and `state` (vmm/template.h), and, once it was used, `touched` (template_touched.h). Its name is a hash of the key;
 * the key itself is compared before use, so whatever changes (kernel, initramfs, monitor, processor, host kernel, size,
 * parameters) leads to another template and never to a wrong one. A template appears by a rename when it is complete,
 * and is never changed.
 *
 * One is built at a time, under a lock that nobody waits for: who does not get it boots.
 */
#ifndef BULKHEAD_RUNTIME_TEMPLATE_H
#define BULKHEAD_RUNTIME_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

#define TEMPLATE_DIR "/var/lib/bulkhead/templates"
#define TEMPLATE_TOUCHED "touched" /* template_touched.h */

enum { TEMPLATE_KEY_MAX = 4096, TEMPLATE_NAME_SIZE = 17, TEMPLATES_MAX = 16 };

/* What a template is made of. All of it the caller's. */
struct template_inputs {
	const char *monitor; /* the program */
	int kvm_fd, kernel_fd, initrd_fd;
	uint32_t memory_mib, vcpus;
	uint32_t dax_mib;       /* of its window for files; 0: none */
	const char *file_cache; /* oci/file_cache.h */
	const char *cmdline;
};

/* Close them with template_close_files. */
struct template_files {
	int directory_fd, memory_fd, state_fd; /* -1, all of them: there is no template */
	int touched_fd;                        /* -1: not known yet */
};

#define TEMPLATE_FILES_NONE     \
	(struct template_files) \
	{                       \
		-1, -1, -1, -1  \
	}

/* -1 with the error set, ENOENT if there is no such template. */
int template_open_files(const struct template_inputs *inputs, struct template_files *files, struct err *err);
void template_close_files(struct template_files *files);

/*
 * Builds it, which takes as long as a VM's boot; nothing if it is there. EAGAIN: somebody else builds one. With
 * `unless_failed` ENOTSUP without trying if it failed before. The oldest go when there are more than TEMPLATES_MAX.
 */
int template_build(const struct template_inputs *inputs, bool unless_failed, struct err *err);

struct template_entry {
	char name[TEMPLATE_NAME_SIZE];
	char key[TEMPLATE_KEY_MAX]; /* lines */
	uint64_t bytes;             /* on disk */
	int64_t built_ns;           /* since 1970 */
};

/* Calls for each, in no order. Stops and returns what `callback` returns if that is not 0. */
int template_each(int (*callback)(const struct template_entry *entry, void *arg), void *arg, struct err *err);

/* Containers that run from it go on. ENOENT: there is none of that name. */
int template_remove(const char *name, struct err *err);

/* What the host's processor says it is and can, as a hash. */
uint64_t template_processor(void);

/* For template_build.c: the store, made if need be, and the key with its name. */
int template_open_store(bool make, struct err *err);
int template_key(const struct template_inputs *inputs, char key[TEMPLATE_KEY_MAX], char name[TEMPLATE_NAME_SIZE],
		 struct err *err);
int template_remove_tree(int store_fd, const char *name);

#endif
