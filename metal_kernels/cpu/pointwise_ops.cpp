#include "pointwise_ops.h"

#include <algorithm>
#include <cmath>

#include "kernels.h"
#include "mlx/allocator.h"
#include "op.h"
#include "scratch.h"
#include "thread_pool.h"

namespace localllm {
namespace {

constexpr int64_t kGrainValues = 16384;  // fewer are not worth waking a thread

int64_t rows_per_task(int64_t width) { return std::max<int64_t>(1, kGrainValues / width); }

class RmsNorm : public Op {
 public:
  RmsNorm(mx::Stream s, float eps) : Op(s), eps_(eps) {}
  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    enqueue(in, out, [eps = eps_](Arrays& in, mx::array& out) {
      const auto *x = in[0].data<float>(), *weight = in[1].data<float>();
      auto* y = out.data<float>();
      int width = in[0].shape(-1);
      int64_t rows = in[0].size() / width;
      parallel_ranges(rows, rows_per_task(width), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          kernels().pointwise.rms_norm(x + i * width, weight, eps, width, y + i * width);
      });
    });
  }
  const char* name() const override { return "RmsNorm"; }

 private:
  float eps_;
};

class Gate : public Op {
 public:
  Gate(mx::Stream s, bool gelu) : Op(s), gelu_(gelu) {}
  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    // Into the gate's own memory where nobody else reads it: fresh pages cost more than the op.
    if (in[0].is_donatable()) out.copy_shared_buffer(in[0]);
    else out.set_data(mx::allocator::malloc(out.nbytes()));
    enqueue(in, out, [gelu = gelu_](Arrays& in, mx::array& out) {
      const auto *gate = in[0].data<float>(), *up = in[1].data<float>();
      auto* y = out.data<float>();
      auto kernel = gelu ? kernels().pointwise.geglu : kernels().pointwise.swiglu;
      parallel_ranges(in[0].size(), kGrainValues, [&](int64_t begin, int64_t end) {
        kernel(gate + begin, up + begin, end - begin, y + begin);
      });
    });
  }
  const char* name() const override { return "Gate"; }

 private:
  bool gelu_;
};

class Rope : public Op {
 public:
  Rope(mx::Stream s, float scale, bool interleaved)
      : Op(s), scale_(scale), interleaved_(interleaved) {}

  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    enqueue(in, out, [scale = scale_, interleaved = interleaved_](Arrays& in, mx::array& out) {
      const auto *x = in[0].data<float>(), *inv_freq = in[2].data<float>();
      const auto* positions = in[1].data<int32_t>();
      auto* y = out.data<float>();
      int64_t tokens = in[0].shape(0);
      int heads = in[0].shape(1), size = in[0].shape(2), half = int(in[2].size());
      int64_t grain = rows_per_task(int64_t(heads) * size);
      parallel_ranges(tokens, grain, [&](int64_t begin, int64_t end) {
        static thread_local Scratch scratch;
        float *cos = scratch.get<float>(2 * half), *sin = cos + half;
        for (int64_t t = begin; t < end; ++t) {
          for (int i = 0; i < half; ++i) {
            float angle = float(positions[t]) * inv_freq[i];
            cos[i] = std::cos(angle) * scale;
            sin[i] = std::sin(angle) * scale;
          }
          for (int h = 0; h < heads; ++h) {
            int64_t at = (t * heads + h) * size;
            kernels().pointwise.rope(x + at, cos, sin, half, interleaved, y + at);
            std::copy(x + at + 2 * half, x + at + size, y + at + 2 * half);
          }
        }
      });
    });
  }
  const char* name() const override { return "Rope"; }

 private:
  float scale_;
  bool interleaved_;
};

mx::array gate_op(const mx::array& gate, const mx::array& up, bool gelu, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s, mx::Device::cpu);
  mx::array y(gate.shape(), mx::float32, std::make_shared<Gate>(stream, gelu),
              {as_float(gate, stream), as_float(up, stream)});
  return mx::astype(y, gate.dtype(), stream);
}

}  // namespace

mx::array rms_norm(const mx::array& x, const mx::array& weight, float eps, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s, mx::Device::cpu);
  mx::array y(x.shape(), mx::float32, std::make_shared<RmsNorm>(stream, eps),
              {as_float(x, stream), as_float(weight, stream)});
  return mx::astype(y, x.dtype(), stream);
}

mx::array swiglu(const mx::array& gate, const mx::array& up, mx::StreamOrDevice s) {
  return gate_op(gate, up, false, s);
}

mx::array geglu(const mx::array& gate, const mx::array& up, mx::StreamOrDevice s) {
  return gate_op(gate, up, true, s);
}

mx::array rope(const mx::array& x, const mx::array& positions, const mx::array& inv_freq,
               float scale, bool interleaved, mx::StreamOrDevice s) {
  auto stream = mx::to_stream(s, mx::Device::cpu);
  mx::array y(x.shape(), mx::float32, std::make_shared<Rope>(stream, scale, interleaved),
              {as_float(x, stream), as_int32(positions, stream), as_float(inv_freq, stream)});
  return mx::astype(y, x.dtype(), stream);
}

}  // namespace localllm
