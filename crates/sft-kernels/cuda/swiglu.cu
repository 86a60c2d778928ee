// The gated activation of the feed-forward layer: a thread for four neighbours.
#include "number.cuh"

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// y = silu(gate) * up
template <class T> __device__ void swiglu(const T *gate, const T *up, T *y, size_t count) {
  const size_t i = 4 * ((size_t)blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= count) return;
  const float4 g = load4(gate + i), u = load4(up + i);
  store4(y + i, make_float4(g.x * sigmoid(g.x) * u.x, g.y * sigmoid(g.y) * u.y, g.z * sigmoid(g.z) * u.z, g.w * sigmoid(g.w) * u.w));
}

struct Pair { float gate, up; };

__device__ __forceinline__ Pair swiglu_gradient(float gate, float up, float dy) {
  const float s = sigmoid(gate);
  return {dy * up * s * (1.0f + gate * (1.0f - s)), dy * gate * s};
}

template <class T> __device__ void swiglu_backward(const T *gate, const T *up, const T *dy, T *dgate, T *dup, size_t count) {
  const size_t i = 4 * ((size_t)blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= count) return;
  const float4 g = load4(gate + i), u = load4(up + i), d = load4(dy + i);
  const Pair a = swiglu_gradient(g.x, u.x, d.x), b = swiglu_gradient(g.y, u.y, d.y);
  const Pair c = swiglu_gradient(g.z, u.z, d.z), e = swiglu_gradient(g.w, u.w, d.w);
  store4(dgate + i, make_float4(a.gate, b.gate, c.gate, e.gate));
  store4(dup + i, make_float4(a.up, b.up, c.up, e.up));
}

#define FORWARD(T) (const T *gate, const T *up, T *y, size_t count)
#define BACKWARD(T) (const T *gate, const T *up, const T *dy, T *dgate, T *dup, size_t count)
ENTRY_POINTS(swiglu, FORWARD, (gate, up, y, count))
ENTRY_POINTS(swiglu_backward, BACKWARD, (gate, up, dy, dgate, dup, count))
#undef FORWARD
#undef BACKWARD
