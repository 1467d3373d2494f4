#include "keymix/backends/cpu/elementwise.h"

#include <cstring>

namespace keymix::cpu_backend {

namespace {

Staging make_staging(DType stored, DType computed, std::int64_t stride, Converter convert) {
  Staging staging;
  staging.stride = stride;
  staging.size = size_of(stored);
  staging.block_size = size_of(computed);
  staging.convert = convert;
  staging.direct = convert == nullptr && stride == static_cast<std::int64_t>(staging.size);
  return staging;
}

}  // namespace

Staging Staging::input(DType stored, DType computed, std::int64_t stride) {
  return make_staging(stored, computed, stride,
                      stored == computed ? nullptr : find_converter(stored, computed));
}

Staging Staging::output(DType stored, DType computed, std::int64_t stride) {
  return make_staging(stored, computed, stride,
                      stored == computed ? nullptr : find_converter(computed, stored));
}

void Staging::load(std::int64_t n, const std::byte* from, std::byte* block) const {
  if (stride == 0) {
    alignas(8) std::byte element[8];
    if (convert) convert(1, from, element);
    return replicate(block_size, n, convert ? element : from, block);
  }
  alignas(64) std::byte raw[kBlockBytes];
  std::byte* gathered = convert ? raw : block;
  if (stride != static_cast<std::int64_t>(size)) {
    gather(size, n, from, stride, gathered);
    from = gathered;
  }
  if (convert) convert(n, from, block);
}

void Staging::store(std::int64_t n, const std::byte* block, std::byte* to) const {
  const bool contiguous = stride == static_cast<std::int64_t>(size);
  if (convert && contiguous) return convert(n, block, to);
  if (contiguous) {
    std::memcpy(to, block, static_cast<std::size_t>(n) * size);
    return;
  }
  if (!convert) return scatter(size, n, block, to, stride);
  alignas(64) std::byte raw[kBlockBytes];
  convert(n, block, raw);
  scatter(size, n, raw, to, stride);
}

}  // namespace keymix::cpu_backend
