// Python bindings. Arguments are checked in Python, where the message can be kind.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include "cache_ops.h"
#include "experts.h"
#include "grouped_matmul.h"
#include "kernels.h"
#include "matmul.h"
#include "mlx/mlx.h"
#include "pack.h"
#include "pointwise_ops.h"
#include "prefetch.h"
#include "quantize.h"
#include "thread_pool.h"

namespace nb = nanobind;
namespace mx = mlx::core;
using namespace nb::literals;
using namespace localllm;

namespace {

// Bytes per second at which the pool's threads read memory, as the kernels read weights: the roof of
// a decode step.
double read_bandwidth(int64_t num_bytes) {
  mx::array memory = make_tile_memory(num_bytes);
  auto* bytes = memory.data<uint8_t>();
  constexpr int64_t kChunk = 1 << 21, kPart = 256;
  parallel_ranges(num_bytes, kChunk, [&](int64_t begin, int64_t end) {
    std::memset(bytes + begin, 1, end - begin);
  });
  std::atomic<int64_t> sum{0};
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    auto start = std::chrono::steady_clock::now();
    parallel_ranges(num_bytes / kPart, kChunk / kPart, [&](int64_t begin, int64_t end) {
      int64_t total = 0;
      for (int64_t i = begin; i < end; ++i) {
        prefetch_ahead(bytes, kPart, i);
        const auto* words = reinterpret_cast<const int64_t*>(bytes + i * kPart);
        for (int64_t k = 0; k < kPart / 8; ++k) total += words[k];
      }
      sum += total;
    });
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::max(best, double(num_bytes) / took.count());
  }
  return sum.load() ? best : 0;
}

using Source = nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Blocks = nb::ndarray<uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Importance = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void quantize_into(const std::string& name, Source source, const std::string& source_type,
                   std::optional<Importance> importance, Blocks out) {
  nb::gil_scoped_release release;
  const BlockLayout* layout = find_block_layout(name);
  Format source_format = parse_format(source_type);
  if (!layout || source_format.kind != Kind::Dense)
    throw std::invalid_argument("cannot quantize " + source_type + " to " + name);
  int64_t num_columns = int64_t(source.shape(1)) / number_bytes(source_format.number);
  int64_t num_blocks = int64_t(source.shape(0)) * num_columns / layout->columns;
  if (num_columns % layout->columns || int64_t(out.size()) != num_blocks * layout->num_bytes ||
      (importance && int64_t(importance->size()) != num_columns))
    throw std::invalid_argument("the sizes do not fit " + name);
  quantize_all({*layout, source.data(), source_format.number,
                importance ? importance->data() : nullptr, int(num_columns), num_blocks,
                out.data()});
}

}  // namespace

NB_MODULE(_cpu, m) {
  nb::class_<Matrix>(m, "Matrix")
      .def_ro("num_rows", &Matrix::num_rows)
      .def_ro("num_columns", &Matrix::num_columns)
      .def_prop_ro("num_bytes", [](const Matrix& w) { return w.packed.nbytes(); });
  m.def("row_bytes", &gguf_row_bytes, "name"_a, "num_columns"_a);
  m.def(
      "pack_gguf",
      [](const std::string& name, nb::ndarray<const uint8_t, nb::ndim<2>, nb::device::cpu> blocks,
         int num_columns) {
        nb::gil_scoped_release release;
        if (blocks.stride(1) != 1 || int64_t(blocks.shape(1)) != gguf_row_bytes(name, num_columns))
          throw std::invalid_argument("blocks do not fit " + name);
        return pack_gguf_matrix(name, blocks.data(), blocks.stride(0), int(blocks.shape(0)),
                                num_columns);
      },
      "name"_a, "blocks"_a, "num_columns"_a);
  m.def("pack_affine", &pack_affine_matrix, "weight"_a, "scales"_a, "biases"_a, "bits"_a,
        "group_size"_a);
  m.def("quantize_into", &quantize_into, "name"_a, "source"_a, "source_type"_a,
        "importance"_a.none(), "out"_a);
  m.def("matmul", &matmul, "x"_a, "w"_a, "stream"_a = nb::none());
  m.def("matmul_many", &matmul_many, "x"_a, "matrices"_a, "stream"_a = nb::none());
  m.def("take_rows", &take_rows, "w"_a, "ids"_a, "stream"_a = nb::none());
  nb::class_<MatrixStack>(m, "MatrixStack")
      .def_ro("num_matrices", &MatrixStack::num_matrices)
      .def_ro("num_rows", &MatrixStack::num_rows)
      .def_ro("num_columns", &MatrixStack::num_columns)
      .def_prop_ro("num_bytes", [](const MatrixStack& w) { return w.packed.nbytes(); });
  m.def(
      "pack_gguf_stack",
      [](const std::string& name, nb::ndarray<const uint8_t, nb::ndim<3>, nb::device::cpu> blocks,
         int num_columns) {
        nb::gil_scoped_release release;
        if (blocks.stride(2) != 1 || int64_t(blocks.shape(2)) != gguf_row_bytes(name, num_columns))
          throw std::invalid_argument("blocks do not fit " + name);
        return pack_gguf_stack(name, blocks.data(), blocks.stride(0), blocks.stride(1),
                               int(blocks.shape(0)), int(blocks.shape(1)), num_columns);
      },
      "name"_a, "blocks"_a, "num_columns"_a);
  m.def("pack_affine_stack", &pack_affine_stack, "weight"_a, "scales"_a, "biases"_a, "bits"_a,
        "group_size"_a);
  m.def("matrix_at", &matrix_at, "w"_a, "index"_a);
  m.def("grouped_matmul", &grouped_matmul, "x"_a, "w"_a, "ids"_a, "stream"_a = nb::none());
  m.def("grouped_matmul_transposed", &grouped_matmul_transposed, "y"_a, "w"_a, "ids"_a,
        "stream"_a = nb::none());
  m.def(
      "route",
      [](const mx::array& logits, const std::optional<mx::array>& bias, int num_chosen,
         bool sigmoid, bool normalised, float scale, int num_groups, int num_chosen_groups,
         bool group_by_two) {
        return route(logits, bias,
                     {num_chosen, sigmoid, normalised, scale, num_groups, num_chosen_groups,
                      group_by_two},
                     {});
      },
      "logits"_a, "bias"_a.none(), "num_chosen"_a, "sigmoid"_a, "normalised"_a, "scale"_a,
      "num_groups"_a, "num_chosen_groups"_a, "group_by_two"_a);
  m.def(
      "expert_mlp",
      [](const mx::array& x, const mx::array& ids, const mx::array& weights,
         const MatrixStack& gate, const MatrixStack& up, const MatrixStack& down,
         const std::optional<mx::array>& gate_bias, const std::optional<mx::array>& up_bias,
         const std::optional<mx::array>& down_bias, float alpha, float limit) {
        ExpertMlp mlp{gate, up, down, gate_bias, up_bias, down_bias, alpha, limit};
        return expert_mlp(x, ids, weights, mlp, {});
      },
      "x"_a, "ids"_a, "weights"_a, "gate"_a, "up"_a, "down"_a, "gate_bias"_a.none(),
      "up_bias"_a.none(), "down_bias"_a.none(), "alpha"_a, "limit"_a);
  m.def("zero_pool", &zero_pool, "shape"_a, "dtype"_a);
  m.def("kv_write", &kv_write, "pool"_a, "slots"_a, "k"_a, "v"_a, "stream"_a = nb::none());
  m.def("paged_attention", &paged_attention, "q"_a, "pool"_a, "block_tables"_a, "query_starts"_a,
        "context_lens"_a, "scale"_a, "window"_a, "sinks"_a.none(), "soft_cap"_a,
        "stream"_a = nb::none());
  m.def("rms_norm", &rms_norm, "x"_a, "weight"_a, "eps"_a, "stream"_a = nb::none());
  m.def("swiglu", &swiglu, "gate"_a, "up"_a, "stream"_a = nb::none());
  m.def("geglu", &geglu, "gate"_a, "up"_a, "stream"_a = nb::none());
  m.def("rope", &rope, "x"_a, "positions"_a, "inv_freq"_a, "scale"_a, "interleaved"_a,
        "stream"_a = nb::none());
  m.def("choose_isa", [](const std::string& name) { return std::string(choose_isa(name.c_str())); });
  m.def("isa", [] { return std::string(kernels().name); });
  m.def("read_bandwidth", &read_bandwidth, "num_bytes"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def("num_threads", [] { return localllm::ThreadPool::instance().num_threads(); });
  m.def("set_num_threads", [](int n) { localllm::ThreadPool::instance().set_num_threads(n); });
}
