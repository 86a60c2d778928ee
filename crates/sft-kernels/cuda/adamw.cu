// AdamW of one parameter: a thread for each of its numbers.
#include "number.cuh"

// Operation for operation as on the CPU, after the gradient is multiplied with `factor`: no product and sum become one rounding.
extern "C" __global__ void adamw(float *parameter, const float *gradient, float *exp_avg, float *exp_avg_sq, size_t count, float factor,
                                 float decay, float step_size, float root_correction, float rest1, float beta2, float rest2, float eps) {
  const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const float g = __fmul_rn(gradient[i], factor);
  const float m = __fadd_rn(exp_avg[i], __fmul_rn(rest1, __fsub_rn(g, exp_avg[i])));
  const float v = __fadd_rn(__fmul_rn(exp_avg_sq[i], beta2), __fmul_rn(__fmul_rn(rest2, g), g));
  const float denominator = __fadd_rn(__fdiv_rn(__fsqrt_rn(v), root_correction), eps);
  exp_avg[i] = m, exp_avg_sq[i] = v;
  parameter[i] = __fsub_rn(__fmul_rn(parameter[i], decay), __fdiv_rn(__fmul_rn(step_size, m), denominator));
}
