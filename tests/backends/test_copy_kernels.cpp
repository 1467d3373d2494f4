// copy, fill and arange: every pair of dtypes and of layouts, and nothing written beside the
// result.
#include "kernel_array.h"

#include "support/catch.h"

#include <algorithm>

using namespace keymix;
using namespace keymix::testing;

namespace {

// The documented conversion, through long double, which holds every value of every dtype.
double reference_cast(long double x, DType to) {
  const auto saturated = [&](long double low, long double high) {
    return static_cast<double>(std::isnan(x) ? 0 : std::clamp(std::trunc(x), low, high));
  };
  switch (to) {
    case DType::bool_:
      return x != 0;
    case DType::uint8:
      return saturated(0, 255);
    case DType::int32:
      return saturated(-0x1p31L, 0x1p31L - 1);
    case DType::int64:
      return saturated(-0x1p63L, 0x1p63L - 1);
    default:
      return rounded(static_cast<double>(x), to);
  }
}

}  // namespace

TEST_CASE("copy converts between every two dtypes", "[unit][elementwise]") {
  for (const DType from : kAllDTypes)
    for (const DType to : kAllDTypes) {
      std::vector<double> values = {0, 1, 2, 3, 100, 127};  // what every integer dtype holds
      if (from == DType::int32 || from == DType::int64)
        values.insert(values.end(), {-1, -0x1p31, 0x1p31 - 1, 65519, 65520, 16777217});
      if (from == DType::int64) values.insert(values.end(), {-0x1p63, 0x1p62, 0x1p40});
      if (is_floating(from)) {
        values = kEdges;
        values.insert(values.end(),
                      {2.7, -2.7, 255.9, 256, 0x1p31, -0x1p31, 0x1p63, -0x1p63, 1e10, 0x1p40,
                       1 + 0x1p-11, 1 + 3 * 0x1p-11, 1 + 0x1p-8, 1 + 3 * 0x1p-8, 0x1p-25, 65519});
      }
      const bool narrowing = !is_floating(from) && !is_floating(to);
      for (const ArrayLayout layout :
           {ArrayLayout::dense, ArrayLayout::gaps, ArrayLayout::reversed}) {
        const Shape shape{5, static_cast<std::int64_t>(values.size())};
        KernelArray x(shape, from, values, layout), y(shape, to);
        cpu_kernels().copy(y.view(), x.view());
        for (std::int64_t i = 0; i < x.numel(); ++i) {
          double wanted = reference_cast(x.get(i), to);
          if (narrowing && to == DType::uint8)
            wanted = static_cast<std::uint8_t>(static_cast<std::int64_t>(x.get(i)));
          if (narrowing && to == DType::int32)
            wanted = static_cast<std::int32_t>(static_cast<std::int64_t>(x.get(i)));
          if (!matches(y.get(i), wanted, 0))
            FAIL_CHECK(describe("copy to", static_cast<int>(to), from, x.get(i), y.get(i), wanted));
        }
      }
    }
}

TEST_CASE("copy moves bytes between any two layouts", "[unit][elementwise][threads]") {
  const std::vector<Shape> shapes = {Shape{},
                                     Shape{0},
                                     Shape{1},
                                     Shape{3, 0, 2},
                                     Shape{17},
                                     Shape{4, 4},
                                     Shape{33, 65},
                                     Shape{2, 3, 40, 50},
                                     Shape{1, 7, 1, 9},
                                     Shape{300, 200},
                                     Shape{2, 2, 2, 2, 2, 2, 2, 3}};
  for (const Shape& shape : shapes)
    for (const DType dtype : {DType::uint8, DType::float16, DType::float32, DType::int64})
      for (const ArrayLayout x_layout : kLayouts)
        for (const ArrayLayout y_layout :
             {ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::gaps})
          for (const DType to : {dtype, DType::float32}) {
            KernelArray x(shape, dtype, scattered(9973, 0, 120), x_layout), y(shape, to, y_layout);
            cpu_kernels().copy(y.view(), x.view());
            bool equal = y.surroundings_untouched();
            for (std::int64_t i = 0; i < x.numel(); ++i) equal = equal && y.get(i) == x.get(i);
            CHECK(equal);
          }
}

TEST_CASE("copy of heads between [B, N, H, D] and [B, H, N, D]", "[unit][elementwise]") {
  KernelArray x({2, 50, 4, 16}, DType::float32), y({2, 4, 50, 16}, DType::float32);
  for (std::int64_t i = 0; i < x.numel(); ++i) x.set(i, static_cast<double>(i));
  MutView heads_first = x.view();
  std::swap(heads_first.shape[1], heads_first.shape[2]);
  std::swap(heads_first.strides[1], heads_first.strides[2]);
  cpu_kernels().copy(y.view(), heads_first);
  bool equal = true;
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    const std::int64_t b = i / 3200, h = i / 800 % 4, n = i / 16 % 50, e = i % 16;
    equal = equal && y.get(i) == static_cast<double>(((b * 50 + n) * 4 + h) * 16 + e);
  }
  CHECK(equal);
}

TEST_CASE("bool bytes other than 0 and 1 are true", "[unit][elementwise]") {
  KernelArray x({3}, DType::bool_), y({3}, DType::uint8), negated({3}, DType::bool_);
  const unsigned char bytes[3] = {0, 2, 255};
  std::memcpy(x.view().data, bytes, 3);
  cpu_kernels().copy(y.view(), x.view());
  cpu_kernels().unary(UnaryOp::logical_not, negated.view(), x.view(), {});
  CHECK(y.all_bits() == std::vector<std::uint64_t>{0, 1, 1});
  CHECK(negated.all_bits() == std::vector<std::uint64_t>{1, 0, 0});
}

TEST_CASE("fill writes a converted number everywhere and nowhere else", "[unit][elementwise]") {
  for (const DType dtype : kAllDTypes)
    for (const ArrayLayout layout : {ArrayLayout::dense, ArrayLayout::reversed, ArrayLayout::gaps})
      for (const Shape& shape : {Shape{}, Shape{0}, Shape{3, 5}, Shape{40001}}) {
        KernelArray y(shape, dtype, layout);
        cpu_kernels().fill(y.view(), 2.5);
        const double wanted = dtype == DType::bool_ ? 1 : is_floating(dtype) ? 2.5 : 2;
        bool equal = y.surroundings_untouched();
        for (std::int64_t i = 0; i < y.numel(); ++i) equal = equal && y.get(i) == wanted;
        CHECK(equal);
      }
  KernelArray y({2}, DType::int64), flag({1}, DType::bool_);
  cpu_kernels().fill(y.view(), std::numeric_limits<std::int64_t>::max() - 1);
  CHECK(y.bits(1) == 0x7ffffffffffffffeu);
  cpu_kernels().fill(y.view(), kNaN);
  CHECK(y.bits(1) == 0);
  cpu_kernels().fill(flag.view(), true);
  CHECK(flag.bits(0) == 1);
}

TEST_CASE("arange multiplies instead of adding up", "[unit][elementwise]") {
  for (const ArrayLayout layout : {ArrayLayout::dense, ArrayLayout::gaps}) {
    KernelArray f({100000}, DType::float32, layout), i({1000}, DType::int64, layout),
        h({100}, DType::float16, layout);
    cpu_kernels().arange(f.view(), 0.5, 0.1);
    cpu_kernels().arange(i.view(), std::int64_t{1} << 60, -3);
    cpu_kernels().arange(h.view(), 3, 2);
    CHECK(f.get(99999) == static_cast<float>(0.5 + 99999 * 0.1));
    CHECK(i.bits(999) == (std::uint64_t{1} << 60) - 2997);
    CHECK(h.get(99) == 201);
    CHECK(f.surroundings_untouched());
  }
}
