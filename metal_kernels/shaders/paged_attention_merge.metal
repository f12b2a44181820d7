// The splits of one (token, query head) into one result; the sink, a logit without a value, joins once.
// partial [T, H, splits, DV] and log_sums [T, H, splits], log2 of each split's sum of weights.
const uint lane = thread_index_in_simdgroup;
const int head = threadgroup_position_in_grid.x, token = threadgroup_position_in_grid.y;
const int num_heads = sizes[0], max_splits = sizes[1];
const int num_splits = live_splits[token];
const int first = (token * num_heads + head) * max_splits;

const float sink = sinks[head] * M_LOG2E_F;
float largest = sink;
for (int s = 0; s < num_splits; ++s) largest = max(largest, log_sums[first + s]);
float total = metal::exp2(sink - largest);
float sums[(DV + 31) / 32];
UNROLL for (int i = 0; i < (DV + 31) / 32; ++i) sums[i] = 0.0f;
for (int s = 0; s < num_splits; ++s) {
  const float weight = metal::exp2(log_sums[first + s] - largest);
  total += weight;
  UNROLL for (int i = 0; i < (DV + 31) / 32; ++i) {
    const int column = i * 32 + int(lane);
    if (column < DV) sums[i] += weight * partial[ulong(first + s) * DV + column];
  }
}
UNROLL for (int i = 0; i < (DV + 31) / 32; ++i) {
  const int column = i * 32 + int(lane);
  if (column < DV) out[ulong(token * num_heads + head) * DV + column] = T(sums[i] / total);
}
