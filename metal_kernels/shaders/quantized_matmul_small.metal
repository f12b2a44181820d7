// One to three matrices times the same 5 to 32 rows of x; matrix i is w_i, of N_i rows.
// The threadgroups of a matrix follow those of the one before it.
const uint K = sizes[0], M = sizes[1];
uint group = threadgroup_position_in_grid.x;
threadgroup float partial[SIMDGROUPS * NT * MT * 64];
#define MULTIPLY(i)                                                                            \
  {                                                                                            \
    const uint N = sizes[2 + i], num_groups = (N + NT * 8 - 1) / (NT * 8);                     \
    if (group < num_groups)                                                                    \
      return small_matmul<Blocks##i, T, F, MT, NT, SIMDGROUPS>(                                \
          x, w##i, y##i, partial, K, N, M, group * (NT * 8), simdgroup_index_in_threadgroup,   \
          thread_index_in_simdgroup);                                                          \
    group -= num_groups;                                                                       \
  }
MULTIPLY(0)
#if MATRICES > 1
MULTIPLY(1)
#endif
#if MATRICES > 2
MULTIPLY(2)
#endif
