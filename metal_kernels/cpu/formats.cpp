#include "formats.h"

#include <map>

namespace localllm {

const int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113};
const int8_t kMxfp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

namespace {

const std::map<std::string, Format>& ggml_formats() {
  static const std::map<std::string, Format> formats = {
      {"Q2_K", {Kind::Super16, 2, 0, true, Number::F16, 16, nullptr}},
      {"Q3_K", {Kind::Super16, 3, 4, false, Number::F16, 16, nullptr}},
      {"Q4_K", {Kind::Super32, 4, 0, true, Number::F16, 32, nullptr}},
      {"Q5_K", {Kind::Super32, 5, 0, true, Number::F16, 32, nullptr}},
      {"Q6_K", {Kind::Super16, 6, 32, false, Number::F16, 16, nullptr}},
      {"IQ4_XS", {Kind::Super32, 4, 128, false, Number::F16, 32, kIq4Values}},
      {"Q4_0", {Kind::Grouped, 4, 8, false, Number::F16, 32, nullptr}},
      {"Q4_1", {Kind::Grouped, 4, 0, true, Number::F16, 32, nullptr}},
      {"Q5_0", {Kind::Grouped, 5, 16, false, Number::F16, 32, nullptr}},
      {"Q5_1", {Kind::Grouped, 5, 0, true, Number::F16, 32, nullptr}},
      {"Q8_0", {Kind::Grouped, 8, 128, false, Number::F16, 32, nullptr}},
      {"IQ4_NL", {Kind::Grouped, 4, 128, false, Number::F16, 32, kIq4Values}},
      {"MXFP4", {Kind::Grouped, 4, 128, false, Number::E8M0, 32, kMxfp4Values}},
      {"F16", {Kind::Dense, 16, 0, false, Number::F16, 1, nullptr}},
      {"BF16", {Kind::Dense, 16, 0, false, Number::BF16, 1, nullptr}},
      {"F32", {Kind::Dense, 32, 0, false, Number::F32, 1, nullptr}},
  };
  return formats;
}

}  // namespace

Format parse_format(const std::string& name) {
  auto found = ggml_formats().find(name);
  if (found != ggml_formats().end()) return found->second;
  int bits = 0, group = 0;
  char number[8] = {0};
  if (std::sscanf(name.c_str(), "affine%d_g%d_%7s", &bits, &group, number) != 3)
    throw std::invalid_argument("unknown weight format: " + name);
  std::string type(number);
  Number n = type == "f16" ? Number::F16 : type == "bf16" ? Number::BF16 : Number::F32;
  bool known_bits = bits == 2 || bits == 3 || bits == 4 || bits == 5 || bits == 6 || bits == 8;
  if (!known_bits || (group != 32 && group != 64 && group != 128))
    throw std::invalid_argument("unknown weight format: " + name);
  return {Kind::Grouped, bits, 0, true, n, group, nullptr};
}

}  // namespace localllm
