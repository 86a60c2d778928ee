// Root-mean-square normalisation: a block for each row.
#include "number.cuh"

template <class T> __device__ float inverse_rms(const T *x, uint32_t width, float eps) {
  float sum = 0.0f;
  for (uint32_t i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
    const float4 v = load4(x + i);
    sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
  }
  return 1.0f / sqrtf(over_block<Sum>(sum) / width + eps);
}

// y = x / sqrt(mean(x^2) + eps), rounded to T, times the weight.
template <class T> __device__ void rms_norm(const T *x, const T *weight, T *y, uint32_t width, float eps) {
  x += (size_t)blockIdx.x * width, y += (size_t)blockIdx.x * width;
  const float scale = inverse_rms(x, width, eps);
  for (uint32_t i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
    const float4 v = load4(x + i), w = load4(weight + i);
    const float normed[4] = {v.x * scale, v.y * scale, v.z * scale, v.w * scale};
    const float by[4] = {w.x, w.y, w.z, w.w};
    float out[4];
    for (int k = 0; k < 4; ++k) out[k] = wide(narrow<T>(normed[k])) * by[k];
    store4(y + i, make_float4(out[0], out[1], out[2], out[3]));
  }
}

// With n = x / rms and g = dy * weight: dx = (g - n * mean(g * n)) / rms.
template <class T>
__device__ void rms_norm_backward(const T *x, const T *weight, const T *dy, T *dx, uint32_t width, float eps) {
  const size_t start = (size_t)blockIdx.x * width;
  x += start, dy += start, dx += start;
  const float scale = inverse_rms(x, width, eps);
  float sum = 0.0f;
  for (uint32_t i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
    const float4 v = load4(x + i), w = load4(weight + i), d = load4(dy + i);
    sum += d.x * w.x * v.x + d.y * w.y * v.y + d.z * w.z * v.z + d.w * w.w * v.w;
  }
  const float mean = over_block<Sum>(sum) * scale / width;
  for (uint32_t i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
    const float4 v = load4(x + i), w = load4(weight + i), d = load4(dy + i);
    store4(dx + i, make_float4((d.x * w.x - v.x * scale * mean) * scale, (d.y * w.y - v.y * scale * mean) * scale,
                               (d.z * w.z - v.z * scale * mean) * scale, (d.w * w.w - v.w * scale * mean) * scale));
  }
}

#define FORWARD(T) (const T *x, const T *weight, T *y, uint32_t width, float eps)
#define BACKWARD(T) (const T *x, const T *weight, const T *dy, T *dx, uint32_t width, float eps)
ENTRY_POINTS(rms_norm, FORWARD, (x, weight, y, width, eps))
ENTRY_POINTS(rms_norm_backward, BACKWARD, (x, weight, dy, dx, width, eps))
#undef FORWARD
#undef BACKWARD
