// Lossless repack of GGUF blocks and MLX affine weights into tiles, and back to float rows.
#pragma once
#include <cstdint>
#include <string>

#include "formats.h"

namespace localllm {

// Bytes of one row of GGUF blocks; 0 for a format that is not GGUF's.
int64_t gguf_row_bytes(const std::string& name, int num_columns);

// `blocks`: num_rows rows, `row_stride` bytes apart. `out`: num_tiles * tile_bytes.
void pack_gguf(const std::string& name, const uint8_t* blocks, int64_t row_stride, int num_rows,
               int num_columns, uint8_t* out);

// MLX affine: codes are a little-endian bit stream per row; scales and biases are [rows, groups].
void pack_affine(const Format& f, const uint32_t* weight, const uint8_t* scales,
                 const uint8_t* biases, int num_rows, int num_columns, uint8_t* out);

// One row as float32.
void unpack_row(const Format& f, const uint8_t* packed, int num_columns, int64_t row, float* out);

}  // namespace localllm
