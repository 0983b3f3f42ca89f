/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/describe.h"

#include "oci/alloc.h"
#include "oci/config.h"
#include "oci/messages.h"

#include "common/log.h"

#include <linux/filter.h>
#include <stdlib.h>

static void fill_rlimits(const struct oci_process *process, agent_Process *out)
{
	if (process->rlimit_count == 0)
		return;
	out->rlimits = oci_alloc(process->rlimit_count, sizeof *out->rlimits);
	for (size_t i = 0; i < process->rlimit_count; i++)
		out->rlimits[i] = (agent_Rlimit){
			.resource = process->rlimits[i].resource,
			.soft = process->rlimits[i].soft,
			.hard = process->rlimits[i].hard,
		};
	out->rlimits_count = (pb_size_t)process->rlimit_count;
}

static void fill_scheduler(const struct oci_scheduler *s, agent_Scheduler *out)
{
	*out = (agent_Scheduler){
		.policy = s->policy,
		.nice = s->nice,
		.priority = s->priority,
		.flags = s->flags,
		.runtime = s->runtime,
		.deadline = s->deadline,
		.period = s->period,
	};
}

static int fill_seccomp(const struct oci_config *config, agent_Process *out, struct err *err)
{
	struct oci_seccomp_program program;

	if (!config->has_seccomp)
		return 0;
	if (oci_seccomp_compile(&config->seccomp, &program, err) < 0)
		return -1;
	out->seccomp = oci_message_bytes(program.filter, program.count * sizeof *program.filter);
	out->seccomp_flags = program.flags;
	free(program.filter);
	return 0;
}

int oci_describe_process(const struct oci_config *config, const struct oci_process *process, agent_Process *out,
			 struct err *err)
{
	*out = (agent_Process)agent_Process_init_zero;
	oci_message_strings(&out->args_count, &out->args, &process->args);
	oci_message_strings(&out->env_count, &out->env, &process->env);
	out->cwd = oci_strdup(process->cwd);
	out->uid = process->uid;
	out->gid = process->gid;
	oci_message_numbers(&out->additional_gids_count, &out->additional_gids, process->additional_gids,
			    process->additional_gid_count);
	out->has_umask = process->has_umask;
	out->umask = process->umask;
	out->terminal = process->terminal;
	out->rows = process->rows;
	out->columns = process->columns;
	out->plain_newlines = process->plain_newlines;
	out->has_capabilities = process->has_capabilities;
	out->bounding = process->capabilities.bounding;
	out->effective = process->capabilities.effective;
	out->inheritable = process->capabilities.inheritable;
	out->permitted = process->capabilities.permitted;
	out->ambient = process->capabilities.ambient;
	fill_rlimits(process, out);
	out->no_new_privileges = process->no_new_privileges;
	out->has_oom_score_adj = process->has_oom_score_adj;
	out->oom_score_adj = process->oom_score_adj;
	out->has_scheduler = process->has_scheduler;
	fill_scheduler(&process->scheduler, &out->scheduler);
	out->has_io_priority = process->has_io_priority;
	out->io_priority = process->io_priority;
	oci_message_numbers(&out->cpu_affinity_count, &out->cpu_affinity, process->cpu_affinity,
			    process->cpu_affinity_count);
	out->has_personality = config->has_personality;
	out->personality = config->personality;
	if (process->apparmor_profile && process->apparmor_profile[0])
		log_debug("process.apparmorProfile: the guest has no AppArmor, ignored");
	if (process->selinux_label && process->selinux_label[0])
		log_debug("process.selinuxLabel: the guest has no SELinux, ignored");
	return fill_seccomp(config, out, err);
}
