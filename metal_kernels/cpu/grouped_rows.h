// Rows sorted by the matrix each of them meets, and their products: what ops over stacks share.
#pragma once
#include <functional>
#include <vector>

#include "kernels.h"
#include "scratch.h"

namespace localllm {

// Rows that meet the same matrix, one after another in the sorted order.
struct Group {
  int matrix, begin, count;
  int64_t split_tiles;  // tiles of 16 rows in the groups before
};

struct Grouping {
  std::vector<int32_t> order;     // sorted place -> row
  std::vector<int32_t> group_of;  // sorted place -> group
  std::vector<Group> groups;
  int64_t split_tiles = 0;

  int num_rows() const { return int(order.size()); }
};

// `ids`: the matrix of each row, in [0, num_matrices).
Grouping group_rows(const int32_t* ids, int num_rows, int num_matrices);

// A stack of packed matrices in memory.
struct Stack {
  Format format;
  int num_matrices, num_rows, num_columns;
  int64_t matrix_bytes;
  const uint8_t* weights;
};

// Sorted rows in the forms the kernels read. The memory is the calling thread's and kept: one at a
// time.
class GroupedInputs {
 public:
  // Forms that products with these stacks, all of as many columns, want. `row(place, spare)` gives
  // the row of a sorted place; it may write it to `spare` first. It is called from several threads.
  using Row = std::function<const float*(int place, float* spare)>;
  GroupedInputs(const Grouping& grouping, std::initializer_list<const Stack*> stacks,
                const Row& row);

  MatmulJob job(const Stack& w, const Group& g, float* y) const;

 private:
  void prepare_row(int place, const Row& row);
  uint16_t* split_of(const Group& g) const;

  const Grouping& grouping_;
  int num_columns_;
  int8_t* planes_ = nullptr;      // for quantized formats
  BlockInfo* info_ = nullptr;
  float* rows_ = nullptr;         // for dense ones
  uint16_t* split_ = nullptr;     // for F16 and BF16 on AMX
  std::vector<Panel> panels_;     // of each group
};

struct GroupedProduct {
  const Stack& stack;
  float* y;  // [rows in sorted order, stack.num_rows]
};

// Every product with the same inputs; each matrix is read once.
void multiply_groups(const Grouping& grouping, const GroupedInputs& inputs,
                     std::initializer_list<GroupedProduct> products);

}  // namespace localllm
