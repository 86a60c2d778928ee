// Rotary position embedding: a thread for each pair (i, i + half) of a head.
#include "number.cuh"

// `x` and `y` are [T, heads, 2 * half], the angles [T, half]; `turn` is 1 forward and -1 back.
template <class T>
__device__ void rope(const T *x, const T *cos, const T *sin, T *y, uint32_t heads, uint32_t half, uint32_t pairs, float turn) {
  const uint32_t pair = blockIdx.x * blockDim.x + threadIdx.x;
  if (pair >= pairs) return;
  const uint32_t row = pair / half, i = pair % half, token = row / heads;
  const size_t at = (size_t)row * 2 * half + i;
  const float c = wide(cos[(size_t)token * half + i]), s = turn * wide(sin[(size_t)token * half + i]);
  const float first = wide(x[at]), second = wide(x[at + half]);
  y[at] = narrow<T>(first * c - second * s);
  y[at + half] = narrow<T>(second * c + first * s);
}

#define PARAMETERS(T) (const T *x, const T *cos, const T *sin, T *y, uint32_t heads, uint32_t half, uint32_t pairs, float turn)
ENTRY_POINTS(rope, PARAMETERS, (x, cos, sin, y, heads, half, pairs, turn))
#undef PARAMETERS
