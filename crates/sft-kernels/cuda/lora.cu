// The small products of a LoRA layer: T rows of `width` numbers of type T meet a rank of few, in float.
#include "philox.cuh"

#define RANKS 16  // of a tile
#define DROPOUT const uint32_t *rows, uint32_t key0, uint32_t key1, uint32_t threshold, float keep

__device__ __forceinline__ float dot(float4 a, float4 b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }

// Entry (rank, feature) of A [r, width], or of B [width, r] where `transposed`.
__device__ __forceinline__ float entry(const float *small, uint32_t transposed, uint32_t r, uint32_t width, uint32_t rank, uint32_t feature) {
  if (rank >= r || feature >= width) return 0.0f;
  return transposed ? small[(size_t)feature * r + rank] : small[(size_t)rank * width + feature];
}

// u [T, r] = scale * drop(x) [T, width] times the small matrix. 16 rows and 16 ranks a block, 256 threads.
#define DEPTH 64
template <class T>
__device__ void lora_down(const T *x, const float *small, float *u, uint32_t tokens, uint32_t width, uint32_t r, uint32_t transposed,
                          float scale, DROPOUT) {
  alignas(16) __shared__ float xs[16][DEPTH + 4], as[RANKS][DEPTH + 4];
  const Dropout dropout = {rows, key0, key1, threshold, keep};
  const uint32_t first = 16 * blockIdx.x, rank = RANKS * blockIdx.y;
  const uint32_t row = threadIdx.x / 16, column = threadIdx.x % 16;
  float sum = 0.0f;
  for (uint32_t depth = 0; depth < width; depth += DEPTH) {
    const uint32_t t = first + row, feature = depth + 4 * column;
    float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (t < tokens && feature < width) v = dropout.apply(load4(x + (size_t)t * width + feature), t, feature);
    *reinterpret_cast<float4 *>(&xs[row][4 * column]) = v;
    for (uint32_t i = threadIdx.x; i < RANKS * DEPTH; i += blockDim.x) {
      // Neighbouring threads read neighbouring numbers, whichever way the matrix lies.
      const uint32_t j = transposed ? i % RANKS : i / DEPTH, k = transposed ? i / RANKS : i % DEPTH;
      as[j][k] = entry(small, transposed, r, width, rank + j, depth + k);
    }
    __syncthreads();
    for (uint32_t k = 0; k < DEPTH; k += 4)
      sum += dot(*reinterpret_cast<const float4 *>(&xs[row][k]), *reinterpret_cast<const float4 *>(&as[column][k]));
    __syncthreads();
  }
  if (first + row < tokens && rank + column < r) u[(size_t)(first + row) * r + rank + column] = scale * sum;
}

// y [T, width] += drop(u [T, r] times the small matrix), rounded once. 16 rows and 512 features a block, 128 threads.
#define ROWS 16
#define COLUMNS 512
template <class T>
__device__ void lora_up(const float *u, const float *small, T *y, uint32_t tokens, uint32_t width, uint32_t r, uint32_t transposed, DROPOUT) {
  alignas(16) __shared__ float us[ROWS][RANKS], bs[RANKS][COLUMNS + 4];  // + 4: few lanes meet in a bank
  const Dropout dropout = {rows, key0, key1, threshold, keep};
  const uint32_t first = ROWS * blockIdx.x, start = COLUMNS * blockIdx.y, column = 4 * threadIdx.x;
  float sum[ROWS][4] = {};
  for (uint32_t rank = 0; rank < r; rank += RANKS) {
    for (uint32_t i = threadIdx.x; i < ROWS * RANKS; i += blockDim.x) {
      const uint32_t t = first + i / RANKS, j = rank + i % RANKS;
      us[i / RANKS][i % RANKS] = t < tokens && j < r ? u[(size_t)t * r + j] : 0.0f;
    }
    for (uint32_t i = threadIdx.x; i < RANKS * COLUMNS; i += blockDim.x) {
      const uint32_t j = transposed ? i % RANKS : i / COLUMNS, k = transposed ? i / RANKS : i % COLUMNS;
      bs[j][k] = entry(small, transposed, r, width, rank + j, start + k);
    }
    __syncthreads();
#pragma unroll
    for (uint32_t j = 0; j < RANKS; ++j) {
      const float4 b = *reinterpret_cast<const float4 *>(&bs[j][column]);
#pragma unroll
      for (uint32_t i = 0; i < ROWS; ++i) {
        const float by = us[i][j];
        sum[i][0] += by * b.x, sum[i][1] += by * b.y, sum[i][2] += by * b.z, sum[i][3] += by * b.w;
      }
    }
    __syncthreads();
  }
  const uint32_t feature = start + column;
  if (feature >= width) return;
#pragma unroll
  for (uint32_t i = 0; i < ROWS; ++i) {
    const uint32_t t = first + i;
    if (t >= tokens) break;
    T *at = y + (size_t)t * width + feature;
    const float4 old = load4(at);
    const float4 add = dropout.apply(make_float4(sum[i][0], sum[i][1], sum[i][2], sum[i][3]), t, feature);
    store4(at, make_float4(old.x + add.x, old.y + add.y, old.z + add.z, old.w + add.w));
  }
}

// The sum over this block's share of the tokens of small^T [r, T] times drop(x) [T, width]: a part [r, width], or
// [width, r] where `transposed`. 512 features and 16 ranks a block, 128 threads; blockIdx.y names the share.
#define SHARE 32
template <class T>
__device__ void lora_gradient(const float *s, const T *x, float *parts, uint32_t tokens, uint32_t width, uint32_t r, uint32_t transposed,
                              uint32_t share, DROPOUT) {
  alignas(16) __shared__ float ss[SHARE][RANKS];
  const Dropout dropout = {rows, key0, key1, threshold, keep};
  const uint32_t feature = COLUMNS * blockIdx.x + 4 * threadIdx.x, rank = RANKS * blockIdx.z;
  const uint32_t end = min(tokens, (blockIdx.y + 1) * share);
  float sum[RANKS][4] = {};
  for (uint32_t first = blockIdx.y * share; first < end; first += SHARE) {
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < SHARE * RANKS; i += blockDim.x) {
      const uint32_t t = first + i / RANKS, j = rank + i % RANKS;
      ss[i / RANKS][i % RANKS] = t < end && j < r ? s[(size_t)t * r + j] : 0.0f;
    }
    __syncthreads();
    if (feature >= width) continue;
    for (uint32_t t = first; t < min(end, first + SHARE); ++t) {
      const float4 v = dropout.apply(load4(x + (size_t)t * width + feature), t, feature);
#pragma unroll
      for (uint32_t j = 0; j < RANKS; ++j) {
        const float by = ss[t - first][j];
        sum[j][0] += by * v.x, sum[j][1] += by * v.y, sum[j][2] += by * v.z, sum[j][3] += by * v.w;
      }
    }
  }
  if (feature >= width) return;
  parts += (size_t)blockIdx.y * r * width;
#pragma unroll
  for (uint32_t j = 0; j < RANKS; ++j) {
    if (rank + j >= r) break;
    for (uint32_t k = 0; k < 4; ++k)
      parts[transposed ? (size_t)(feature + k) * r + rank + j : (size_t)(rank + j) * width + feature + k] = sum[j][k];
  }
}

// sum[i] = parts[0][i] + parts[1][i] + ..., in this order.
extern "C" __global__ void sum_of_parts(const float *parts, float *sum, uint32_t count, uint32_t shares) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float total = 0.0f;
  for (uint32_t part = 0; part < shares; ++part) total += parts[(size_t)part * count + i];
  sum[i] = total;
}

#define DOWN(T)                                                                                                                   \
  (const T *x, const float *small, float *u, uint32_t tokens, uint32_t width, uint32_t r, uint32_t transposed, float scale, DROPOUT)
#define UP(T) (const float *u, const float *small, T *y, uint32_t tokens, uint32_t width, uint32_t r, uint32_t transposed, DROPOUT)
#define GRADIENT(T)                                                                                                                \
  (const float *s, const T *x, float *parts, uint32_t tokens, uint32_t width, uint32_t r, uint32_t transposed, uint32_t share, DROPOUT)
ENTRY_POINTS(lora_down, DOWN, (x, small, u, tokens, width, r, transposed, scale, rows, key0, key1, threshold, keep))
ENTRY_POINTS(lora_up, UP, (u, small, y, tokens, width, r, transposed, rows, key0, key1, threshold, keep))
ENTRY_POINTS(lora_gradient, GRADIENT, (s, x, parts, tokens, width, r, transposed, share, rows, key0, key1, threshold, keep))
#undef DOWN
#undef UP
#undef GRADIENT
