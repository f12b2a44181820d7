// Attention of a few query rows over one kv head and one split of the keys, K and V read in place.
// A row is one (token, query head) pair; the rows of a threadgroup share the keys and values it reads.
// STRIPES simdgroups take every STRIPES-th chunk of 32 keys, each for R rows; TILES such sets of rows.
//
// Pool [num_blocks, Hkv, BS, row], see kv_rows/. A tile is eight ints, see `Tile` in paged_attention.py.
// Online softmax: Milakov and Gimelshein 2018, algorithm 3, in base two.
const uint lane = thread_index_in_simdgroup, simdgroup = simdgroup_index_in_threadgroup;
const uint stripe = simdgroup / TILES;
const uint kv_head = threadgroup_position_in_grid.y, split = threadgroup_position_in_grid.z;
const int num_heads = sizes[0], num_kv_heads = sizes[1], split_tokens = sizes[2], window = sizes[3];
const int group = num_heads / num_kv_heads;
const int num_splits = sizes[4];
const float to_log2 = factors[0] * M_LOG2E_F, soft_cap = factors[1] * M_LOG2E_F;

const device int* tile = tiles + threadgroup_position_in_grid.x * 8;
const int first_token = tile[0], first_row = tile[1], num_rows = tile[2], first_position = tile[3];
const int table_start = tile[4];
const int start = tile[5] + int(split) * split_tokens, end = min(tile[6], start + split_tokens);
if (start >= tile[6]) return;

constexpr int key_lanes = D % 32 == 0 ? 8 : 4;  // lanes that share the dot product with one key
constexpr int key_parts = D / 4 / key_lanes;
constexpr int value_width = DV % 128 == 0 ? 4 : 2;
constexpr int value_parts = (DV + 32 * value_width - 1) / (32 * value_width);

const int row0 = int(simdgroup % TILES) * R;
int rows[R], positions[R];  // rows of q [T * H, D]
vec<T, 4> qs[R][key_parts];
UNROLL for (int r = 0; r < R; ++r) {
  const int row = first_row + min(row0 + r, num_rows - 1);
  rows[r] = (first_token + row / group) * num_heads + int(kv_head) * group + row % group;
  positions[r] = first_position + row / group;
  const device vec<T, 4>* from = (const device vec<T, 4>*)(q + ulong(rows[r]) * D);
  UNROLL for (int j = 0; j < key_parts; ++j) qs[r][j] = from[j * key_lanes + lane % key_lanes];
}

// A finite start keeps exp2(largest - new) free of inf - inf.
float largest[R], total[R], out_sums[R][value_parts * value_width];
UNROLL for (int r = 0; r < R; ++r) {
  largest[r] = -3e38f;
  total[r] = 0.0f;
  UNROLL for (int i = 0; i < value_parts * value_width; ++i) out_sums[r][i] = 0.0f;
}

for (int chunk = start + int(stripe) * 32; chunk < end; chunk += STRIPES * 32) {
  // Keys past the end repeat the last one with weight zero: blocks out of range may be another's.
  const int my_key = min(chunk + int(lane), end - 1);
  const uint my_block = block_tables[table_start + my_key / BS];
  const uint my_slot = (my_block * num_kv_heads + kv_head) * BS + my_key % BS;

  // A group of lanes takes its own lanes' keys in turn, so that lane i ends with the score of key i.
  float weights[R];
  for (int turn = 0; turn < key_lanes; ++turn) {
    const uint slot = simd_shuffle(my_slot, ushort(lane / key_lanes * key_lanes + turn));
    vec<float, 4> part[key_parts];
    UNROLL for (int j = 0; j < key_parts; ++j)
      part[j] = load_key<P, D, DV>(pool, slot, j * key_lanes + lane % key_lanes);
    UNROLL for (int r = 0; r < R; ++r) {
      float score = 0.0f;
      UNROLL for (int j = 0; j < key_parts; ++j)
        UNROLL for (int i = 0; i < 4; ++i) score += float(qs[r][j][i]) * part[j][i];
      UNROLL for (int step = 1; step < key_lanes; step *= 2)
        score += simd_shuffle_xor(score, ushort(step));
      if (int(lane % key_lanes) == turn) weights[r] = score;
    }
  }

  UNROLL for (int r = 0; r < R; ++r) {
    float score = weights[r] * to_log2;
    if (soft_cap > 0.0f) score = soft_cap * metal::tanh(score / soft_cap);
    const int key = chunk + int(lane);
    if (key >= end || key > positions[r] || key <= positions[r] - window) score = -INFINITY;
    const float new_largest = max(largest[r], simd_max(score));
    const float shrink = metal::exp2(largest[r] - new_largest);
    weights[r] = metal::exp2(score - new_largest);
    total[r] = total[r] * shrink + simd_sum(weights[r]);
    largest[r] = new_largest;
    UNROLL for (int i = 0; i < value_parts * value_width; ++i) out_sums[r][i] *= shrink;
  }

  for (int k = 0; k < 32; ++k) {
    const uint slot = simd_broadcast(my_slot, ushort(k));
    float v[value_parts * value_width];
    UNROLL for (int j = 0; j < value_parts; ++j) {
      const int at = j * 32 + int(lane);
      vec<float, value_width> part = vec<float, value_width>(0.0f);
      if (at * value_width < DV) part = load_value<value_width, P, D, DV>(pool, slot, at);
      UNROLL for (int i = 0; i < value_width; ++i) v[j * value_width + i] = part[i];
    }
    UNROLL for (int r = 0; r < R; ++r) {
      const float weight = simd_broadcast(weights[r], ushort(k));
      UNROLL for (int i = 0; i < value_parts * value_width; ++i) out_sums[r][i] += weight * v[i];
    }
  }
}

// Stripes merge pairwise, the upper half handing its sums to the lower.
constexpr int givers = STRIPES / 2 * TILES;
threadgroup float given_sums[givers > 0 ? givers * R * value_parts * value_width * 32 : 1];
threadgroup float given_softmax[givers > 0 ? givers * R * 2 : 1];
for (uint half_stripes = STRIPES / 2; half_stripes > 0; half_stripes /= 2) {
  const bool gives = stripe >= half_stripes && stripe < 2 * half_stripes;
  const uint at = (gives ? simdgroup - half_stripes * TILES : simdgroup) * R;
  if (gives)
    UNROLL for (int r = 0; r < R; ++r) {
      UNROLL for (int i = 0; i < value_parts * value_width; ++i)
        given_sums[((at + r) * value_parts * value_width + i) * 32 + lane] = out_sums[r][i];
      if (lane < 2) given_softmax[(at + r) * 2 + lane] = lane == 0 ? largest[r] : total[r];
    }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (stripe < half_stripes)
    UNROLL for (int r = 0; r < R; ++r) {
      const float their_largest = given_softmax[(at + r) * 2];
      const float their_total = given_softmax[(at + r) * 2 + 1];
      const float new_largest = max(largest[r], their_largest);
      const float mine = metal::exp2(largest[r] - new_largest);
      const float theirs = metal::exp2(their_largest - new_largest);
      largest[r] = new_largest;
      total[r] = total[r] * mine + their_total * theirs;
      UNROLL for (int i = 0; i < value_parts * value_width; ++i)
        out_sums[r][i] = out_sums[r][i] * mine +
            given_sums[((at + r) * value_parts * value_width + i) * 32 + lane] * theirs;
    }
  threadgroup_barrier(mem_flags::mem_threadgroup);
}
if (stripe > 0) return;

UNROLL for (int r = 0; r < R; ++r) {
  if (row0 + r >= num_rows) break;
  const int at = rows[r] * num_splits + int(split);
  float sum = total[r], scale = 1.0f;
  if (SPLIT) {
    if (lane == 0) log_sums[at] = largest[r] + metal::log2(sum);
  } else {
    const float sink = sinks[rows[r] % num_heads] * M_LOG2E_F, new_largest = max(largest[r], sink);
    scale = metal::exp2(largest[r] - new_largest);
    sum = sum * scale + metal::exp2(sink - new_largest);
  }
  scale = sum > 0.0f ? scale / sum : 0.0f;
  UNROLL for (int j = 0; j < value_parts; ++j)
    UNROLL for (int i = 0; i < value_width; ++i) {
      const int column = (j * 32 + int(lane)) * value_width + i;
      if (column < DV) out[ulong(at) * DV + column] = O(out_sums[r][j * value_width + i] * scale);
    }
}
