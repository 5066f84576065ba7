// See spin.go.

#include <alloca.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static void bound_spinning(int argc, char **argv, char **envp) {
	static char setting[] = "GOMP_SPINCOUNT=5000";
	size_t n = 0;
	for (; envp[n]; n++)
		if (!strncmp(envp[n], "GOMP_SPINCOUNT=", 15) || !strncmp(envp[n], "OMP_WAIT_POLICY=", 16))
			return;
	// By its own path, so that the process keeps its name.
	char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
	if (length <= 0)
		return;
	path[length] = 0;
	char **environment = alloca((n + 2) * sizeof *environment);
	memcpy(environment, envp, n * sizeof *environment);
	environment[n] = setting;
	environment[n + 1] = NULL;
	execve(path, argv, environment);
}

// The loader calls what stands here before any library's constructor.
__attribute__((section(".preinit_array"), used))
static void (*const before_libraries)(int, char **, char **) = bound_spinning;
