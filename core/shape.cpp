#include "keymix/core/shape.h"

#include <algorithm>

namespace keymix {

Shape::Shape(std::initializer_list<std::int64_t> sizes)
    : Shape(std::span(sizes.begin(), sizes.size())) {}
Shape::Shape(const std::vector<std::int64_t>& sizes) : Shape(std::span(sizes)) {}
Shape::Shape(std::span<const std::int64_t> sizes) {
  check(sizes.size() <= kMaxDims, "shape: too many dimensions; got {}; at most {} are supported",
        sizes.size(), kMaxDims);
  std::copy(sizes.begin(), sizes.end(), sizes_.begin());
  ndim_ = static_cast<int>(sizes.size());
}

Shape Shape::filled(int ndim, std::int64_t value) {
  Shape shape;
  for (int d = 0; d < ndim; ++d) shape.push_back(value);
  return shape;
}

void Shape::push_back(std::int64_t size) { insert(ndim_, size); }

void Shape::insert(int position, std::int64_t size) {
  check(ndim_ < kMaxDims, "shape: too many dimensions; got {}; at most {} are supported", ndim_ + 1,
        kMaxDims);
  std::copy_backward(begin() + position, end(), end() + 1);
  (*this)[position] = size;
  ++ndim_;
}

void Shape::erase(int position) {
  std::copy(begin() + position + 1, end(), begin() + position);
  --ndim_;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int d = 0; d < shape.ndim(); ++d) text += (d ? ", " : "") + std::to_string(shape[d]);
  return text + "]";
}

Shape row_major_strides(const Shape& shape) {
  Shape strides = Shape::filled(shape.ndim(), 1);
  for (int d = shape.ndim() - 2; d >= 0; --d)
    strides[d] = strides[d + 1] * std::max<std::int64_t>(shape[d + 1], 1);
  return strides;
}

Shape broadcast_shapes(std::string_view op, const Shape& a, const Shape& b) {
  const int ndim = std::max(a.ndim(), b.ndim());
  Shape result = Shape::filled(ndim, 1);
  for (int d = 1; d <= ndim; ++d) {  // from the last dimension backwards
    const std::int64_t x = d <= a.ndim() ? a[a.ndim() - d] : 1;
    const std::int64_t y = d <= b.ndim() ? b[b.ndim() - d] : 1;
    check(x == y || x == 1 || y == 1,
          "{}: shapes do not broadcast; got {} and {}; dimension {} needs equal sizes or a 1 "
          "({} vs {})",
          op, a, b, -d, x, y);
    result[ndim - d] = x == 1 ? y : x;
  }
  return result;
}

Shape broadcast_strides(const Shape& shape, const Shape& strides, const Shape& target) {
  Shape result = Shape::filled(target.ndim(), 0);
  const int lead = target.ndim() - shape.ndim();
  for (int d = 0; d < shape.ndim(); ++d)
    result[lead + d] = shape[d] == 1 && target[lead + d] != 1 ? 0 : strides[d];
  return result;
}

int normalize_dim(std::string_view op, std::int64_t dim, int ndim) {
  check(dim >= -ndim && dim < ndim, "{}: dimension out of range; got {}; the tensor has {} ({})",
        op, dim, ndim,
        ndim == 0 ? "no dimension can be named" : fmt::format("{} to {}", -ndim, ndim - 1));
  return static_cast<int>(dim < 0 ? dim + ndim : dim);
}

Dims::Dims(std::initializer_list<int> dims) : Dims(std::span(dims.begin(), dims.size())) {}
Dims::Dims(std::span<const int> dims) : count_(dims.size()) {
  std::copy_n(dims.begin(), std::min(count_, dims_.size()), dims_.begin());
}

std::uint32_t Dims::mask(std::string_view op, int ndim) const {
  if (is_all()) return (1u << ndim) - 1u;
  check(count_ <= dims_.size(), "{}: too many dimensions; got {}; at most {} are supported", op,
        count_, kMaxDims);
  std::uint32_t mask = 0;
  for (const int dim : std::span(dims_).first(count_)) {
    const std::uint32_t bit = 1u << normalize_dim(op, dim, ndim);
    check(!(mask & bit), "{}: dimension {} is listed twice; needed every dimension at most once",
          op, dim);
    mask |= bit;
  }
  return mask;
}

}  // namespace keymix
