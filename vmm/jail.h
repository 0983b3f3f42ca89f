/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail.h - what is left to the monitor once a guest runs: nothing but what running that guest takes.
 *
 * In this order, by the main thread:
 *
 *     jail_enter              namespaces, an empty root; before any other thread and before anything is opened
 *     jail_keep_file_rights   then the first file thread is started: threads inherit capabilities
 *     jail_give_up_rights     then the vCPU threads, held back, and at last
 *     jail_close_thread       in each thread, for its kind; the main thread is the last before the guest may run
 *
 * docs/threat-model.md says what this defends. jail_rules.c has every system call of every kind of thread, with a
 * reason.
 */
#ifndef BULKHEAD_JAIL_H
#define BULKHEAD_JAIL_H

struct err;

enum jail_thread { JAIL_LOOP, JAIL_VCPU, JAIL_FILES, JAIL_SAVE, JAIL_THREADS };

/*
 * New mount, network, IPC, UTS and cgroup namespaces, an empty read-only root, no core dumps, not dumpable, no new
 * privileges, its own core-scheduling group where the host has that. The PID namespace comes from who starts us. Needs
 * CAP_SYS_ADMIN. Descriptors stay what they were, and what was opened before is all there is, but for one:
 *
 * Returns /proc/self/fd (O_PATH), through which an open file is found by its number. It belongs to a proc of its own,
 * in which there is nothing but processes, and of these only what this PID namespace has. -1 on failure.
 */
int jail_enter(struct err *err);

/* Leaves this thread the capabilities that acting for a container's users on files takes, of those it has. */
int jail_keep_file_rights(struct err *err);

/* Leaves this thread none. */
int jail_give_up_rights(struct err *err);

/*
 * From here on a system call that this kind of thread has no rule for kills the process (SIGSYS). Threads that it
 * starts later have the same filter: they don't call this again.
 */
int jail_close_thread(enum jail_thread kind, struct err *err);

#endif
