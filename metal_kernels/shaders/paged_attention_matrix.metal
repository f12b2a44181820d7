// Attention of up to eight query rows a simdgroup over one kv head and one split of the keys, by 8x8
// matrices: S = Q K^T for four tiles of eight keys, then O += P V. Same tiles, splits and results as
// paged_attention.metal, which serves fewer rows and other head sizes.
//
// A lane holds one row of each matrix: of Q, S and O that is a query row, of K^T a set of dimensions
// and of V a key. The order of the dimensions does not matter to S as long as Q follows it, so that
// a lane reads four neighbouring ones at a time: dimension f / 4 * 32 + 4 * row + f % 4 of matrix f.
const uint lane = thread_index_in_simdgroup, simdgroup = simdgroup_index_in_threadgroup;
const int row_at = int(matrix_row(lane)), column_at = int(matrix_column(lane));
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

constexpr int key_parts = D / 32, value_parts = DV / 16;
const int my_row = int(simdgroup % TILES) * 8 + row_at;
const int row = first_row + min(my_row, num_rows - 1);
const int q_row = (first_token + row / group) * num_heads + int(kv_head) * group + row % group;
const int position = first_position + row / group;

simdgroup_matrix<F, 8, 8> qs[key_parts * 4];
simdgroup_matrix<float, 8, 8> outs[value_parts * 2];
UNROLL for (int j = 0; j < key_parts; ++j)
  UNROLL for (int i = 0; i < 2; ++i) {
    const vec<T, 4> part = ((const device vec<T, 4>*)(q + ulong(q_row) * D))[j * 8 + column_at + i];
    UNROLL for (int f = 0; f < 4; ++f) qs[j * 4 + f].thread_elements()[i] = F(part[f]);
  }
UNROLL for (int j = 0; j < value_parts * 2; ++j) outs[j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);

// A finite start keeps exp2(largest - new) free of inf - inf. `total` is of this lane's keys alone.
float largest = -3e38f, total = 0.0f;
for (int chunk = start + int(stripe) * 32; chunk < end; chunk += STRIPES * 32) {
  // Keys past the end repeat the last one with weight zero: blocks out of range may be another's.
  const int my_key = min(chunk + int(lane), end - 1);
  const uint my_block = block_tables[table_start + my_key / BS];
  const uint my_slot = (my_block * num_kv_heads + kv_head) * BS + my_key % BS;

  float scores[4][2];
  UNROLL for (int t = 0; t < 4; ++t) {
    const uint slot0 = simd_shuffle(my_slot, ushort(t * 8 + column_at));
    const uint slot1 = simd_shuffle(my_slot, ushort(t * 8 + column_at + 1));
    const device P* row0 = find_row<P, D, DV>(pool, slot0);
    const device P* row1 = find_row<P, D, DV>(pool, slot1);
    simdgroup_matrix<float, 8, 8> sum = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    UNROLL for (int j = 0; j < key_parts; ++j) {
      const vec<F, 4> key0 = load_part<F, P, D, DV>(row0, row_at + j * 8);
      const vec<F, 4> key1 = load_part<F, P, D, DV>(row1, row_at + j * 8);
      UNROLL for (int f = 0; f < 4; ++f) {
        simdgroup_matrix<F, 8, 8> keys;
        keys.thread_elements()[0] = key0[f];
        keys.thread_elements()[1] = key1[f];
        simdgroup_multiply_accumulate(sum, qs[j * 4 + f], keys, sum);
      }
    }
    UNROLL for (int i = 0; i < 2; ++i) scores[t][i] = sum.thread_elements()[i];
  }

  float new_largest = largest;
  UNROLL for (int t = 0; t < 4; ++t)
    UNROLL for (int i = 0; i < 2; ++i) {
      float score = scores[t][i] * to_log2;
      if (soft_cap > 0.0f) score = soft_cap * metal::tanh(score / soft_cap);
      const int key = chunk + t * 8 + column_at + i;
      if (key >= end || key > position || key <= position - window) score = -INFINITY;
      scores[t][i] = score;
      new_largest = max(new_largest, score);
    }
  new_largest = max(new_largest, simd_shuffle_xor(new_largest, ushort(1)));
  new_largest = max(new_largest, simd_shuffle_xor(new_largest, ushort(8)));
  const float shrink = metal::exp2(largest - new_largest);
  largest = new_largest;
  total *= shrink;
  UNROLL for (int j = 0; j < value_parts * 2; ++j)
    UNROLL for (int i = 0; i < 2; ++i) outs[j].thread_elements()[i] *= shrink;

  UNROLL for (int t = 0; t < 4; ++t) {
    simdgroup_matrix<F, 8, 8> weights;
    UNROLL for (int i = 0; i < 2; ++i) {
      const float weight = metal::exp2(scores[t][i] - largest);
      total += weight;
      weights.thread_elements()[i] = F(weight);
    }
    const uint slot = simd_shuffle(my_slot, ushort(t * 8 + row_at));
    const device P* from = find_row<P, D, DV>(pool, slot);
    UNROLL for (int j = 0; j < value_parts; ++j) {
      const vec<F, 4> part = load_part<F, P, D, DV>(from, D / 4 + column_at / 2 + j * 4);
      UNROLL for (int h = 0; h < 2; ++h) {
        simdgroup_matrix<F, 8, 8> values;
        values.thread_elements()[0] = part[2 * h];
        values.thread_elements()[1] = part[2 * h + 1];
        simdgroup_multiply_accumulate(outs[j * 2 + h], weights, values, outs[j * 2 + h]);
      }
    }
  }
}
total += simd_shuffle_xor(total, ushort(1));
total += simd_shuffle_xor(total, ushort(8));

// Stripes merge pairwise, the upper half handing its sums to the lower.
constexpr int givers = STRIPES / 2 * TILES, lane_sums = value_parts * 4;
threadgroup float given_sums[givers > 0 ? givers * lane_sums * 32 : 1];
threadgroup float given_softmax[givers > 0 ? givers * 2 * 32 : 1];
for (uint half_stripes = STRIPES / 2; half_stripes > 0; half_stripes /= 2) {
  const bool gives = stripe >= half_stripes && stripe < 2 * half_stripes;
  const uint at = gives ? simdgroup - half_stripes * TILES : simdgroup;
  if (gives) {
    UNROLL for (int j = 0; j < value_parts * 2; ++j)
      UNROLL for (int i = 0; i < 2; ++i)
        given_sums[(at * lane_sums + j * 2 + i) * 32 + lane] = outs[j].thread_elements()[i];
    given_softmax[at * 64 + lane] = largest;
    given_softmax[at * 64 + 32 + lane] = total;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (stripe < half_stripes) {
    const float their_largest = given_softmax[at * 64 + lane];
    const float new_largest = max(largest, their_largest);
    const float mine = metal::exp2(largest - new_largest);
    const float theirs = metal::exp2(their_largest - new_largest);
    largest = new_largest;
    total = total * mine + given_softmax[at * 64 + 32 + lane] * theirs;
    UNROLL for (int j = 0; j < value_parts * 2; ++j)
      UNROLL for (int i = 0; i < 2; ++i)
        outs[j].thread_elements()[i] = outs[j].thread_elements()[i] * mine +
            given_sums[(at * lane_sums + j * 2 + i) * 32 + lane] * theirs;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
}
if (stripe > 0 || my_row >= num_rows) return;

const int at = q_row * num_splits + int(split);
float scale = 1.0f;
if (SPLIT) {
  if (column_at == 0) log_sums[at] = largest + metal::log2(total);
} else {
  const float sink = sinks[q_row % num_heads] * M_LOG2E_F, new_largest = max(largest, sink);
  scale = metal::exp2(largest - new_largest);
  total = total * scale + metal::exp2(sink - new_largest);
}
scale = total > 0.0f ? scale / total : 0.0f;
UNROLL for (int j = 0; j < value_parts; ++j) {
  vec<O, 4> part;
  UNROLL for (int i = 0; i < 4; ++i) part[i] = O(outs[j * 2 + i / 2].thread_elements()[i % 2] * scale);
  *(device vec<O, 4>*)(out + ulong(at) * DV + j * 16 + column_at * 2) = part;
}
