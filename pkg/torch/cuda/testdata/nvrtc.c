// nvrtc LIBRARY SOURCE OPTION…: compiles a program with NVRTC, for a test.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *find(void *library, const char *name) {
  void *symbol = dlsym(library, name);
  if (!symbol) fprintf(stderr, "no %s\n", name), exit(2);
  return symbol;
}

int main(int n, char **arguments) {
  // NVRTC finds its own library by a bare name once that is loaded.
  int major = 0, minor = 0;
  void *library = dlopen(arguments[1], RTLD_NOW);
  if (!library) return fprintf(stderr, "%s\n", dlerror()), 2;
  ((int (*)(int *, int *))find(library, "nvrtcVersion"))(&major, &minor);
  char builtins[4096];
  snprintf(builtins, sizeof builtins, "%.*slibnvrtc-builtins.so.%d.%d", (int)(strrchr(arguments[1], '/') + 1 - arguments[1]), arguments[1], major, minor);
  dlopen(builtins, RTLD_NOW);

  static char source[1 << 20];
  FILE *f = fopen(arguments[2], "rb");
  if (!f || fread(source, 1, sizeof source - 1, f) == 0) return 2;
  void *program = NULL;
  if (((int (*)(void **, const char *, const char *, int, void *, void *))find(library, "nvrtcCreateProgram"))(&program, source, "test.cu", 0, NULL, NULL)) return 2;
  int failed = ((int (*)(void *, int, char **))find(library, "nvrtcCompileProgram"))(program, n - 3, arguments + 3);
  static char text[1 << 20];
  ((int (*)(void *, char *))find(library, "nvrtcGetProgramLog"))(program, text);
  fputs(text, stderr);
  size_t code = 0;
  ((int (*)(void *, size_t *))find(library, "nvrtcGetCUBINSize"))(program, &code);
  return failed || code < 1000 || strstr(text, "warning");
}
