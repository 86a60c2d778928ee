// All kernels, as one module.
#include "adamw.cu"
#include "attention.cu"
#include "cross_entropy.cu"
#include "lora.cu"
#include "norm.cu"
#include "rope.cu"
#include "squares.cu"
#include "swiglu.cu"
