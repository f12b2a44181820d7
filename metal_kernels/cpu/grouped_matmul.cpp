#include "grouped_matmul.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels.h"
#include "mlx/allocator.h"
#include "mlx/mlx.h"
#include "op.h"
#include "pack.h"
#include "scratch.h"
#include "thread_pool.h"

namespace localllm {
namespace {

// Rows that meet the same matrix, one after another in the sorted order.
struct Group {
  int matrix, begin, count;
  int64_t split_tiles;  // tiles of 16 rows in the groups before
};

struct Grouping {
  std::vector<int32_t> order;  // sorted place -> row
  std::vector<int32_t> group_of;  // sorted place -> group
  std::vector<Group> groups;
  int64_t split_tiles = 0;
};

Grouping group_rows(const int32_t* ids, int num_rows, int num_matrices) {
  std::vector<int32_t> starts(num_matrices + 1, 0);
  for (int r = 0; r < num_rows; ++r) ++starts[ids[r] + 1];
  Grouping made;
  made.order.resize(num_rows);
  made.group_of.resize(num_rows);
  for (int e = 0; e < num_matrices; ++e) {
    int count = starts[e + 1];
    starts[e + 1] += starts[e];
    if (!count) continue;
    auto first = made.group_of.begin() + starts[e];
    std::fill(first, first + count, int32_t(made.groups.size()));
    made.groups.push_back({e, starts[e], count, made.split_tiles});
    made.split_tiles += num_tiles(count);
  }
  for (int r = 0; r < num_rows; ++r) made.order[starts[ids[r]]++] = r;
  return made;
}

struct StackShape {
  Format format;
  int num_matrices, num_rows, num_columns;
  int64_t matrix_bytes;
};

// One product: where its rows come from, the forms of x the kernels read, and where results go.
class GroupedProduct {
 public:
  GroupedProduct(const StackShape& w, const float* x, const int32_t* ids, int repeats,
                 int num_inputs)
      : w_(w), x_(x), repeats_(repeats), num_inputs_(num_inputs),
        grouping_(group_rows(ids, num_inputs, w.num_matrices)) {}

  void run(const uint8_t* weights, float* y) {
    static thread_local Scratch output_scratch;
    weights_ = weights;
    y_ = y;
    sorted_ = output_scratch.get<float>(size_t(num_inputs_) * w_.num_rows);
    prepare_inputs();
    multiply();
    scatter();
  }

 private:
  const float* source(int place) const {
    return x_ + int64_t(grouping_.order[place] / repeats_) * w_.num_columns;
  }

  Panel panel_of(const Group& g) const {
    int supers = num_supers(w_.num_columns);
    int64_t before = int64_t(g.begin) * supers;
    return {g.count, w_.num_columns, supers, planes_ + before * 512, info_ + before};
  }

  uint16_t* split_of(const Group& g) const {
    return split_ ? split_ + g.split_tiles * ((w_.num_columns + 31) / 32) * 1024 : nullptr;
  }

  void prepare_inputs() {
    static thread_local Scratch plane_scratch, info_scratch, split_scratch, row_scratch;
    const Format& f = w_.format;
    const MatmulKernels& k = kernels().matmul;
    int64_t blocks = int64_t(num_inputs_) * num_supers(w_.num_columns);
    if (f.kind != Kind::Dense) {
      planes_ = plane_scratch.get<int8_t>(blocks * 512 + 1024);  // AMX reads whole tiles
      info_ = info_scratch.get<BlockInfo>(blocks + kTileRows);
    } else {
      rows_ = row_scratch.get<float>(size_t(num_inputs_) * w_.num_columns);
      if (f.number != Number::F32 && k.split_rows)
        split_ = split_scratch.get<uint16_t>(grouping_.split_tiles * ((w_.num_columns + 31) / 32) *
                                             1024);
    }
    parallel_ranges(num_inputs_, std::max(1, 32768 / w_.num_columns),
                    [&](int64_t begin, int64_t end) {
                      for (int place = int(begin); place < end; ++place) prepare_row(place);
                    });
  }

  // The kernels find row i of a group at x + i * num_columns.
  void prepare_row(int place) {
    const Group& g = grouping_.groups[grouping_.group_of[place]];
    const MatmulKernels& k = kernels().matmul;
    int row = place - g.begin;
    if (w_.format.kind == Kind::Dense) {
      float* copy = rows_ + int64_t(place) * w_.num_columns;
      std::memcpy(copy, source(place), sizeof(float) * w_.num_columns);
      if (split_)
        k.split_rows(rows_ + int64_t(g.begin) * w_.num_columns, w_.num_columns, split_of(g), row,
                     row + 1);
      return;
    }
    const float* first = source(place) - int64_t(row) * w_.num_columns;
    k.quantize_rows(first, panel_of(g), row, row + 1);
  }

  // A single row is written where it belongs, several lie together until `scatter`.
  float* output_of(const Group& g) const {
    int64_t row = g.count == 1 ? grouping_.order[g.begin] : g.begin;
    return (g.count == 1 ? y_ : sorted_) + row * w_.num_rows;
  }

  void multiply() {
    struct Task {
      int group, begin, end;
    };
    int tiles = num_tiles(w_.num_rows);
    int64_t all = int64_t(tiles) * grouping_.groups.size();
    bool many = num_inputs_ > 32 * int64_t(grouping_.groups.size());
    int64_t ranges = ThreadPool::instance().num_threads() * (many ? 2 : 8);
    int share = round_up(int(std::clamp<int64_t>(all / ranges, 1, 16)), 2);
    std::vector<Task> tasks;
    for (int g = 0; g < int(grouping_.groups.size()); ++g)
      for (int t = 0; t < tiles; t += share) tasks.push_back({g, t, std::min(t + share, tiles)});
    ThreadPool::instance().parallel_for(int64_t(tasks.size()), [&](int64_t i) {
      const Group& g = grouping_.groups[tasks[i].group];
      Panel panel = w_.format.kind == Kind::Dense ? Panel{} : panel_of(g);
      const float* rows = rows_ ? rows_ + int64_t(g.begin) * w_.num_columns : nullptr;
      MatmulJob job{w_.format, weights_ + g.matrix * w_.matrix_bytes,
                    w_.num_rows, w_.num_columns, g.count, panel, rows, split_of(g),
                    output_of(g)};
      kernels().matmul.matmul(job, tasks[i].begin, tasks[i].end);
    });
  }

  void scatter() {
    int64_t grain = std::max(1, 65536 / w_.num_rows);
    parallel_ranges(num_inputs_, grain, [&](int64_t begin, int64_t end) {
      for (int64_t place = begin; place < end; ++place) {
        if (grouping_.groups[grouping_.group_of[place]].count == 1) continue;
        std::memcpy(y_ + int64_t(grouping_.order[place]) * w_.num_rows,
                    sorted_ + place * w_.num_rows, sizeof(float) * w_.num_rows);
      }
    });
  }

  const StackShape w_;
  const float* x_;
  int repeats_, num_inputs_;
  Grouping grouping_;
  const uint8_t* weights_ = nullptr;
  float *y_ = nullptr, *sorted_ = nullptr, *rows_ = nullptr;
  int8_t* planes_ = nullptr;
  BlockInfo* info_ = nullptr;
  uint16_t* split_ = nullptr;
};

class GroupedMatmul : public Op {
 public:
  GroupedMatmul(mx::Stream s, const MatrixStack& w)
      : Op(s), shape_{w.format, w.num_matrices, w.num_rows, w.num_columns, w.matrix_bytes()} {}

  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    enqueue(in, out, [shape = shape_](Arrays& in, mx::array& out) {
      int num_x = int(in[0].size() / shape.num_columns), rows = int(in[2].size());
      if (!rows) return;
      GroupedProduct product(shape, in[0].data<float>(), in[2].data<int32_t>(), rows / num_x, rows);
      product.run(in[1].data<uint8_t>(), out.data<float>());
    });
  }
  const char* name() const override { return "GroupedMatmul"; }

 private:
  StackShape shape_;
};

// Weights are expanded row by row: plain float sums, in the order of the outputs.
void multiply_transposed(const StackShape& w, const uint8_t* weights, const float* y,
                         const int32_t* ids, int num_inputs, float* x) {
  Grouping grouping = group_rows(ids, num_inputs, w.num_matrices);
  std::memset(x, 0, sizeof(float) * num_inputs * w.num_columns);
  ThreadPool::instance().parallel_for(int64_t(grouping.groups.size()), [&](int64_t i) {
    static thread_local Scratch scratch;
    const Group& g = grouping.groups[i];
    float* row = scratch.get<float>(w.num_columns);
    for (int n = 0; n < w.num_rows; ++n) {
      unpack_row(w.format, weights + g.matrix * w.matrix_bytes, w.num_columns, n, row);
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
      : Op(s), shape_{w.format, w.num_matrices, w.num_rows, w.num_columns, w.matrix_bytes()} {}

  void eval_cpu(const std::vector<mx::array>& in, mx::array& out) override {
    out.set_data(mx::allocator::malloc(out.nbytes()));
    enqueue(in, out, [shape = shape_](Arrays& in, mx::array& out) {
      multiply_transposed(shape, in[1].data<uint8_t>(), in[0].data<float>(), in[2].data<int32_t>(),
                          int(in[2].size()), out.data<float>());
    });
  }
  const char* name() const override { return "GroupedMatmulTransposed"; }

 private:
  StackShape shape_;
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
