// Stacks of packed matrices of one shape (the experts of a layer, the heads of a projection) and
// products in which every row of x meets the matrix its id names.
#pragma once
#include "grouped_rows.h"
#include "matmul.h"

namespace localllm {

struct MatrixStack {
  Format format;
  int num_matrices, num_rows, num_columns;
  mx::array packed;  // uint8, the tiles of each matrix one after another

  int64_t matrix_bytes() const { return num_tiles(num_rows) * tile_bytes(format, num_columns); }
};

// As the kernels see it, with these weights.
Stack stack_in(const MatrixStack& w, const uint8_t* weights);

// `blocks`: num_matrices times num_rows rows of GGUF blocks; strides in bytes. Read before this
// returns.
MatrixStack pack_gguf_stack(const std::string& name, const uint8_t* blocks, int64_t matrix_stride,
                            int64_t row_stride, int num_matrices, int num_rows, int num_columns);
// MLX's affine triple with one more dimension in front.
MatrixStack pack_affine_stack(mx::array weight, mx::array scales, mx::array biases, int bits,
                              int group_size);

// One matrix of the stack, sharing its memory.
Matrix matrix_at(const MatrixStack& w, int index);

// Row r of the result is x[r / (ids.size / rows of x)] times the transpose of matrix ids[r]. x
// [X, K], ids int32 [R] in [0, num_matrices), R a multiple of X; gives [R, N]. A matrix is read once
// for all its rows.
mx::array grouped_matmul(const mx::array& x, const MatrixStack& w, const mx::array& ids,
                         mx::StreamOrDevice s);
// y [R, N] times matrix ids[r] itself: [R, K], for gradients.
mx::array grouped_matmul_transposed(const mx::array& y, const MatrixStack& w, const mx::array& ids,
                                    mx::StreamOrDevice s);

}  // namespace localllm
