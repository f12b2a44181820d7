// Row r of y is row r / repeats of x times the transpose of the matrix ids[r] of W [E][N][K].
const uint K = sizes[0], N = sizes[1], repeats = sizes[2];
const uint r = threadgroup_position_in_grid.z;
const uint first_row = (threadgroup_position_in_grid.x * SIMDGROUPS + simdgroup_index_in_threadgroup) * R;
const ulong matrix_bytes = ulong(N) * (K / Blocks::values) * Blocks::bytes;
matvec<Blocks, T, 1, R>(x + ulong(r / repeats) * K, w + ulong(ids[r]) * matrix_bytes,
                        y + ulong(r) * N, K, N, first_row, thread_index_in_simdgroup);
