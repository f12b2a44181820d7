// One to three matrices times the same one to four rows of x; matrix i is w_i, of N_i rows.
// The threadgroups of a matrix follow those of the one before it.
const uint K = sizes[0], lane = thread_index_in_simdgroup;
uint group = threadgroup_position_in_grid.x;
#define MULTIPLY(i)                                                                            \
  {                                                                                            \
    const uint N = sizes[1 + i], num_groups = (N + R * SIMDGROUPS - 1) / (R * SIMDGROUPS);     \
    const uint first_row = (group * SIMDGROUPS + simdgroup_index_in_threadgroup) * R;          \
    if (group < num_groups) return matvec<Blocks##i, T, M, R>(x, w##i, y##i, K, N, first_row, lane); \
    group -= num_groups;                                                                       \
  }
MULTIPLY(0)
#if MATRICES > 1
MULTIPLY(1)
#endif
#if MATRICES > 2
MULTIPLY(2)
#endif
