// emulate KERNEL GRID_X GRID_Y GRID_Z BLOCK ORDER < arguments > buffers
//
// An argument is a tag and its bytes: b (buffer: length in bytes as u64, then the bytes), n (null), u (u32), z (u64), f (f32).
// All buffers are written back in their order. ORDER is `forwards` or `backwards`.
#include "emulator.h"

#include <map>
#include <string>
#include <utility>

#include "../../cuda/kernels.cu"

struct Argument {
  char tag = 0;
  std::vector<unsigned char> bytes;
  uint64_t scalar = 0;
};

static void read_all(void *to, size_t count) {
  if (fread(to, 1, count, stdin) != count) {
    fprintf(stderr, "the arguments end too early\n");
    exit(2);
  }
}

static std::vector<Argument> read_arguments() {
  std::vector<Argument> arguments;
  for (int tag; (tag = getchar()) != EOF;) {
    Argument argument;
    argument.tag = (char)tag;
    if (tag == 'b') {
      uint64_t length;
      read_all(&length, 8);
      argument.bytes.resize(length + 32);
      read_all(argument.bytes.data(), length);
      argument.bytes.resize(length);
    } else if (tag != 'n') {
      read_all(&argument.scalar, tag == 'z' ? 8 : 4);
    }
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

template <class P> struct Take;
template <class T> struct Take<T *> {
  static T *from(Argument &argument) {
    if (argument.tag == 'n') return nullptr;
    if (argument.tag != 'b') fprintf(stderr, "a buffer was expected\n"), exit(2);
    return (T *)argument.bytes.data();
  }
};
template <class T> struct Scalar {
  static T from(Argument &argument, char tag) {
    if (argument.tag != tag) fprintf(stderr, "a scalar %c was expected\n", tag), exit(2);
    T value;
    memcpy(&value, &argument.scalar, sizeof value);
    return value;
  }
};
template <> struct Take<uint32_t> { static uint32_t from(Argument &a) { return Scalar<uint32_t>::from(a, 'u'); } };
template <> struct Take<size_t> { static size_t from(Argument &a) { return Scalar<size_t>::from(a, 'z'); } };
template <> struct Take<float> { static float from(Argument &a) { return Scalar<float>::from(a, 'f'); } };

using Kernel = std::function<std::function<void()>(std::vector<Argument> &)>;

template <class... P, size_t... I> static std::function<void()> prepare(void (*kernel)(P...), std::vector<Argument> &arguments, std::index_sequence<I...>) {
  if (arguments.size() != sizeof...(P)) fprintf(stderr, "%zu arguments where %zu are taken\n", arguments.size(), sizeof...(P)), exit(2);
  auto values = std::make_tuple(Take<P>::from(arguments[I])...);
  return [kernel, values] { kernel(std::get<I>(values)...); };
}

template <class... P> static Kernel kernel(void (*entry)(P...)) {
  return [entry](std::vector<Argument> &arguments) { return prepare(entry, arguments, std::index_sequence_for<P...>{}); };
}

#define EACH(NAME) {#NAME "_f32", kernel(NAME##_f32)}, {#NAME "_bf16", kernel(NAME##_bf16)}, {#NAME "_f16", kernel(NAME##_f16)}

int main(int count, char **words) {
  if (count != 7) return fprintf(stderr, "emulate KERNEL GRID_X GRID_Y GRID_Z BLOCK ORDER\n"), 2;
  const std::map<std::string, Kernel> kernels = {
      EACH(rms_norm), EACH(rms_norm_backward), EACH(rope), EACH(swiglu), EACH(swiglu_backward), EACH(cross_entropy),
      EACH(attention), EACH(attention_delta), EACH(attention_dq), EACH(attention_dkv),
      EACH(lora_down), EACH(lora_up), EACH(lora_gradient),
      {"sum_of_parts", kernel(sum_of_parts)}, {"adamw", kernel(adamw)},
      {"sum_of_squares", kernel(sum_of_squares)},
  };
  const auto found = kernels.find(words[1]);
  if (found == kernels.end()) return fprintf(stderr, "no kernel %s\n", words[1]), 2;
  gridDim = {(uint32_t)atoi(words[2]), (uint32_t)atoi(words[3]), (uint32_t)atoi(words[4])};
  blockDim = {(uint32_t)atoi(words[5]), 1, 1};
  std::vector<Argument> arguments = read_arguments();
  const auto body = found->second(arguments);
  const bool backwards = !strcmp(words[6], "backwards");
  for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) emulator::run_block(body, backwards);
  for (const Argument &argument : arguments)
    if (argument.tag == 'b') fwrite(argument.bytes.data(), 1, argument.bytes.size(), stdout);
}
