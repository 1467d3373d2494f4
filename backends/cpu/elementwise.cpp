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
  load_tile(1, n, from, 0, block);
}

void Staging::store(std::int64_t n, const std::byte* block, std::byte* to) const {
  store_tile(1, n, block, to, 0);
}

void Staging::load_tile(std::int64_t rows, std::int64_t columns, const std::byte* from,
                        std::int64_t row_stride, std::byte* block) const {
  const std::int64_t n = rows * columns, element_size = static_cast<std::int64_t>(size);
  if (stride == 0 && (rows == 1 || row_stride == 0)) {
    alignas(8) std::byte element[8];
    if (convert) convert(1, from, element);
    return replicate(block_size, n, convert ? element : from, block);
  }
  if (!convert) return gather_rows(rows, columns, from, row_stride, block);
  if (stride == element_size && (rows == 1 || row_stride == columns * stride))
    return convert(n, from, block);
  alignas(64) std::byte raw[kBlockBytes];
  gather_rows(rows, columns, from, row_stride, raw);
  convert(n, raw, block);
}

void Staging::gather_rows(std::int64_t rows, std::int64_t columns, const std::byte* from,
                          std::int64_t row_stride, std::byte* block) const {
  const auto element_size = static_cast<std::int64_t>(size);
  if (rows > 1 && row_stride == element_size && stride != element_size)
    return transpose(size, rows, columns, from, stride, block);
  for (std::int64_t i = 0; i < rows; ++i, from += row_stride, block += columns * element_size) {
    if (stride == element_size)
      std::memcpy(block, from, static_cast<std::size_t>(columns * stride));
    else
      gather(size, columns, from, stride, block);
  }
}

void Staging::store_tile(std::int64_t rows, std::int64_t columns, const std::byte* block,
                         std::byte* to, std::int64_t row_stride) const {
  const auto element_size = static_cast<std::int64_t>(size);
  for (std::int64_t i = 0; i < rows; ++i, to += row_stride) {
    const std::byte* row = block + static_cast<std::size_t>(i * columns) * block_size;
    if (stride == element_size) {
      if (convert)
        convert(columns, row, to);
      else
        std::memcpy(to, row, static_cast<std::size_t>(columns * stride));
      continue;
    }
    alignas(64) std::byte raw[kBlockBytes];
    if (convert) convert(columns, row, raw);
    scatter(size, columns, convert ? raw : row, to, stride);
  }
}

}  // namespace keymix::cpu_backend
