#include <algorithm>
#include <cstring>

#include "experts.h"
#include "grouped_rows.h"
#include "mlx/allocator.h"
#include "mlx/mlx.h"
#include "op.h"
#include "scratch.h"
#include "thread_pool.h"

namespace localllm {
namespace {

struct Biases {
  const float *gate = nullptr, *up = nullptr, *down = nullptr;
};

// One call of the op; all rows are in the order of their experts until they are summed.
class Mlp {
 public:
  Mlp(const Stack& gate, const Stack& up, const Stack& down, const Biases& biases, float alpha,
      float limit)
      : gate_(gate), up_(up), down_(down), biases_(biases), alpha_(alpha), limit_(limit) {}

  void run(const float* x, const int32_t* ids, const float* weights, int num_tokens, int num_chosen,
           float* y) {
    static thread_local Scratch gate_scratch, up_scratch, down_scratch;
    grouping_ = group_rows(ids, num_tokens * num_chosen, gate_.num_matrices);
    size_t rows = grouping_.num_rows();
    auto* gates = gate_scratch.get<float>(rows * gate_.num_rows);
    auto* ups = up_scratch.get<float>(rows * up_.num_rows);
    auto* downs = down_scratch.get<float>(rows * down_.num_rows);
    {
      GroupedInputs inputs(grouping_, {&gate_, &up_}, [&](int place, float*) {
        return x + int64_t(grouping_.order[place] / num_chosen) * gate_.num_columns;
      });
      multiply_groups(grouping_, inputs, {{gate_, gates}, {up_, ups}});
    }
    GroupedInputs inputs(grouping_, {&down_}, [&](int place, float* hidden) {
      int64_t at = int64_t(place) * down_.num_columns;
      activate(expert_of(place), gates + at, ups + at, hidden);
      return hidden;
    });
    multiply_groups(grouping_, inputs, {{down_, downs}});
    sum(weights, downs, num_tokens, num_chosen, y);
  }

 private:
  int expert_of(int place) const {
    return grouping_.groups[grouping_.group_of[place]].matrix;
  }

  static void add(const float* bias, int expert, int count, float* values) {
    if (!bias) return;
    bias += int64_t(expert) * count;
    for (int i = 0; i < count; ++i) values[i] += bias[i];
  }

  void activate(int expert, float* gate, float* up, float* hidden) const {
    int count = down_.num_columns;
    add(biases_.gate, expert, count, gate);
    add(biases_.up, expert, count, up);
    if (alpha_ != 0) {  // silu(alpha * gate) * ((up + 1) / alpha)
      for (int i = 0; i < count; ++i) {
        gate[i] = alpha_ * std::min(gate[i], limit_);
        up[i] = (std::clamp(up[i], -limit_, limit_) + 1) / alpha_;
      }
    }
    kernels().pointwise.swiglu(gate, up, count, hidden);
  }

  void sum(const float* weights, const float* downs, int num_tokens, int num_chosen,
           float* y) const {
    int width = down_.num_rows;
    std::vector<int32_t> place_of(grouping_.num_rows());
    for (int place = 0; place < grouping_.num_rows(); ++place)
      place_of[grouping_.order[place]] = place;
    parallel_ranges(num_tokens, std::max(1, 32768 / width), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        float* total = y + t * width;
        std::memset(total, 0, sizeof(float) * width);
        for (int j = 0; j < num_chosen; ++j) {
          int place = place_of[t * num_chosen + j];
          const float* part = downs + int64_t(place) * width;
          float weight = weights[t * num_chosen + j];
          const float* bias =
              biases_.down ? biases_.down + int64_t(expert_of(place)) * width : nullptr;
          for (int i = 0; i < width; ++i)
            total[i] += weight * (bias ? part[i] + bias[i] : part[i]);
        }
      }
    });
  }

  const Stack gate_, up_, down_;
  const Biases biases_;
  const float alpha_, limit_;
  Grouping grouping_;
};

class ExpertMlpOp : public Op {
 public:
  ExpertMlpOp(mx::Stream s, const Stack& gate, const Stack& up, const Stack& down, float alpha,
              float limit)
      : Op(s), gate_(gate), up_(up), down_(down), alpha_(alpha), limit_(limit) {}

  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    enqueue(in, out, [gate = gate_, up = up_, down = down_, alpha = alpha_, limit = limit_](
                         Arrays& in, mx::array& out) mutable {
      gate.weights = in[3].data<uint8_t>();
      up.weights = in[4].data<uint8_t>();
      down.weights = in[5].data<uint8_t>();
      Biases biases;
      if (in.size() > 6)
        biases = {in[6].data<float>(), in[7].data<float>(), in[8].data<float>()};
      if (!in[1].size()) return;
      Mlp(gate, up, down, biases, alpha, limit)
          .run(in[0].data<float>(), in[1].data<int32_t>(), in[2].data<float>(), in[1].shape(0),
               in[1].shape(1), out.data<float>());
    });
  }
  const char* name() const override { return "ExpertMlp"; }

 private:
  Stack gate_, up_, down_;
  float alpha_, limit_;
};

}  // namespace

mx::array expert_mlp(const mx::array& x, const mx::array& ids, const mx::array& weights,
                     const ExpertMlp& mlp, mx::StreamOrDevice s) {
  const auto &gate = mlp.gate, &up = mlp.up, &down = mlp.down;
  bool fits = x.ndim() == 2 && ids.ndim() == 2 && weights.shape() == ids.shape() &&
              x.shape(0) == ids.shape(0) && x.shape(1) == gate.num_columns &&
              gate.num_columns == up.num_columns && gate.num_rows == up.num_rows &&
              down.num_columns == up.num_rows && gate.num_matrices == up.num_matrices &&
              gate.num_matrices == down.num_matrices;
  if (!fits) throw std::invalid_argument("expert_mlp: sizes do not fit");
  auto stream = mx::to_stream(s, mx::Device::cpu);
  Arrays in = {as_float(x, stream), as_int32(ids, stream), as_float(weights, stream),
               gate.packed, up.packed, down.packed};
  if (mlp.gate_bias)
    for (const auto& bias : {*mlp.gate_bias, *mlp.up_bias, *mlp.down_bias})
      in.push_back(as_float(bias, stream));
  mx::array y({x.shape(0), down.num_rows}, mx::float32,
              std::make_shared<ExpertMlpOp>(stream, stack_in(gate, nullptr), stack_in(up, nullptr),
                                            stack_in(down, nullptr), mlp.alpha, mlp.limit),
              in);
  return mx::astype(y, x.dtype(), stream);
}

}  // namespace localllm
