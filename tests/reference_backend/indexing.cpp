#include "reference_backend/reference_backend.h"

#include <algorithm>

namespace keymix::testing {
namespace {

// A 1-D index as one of `shape`, along dim.
ConstView along(ConstView index, int dim, const Shape& shape) {
  const std::int64_t stride = index.strides[0];
  index.shape = shape;
  index.strides = Shape::filled(shape.ndim(), 0);
  index.strides[dim] = stride;
  return index;
}

// Where in a dense array of `shape` the elements lie that `index` picks along dim.
std::vector<std::size_t> places(const Shape& shape, int dim, const Shape& index_shape,
                                const std::vector<std::int64_t>& index) {
  Shape strides = row_major_strides(shape);
  const std::int64_t step = strides[dim];
  strides[dim] = 0;
  std::vector<std::size_t> result;
  auto next = index.begin();
  for_each_offset(index_shape, strides, [&](std::int64_t offset) {
    const std::int64_t i = *next++;
    check(i >= 0 && i < shape[dim], "reference: an unchecked index; got {}; needed one below {}", i,
          shape[dim]);
    result.push_back(static_cast<std::size_t>(offset + i * step));
  });
  return result;
}

}  // namespace

void ReferenceBackend::gather(const MutView& y, const ConstView& x, const ConstView& index,
                              int dim) {
  const auto from = places(x.shape, dim, index.shape, load<std::int64_t>(index));
  visit_number(x.dtype, [&](auto zero) {
    const auto in = load<decltype(zero)>(x);
    std::vector<decltype(zero)> out;
    for (const std::size_t place : from) out.push_back(in[place]);
    store(y, out);
  });
}

void ReferenceBackend::scatter_add(const MutView& y, const ConstView& index, const ConstView& x,
                                   int dim) {
  const auto to = places(y.shape, dim, index.shape, load<std::int64_t>(index));
  visit_number(x.dtype, [&](auto zero) {
    const auto terms = load<decltype(zero)>(x);
    auto out = load<decltype(zero)>(y);
    for (std::size_t i = 0; i < terms.size(); ++i) out[to[i]] = add(out[to[i]], terms[i]);
    store(y, out);
  });
}

void ReferenceBackend::index_select(const MutView& y, const ConstView& x, const ConstView& index,
                                    int dim) {
  gather(y, x, along(index, dim, y.shape), dim);
}

void ReferenceBackend::index_add(const MutView& y, const ConstView& index, const ConstView& x,
                                 int dim) {
  scatter_add(y, along(index, dim, x.shape), x, dim);
}

void ReferenceBackend::index_copy(const MutView& y, const ConstView& index, const ConstView& x) {
  const auto to = places(y.shape, 0, index.shape, load<std::int64_t>(index));
  visit_number(x.dtype, [&](auto zero) {
    const auto in = load<decltype(zero)>(x);
    auto out = load<decltype(zero)>(y);
    for (std::size_t i = 0; i < in.size(); ++i) out[to[i]] = in[i];
    store(y, out);
  });
}

std::int64_t ReferenceBackend::first_index_outside(const ConstView& index, std::int64_t size) {
  const std::vector<std::int64_t> numbers = load<std::int64_t>(index);
  const auto found = std::find_if(numbers.begin(), numbers.end(),
                                  [size](std::int64_t i) { return i < 0 || i >= size; });
  return found == numbers.end() ? -1 : found - numbers.begin();
}

std::int64_t ReferenceBackend::count_nonzero(const ConstView& x) {
  std::int64_t count = 0;
  visit_number(x.dtype, [&](auto zero) {
    for (const auto number : load<decltype(zero)>(x)) count += number != 0;
  });
  return count;
}

void ReferenceBackend::nonzero(const MutView& y, const ConstView& x) {
  std::vector<std::int64_t> positions;
  visit_number(x.dtype, [&](auto zero) {
    const auto numbers = load<decltype(zero)>(x);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      if (numbers[i] != 0) positions.push_back(static_cast<std::int64_t>(i));
  });
  store(y, positions);
}

}  // namespace keymix::testing
