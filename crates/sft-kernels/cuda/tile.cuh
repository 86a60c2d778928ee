// Products of 16 x 16 tiles, each by one warp: on the tensor cores for bf16 and f16, in float for float.
#pragma once
#include "number.cuh"

// C [16, 16] in float, spread over the lanes of a warp.
template <class T> struct Tile {
  nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float> c;

  __device__ __forceinline__ void clear() { nvcuda::wmma::fill_fragment(c, 0.0f); }

  // C += A B: A [16, 16] row by row, B [16, 16] row by row, or column by column.
  template <bool COLUMNS_OF_B> __device__ __forceinline__ void add(const T *a, uint32_t lda, const T *b, uint32_t ldb) {
    using namespace nvcuda::wmma;
    fragment<matrix_a, 16, 16, 16, T, row_major> fa;
    load_matrix_sync(fa, a, lda);
    if (COLUMNS_OF_B) {
      fragment<matrix_b, 16, 16, 16, T, col_major> fb;
      load_matrix_sync(fb, b, ldb);
      mma_sync(c, fa, fb, c);
    } else {
      fragment<matrix_b, 16, 16, 16, T, row_major> fb;
      load_matrix_sync(fb, b, ldb);
      mma_sync(c, fa, fb, c);
    }
  }

  // To shared memory; the lanes may read it after __syncwarp().
  __device__ __forceinline__ void store(float *to, uint32_t ld) const {
    nvcuda::wmma::store_matrix_sync(to, c, ld, nvcuda::wmma::mem_row_major);
  }
};

// Each lane has half a row.
template <> struct Tile<float> {
  float c[8];

  __device__ __forceinline__ void clear() {
    for (int i = 0; i < 8; ++i) c[i] = 0.0f;
  }

  template <bool COLUMNS_OF_B> __device__ __forceinline__ void add(const float *a, uint32_t lda, const float *b, uint32_t ldb) {
    const uint32_t row = threadIdx.x % 32 / 2, column = threadIdx.x % 2 * 8;
    for (uint32_t k = 0; k < 16; ++k) {
      const float by = a[row * lda + k];
      for (uint32_t i = 0; i < 8; ++i) c[i] += by * (COLUMNS_OF_B ? b[(column + i) * ldb + k] : b[k * ldb + column + i]);
    }
  }

  __device__ __forceinline__ void store(float *to, uint32_t ld) const {
    const uint32_t row = threadIdx.x % 32 / 2, column = threadIdx.x % 2 * 8;
    for (uint32_t i = 0; i < 8; ++i) to[row * ld + column + i] = c[i];
  }
};
