// y[M][N] = x[M][K] W[N][K]^T for 5 to 32 rows of x, the weights read and dequantized once.
// A threadgroup makes NT * 8 columns of y; its simdgroups split K and add their sums at the end, in
// `partial` [SIMDGROUPS * NT * MT * 64].
//
// Weights go from their block to a matrix fragment without leaving the lane: a lane reads one slice
// of one row, and a fragment takes values f and f + run_length / 2 of each of the four slices of a
// row as its eight columns. The order of K does not matter to the sum as long as x follows it.
template <typename Blocks, typename T, typename F, int MT, int NT, int SIMDGROUPS>
METAL_FUNC void small_matmul(const device T* x, const device uchar* w, device T* y,
                             threadgroup float* partial, uint K, uint N, uint M, uint first_output,
                             uint simdgroup, uint lane) {
  const uint row = matrix_row(lane), column = matrix_column(lane);
  const uint num_blocks = K / Blocks::values, num_slices = num_blocks * Blocks::slices;
  constexpr uint runs = Blocks::runs, run_length = Blocks::run_length, steps = run_length / 2;

  simdgroup_matrix<float, 8, 8> sums[NT][MT];
  UNROLL for (int n = 0; n < NT; ++n)
    UNROLL for (int m = 0; m < MT; ++m) sums[n][m] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);

  for (uint first_slice = simdgroup * 4; first_slice < num_slices; first_slice += SIMDGROUPS * 4) {
    // x as the right-hand matrix: this lane's row of it is column `row` of the weights' fragment.
    const uint x_slice = min(first_slice + row / 2, num_slices - 1);
    vec<T, 4> xs[MT][2][runs][steps / 4];
    UNROLL for (int m = 0; m < MT; ++m)
      UNROLL for (uint i = 0; i < 2; ++i)
        UNROLL for (uint run = 0; run < runs; ++run) {
          const uint at = min(m * 8 + column + i, M - 1) * K + x_slice / Blocks::slices * Blocks::values +
              Blocks::run_start(x_slice % Blocks::slices, run) + row % 2 * steps;
          UNROLL for (uint k = 0; k < steps / 4; ++k)
            xs[m][i][run][k] = ((const device vec<T, 4>*)(x + at))[k];
        }

    const bool exists = first_slice + column / 2 < num_slices;
    const uint w_slice = min(first_slice + column / 2, num_slices - 1);
    UNROLL for (int n = 0; n < NT; ++n) {
      const uint output = min(first_output + n * 8 + row, N - 1);
      float codes[runs * run_length], scales[runs], offsets[runs];
      Blocks::read(w + (ulong(output) * num_blocks + w_slice / Blocks::slices) * Blocks::bytes,
                   w_slice % Blocks::slices, codes, scales, offsets);
      UNROLL for (uint run = 0; run < runs; ++run) {
        const float scale = exists ? scales[run] : 0.0f;
        const float offset = exists ? offsets[run] - float(Blocks::bias) * scale : 0.0f;
        UNROLL for (uint f = 0; f < steps; ++f) {
          simdgroup_matrix<F, 8, 8> weights;
          weights.thread_elements()[0] = F(scale * codes[run * run_length + f] + offset);
          weights.thread_elements()[1] = F(scale * codes[run * run_length + f + steps] + offset);
          UNROLL for (int m = 0; m < MT; ++m) {
            simdgroup_matrix<F, 8, 8> inputs;
            inputs.thread_elements()[0] = F(xs[m][0][run][f / 4][f % 4]);
            inputs.thread_elements()[1] = F(xs[m][1][run][f / 4][f % 4]);
            simdgroup_multiply_accumulate(sums[n][m], weights, inputs, sums[n][m]);
          }
        }
      }
    }
  }

  UNROLL for (int n = 0; n < NT; ++n)
    UNROLL for (int m = 0; m < MT; ++m)
      UNROLL for (uint i = 0; i < 2; ++i)
        partial[((simdgroup * NT + n) * MT + m) * 64 + row * 8 + column + i] =
            sums[n][m].thread_elements()[i];
  threadgroup_barrier(mem_flags::mem_threadgroup);

  for (uint at = simdgroup * 32 + lane; at < NT * MT * 64; at += SIMDGROUPS * 32) {
    // Neighbouring threads take neighbouring outputs of one row of y.
    const uint n = at % (NT * 8), m = at / (NT * 8);
    if (first_output + n >= N || m >= M) continue;
    float sum = 0.0f;
    for (uint s = 0; s < SIMDGROUPS; ++s)
      sum += partial[((s * NT + n / 8) * MT + m / 8) * 64 + n % 8 * 8 + m % 8];
    y[m * N + first_output + n] = T(sum);
  }
}
