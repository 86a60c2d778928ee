"""Link libraries for CUDA that open the real ones at the first call.

    python3 cuda_lazy.py TOOLKIT OUT

A program that is linked with these starts on machines without a driver; there, every call returns the error of its
library. For each library OUT gets an archive of trampolines, `jmp *slot`: a slot first leads to code that opens the
library, finds the function and fills the slot. x86_64 Linux (System V calling convention).
"""
import pathlib
import re
import subprocess
import sys

# Library: its soname, what its functions are called, and the status that says "not there".
LIBRARIES = {
    "cuda": ("libcuda.so.1", r"cu[A-Z]\w+", 100),
    "cublas": ("libcublas.so.13", r"cublas(?!Lt)\w+", 1),
    "cublasLt": ("libcublasLt.so.13", r"cublasLt\w+", 1),
    "curand": ("libcurand.so.10", r"curand\w+", 203),
    "nvrtc": ("libnvrtc.so.13", r"nvrtc\w+", 2),
}

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const NAMES[] = {%(names)s};
extern void *sft_%(library)s_slots[];

static long missing(void) { return %(status)d; }
static const char *missing_text(void) { return "%(soname)s is not there"; }

static void *open_in(const char *folder) {
  char pattern[4096];
  glob_t found;
  void *handle = 0;
  snprintf(pattern, sizeof pattern, "%%s/%(soname)s", folder);
  if (glob(pattern, 0, 0, &found)) return 0;
  for (size_t i = 0; i < found.gl_pathc && !handle; i++) handle = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_GLOBAL);
  globfree(&found);
  return handle;
}

static void *open_library(void) {
  static const char *const usual[] = {"/usr/local/nvidia/lib64", "/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu",
                                      "/usr/lib/wsl/lib", "%(toolkit)s/lib"};
  void *handle = dlopen("%(soname)s", RTLD_NOW | RTLD_GLOBAL);
  const char *list = getenv("CUDA_LIB_DIRS");
  if (!handle && list) {
    char *copy = strdup(list), *rest = copy, *folder;
    while (!handle && (folder = strsep(&rest, ":"))) handle = *folder ? open_in(folder) : 0;
    free(copy);
  }
  for (size_t i = 0; i < sizeof usual / sizeof *usual && !handle; i++) handle = open_in(usual[i]);
  return handle;
}

__attribute__((visibility("hidden"))) void *sft_%(library)s_find(long i) {
  static void *handle;
  static int tried;
  if (!__atomic_load_n(&tried, __ATOMIC_ACQUIRE)) {
    void *opened = open_library();  /* twice, in a race, is the same handle */
    __atomic_store_n(&handle, opened, __ATOMIC_RELEASE);
    __atomic_store_n(&tried, 1, __ATOMIC_RELEASE);
  }
  void *function = handle ? dlsym(handle, NAMES[i]) : 0;
  if (!function) {
    const char *name = NAMES[i];
    int text = strncmp(name, "cu", 2) || name[2] > 'Z' ? strstr(name, "String") || strstr(name, "StatusName") : 0;
    function = text ? (void *)missing_text : (void *)missing;
  }
  __atomic_store_n(&sft_%(library)s_slots[i], function, __ATOMIC_RELEASE);
  return function;
}
"""

# Every register that may carry an argument survives the search.
COMMON = """
common:
  push %rdi; push %rsi; push %rdx; push %rcx; push %r8; push %r9; push %rax
  sub $136, %rsp
""" + "".join(f"  movups %xmm{i}, {16 * i}(%rsp)\n" for i in range(8)) + """
  mov 192(%rsp), %rdi
  call sft_LIBRARY_find
  mov %rax, 192(%rsp)
""" + "".join(f"  movups {16 * i}(%rsp), %xmm{i}\n" for i in range(8)) + """
  add $136, %rsp
  pop %rax; pop %r9; pop %r8; pop %rcx; pop %rdx; pop %rsi; pop %rdi
  ret
"""


def functions(toolkit, library, soname, pattern):
    if library == "cuda":  # the driver's library is no part of a toolkit: its header names the functions
        text = (toolkit / "include/cuda.h").read_text()
        plain = set(re.findall(r"CUresult\s+CUDAAPI\s+(cu\w+)", text)) | set(re.findall(r"#define +cu\w+ +(cu\w+)", text))
        streams = re.findall(r"__CUDA_API_PT(?:DS|SZ)\((cu\w+)\)", text)
        return sorted(plain | {name + end for name in streams for end in ("", "_ptds", "_ptsz")})
    listing = subprocess.run(["nm", "-D", "--defined-only", toolkit / "lib" / soname], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1].split("@")[0] for line in listing.splitlines()}
    return sorted(name for name in names if re.fullmatch(pattern, name))


def main():
    toolkit, out = map(pathlib.Path, sys.argv[1:3])
    for library, (soname, pattern, status) in LIBRARIES.items():
        names = functions(toolkit, library, soname, pattern)
        values = {"names": ", ".join(f'"{name}"' for name in names), "library": library, "status": status, "soname": soname, "toolkit": toolkit}
        code, trampolines = out / f"{library}.c", out / f"{library}_trampolines.s"
        code.write_text(SOURCE % values)
        lines = ["  .text"]
        for i, name in enumerate(names):
            lines += [f"  .globl {name}", f"  .type {name}, @function", f"{name}:", f"  jmp *sft_{library}_slots+{8 * i}(%rip)", f"first{i}:", f"  push ${i}", "  jmp common"]
        lines += [COMMON.replace("LIBRARY", library), "  .data", "  .balign 8", f"  .globl sft_{library}_slots", f"  .hidden sft_{library}_slots", f"sft_{library}_slots:"]
        lines += [f"  .quad first{i}" for i in range(len(names))] + ['  .section .note.GNU-stack,"",@progbits', ""]
        trampolines.write_text("\n".join(lines))
        objects = [out / f"{library}.o", out / f"{library}_trampolines.o"]
        for source, compiled in zip([code, trampolines], objects):
            subprocess.run(["gcc", "-O2", "-fPIC", "-c", source, "-o", compiled], check=True)
        archive = out / f"lib{library}_lazy.a"
        archive.unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", archive, *objects], check=True)
        # What the linker finds under the library's name is a script that names the archive.
        (out / f"lib{library}.so").write_text(f"INPUT({archive.resolve()})\n")
        print(f"{library}: {len(names)} functions of {soname}", file=sys.stderr)


main()
