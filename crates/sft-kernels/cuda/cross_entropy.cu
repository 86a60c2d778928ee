// Softmax and negative log-likelihood of a row of logits: a block for each row.
#include "number.cuh"

// nll[row] = log(sum(exp(logits))) - logits[label]. Where `gradient` is not 0 the logits become
// softmax - onehot.
template <class T>
__device__ void cross_entropy(T *logits, const uint32_t *labels, float *nll, uint32_t vocab, uint32_t gradient) {
  logits += (size_t)blockIdx.x * vocab;
  const uint32_t label = labels[blockIdx.x];
  float largest = -INFINITY;
  for (uint32_t i = threadIdx.x; i < vocab; i += blockDim.x) largest = fmaxf(largest, wide(logits[i]));
  largest = over_block<Largest>(largest);
  float sum = 0.0f;
  for (uint32_t i = threadIdx.x; i < vocab; i += blockDim.x) sum += expf(wide(logits[i]) - largest);
  sum = over_block<Sum>(sum);
  if (threadIdx.x == 0) nll[blockIdx.x] = logf(sum) + largest - wide(logits[label]);
  if (!gradient) return;
  __syncthreads();  // the label's logit has been read
  for (uint32_t i = threadIdx.x; i < vocab; i += blockDim.x) {
    const float p = expf(wide(logits[i]) - largest) / sum;
    logits[i] = narrow<T>(i == label ? p - 1.0f : p);
  }
}

#define PARAMETERS(T) (T *logits, const uint32_t *labels, float *nll, uint32_t vocab, uint32_t gradient)
ENTRY_POINTS(cross_entropy, PARAMETERS, (logits, labels, nll, vocab, gradient))
#undef PARAMETERS
