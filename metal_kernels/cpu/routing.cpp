#include <algorithm>
#include <cmath>
#include <limits>

#include "experts.h"
#include "mlx/allocator.h"
#include "mlx/mlx.h"
#include "op.h"
#include "scratch.h"
#include "thread_pool.h"

namespace localllm {
namespace {

void score(const float* logits, int count, bool sigmoid, float* scores) {
  if (sigmoid) {
    for (int e = 0; e < count; ++e) scores[e] = 1 / (1 + std::exp(-logits[e]));
    return;
  }
  float largest = *std::max_element(logits, logits + count), total = 0;
  for (int e = 0; e < count; ++e) total += scores[e] = std::exp(logits[e] - largest);
  for (int e = 0; e < count; ++e) scores[e] /= total;
}

// Places of the `wanted` largest, best first; of equals the first. Marks what it takes in `taken`.
void take_largest(const float* values, int count, int wanted, bool* taken, int32_t* out) {
  std::fill(taken, taken + count, false);
  for (int j = 0; j < wanted; ++j) {
    int best = -1;
    for (int i = 0; i < count; ++i)
      if (!taken[i] && (best < 0 || values[i] > values[best])) best = i;
    taken[best] = true;
    out[j] = best;
  }
}

float group_score(const float* choice, int size, bool by_two) {
  float first = -std::numeric_limits<float>::infinity(), second = first;
  for (int i = 0; i < size; ++i) {
    if (choice[i] > first) second = std::exchange(first, choice[i]);
    else second = std::max(second, choice[i]);
  }
  return by_two ? first + second : first;
}

// Experts outside the chosen groups count as zero.
void keep_best_groups(const Routing& r, int count, float* choice, bool* taken, int32_t* ids,
                      float* groups) {
  int size = count / r.num_groups;
  for (int g = 0; g < r.num_groups; ++g)
    groups[g] = group_score(choice + g * size, size, r.group_by_two);
  take_largest(groups, r.num_groups, r.num_chosen_groups, taken, ids);
  for (int g = 0; g < r.num_groups; ++g)
    if (!taken[g]) std::fill(choice + g * size, choice + (g + 1) * size, 0.0f);
}

struct RowScratch {
  float *scores, *choice, *groups;
  int32_t* group_ids;
  bool* taken;
};

void route_row(const Routing& r, const float* logits, const float* bias, int count,
               const RowScratch& s, int32_t* ids, float* weights) {
  score(logits, count, r.sigmoid, s.scores);
  for (int e = 0; e < count; ++e) s.choice[e] = s.scores[e] + (bias ? bias[e] : 0.0f);
  if (r.num_groups > 1) keep_best_groups(r, count, s.choice, s.taken, s.group_ids, s.groups);
  take_largest(s.choice, count, r.num_chosen, s.taken, ids);
  float total = 0;
  for (int j = 0; j < r.num_chosen; ++j) total += weights[j] = s.scores[ids[j]];
  float factor = r.normalised && total > 0 ? r.scale / total : r.scale;
  for (int j = 0; j < r.num_chosen; ++j) weights[j] *= factor;
}

class Route : public mx::Primitive {
 public:
  Route(mx::Stream s, const Routing& routing, bool has_bias)
      : mx::Primitive(s), routing_(routing), has_bias_(has_bias) {}

  void eval_cpu(const std::vector<mx::array>& in, std::vector<mx::array>& out) override {
    auto& encoder = mx::cpu::get_command_encoder(stream());
    for (auto& a : out) {
      a.set_data(mx::allocator::malloc(a.nbytes()));
      encoder.set_output_array(a);
    }
    for (const auto& a : in) encoder.set_input_array(a);
    encoder.dispatch([r = routing_, logits = mx::array::unsafe_weak_copy(in[0]),
                      bias = mx::array::unsafe_weak_copy(in[has_bias_ ? 1 : 0]),
                      has_bias = has_bias_, ids = mx::array::unsafe_weak_copy(out[0]),
                      weights = mx::array::unsafe_weak_copy(out[1])]() mutable {
      int count = logits.shape(1);
      const float* extra = has_bias ? bias.data<float>() : nullptr;
      parallel_ranges(logits.shape(0), std::max(1, 8192 / count), [&](int64_t begin, int64_t end) {
        static thread_local Scratch scratch;
        auto* numbers = scratch.get<float>(5 * size_t(count));
        RowScratch s{numbers, numbers + count, numbers + 2 * count,
                     reinterpret_cast<int32_t*>(numbers + 3 * count),
                     reinterpret_cast<bool*>(numbers + 4 * count)};
        for (int64_t t = begin; t < end; ++t)
          route_row(r, logits.data<float>() + t * count, extra, count, s,
                    ids.data<int32_t>() + t * r.num_chosen,
                    weights.data<float>() + t * r.num_chosen);
      });
    });
  }
  void eval_gpu(const std::vector<mx::array>&, std::vector<mx::array>&) override {
    throw std::runtime_error("Route runs on the CPU stream only");
  }
  const char* name() const override { return "Route"; }

 private:
  Routing routing_;
  bool has_bias_;
};

}  // namespace

std::pair<mx::array, mx::array> route(const mx::array& logits, const std::optional<mx::array>& bias,
                                      const Routing& routing, mx::StreamOrDevice s) {
  int count = logits.ndim() == 2 ? logits.shape(1) : 0;
  bool groups_fit = routing.num_groups > 0 && count % routing.num_groups == 0 &&
                    routing.num_chosen_groups <= routing.num_groups;
  if (routing.num_chosen < 1 || routing.num_chosen > count || !groups_fit)
    throw std::invalid_argument("route: sizes do not fit");
  auto stream = mx::to_stream(s, mx::Device::cpu);
  std::vector<mx::array> in = {as_float(logits, stream)};
  if (bias) in.push_back(as_float(*bias, stream));
  mx::Shape shape{logits.shape(0), routing.num_chosen};
  auto out = mx::array::make_arrays({shape, shape}, {mx::int32, mx::float32},
                                    std::make_shared<Route>(stream, routing, bias.has_value()), in);
  return {out[0], out[1]};
}

}  // namespace localllm
