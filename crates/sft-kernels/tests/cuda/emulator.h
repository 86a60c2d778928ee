// Enough of CUDA for the kernels of ../../cuda to run on a CPU, thread by thread, so that their arithmetic, their
// indices and their barriers are tested on machines without a GPU. Not a model of speed or of memory's ordering.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __shared__ static
#define DYNAMIC_SHARED(name) unsigned char *name = emulator::dynamic_shared

struct Dim { uint32_t x = 1, y = 1, z = 1; };
struct uint2 { uint32_t x, y; };
struct uint4 { uint32_t x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint32_t min(uint32_t a, uint32_t b) { return a < b ? a : b; }

struct __nv_bfloat16 { uint16_t bits; };
struct __half { _Float16 value; };
inline float __bfloat162float(__nv_bfloat16 x) {
  const uint32_t bits = (uint32_t)x.bits << 16;
  float y;
  memcpy(&y, &bits, 4);
  return y;
}
inline __nv_bfloat16 __float2bfloat16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if (std::isnan(x)) return {(uint16_t)((bits >> 16) | 64)};
  return {(uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}
inline float __half2float(__half x) { return (float)x.value; }
inline __half __float2half(float x) { return {(_Float16)x}; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }

inline Dim gridDim, blockDim, blockIdx;

namespace emulator {
alignas(32) inline unsigned char dynamic_shared[1 << 18];

enum class State { Runs, AtWarp, AtBlock, Done };

// A thread of the block: it runs until it meets a barrier. (Switching by _longjmp saves the system calls of swapcontext.)
struct Fiber {
  ucontext_t context;
  jmp_buf place;
  bool started = false;
  State state = State::Runs;
  Dim index;
  float slot = 0;
};

inline std::vector<Fiber> fibers;
inline std::vector<std::vector<char>> stacks;
inline ucontext_t scheduler;
inline jmp_buf scheduler_place;
inline size_t current;
inline const std::function<void()> *body;

inline void wait(State state) {
  Fiber &me = fibers[current];
  me.state = state;
  if (!_setjmp(me.place)) _longjmp(scheduler_place, 1);
}

inline void start() {
  (*body)();
  fibers[current].state = State::Done;
  _longjmp(scheduler_place, 1);
}

// Runs a thread until its next barrier or its end.
inline void resume(Fiber &fiber) {
  if (_setjmp(scheduler_place)) return;
  if (fiber.started) _longjmp(fiber.place, 1);
  fiber.started = true;
  swapcontext(&scheduler, &fiber.context);
}

// Whether all of them that have not ended wait at this kind of barrier (and at least one does).
inline bool all_at(State state, size_t from, size_t to) {
  bool any = false;
  for (size_t i = from; i < to; ++i) {
    if (fibers[i].state == State::Done) continue;
    if (fibers[i].state != state) return false;
    any = true;
  }
  return any;
}

inline void release(size_t from, size_t to) {
  for (size_t i = from; i < to; ++i)
    if (fibers[i].state != State::Done) fibers[i].state = State::Runs;
}

// `backwards`: the last thread first. A result that depends on the order misses a barrier.
inline void run_block(const std::function<void()> &kernel, bool backwards) {
  const size_t threads = blockDim.x;
  body = &kernel;
  fibers.clear();
  fibers.resize(threads);
  while (stacks.size() < threads) stacks.emplace_back(1 << 16);
  memset(dynamic_shared, 0xff, sizeof dynamic_shared);  // NaN: what is read must have been written
  for (size_t i = 0; i < threads; ++i) {
    Fiber &fiber = fibers[i];
    fiber.index.x = i;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stacks[i].data();
    fiber.context.uc_stack.ss_size = stacks[i].size();
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, start, 0);
  }
  for (;;) {
    bool moved = false, left = false;
    for (size_t n = 0; n < threads; ++n) {
      current = backwards ? threads - 1 - n : n;
      if (fibers[current].state != State::Runs) continue;
      resume(fibers[current]);
      moved = true;
    }
    for (size_t warp = 0; warp < threads; warp += 32) {
      const size_t end = warp + 32 < threads ? warp + 32 : threads;
      if (all_at(State::AtWarp, warp, end)) release(warp, end), moved = true;
    }
    if (all_at(State::AtBlock, 0, threads)) release(0, threads), moved = true;
    for (const Fiber &fiber : fibers) left |= fiber.state != State::Done;
    if (!left) return;
    if (!moved) {
      fprintf(stderr, "threads wait at different barriers\n");
      exit(3);
    }
  }
}
}  // namespace emulator

#define threadIdx (emulator::fibers[emulator::current].index)

inline void __syncthreads() { emulator::wait(emulator::State::AtBlock); }
inline void __syncwarp() { emulator::wait(emulator::State::AtWarp); }

inline float __shfl_xor_sync(uint32_t, float x, int lane) {
  emulator::fibers[emulator::current].slot = x;
  __syncwarp();
  const float other = emulator::fibers[emulator::current ^ lane].slot;
  __syncwarp();
  return other;
}

// Every lane has the whole tile.
namespace nvcuda::wmma {
struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major };

inline float number(float x) { return x; }
inline float number(__nv_bfloat16 x) { return __bfloat162float(x); }
inline float number(__half x) { return __half2float(x); }

template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment { float x[256]; };

template <class F> void fill_fragment(F &f, float value) {
  for (float &x : f.x) x = value;
}

inline void aligned(const void *from, uint32_t ld, size_t size) {
  if ((uintptr_t)from % 32 || ld * size % 16) {
    fprintf(stderr, "a tile at %p with rows of %u does not lie where tensor cores read it\n", from, ld);
    exit(4);
  }
}

template <class Use, class T> void load_matrix_sync(fragment<Use, 16, 16, 16, T, row_major> &f, const T *from, uint32_t ld) {
  aligned(from, ld, sizeof(T));
  for (int i = 0; i < 256; ++i) f.x[i] = number(from[i / 16 * ld + i % 16]);
}

template <class Use, class T> void load_matrix_sync(fragment<Use, 16, 16, 16, T, col_major> &f, const T *from, uint32_t ld) {
  aligned(from, ld, sizeof(T));
  for (int i = 0; i < 256; ++i) f.x[i] = number(from[i % 16 * ld + i / 16]);
}

template <class A, class B, class C> void mma_sync(C &d, const A &a, const B &b, const C &) {
  for (int i = 0; i < 16; ++i)
    for (int k = 0; k < 16; ++k)
      for (int j = 0; j < 16; ++j) d.x[16 * i + j] += a.x[16 * i + k] * b.x[16 * k + j];
}

template <class C> void store_matrix_sync(float *to, const C &c, uint32_t ld, layout_t) {
  aligned(to, ld, sizeof(float));
  for (int i = 0; i < 256; ++i) to[i / 16 * ld + i % 16] = c.x[i];
}
}  // namespace nvcuda::wmma
