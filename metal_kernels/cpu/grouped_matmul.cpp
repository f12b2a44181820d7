#include "grouped_matmul.h"

#include <algorithm>
#include <cstring>

#include "grouped_rows.h"
#include "mlx/allocator.h"
#include "mlx/mlx.h"
#include "op.h"
#include "pack.h"
#include "scratch.h"
#include "thread_pool.h"

namespace localllm {

Stack stack_in(const MatrixStack& w, const uint8_t* weights) {
  return {w.format, w.num_matrices, w.num_rows, w.num_columns, w.matrix_bytes(), weights};
}

namespace {

void multiply(const Stack& w, const float* x, int num_x, const int32_t* ids, int num_rows,
              float* y) {
  static thread_local Scratch scratch;
  Grouping grouping = group_rows(ids, num_rows, w.num_matrices);
  int repeats = num_rows / num_x;
  GroupedInputs inputs(grouping, {&w}, [&](int place, float*) {
    return x + int64_t(grouping.order[place] / repeats) * w.num_columns;
  });
  auto* sorted = scratch.get<float>(size_t(num_rows) * w.num_rows);
  multiply_groups(grouping, inputs, {{w, sorted}});
  parallel_ranges(num_rows, std::max(1, 65536 / w.num_rows), [&](int64_t begin, int64_t end) {
    for (int64_t place = begin; place < end; ++place)
      std::memcpy(y + int64_t(grouping.order[place]) * w.num_rows, sorted + place * w.num_rows,
                  sizeof(float) * w.num_rows);
  });
}

class GroupedMatmul : public Op {
 public:
  GroupedMatmul(mx::Stream s, const MatrixStack& w) : Op(s), shape_(stack_in(w, nullptr)) {}

  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    enqueue(in, out, [w = shape_](Arrays& in, mx::array& out) mutable {
      w.weights = in[1].data<uint8_t>();
      if (in[2].size())
        multiply(w, in[0].data<float>(), int(in[0].size() / w.num_columns), in[2].data<int32_t>(),
                 int(in[2].size()), out.data<float>());
    });
  }
  const char* name() const override { return "GroupedMatmul"; }

 private:
  Stack shape_;
};

// Weights are expanded row by row: plain float sums, in the order of the outputs.
void multiply_transposed(const Stack& w, const float* y, const int32_t* ids, int num_inputs,
                         float* x) {
  Grouping grouping = group_rows(ids, num_inputs, w.num_matrices);
  std::memset(x, 0, sizeof(float) * num_inputs * w.num_columns);
  ThreadPool::instance().parallel_for(int64_t(grouping.groups.size()), [&](int64_t i) {
    static thread_local Scratch scratch;
    const Group& g = grouping.groups[i];
    float* row = scratch.get<float>(w.num_columns);
    for (int n = 0; n < w.num_rows; ++n) {
      unpack_row(w.format, w.weights + g.matrix * w.matrix_bytes, w.num_columns, n, row);
      for (int place = g.begin; place < g.begin + g.count; ++place) {
        int64_t r = grouping.order[place];
        float factor = y[r * w.num_rows + n];
        float* sums = x + r * w.num_columns;
        for (int k = 0; k < w.num_columns; ++k) sums[k] += factor * row[k];
      }
    }
  });
}

class GroupedMatmulTransposed : public Op {
 public:
  GroupedMatmulTransposed(mx::Stream s, const MatrixStack& w)
      : Op(s), shape_(stack_in(w, nullptr)) {}

  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    enqueue(in, out, [w = shape_](Arrays& in, mx::array& out) mutable {
      w.weights = in[1].data<uint8_t>();
      multiply_transposed(w, in[0].data<float>(), in[2].data<int32_t>(), int(in[2].size()),
                          out.data<float>());
    });
  }
  const char* name() const override { return "GroupedMatmulTransposed"; }

 private:
  Stack shape_;
};

void check(bool fits, const char* message) {
  if (!fits) throw std::invalid_argument(message);
}

}  // namespace

MatrixStack pack_gguf_stack(const std::string& name, const uint8_t* blocks, int64_t matrix_stride,
                            int64_t row_stride, int num_matrices, int num_rows, int num_columns) {
  Format f = parse_format(name);
  int64_t bytes = num_tiles(num_rows) * tile_bytes(f, num_columns);
  mx::array packed = make_tile_memory(num_matrices * bytes);
  for (int e = 0; e < num_matrices; ++e)
    pack_gguf(name, blocks + e * matrix_stride, row_stride, num_rows, num_columns,
              packed.data<uint8_t>() + e * bytes);
  return {f, num_matrices, num_rows, num_columns, packed};
}

MatrixStack pack_affine_stack(mx::array weight, mx::array scales, mx::array biases, int bits,
                              int group_size) {
  auto stream = mx::default_stream(mx::Device::cpu);
  weight = mx::contiguous(weight, false, stream);
  scales = mx::contiguous(scales, false, stream);
  biases = mx::contiguous(mx::astype(biases, scales.dtype(), stream), false, stream);
  mx::eval(weight, scales, biases);
  Format f = affine_format(bits, group_size, scales.dtype());
  int matrices = weight.shape(0), rows = weight.shape(1);
  int columns = int(int64_t(weight.shape(2)) * 32 / bits);
  int64_t bytes = num_tiles(rows) * tile_bytes(f, columns);
  int64_t words = int64_t(rows) * weight.shape(2);
  int64_t scale_bytes = int64_t(rows) * scales.shape(2) * scales.itemsize();
  mx::array packed = make_tile_memory(matrices * bytes);
  for (int e = 0; e < matrices; ++e)
    pack_affine(f, weight.data<uint32_t>() + e * words, scales.data<uint8_t>() + e * scale_bytes,
                biases.data<uint8_t>() + e * scale_bytes, rows, columns,
                packed.data<uint8_t>() + e * bytes);
  return {f, matrices, rows, columns, packed};
}

Matrix matrix_at(const MatrixStack& w, int index) {
  check(index >= 0 && index < w.num_matrices, "matrix_at: no such matrix");
  auto lines = mx::ShapeElem(w.matrix_bytes() / 64);
  auto stream = mx::default_stream(mx::Device::cpu);
  mx::array part = mx::slice(w.packed, {index * lines, 0}, {(index + 1) * lines, 64}, stream);
  return {w.format, w.num_rows, w.num_columns, part};
}

mx::array grouped_matmul(const mx::array& x, const MatrixStack& w, const mx::array& ids,
                         mx::StreamOrDevice s) {
  check(x.ndim() == 2 && x.shape(1) == w.num_columns, "grouped_matmul: x needs [X, K]");
  check(ids.ndim() == 1 && (x.shape(0) ? ids.shape(0) % x.shape(0) : ids.shape(0)) == 0,
        "grouped_matmul: ids need [R], R a multiple of the rows of x");
  auto stream = mx::to_stream(s, mx::Device::cpu);
  mx::array y({ids.shape(0), w.num_rows}, mx::float32, std::make_shared<GroupedMatmul>(stream, w),
              {as_float(x, stream), w.packed, as_int32(ids, stream)});
  return mx::astype(y, x.dtype(), stream);
}

mx::array grouped_matmul_transposed(const mx::array& y, const MatrixStack& w, const mx::array& ids,
                                    mx::StreamOrDevice s) {
  check(y.ndim() == 2 && y.shape(1) == w.num_rows, "grouped_matmul_transposed: y needs [R, N]");
  check(ids.ndim() == 1 && ids.shape(0) == y.shape(0), "grouped_matmul_transposed: ids need [R]");
  auto stream = mx::to_stream(s, mx::Device::cpu);
  mx::array x({ids.shape(0), w.num_columns}, mx::float32,
              std::make_shared<GroupedMatmulTransposed>(stream, w),
              {as_float(y, stream), w.packed, as_int32(ids, stream)});
  return mx::astype(x, y.dtype(), stream);
}

}  // namespace localllm
