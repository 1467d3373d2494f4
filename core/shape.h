// Shape: the sizes (or strides) of a tensor's dimensions, held in place: no heap allocation, at
// most kMaxDims dimensions. Also the shape arithmetic that every op shares: broadcasting,
// row-major strides, dimension normalisation.
//
//   Shape shape{2, 3};
//   shape.numel();          // 6
//   broadcast_shapes("add", shape, {3});  // [2, 3]
#pragma once

#include "keymix/core/error.h"
#include "keymix/core/formatter.h"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace keymix {

inline constexpr int kMaxDims = 8;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes);
  explicit Shape(std::span<const std::int64_t> sizes);
  explicit Shape(const std::vector<std::int64_t>& sizes);

  // `ndim` dimensions, all of size `value`.
  static Shape filled(int ndim, std::int64_t value);

  int ndim() const { return ndim_; }
  std::int64_t operator[](int dim) const { return sizes_[static_cast<std::size_t>(dim)]; }
  std::int64_t& operator[](int dim) { return sizes_[static_cast<std::size_t>(dim)]; }
  const std::int64_t* begin() const { return sizes_.data(); }
  const std::int64_t* end() const { return sizes_.data() + ndim_; }
  std::int64_t* begin() { return sizes_.data(); }
  std::int64_t* end() { return sizes_.data() + ndim_; }
  std::int64_t back() const { return (*this)[ndim_ - 1]; }

  void push_back(std::int64_t size);
  void insert(int position, std::int64_t size);
  void erase(int position);

  // Product of the sizes; 1 for no dimensions.
  std::int64_t numel() const {
    std::int64_t n = 1;
    for (std::int64_t size : *this) n *= size;
    return n;
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.ndim_ != b.ndim_) return false;
    for (int d = 0; d < a.ndim_; ++d)
      if (a[d] != b[d]) return false;
    return true;
  }

 private:
  std::array<std::int64_t, kMaxDims> sizes_{};
  int ndim_ = 0;
};

// "[2, 3]".
std::string to_string(const Shape& shape);

// Strides, in elements, of a contiguous row-major tensor.
Shape row_major_strides(const Shape& shape);

// NumPy broadcasting of two shapes; throws an Error that starts with `op`.
Shape broadcast_shapes(std::string_view op, const Shape& a, const Shape& b);

// Strides under which a tensor of `shape` and `strides` reads as `target`: 0 along broadcast
// dimensions. Requires that `shape` broadcasts to `target`.
Shape broadcast_strides(const Shape& shape, const Shape& strides, const Shape& target);

// -1 is the last dimension. Throws unless -ndim <= dim < ndim.
int normalize_dim(std::string_view op, std::int64_t dim, int ndim);

// A list of dimensions for reductions, held in place as Shape is. Converts from one int or a braced
// list; `all` stands for every dimension.
//
//   const Dims image{-2, -1};
//   x.mean(image);  // as x.mean({-2, -1})
//   x.sum(all);     // as x.sum()
class Dims {
 public:
  constexpr Dims() = default;
  Dims(int dim) : dims_{dim}, count_(1) {}
  Dims(std::initializer_list<int> dims);
  explicit Dims(std::span<const int> dims);

  bool is_all() const { return count_ == 0; }

  // Bit d set: dimension d of `ndim` is in the list. Throws on a repeated or missing dimension, and
  // on more than kMaxDims of them.
  std::uint32_t mask(std::string_view op, int ndim) const;

 private:
  std::array<int, kMaxDims> dims_{};  // the first of them
  std::size_t count_ = 0;             // as given; 0: all
};

inline constexpr Dims all{};

}  // namespace keymix

template <>
struct fmt::formatter<keymix::Shape> : keymix::TextFormatter {
  auto format(const keymix::Shape& shape, fmt::format_context& context) const {
    return write(keymix::to_string(shape), context);
  }
};
