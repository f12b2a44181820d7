// Packed weight matrices and the ops on them.
#pragma once
#include <string>
#include <vector>

#include "formats.h"
#include "mlx/array.h"
#include "mlx/utils.h"

namespace localllm {

namespace mx = mlx::core;

struct Matrix {
  Format format;
  int num_rows, num_columns;
  mx::array packed;  // uint8, tiles
};

// Memory for packed tiles, shown as uint8 [num_bytes / 64, 64].
mx::array make_tile_memory(int64_t num_bytes);
// Of MLX's affine weights with scales and biases of type `number`.
Format affine_format(int bits, int group_size, mx::Dtype number);

// `blocks`: num_rows rows of GGUF blocks, `row_stride` bytes apart; read before this returns.
Matrix pack_gguf_matrix(const std::string& name, const uint8_t* blocks, int64_t row_stride,
                        int num_rows, int num_columns);
Matrix pack_affine_matrix(mx::array weight, mx::array scales, mx::array biases, int bits,
                          int group_size);

mx::array matmul(const mx::array& x, const Matrix& w, mx::StreamOrDevice s);
// x times each of several matrices of as many columns.
std::vector<mx::array> matmul_many(const mx::array& x, const std::vector<Matrix>& matrices,
                                   mx::StreamOrDevice s);
mx::array take_rows(const Matrix& w, const mx::array& ids, mx::StreamOrDevice s);

}  // namespace localllm
