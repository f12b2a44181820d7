// Picks the kernels for this processor.
#include <cstring>
#include <vector>

#include "kernels.h"

namespace localllm {
namespace {

const Kernels* chosen = nullptr;

std::vector<const Kernels*> available() { return {&kScalarKernels}; }  // best last

}  // namespace

const char* choose_isa(const char* name) {
  chosen = nullptr;
  for (const Kernels* k : available())
    if (!*name || std::strcmp(k->name, name) == 0) chosen = k;
  return chosen ? chosen->name : "";
}

const Kernels& kernels() {
  if (!chosen) choose_isa("");
  return *chosen;
}

}  // namespace localllm
