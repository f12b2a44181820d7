// What all our MLX primitives share. eval_cpu only allocates and enqueues; the kernel runs later on
// MLX's stream thread, where weak copies of the arrays are kept alive by MLX.
#pragma once
#include <stdexcept>
#include <utility>
#include <vector>

#include "mlx/backend/cpu/encoder.h"
#include "mlx/ops.h"
#include "mlx/primitives.h"

namespace localllm {

namespace mx = mlx::core;
using Arrays = std::vector<mx::array>;

// Runs kernel(Arrays& in, Arrays& out) on MLX's stream thread.
template <typename F>
void enqueue(mx::Stream stream, const Arrays& in, Arrays& out, F kernel) {
  auto& encoder = mx::cpu::get_command_encoder(stream);
  Arrays weak_in, weak_out;
  for (const auto& a : in) {
    encoder.set_input_array(a);
    weak_in.push_back(mx::array::unsafe_weak_copy(a));
  }
  for (auto& a : out) {
    encoder.set_output_array(a);
    weak_out.push_back(mx::array::unsafe_weak_copy(a));
  }
  encoder.dispatch([kernel = std::move(kernel), in = std::move(weak_in),
                    out = std::move(weak_out)]() mutable { kernel(in, out); });
}

class Op : public mx::UnaryPrimitive {
 public:
  explicit Op(mx::Stream s) : mx::UnaryPrimitive(s) {}
  void eval_gpu(const std::vector<mx::array>&, mx::array&) override {
    throw std::runtime_error(std::string(name()) + " runs on the CPU stream only");
  }
  bool is_equivalent(const mx::Primitive&) const override { return false; }

 protected:
  // kernel(Arrays& in, mx::array& out)
  template <typename F>
  void enqueue(const std::vector<mx::array>& in, mx::array& out, F kernel) {
    Arrays outputs = {out};
    localllm::enqueue(stream(), in, outputs, [kernel = std::move(kernel)](
                                                 Arrays& in, Arrays& out) mutable {
      kernel(in, out[0]);
    });
  }
};

// Row-contiguous float32, which all kernels compute in.
inline mx::array as_float(const mx::array& x, mx::Stream stream) {
  return mx::contiguous(mx::astype(x, mx::float32, stream), false, stream);
}
inline mx::array as_int32(const mx::array& x, mx::Stream stream) {
  return mx::contiguous(mx::astype(x, mx::int32, stream), false, stream);
}

}  // namespace localllm
