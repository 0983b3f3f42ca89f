/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/program.h"

#include "guest-agent/errtext.h"
#include "guest-agent/home.h"
#include "guest-agent/lookup.h"
#include "guest-agent/security.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEDUPLICATE_MAX = 1024, DEFAULT_UMASK = 0022 };

static int out_of_memory(struct err *err)
{
	return err_set(err, ENOMEM, "out of memory while preparing the process");
}

/* True if a later entry has the same name: programs look at the first, people mean the last. */
static bool is_overridden(char *const *env, size_t count, size_t index)
{
	size_t length = strcspn(env[index], "=");

	if (count > DEDUPLICATE_MAX)
		return false;
	for (size_t i = index + 1; i < count; i++) {
		if (strncmp(env[i], env[index], length) == 0 && env[i][length] == '=')
			return true;
	}
	return false;
}

static int copy_arguments(struct program *program, struct err *err)
{
	const agent_Process *process = program->process;
	size_t kept = 0;

	program->args = calloc(process->args_count + 1, sizeof *program->args);
	program->env = calloc(process->env_count + 2, sizeof *program->env); /* room for HOME */
	if (!program->args || !program->env)
		return out_of_memory(err);
	memcpy(program->args, process->args, process->args_count * sizeof *program->args);
	for (size_t i = 0; i < process->env_count; i++) {
		if (!is_overridden(process->env, process->env_count, i))
			program->env[kept++] = process->env[i];
	}
	return 0;
}

static int set_home(struct program *program, struct err *err)
{
	const char *given = lookup_environment(program->env, "HOME");
	char home[PATH_MAX], *entry;
	size_t end = 0;

	if (given && *given)
		return 0;
	home_of(program->process->uid, home);
	if (asprintf(&entry, "HOME=%s", home) < 0)
		return out_of_memory(err);
	while (program->env[end] && strncmp(program->env[end], "HOME=", 5) != 0)
		end++;
	program->env[end] = entry;
	return 0;
}

/*
 * The directory may be one that only root may enter, or one that only the user may: whoever can, does (runc tries the
 * same two times). Then it is checked that we are inside the container: a directory that was got by some descriptor of
 * ours, or moved out of the root meanwhile, has no path here (CVE-2024-21626).
 */
static int enter_directory(const agent_Process *process, bool *inside, struct err *err)
{
	const char *cwd = message_text(process->cwd)[0] ? process->cwd : "/";

	if (!*inside && chdir(cwd) == 0)
		*inside = true;
	if (!*inside)
		return errtext_set(err, "chdir to cwd (\"%.300s\") set in config.json failed", cwd);
	return 0;
}

static int check_directory(struct err *err)
{
	char path[PATH_MAX];

	if (!getcwd(path, sizeof path) || path[0] != '/')
		return err_set(err, EXDEV,
			       "current working directory is outside of container mount namespace root -- possible "
			       "container breakout detected");
	return 0;
}

int program_prepare(struct program *program, const agent_Process *process, struct err *err)
{
	bool inside = false;

	*program = (struct program){ .process = process };
	if (copy_arguments(program, err) < 0)
		return -1;
	umask(process->has_umask ? process->umask & 0777 : DEFAULT_UMASK);
	if (process->has_personality && personality(process->personality) < 0)
		return errtext_set(err, "setting personality %#x", process->personality);
	if (process->no_new_privileges && security_set_no_new_privileges(err) < 0)
		return -1;
	if (security_bound_capabilities(process, err) < 0)
		return -1;
	if (enter_directory(process, &inside, err) < 0 && err->code != EACCES && err->code != EPERM)
		return -1;
	if (security_become_user(process, err) < 0)
		return -1;
	if (enter_directory(process, &inside, err) < 0 || check_directory(err) < 0)
		return -1;
	if (set_home(program, err) < 0)
		return -1;
	if (security_limit_effective(process, err) < 0)
		return -1;
	return lookup_program(program->args[0], program->env, program->path, err);
}

int program_confine(const agent_Process *process, struct err *err)
{
	struct security_sets final;

	if (security_prepare_capabilities(process, &final, err) < 0)
		return -1;
	if (process->no_new_privileges) {
		if (security_drop_capabilities(&final, err) < 0 || security_load_seccomp(process, err) < 0)
			return -1;
	} else {
		if (security_load_seccomp(process, err) < 0 || security_drop_capabilities(&final, err) < 0)
			return -1;
	}
	return 0;
}

int program_exec(const struct program *program, struct err *err)
{
	char words[ERRTEXT_MAX];

	if (program_confine(program->process, err) < 0)
		return -1;
	execve(program->path, program->args, program->env);
	return err_set(err, errno, "exec %.400s: %s", program->path, errtext(errno, words));
}
