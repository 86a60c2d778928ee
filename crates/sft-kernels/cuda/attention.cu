// Causal attention over packed sequences, forward and backward, in tiles: no matrix of all scores exists.
//
// A block has ROWS rows of queries (or of keys), 16 for each of its warps; the others pass in tiles of ROWS through
// shared memory. The grid is (tiles of the longest sequence, heads, sequences). Queries are [Tq, heads, dim], keys and
// values [Tk, kv_heads, dim], and a query sees the `window` keys that end with its own. `dim` is a multiple of 4, at most 128.
#include "tile.cuh"

#define MOST_DIM 128
template <class T> struct Rows { static const uint32_t value = sizeof(T) == 2 ? 64 : 32; };

// The small arrays of one warp: two tiles of scores and one of weights.
template <class T> struct alignas(32) Scratch {
  float scores[16 * 20];
  float other[16 * 20];
  T weights[16 * 24];
};

struct Sequence {
  uint32_t q, queries, k, keys;  // first row and number of rows, twice

  __device__ Sequence(const uint32_t *cu_seqlens_q, const uint32_t *cu_seqlens_k) {
    q = cu_seqlens_q[blockIdx.z], queries = cu_seqlens_q[blockIdx.z + 1] - q;
    k = cu_seqlens_k[blockIdx.z], keys = cu_seqlens_k[blockIdx.z + 1] - k;
  }

  // The queries are the last of the positions.
  __device__ uint32_t position(uint32_t query) const { return keys - queries + query; }

  __device__ bool sees(uint32_t query, uint32_t key, uint32_t window) const {
    if (query >= queries || key >= keys) return false;
    const uint32_t position = this->position(query);
    return key <= position && position - key < window;
  }
};

// What all kernels know of the widths: `padded` is a multiple of 16, `ld` the distance of rows in shared memory.
struct Widths {
  uint32_t dim, padded, ld;
  __device__ explicit Widths(uint32_t dim) : dim(dim), padded((dim + 15) / 16 * 16), ld((dim + 15) / 16 * 16 + 16) {}
};

// `rows` of the sequence's rows from `first` on, zeros beyond `count` and beyond the width.
template <class T>
__device__ void load_tile(T *to, const T *from, uint32_t first, uint32_t count, size_t stride, const Widths &w) {
  for (uint32_t i = 4 * threadIdx.x; i < Rows<T>::value * w.padded; i += 4 * blockDim.x) {
    const uint32_t row = i / w.padded, column = i % w.padded;
    float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (first + row < count && column < w.dim) v = load4(from + (first + row) * stride + column);
    store4(to + row * w.ld + column, v);
  }
}

// C [16, 16] = A B^T of rows in shared memory.
template <class T> __device__ __forceinline__ void rows_by_rows(const T *a, const T *b, const Widths &w, float *to) {
  Tile<T> c;
  c.clear();
  for (uint32_t k = 0; k < w.padded; k += 16) c.template add<true>(a + k, w.ld, b + k, w.ld);
  c.store(to, 20);
}

// C [16, padded] += weights [16, 16] times 16 rows in shared memory.
template <class T> __device__ __forceinline__ void weigh(Tile<T> *c, const T *weights, const T *rows, const Widths &w) {
#pragma unroll
  for (uint32_t j = 0; j < MOST_DIM / 16; ++j)
    if (16 * j < w.padded) c[j].template add<false>(weights, 24, rows + 16 * j, w.ld);
}

// Rows of C to a tensor, those of a warp from `first` on.
template <class T>
__device__ void store_rows(Tile<T> *c, float *scratch, T *to, uint32_t first, uint32_t count, size_t stride, const Widths &w) {
  const uint32_t lane = threadIdx.x % 32, row = lane / 2;
#pragma unroll
  for (uint32_t j = 0; j < MOST_DIM / 16; ++j) {
    if (16 * j >= w.padded) break;
    __syncwarp();
    c[j].store(scratch, 20);
    __syncwarp();
    for (uint32_t i = lane % 2 * 8; i < lane % 2 * 8 + 8; i += 4) {
      if (first + row < count && 16 * j + i < w.dim)
        store4(to + (first + row) * stride + 16 * j + i, *reinterpret_cast<const float4 *>(scratch + row * 20 + i));
    }
  }
}

// The keys that any query of the tile sees: from `first` to before `end`.
struct Span { uint32_t first, end; };

__device__ __forceinline__ Span keys_of(const Sequence &s, uint32_t query, uint32_t rows, uint32_t window) {
  const uint32_t begin = s.position(query), last = s.position(min(query + rows, s.queries) - 1);
  return {begin >= window ? begin - window + 1 : 0, last + 1};
}

#define ATTENTION                                                                                                              \
  const uint32_t *cu_seqlens_q, const uint32_t *cu_seqlens_k, uint32_t heads, uint32_t kv_heads, uint32_t dim, uint32_t window, float scale

// Two passes over the keys: the first finds the log of each query's sum of exponentials, `lse` [Tq, heads]; the second
// weighs the values, so that no sum is ever scaled again.
template <class T> __device__ void attention(const T *q, const T *k, const T *v, T *out, float *lse, ATTENTION) {
  const uint32_t rows = Rows<T>::value, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Sequence s(cu_seqlens_q, cu_seqlens_k);
  const uint32_t query = blockIdx.x * rows, head = blockIdx.y, kv_head = head / (heads / kv_heads);
  if (query >= s.queries) return;
  const Widths w(dim);
  DYNAMIC_SHARED(memory);
  T *qs = reinterpret_cast<T *>(memory), *ks = qs + rows * w.ld, *vs = ks + rows * w.ld;
  Scratch<T> &scratch = reinterpret_cast<Scratch<T> *>(vs + rows * w.ld)[warp];
  const size_t q_stride = (size_t)heads * dim, k_stride = (size_t)kv_heads * dim;
  q += s.q * q_stride + head * dim, out += s.q * q_stride + head * dim;
  k += s.k * k_stride + kv_head * dim, v += s.k * k_stride + kv_head * dim;
  const Span keys = keys_of(s, query, rows, window);
  load_tile(qs, q, query, s.queries, q_stride, w);

  const uint32_t mine = query + 16 * warp + lane / 2, half = lane % 2 * 8;  // half a row for each lane
  float largest = -INFINITY, sum = 0.0f;
  for (uint32_t first = keys.first; first < keys.end; first += rows) {
    __syncthreads();
    load_tile(ks, k, first, s.keys, k_stride, w);
    __syncthreads();
    for (uint32_t sub = 0; sub < rows; sub += 16) {
      rows_by_rows(qs + 16 * warp * w.ld, ks + sub * w.ld, w, scratch.scores);
      __syncwarp();
      float score[8], most = -INFINITY;
      for (uint32_t i = 0; i < 8; ++i) {
        const bool seen = s.sees(mine, first + sub + half + i, window);
        score[i] = seen ? scale * scratch.scores[lane / 2 * 20 + half + i] : -INFINITY;
        most = fmaxf(most, score[i]);
      }
      most = fmaxf(largest, fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1)));
      float add = 0.0f;
      for (uint32_t i = 0; i < 8; ++i) add += score[i] == -INFINITY ? 0.0f : expf(score[i] - most);
      add += __shfl_xor_sync(0xffffffffu, add, 1);
      if (most != -INFINITY) sum = sum * expf(largest - most) + add, largest = most;
    }
  }
  const float log_sum = largest + logf(sum);
  if (mine < s.queries && lane % 2 == 0) lse[(size_t)(s.q + mine) * heads + head] = log_sum;

  Tile<T> o[MOST_DIM / 16];
  for (auto &tile : o) tile.clear();
  for (uint32_t first = keys.first; first < keys.end; first += rows) {
    __syncthreads();
    load_tile(ks, k, first, s.keys, k_stride, w);
    load_tile(vs, v, first, s.keys, k_stride, w);
    __syncthreads();
    for (uint32_t sub = 0; sub < rows; sub += 16) {
      rows_by_rows(qs + 16 * warp * w.ld, ks + sub * w.ld, w, scratch.scores);
      __syncwarp();
      for (uint32_t i = half; i < half + 8; ++i) {
        const bool seen = s.sees(mine, first + sub + i, window);
        scratch.weights[lane / 2 * 24 + i] = narrow<T>(seen ? expf(scale * scratch.scores[lane / 2 * 20 + i] - log_sum) : 0.0f);
      }
      __syncwarp();
      weigh(o, scratch.weights, vs + sub * w.ld, w);
    }
  }
  store_rows(o, scratch.scores, out, query + 16 * warp, s.queries, q_stride, w);
}

// delta [Tq, heads] = sum over the head of out * dout: a warp for each.
template <class T> __device__ void attention_delta(const T *out, const T *dout, float *delta, uint32_t count, uint32_t dim) {
  const uint32_t row = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
  if (row >= count) return;
  float sum = 0.0f;
  for (uint32_t i = threadIdx.x % 32; i < dim; i += 32) sum += wide(out[(size_t)row * dim + i]) * wide(dout[(size_t)row * dim + i]);
  sum = over_warp<Sum>(sum);
  if (threadIdx.x % 32 == 0) delta[row] = sum;
}

// With P = exp(scale * Q K^T - lse): dQ = scale * (P . (dO V^T - delta)) K.
template <class T>
__device__ void attention_dq(const T *q, const T *k, const T *v, const T *dout, const float *lse, const float *delta, T *dq, ATTENTION) {
  const uint32_t rows = Rows<T>::value, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Sequence s(cu_seqlens_q, cu_seqlens_k);
  const uint32_t query = blockIdx.x * rows, head = blockIdx.y, kv_head = head / (heads / kv_heads);
  if (query >= s.queries) return;
  const Widths w(dim);
  DYNAMIC_SHARED(memory);
  T *qs = reinterpret_cast<T *>(memory), *ds = qs + rows * w.ld, *ks = ds + rows * w.ld, *vs = ks + rows * w.ld;
  Scratch<T> &scratch = reinterpret_cast<Scratch<T> *>(vs + rows * w.ld)[warp];
  const size_t q_stride = (size_t)heads * dim, k_stride = (size_t)kv_heads * dim;
  q += s.q * q_stride + head * dim, dout += s.q * q_stride + head * dim, dq += s.q * q_stride + head * dim;
  k += s.k * k_stride + kv_head * dim, v += s.k * k_stride + kv_head * dim;
  const Span keys = keys_of(s, query, rows, window);
  load_tile(qs, q, query, s.queries, q_stride, w);
  load_tile(ds, dout, query, s.queries, q_stride, w);

  const uint32_t mine = query + 16 * warp + lane / 2, half = lane % 2 * 8;
  const size_t at = (size_t)(s.q + min(mine, s.queries - 1)) * heads + head;
  const float log_sum = lse[at], minus = delta[at];
  Tile<T> c[MOST_DIM / 16];
  for (auto &tile : c) tile.clear();
  for (uint32_t first = keys.first; first < keys.end; first += rows) {
    __syncthreads();
    load_tile(ks, k, first, s.keys, k_stride, w);
    load_tile(vs, v, first, s.keys, k_stride, w);
    __syncthreads();
    for (uint32_t sub = 0; sub < rows; sub += 16) {
      rows_by_rows(qs + 16 * warp * w.ld, ks + sub * w.ld, w, scratch.scores);
      rows_by_rows(ds + 16 * warp * w.ld, vs + sub * w.ld, w, scratch.other);
      __syncwarp();
      for (uint32_t i = half; i < half + 8; ++i) {
        const uint32_t entry = lane / 2 * 20 + i;
        const float p = s.sees(mine, first + sub + i, window) ? expf(scale * scratch.scores[entry] - log_sum) : 0.0f;
        scratch.weights[lane / 2 * 24 + i] = narrow<T>(scale * p * (scratch.other[entry] - minus));
      }
      __syncwarp();
      weigh(c, scratch.weights, ks + sub * w.ld, w);
    }
  }
  store_rows(c, scratch.scores, dq, query + 16 * warp, s.queries, q_stride, w);
}

// dV = P^T dO and dK = scale * (P . (dO V^T - delta))^T Q, over all query heads that read this key/value head.
template <class T>
__device__ void attention_dkv(const T *q, const T *k, const T *v, const T *dout, const float *lse, const float *delta, T *dk, T *dv, ATTENTION) {
  const uint32_t rows = Rows<T>::value, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Sequence s(cu_seqlens_q, cu_seqlens_k);
  const uint32_t key = blockIdx.x * rows, kv_head = blockIdx.y, group = heads / kv_heads;
  if (key >= s.keys) return;
  const Widths w(dim);
  DYNAMIC_SHARED(memory);
  T *qs = reinterpret_cast<T *>(memory), *ds = qs + rows * w.ld, *ks = ds + rows * w.ld, *vs = ks + rows * w.ld;
  Scratch<T> &scratch = reinterpret_cast<Scratch<T> *>(vs + rows * w.ld)[warp];
  const size_t q_stride = (size_t)heads * dim, k_stride = (size_t)kv_heads * dim;
  q += s.q * q_stride, dout += s.q * q_stride;
  k += s.k * k_stride + kv_head * dim, v += s.k * k_stride + kv_head * dim;
  dk += s.k * k_stride + kv_head * dim, dv += s.k * k_stride + kv_head * dim;
  load_tile(ks, k, key, s.keys, k_stride, w);
  load_tile(vs, v, key, s.keys, k_stride, w);

  // The queries that see any of these keys.
  const uint32_t before = s.keys - s.queries, last = min(key + rows, s.keys) - 1;
  const uint32_t from = key > before ? key - before : 0;
  const uint64_t to = (uint64_t)last + window > before ? (uint64_t)last + window - before : 0;
  const uint32_t end = to < s.queries ? (uint32_t)to : s.queries;

  const uint32_t mine = key + 16 * warp + lane / 2, half = lane % 2 * 8;  // a row of keys
  Tile<T> c[MOST_DIM / 16], e[MOST_DIM / 16];
  for (auto &tile : c) tile.clear();
  for (auto &tile : e) tile.clear();
  for (uint32_t member = 0; member < group; ++member) {
    const uint32_t head = kv_head * group + member;
    for (uint32_t first = from; first < end; first += rows) {
      __syncthreads();
      load_tile(qs, q + head * dim, first, s.queries, q_stride, w);
      load_tile(ds, dout + head * dim, first, s.queries, q_stride, w);
      __syncthreads();
      for (uint32_t sub = 0; sub < rows; sub += 16) {
        rows_by_rows(ks + 16 * warp * w.ld, qs + sub * w.ld, w, scratch.scores);
        rows_by_rows(vs + 16 * warp * w.ld, ds + sub * w.ld, w, scratch.other);
        __syncwarp();
        float dscore[8];
        for (uint32_t i = 0; i < 8; ++i) {
          const uint32_t query = first + sub + half + i, entry = lane / 2 * 20 + half + i;
          const size_t at = (size_t)(s.q + min(query, s.queries - 1)) * heads + head;
          const float p = s.sees(query, mine, window) ? expf(scale * scratch.scores[entry] - lse[at]) : 0.0f;
          dscore[i] = scale * p * (scratch.other[entry] - delta[at]);
          scratch.weights[lane / 2 * 24 + half + i] = narrow<T>(p);
        }
        __syncwarp();
        weigh(e, scratch.weights, ds + sub * w.ld, w);
        __syncwarp();
        for (uint32_t i = 0; i < 8; ++i) scratch.weights[lane / 2 * 24 + half + i] = narrow<T>(dscore[i]);
        __syncwarp();
        weigh(c, scratch.weights, qs + sub * w.ld, w);
      }
    }
  }
  store_rows(c, scratch.scores, dk, key + 16 * warp, s.keys, k_stride, w);
  store_rows(e, scratch.scores, dv, key + 16 * warp, s.keys, k_stride, w);
}

#define FORWARD(T) (const T *q, const T *k, const T *v, T *out, float *lse, ATTENTION)
#define DELTA(T) (const T *out, const T *dout, float *delta, uint32_t count, uint32_t dim)
#define DQ(T) (const T *q, const T *k, const T *v, const T *dout, const float *lse, const float *delta, T *dq, ATTENTION)
#define DKV(T) (const T *q, const T *k, const T *v, const T *dout, const float *lse, const float *delta, T *dk, T *dv, ATTENTION)
ENTRY_POINTS(attention, FORWARD, (q, k, v, out, lse, cu_seqlens_q, cu_seqlens_k, heads, kv_heads, dim, window, scale))
ENTRY_POINTS(attention_delta, DELTA, (out, dout, delta, count, dim))
ENTRY_POINTS(attention_dq, DQ, (q, k, v, dout, lse, delta, dq, cu_seqlens_q, cu_seqlens_k, heads, kv_heads, dim, window, scale))
ENTRY_POINTS(attention_dkv, DKV, (q, k, v, dout, lse, delta, dk, dv, cu_seqlens_q, cu_seqlens_k, heads, kv_heads, dim, window, scale))
#undef FORWARD
#undef DELTA
#undef DQ
#undef DKV
