// What folds many elements into one, orders them, or multiplies matrices.
#include "reference_backend/reference_backend.h"

#include <algorithm>
#include <numeric>

namespace keymix::testing {
namespace {

// Whether x is in front of best; a NaN is in front of everything, and the first of equals stays.
bool beats(ReduceOp op, double x, double best) {
  if (std::isnan(x) || std::isnan(best)) return !std::isnan(best);
  return op == ReduceOp::max ? x > best : x < best;
}
bool beats(ReduceOp op, std::int64_t x, std::int64_t best) {
  return op == ReduceOp::max ? x > best : x < best;
}

// What a fold starts from, and what it makes of nothing.
template <typename T>
T start_of(ReduceOp op, DType dtype) {
  if (op == ReduceOp::sum) return 0;
  if (op == ReduceOp::prod) return 1;
  const bool lowest = op == ReduceOp::max;
  if (is_floating(dtype)) return static_cast<T>(lowest ? -HUGE_VAL : HUGE_VAL);
  T end{};
  visit_dtype(dtype, [&](auto tag) {
    using Limits = std::numeric_limits<decltype(tag)>;
    if constexpr (Limits::is_integer) end = static_cast<T>(lowest ? Limits::min() : Limits::max());
  });
  return end;
}

// NaN is the largest.
bool less(double a, double b) { return std::isnan(b) ? !std::isnan(a) : a < b; }
bool less(std::int64_t a, std::int64_t b) { return a < b; }

}  // namespace

void ReferenceBackend::reduce(ReduceOp op, const MutView& y, const ConstView& x) {
  visit_number(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::vector<T> in = load<T>(x);
    std::vector<T> out(static_cast<std::size_t>(y.shape.numel()), start_of<T>(op, y.dtype));
    auto next = in.begin();
    // Where y has size 1 its stride is 0, so that all of a group's elements meet in one place.
    for_each_offset(x.shape, broadcast_strides(y.shape, row_major_strides(y.shape), x.shape),
                    [&](std::int64_t group) {
                      T& result = out[static_cast<std::size_t>(group)];
                      const T number = *next++;
                      if (op == ReduceOp::sum)
                        result = add(result, number);
                      else if (op == ReduceOp::prod)
                        result = multiply(result, number);
                      else if (beats(op, number, result))
                        result = number;
                    });
    store(y, out);
  });
}

void ReferenceBackend::arg_reduce(ReduceOp op, const MutView& y, const ConstView& x, int dim) {
  const Lines lines(x.shape, dim);
  visit_number(x.dtype, [&](auto zero) {
    const auto in = load<decltype(zero)>(x);
    std::vector<std::int64_t> positions(static_cast<std::size_t>(y.shape.numel()));
    for (std::int64_t line = 0; line < lines.count; ++line)
      for (std::int64_t i = 1; i < lines.length; ++i) {
        std::int64_t& best = positions[static_cast<std::size_t>(line)];
        if (beats(op, in[lines.at(line, i)], in[lines.at(line, best)])) best = i;
      }
    store(y, positions);
  });
}

bool ReferenceBackend::all_finite(const ConstView& x) {
  if (!is_floating(x.dtype)) return true;
  const std::vector<double> numbers = load<double>(x);
  return std::all_of(numbers.begin(), numbers.end(), [](double x_i) { return std::isfinite(x_i); });
}

void ReferenceBackend::cumsum(const MutView& y, const ConstView& x, int dim, bool reverse) {
  const Lines lines(x.shape, dim);
  visit_number(x.dtype, [&](auto zero) {
    auto numbers = load<decltype(zero)>(x);
    for (std::int64_t line = 0; line < lines.count; ++line) {
      auto total = zero;
      for (std::int64_t i = 0; i < lines.length; ++i) {
        auto& number = numbers[lines.at(line, reverse ? lines.length - 1 - i : i)];
        number = total = add(total, number);
      }
    }
    store(y, numbers);
  });
}

void ReferenceBackend::sort(const MutView& values, const MutView& indices, const ConstView& x,
                            int dim, bool descending) {
  const Lines lines(x.shape, dim), taken(values.shape, dim);
  visit_number(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::vector<T> in = load<T>(x);
    std::vector<T> sorted(static_cast<std::size_t>(values.shape.numel()));
    std::vector<std::int64_t> positions(sorted.size());
    std::vector<std::int64_t> order(static_cast<std::size_t>(lines.length));
    for (std::int64_t line = 0; line < taken.count && taken.length > 0; ++line) {
      std::iota(order.begin(), order.end(), std::int64_t{0});
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t i, std::int64_t j) {
        const T a = in[lines.at(line, i)], b = in[lines.at(line, j)];
        return descending ? less(b, a) : less(a, b);
      });
      for (std::int64_t i = 0; i < taken.length; ++i) {
        const std::int64_t from = order[static_cast<std::size_t>(i)];
        sorted[taken.at(line, i)] = in[lines.at(line, from)];
        positions[taken.at(line, i)] = from;
      }
    }
    store(values, sorted);
    store(indices, positions);
  });
}

void ReferenceBackend::matmul(const MutView& y, const ConstView& a, const ConstView& b) {
  const int last = y.shape.ndim() - 1;
  const auto inner = static_cast<std::size_t>(a.shape[last]);
  const auto columns = static_cast<std::size_t>(y.shape[last]);
  const auto rows = static_cast<std::size_t>(y.shape[last - 1]);
  visit_number(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::vector<T> left = load<T>(a), right = load<T>(b);
    std::vector<T> out(static_cast<std::size_t>(y.shape.numel()));
    const std::size_t all_rows = columns == 0 ? 0 : out.size() / columns;  // of the whole batch
    for (std::size_t row = 0; row < all_rows; ++row) {
      const T* matrix = right.data() + row / rows * inner * columns;
      for (std::size_t k = 0; k < inner; ++k)
        for (std::size_t j = 0; j < columns; ++j) {
          T& sum_so_far = out[row * columns + j];
          sum_so_far = add(sum_so_far, multiply(left[row * inner + k], matrix[k * columns + j]));
        }
    }
    store(y, out);
  });
}

}  // namespace keymix::testing
