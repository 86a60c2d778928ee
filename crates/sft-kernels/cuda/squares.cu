// Sums of squares, in double: the square of a float is exact there, and cannot become infinite.
#include "number.cuh"

// A block sums the squares of `share` neighbours of x into parts[blockIdx.x], in an order that is always the same. A block is
// of a power of two of threads, at most 256.
extern "C" __global__ void sum_of_squares(const float *x, double *parts, size_t count, uint32_t share) {
  __shared__ double sums[256];
  const size_t start = (size_t)blockIdx.x * share;
  const size_t end = start + share < count ? start + share : count;
  double sum = 0.0;
  for (size_t i = start + threadIdx.x; i < end; i += blockDim.x) sum += (double)x[i] * (double)x[i];
  sums[threadIdx.x] = sum;
  for (uint32_t half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0) parts[blockIdx.x] = sums[0];
}
