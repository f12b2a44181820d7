// y[M][N] = x[M][K] W[N][K]^T, R rows of W by one simdgroup; M is one to four.
// The simdgroup keeps R rows of W and M slices of x in registers; lanes stride over the slices of a row.
// Codes stay unscaled: one scale per run, and offset and bias meet the sum of x, not each value.
template <typename Blocks, typename T, int M, int R>
METAL_FUNC void matvec(const device T* x, const device uchar* w, device T* y, uint K, uint N,
                       uint first_row, uint lane) {
  const uint num_blocks = K / Blocks::values;
  constexpr uint runs = Blocks::runs, run_length = Blocks::run_length;

  float sums[R][M];
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int m = 0; m < M; ++m) sums[r][m] = 0.0f;

  for (uint s = lane; s < num_blocks * Blocks::slices; s += 32) {
    const uint block = s / Blocks::slices, slice = s % Blocks::slices;
    vec<T, 4> xs[M][runs][run_length / 4];
    float x_sums[M][runs];
    UNROLL for (int m = 0; m < M; ++m)
      UNROLL for (uint run = 0; run < runs; ++run) {
        const uint at = m * K + block * Blocks::values + Blocks::run_start(slice, run);
        x_sums[m][run] = 0.0f;
        UNROLL for (uint i = 0; i < run_length / 4; ++i) {
          const vec<T, 4> v = ((const device vec<T, 4>*)(x + at))[i];
          xs[m][run][i] = v;
          x_sums[m][run] += float(v[0]) + float(v[1]) + float(v[2]) + float(v[3]);
        }
      }
    UNROLL for (int r = 0; r < R; ++r) {
      const uint row = min(first_row + r, N - 1);
      float codes[runs * run_length], scales[runs], offsets[runs];
      Blocks::read(w + (ulong(row) * num_blocks + block) * Blocks::bytes, slice, codes, scales, offsets);
      UNROLL for (int m = 0; m < M; ++m)
        UNROLL for (uint run = 0; run < runs; ++run) {
          float product = 0.0f;
          UNROLL for (uint i = 0; i < run_length; ++i)
            product += codes[run * run_length + i] * float(xs[m][run][i / 4][i % 4]);
          sums[r][m] += scales[run] * product;
          if (Blocks::has_offset)
            sums[r][m] += (offsets[run] - float(Blocks::bias) * scales[run]) * x_sums[m][run];
        }
    }
  }

  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int m = 0; m < M; ++m) {
      const float sum = simd_sum(sums[r][m]);
      if (lane == 0 && first_row + r < N) y[m * N + first_row + r] = T(sum);
    }
}
