// Mixtures of experts: which experts a token goes to, and their feed-forward layers in one op.
#pragma once
#include <optional>
#include <utility>

#include "grouped_matmul.h"

namespace localllm {

struct Routing {
  int num_chosen;
  bool sigmoid;        // of each logit; else softmax over all
  bool normalised;     // the chosen ones' weights sum to one
  float scale;         // of the weights, in the end
  int num_groups, num_chosen_groups;
  bool group_by_two;   // a group counts as its two best scores together; else as its best
};

// ids int32 [T, chosen] and their weights float32 [T, chosen], from logits [T, E]. `bias` [E] is
// added where experts are chosen, not to their weights.
std::pair<mx::array, mx::array> route(const mx::array& logits, const std::optional<mx::array>& bias,
                                      const Routing& routing, mx::StreamOrDevice s);

struct ExpertMlp {
  const MatrixStack &gate, &up, &down;
  std::optional<mx::array> gate_bias, up_bias, down_bias;  // [E, F], [E, F], [E, N]: all or none
  // 0: silu(gate) * up. Else (min(up, limit) + 1) * gate * sigmoid(alpha * gate), as gpt-oss has it.
  float alpha, limit;
};

// Row t: the sum over j of weights[t, j] * mlp(ids[t, j], x[t]); x [T, K], gives [T, N].
mx::array expert_mlp(const mx::array& x, const mx::array& ids, const mx::array& weights,
                     const ExpertMlp& mlp, mx::StreamOrDevice s);

}  // namespace localllm
