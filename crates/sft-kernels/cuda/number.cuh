// Numbers are stored as T (float, bf16, f16) and computed in float.
#pragma once
#ifndef SFT_EMULATED
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>
#include <stdint.h>
// Shared memory of a size that the launch gives.
#define DYNAMIC_SHARED(name) extern __shared__ __align__(32) unsigned char name[]
#endif

typedef __nv_bfloat16 bf16;
typedef __half f16;

__device__ __forceinline__ float wide(float x) { return x; }
__device__ __forceinline__ float wide(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float wide(f16 x) { return __half2float(x); }

template <class T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 narrow<bf16>(float x) { return __float2bfloat16(x); }
template <> __device__ __forceinline__ f16 narrow<f16>(float x) { return __float2half(x); }

// Four neighbours at a time: one load or store of 8 or 16 bytes. Pointers must be so aligned.
template <class T> struct alignas(4 * sizeof(T)) Four { T v[4]; };

template <class T> __device__ __forceinline__ float4 load4(const T *x) {
  const Four<T> four = *reinterpret_cast<const Four<T> *>(x);
  return make_float4(wide(four.v[0]), wide(four.v[1]), wide(four.v[2]), wide(four.v[3]));
}

template <class T> __device__ __forceinline__ void store4(T *y, float4 x) {
  Four<T> four;
  four.v[0] = narrow<T>(x.x), four.v[1] = narrow<T>(x.y), four.v[2] = narrow<T>(x.z), four.v[3] = narrow<T>(x.w);
  *reinterpret_cast<Four<T> *>(y) = four;
}

struct Sum {
  static __device__ __forceinline__ float zero() { return 0.0f; }
  static __device__ __forceinline__ float of(float a, float b) { return a + b; }
};

struct Largest {
  static __device__ __forceinline__ float zero() { return -INFINITY; }
  static __device__ __forceinline__ float of(float a, float b) { return fmaxf(a, b); }
};

// Over a warp; every lane gets the result.
template <class Op> __device__ __forceinline__ float over_warp(float x) {
  for (int lane = 16; lane > 0; lane /= 2) x = Op::of(x, __shfl_xor_sync(0xffffffffu, x, lane));
  return x;
}

// Over a block of whole warps; every thread gets the result. All threads must call it.
template <class Op> __device__ __forceinline__ float over_block(float x) {
  __shared__ float parts[32];
  const int warps = blockDim.x / 32;
  x = over_warp<Op>(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  x = Op::zero();
  for (int warp = 0; warp < warps; ++warp) x = Op::of(x, parts[warp]);
  return x;
}

// An entry point for each type of storage: NAME_f32, NAME_bf16, NAME_f16.
#define ENTRY_POINTS(NAME, PARAMETERS, ARGUMENTS)                                                                \
  extern "C" __global__ void NAME##_f32 PARAMETERS(float) { NAME<float> ARGUMENTS; }                               \
  extern "C" __global__ void NAME##_bf16 PARAMETERS(bf16) { NAME<bf16> ARGUMENTS; }                                \
  extern "C" __global__ void NAME##_f16 PARAMETERS(f16) { NAME<f16> ARGUMENTS; }
