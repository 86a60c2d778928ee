// Dropout that is drawn where it is needed: the bits of the CPU's (sft-kernels/src/cpu/dropout.rs).
#pragma once
#include "number.cuh"

// Ten rounds of Philox-4x32 (Salmon et al., 2011).
__device__ __forceinline__ uint4 philox4x32(uint4 c, uint2 key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = (uint64_t)c.x * 0xD2511F53u, p1 = (uint64_t)c.z * 0xCD9E8D57u;
    c = make_uint4((uint32_t)(p1 >> 32) ^ c.y ^ key.x, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c.w ^ key.y, (uint32_t)p0);
    key.x += 0x9E3779B9u, key.y += 0xBB67AE85u;
  }
  return c;
}

// The dropout of one module in one step. `rows` is [T, 3]: position, low and high half of the
// example's number; null: no dropout.
struct Dropout {
  const uint32_t *rows;
  uint32_t key0, key1, threshold;
  float keep;

  // Four neighbours that begin at `feature`, a multiple of 4, of row `t`.
  __device__ __forceinline__ float4 apply(float4 x, uint32_t t, uint32_t feature) const {
    if (!rows) return x;
    const uint4 counter = make_uint4(feature / 4, rows[3 * t], rows[3 * t + 1], rows[3 * t + 2]);
    const uint4 bits = philox4x32(counter, make_uint2(key0, key1));
    return make_float4(bits.x >= threshold ? x.x * keep : 0.0f, bits.y >= threshold ? x.y * keep : 0.0f,
                       bits.z >= threshold ? x.z * keep : 0.0f, bits.w >= threshold ? x.w * keep : 0.0f);
  }
};
